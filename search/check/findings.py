"""What follows from what the probe measured: pure, one function per question."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from search.check.measure import (
    AGAIN,
    FIRST,
    KNOB,
    OTHER,
    RESUMED,
    SCORED,
    SCORED_KNOB,
    SCORED_SEED,
    Measured,
    Measurements,
)
from search.spec.knob_onset import course_of, looked_at
from search.spec.search import Search
from spaces.paths import leaves
from spaces.values import show
from trainables.own.model import OwnModel
from trainables.own.observed import compare

Level = Literal["good", "note", "warning", "void"]
"""`void`: confirmation on fresh seeds would mean nothing."""
_HOW = {
    RESUMED: "going on from a checkpoint: ",
    AGAIN: "a second time in the same process: ",
    SCORED: "evaluate: ",
    SCORED_SEED: "evaluate, with another seed: ",
}
_NAMED = 3  # files
_TRAININGS = 3
_OWN_PLACE = {
    "command": "write below {dir}",
    "function": "write below run.folder",
    "lightning": "leave dirpath and save_dir out, and the trainer writes into each trial's own folder",
}
_MIXED = ": confirmation mixes the split's chance with the training's; split with a constant seed"


@dataclass(frozen=True)
class Finding:
    """The answer to one question."""

    about: str
    found: str
    """In a few words: what plan, report and best.yaml carry."""
    text: str
    """What it means and what to do; empty where nothing is to be said."""
    level: Level = "good"


def failure(measured: Measurements) -> str | None:
    """Why the baseline, or the same training again, can't be trained; None where it can."""
    for name in (FIRST, AGAIN, RESUMED, SCORED, OTHER, SCORED_SEED):
        told = measured.trainings.get(name)
        if told is None:
            continue
        # Each of the processes imports the code: which one tells first says nothing.
        how = "" if (told.error or "").startswith("importing ") else _HOW.get(name, "")
        if told.error is not None:
            return f"{how}{told.error}"
        if told.diverged is not None and name == FIRST:
            return f"the baseline can't be searched from: {told.diverged}; give base or arguments values that train"
    return None


def findings(search: Search, measured: Measurements) -> list[Finding]:
    """All that was found, in the order in which it is shown."""
    first = measured.trainings[FIRST]
    if not first.reports:
        what = f"the first evaluation takes more than the {measured.seconds:.0f} s that there were"
        return [Finding("repeats", "not checked", f"{what}; --seconds gives it more", "note")]
    return [
        *_repeats(search, measured),
        *_resume(search, measured),
        *_seed(search, measured),
        *_validation(search, measured),
        *_knobs(search, measured),
        *_files(search, measured),
        *_schedules(search, measured),
        _objective(search, measured),
    ]


def _repeats(search: Search, measured: Measurements) -> Iterator[Finding]:
    first, again = measured.trainings[FIRST], measured.trainings[AGAIN]
    if not again.reports:
        yield _unchecked("repeats", measured)
        return
    width = _difference(search, first.metrics, again.metrics)
    if width == 0 and not _parted(first, again):
        yield Finding("repeats", "same bits", "")
    else:
        unit = search.model.objective.unit
        what = f"the same config and seed differ by {width:.3g} {unit}: comparisons within that are chance, and so is "
        yield Finding("repeats", f"within ±{width:.2g}", f"{what}a rerun of best.yaml", "note")


def _resume(search: Search, measured: Measurements) -> Iterator[Finding]:
    declared = search.model.declared if isinstance(search.model, OwnModel) else None
    if declared is not None and not declared.goes_on:
        kind = {"rerun": "starts over", "stop": "never pauses", "hold": "stays in memory"}.get(declared.paused, "")
        what = f"no checkpoint: a trial {kind}, and a crash costs up to {search.horizon} {search.model.unit}s of it"
        yield Finding("resume", declared.paused, what, "note")
        return
    told = measured.trainings.get(RESUMED)
    if told is None:
        yield Finding("resume", "not needed", "one evaluation is all there is: no trial pauses", "note")
        return
    if told.ahead:
        what = "the script was some way on when its checkpoint was taken; with the step in its name, as in "
        yield Finding("resume", "not checked", f"{what}epoch_{{step}}.pt, that is no matter", "note")
        return
    if not told.reports or len(measured.trainings[FIRST].reports) < 2:
        yield _unchecked("resume", measured)
        return
    if (retold := told.reports[0].get("retold")) is not None:
        unit, begun = search.model.unit, measured.until[0]
        found = f"tells {unit} {retold} again"
        what = f"on from a checkpoint of {unit} {begun}: unless it only evaluates there, it starts over, and each "
        what += "promotion trains from the beginning. Is {resume} in the command, and does the script do as it says? "
        what += "Else declare pause: rerun, and the plan shows what that costs"
        yield Finding("resume", found, what, "warning")
        return
    whole = measured.trainings[FIRST]
    width = _difference(search, whole.metrics[1:], told.metrics)
    weights = _weights(whole, 1) != _weights(told, 0)
    if width == 0 and not weights:
        yield Finding("resume", "exact", "")
        return
    at = f"{search.model.unit} {measured.until[1]}"
    noise = _difference(search, whole.metrics, measured.trainings[AGAIN].metrics)
    if measured.trainings[AGAIN].reports and noise >= width > 0:
        yield Finding("resume", f"within ±{width:.2g}", f"differs by {width:.3g} at {at}, as repeats do", "note")
        return
    other = f"differs by {width:.3g}" if width else "has other weights"
    what = f"a training that goes on from a checkpoint {other} at {at}"
    what += "; usual causes: optimizer, scheduler, gradient scaler or data order missing from the state, or "
    what += "run.resume() called before they are built. Until then: pause: stop or pause: rerun"
    yield Finding("resume", f"differs by {width:.2g}" if width else other, what, "warning")


def _seed(search: Search, measured: Measurements) -> Iterator[Finding]:
    first, other = measured.trainings[FIRST], measured.trainings[OTHER]
    if not other.reports:
        yield _unchecked("seed", measured)
        return
    if _same(search, first, other):
        name, seed = _seed_argument(search), search.settings.sampler.seed
        what = f"seeds {seed} and {seed + 1} train the same bits: {name} is ignored, so that confirmation on fresh "
        yield Finding("seed", "ignored", f"{what}seeds would be void{_seed_key(search)}", "void")
    else:
        yield Finding("seed", "acts", "")


def _seed_argument(search: Search) -> str:
    """What the user's code is given its seed by."""
    if not isinstance(search.model, OwnModel):
        return "the seed"
    declared = search.model.declared
    if declared.seed is not None:
        return f"the config's {declared.seed}"
    if declared.command is not None:
        words = declared.command.split()
        at = next((i for i, word in enumerate(words) if "{seed}" in word), 0)
        return " ".join(words[at - 1 : at + 1] if words[at] == "{seed}" and at else words[at : at + 1])
    if declared.function is not None:
        return "run.seed (or the code sets a seed of its own)"
    return "the trial's seed (the code sets one of its own, such as seed_everything or set_seed)"


def _seed_key(search: Search) -> str:
    """A key of the config that looks like the seed, where none is declared."""
    declared = search.model.declared if isinstance(search.model, OwnModel) else None
    if declared is None or declared.seed is not None or declared.command is not None:
        return ""
    found = [path for path in leaves(search.base) if path.rpartition(".")[2].casefold().endswith("seed")]
    return f". If the code takes it from its config, declare trainable.seed: {found[0]}" if found else ""


def _validation(search: Search, measured: Measurements) -> Iterator[Finding]:
    first, other, again = (measured.trainings[name] for name in (FIRST, OTHER, AGAIN))
    one, two = (told.reports[0].get("validation") if told.reports else None for told in (first, other))
    if one is None or two is None:
        yield _scored_twice(search, measured)
    elif one == two:
        yield Finding("validation", "fixed", "")
    elif again.reports and again.reports[0].get("validation") != one:
        what = "what is validated on changes from run to run: draw it with a generator of its own, seeded by a constant"
        yield Finding("validation", "moves", what, "warning")
    else:
        what = f"what is validated on changes with the seed{_MIXED}"
        yield Finding("validation", "moves with the seed", what, "warning")


def _scored_twice(search: Search, measured: Measurements) -> Finding:
    """Whether the user's own evaluation gives the same weights another score under another seed."""
    one, two = (measured.trainings.get(name) for name in (SCORED, SCORED_SEED))
    if one is None or two is None or not one.reports or not two.reports:
        what = "no torch module was seen to validate; give trainable.evaluate, which is then asked under two seeds"
        return Finding("validation", "not checked", what, "note")
    if _difference(search, one.metrics, two.metrics):
        what = f"the same weights score otherwise under another seed{_MIXED}"
        return Finding("validation", "moves with the seed", what, "warning")
    if not isinstance(search.model, OwnModel) or not search.model.declared.evaluates_by_seed:
        what = "no torch module was seen to validate, and trainable.evaluate is given no seed"
        return Finding("validation", "not checked", what, "note")
    return Finding("validation", "fixed", "")


def _knobs(search: Search, measured: Measurements) -> Iterator[Finding]:
    first, entering = measured.trainings[FIRST], _entering(search, measured)
    still, unchecked = [], 0
    for path, value in measured.moved.items():
        told = measured.trainings[f"{KNOB}{path}"]
        if told.error is not None:
            yield Finding(f"knob {path}", "fails", f"{path}: {show(value)} can't be trained: {told.error}", "warning")
        elif told.diverged is None and not told.reports:
            unchecked += 1
        elif told.diverged is None and path not in entering and _same(search, first, told):
            still.append(path)
    if unchecked:
        yield Finding("knobs", f"{unchecked} not checked", "there was no time for more; --seconds gives it", "note")
    until = f"{search.model.unit} {measured.until[0]}"
    later = [path for path in still if _acts_later(search, {path: measured.moved[path]}, measured.until[0])]
    dead = [path for path in still if path not in later]
    if dead:
        what = "another value changes nothing by then; dead, or acting later"
        yield Finding("knobs", f"without effect by {until}: {', '.join(dead)}", what, "warning")
    elif later:
        what = "its schedule parts only then" if len(later) == 1 else "their schedules part only then"
        yield Finding("knobs", f"all act, {', '.join(later)} after {until}", what, "note")
    elif not unchecked:
        yield Finding("knobs", "all act", "")


def _files(search: Search, measured: Measurements) -> Iterator[Finding]:
    """Whether a training writes what the next one writes over, or leaves files among those of the others."""
    each = [told.wrote for told in measured.trainings.values() if told.wrote is not None]
    if len(each) < _TRAININGS:  # another process of the probe may have written some of them meanwhile
        return
    way = search.model.declared.way if isinstance(search.model, OwnModel) else ""
    advice = _OWN_PLACE.get(way, "write into a folder of each trial's own")
    if shared := sorted(set.intersection(*map(set, each))):
        more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
        what = f"each training writes there, and several trials train at once: {advice}"
        yield Finding("files", f"{', '.join(shared[:_NAMED])}{more}", what, "warning")
    elif folders := sorted(set.intersection(*({f"{PurePath(name).parent}/" for name in wrote} for wrote in each))):
        what = f"each training leaves files there: to tell whose they are, {advice}"
        yield Finding("files", f"in {', '.join(folders[:_NAMED])}", what, "note")


def _acts_later(search: Search, values: Mapping[str, Any], until: int) -> bool:
    """Whether other values change a declared schedule, though not before unit `until`."""
    before, after = range(until), [place for place in looked_at(search) if place >= until]
    alike = course_of(search, {}, before) == course_of(search, values, before)
    return alike and course_of(search, {}, after) != course_of(search, values, after)


def _entering(search: Search, measured: Measurements) -> list[str]:
    """The knobs under another value of which the same weights score otherwise, though not when trained again."""
    first, again = measured.trainings[FIRST], measured.trainings[AGAIN]
    if _weights(first, 0) is None or not again.reports or _difference(search, first.metrics[:1], again.metrics):
        return []

    def enters(told: Measured) -> bool:
        trained = bool(told.reports) and told.error is None
        return trained and _same(search, first, told) and _difference(search, first.metrics[:1], told.metrics) > 0

    return [path for path in measured.moved if enters(measured.trainings[f"{KNOB}{path}"])]


def _objective(search: Search, measured: Measurements) -> Finding:
    """Whether the same weights score otherwise under another value of a knob."""
    metric, scored = search.model.objective.metric, measured.trainings.get(SCORED)
    entering, open_ = _entering(search, measured), list[str]()
    evaluated = scored is not None and bool(scored.reports)
    own = scored.metrics[0][metric] if scored is not None and evaluated else math.nan
    for path in measured.moved if evaluated else ():
        told = measured.trainings[f"{SCORED_KNOB}{path}"]
        if not told.reports:
            open_.append(path)
        elif told.metrics[0][metric] != own and path not in entering:
            entering.append(path)
    if entering:
        names = ", ".join(entering)
        what = f"the same weights score otherwise under another value of {names}: the search would tune the measure; "
        return Finding("objective", f"depends on {names}", f"{what}evaluate with what is not searched", "warning")
    if not evaluated:
        what = "whether a searched knob enters the objective itself can't be told without trainable.evaluate"
        return Finding("objective", "not checked", what, "note")
    reported = measured.trainings[FIRST].metrics[0][metric]
    if not math.isclose(own, reported, rel_tol=1e-4, abs_tol=1e-9):
        what = f"evaluate gives {own:.6g} where the training reported {reported:.6g}, so that it tells nothing of that"
        return Finding("objective", "not checked", what, "warning")
    but = f" but {', '.join(open_)}" if open_ else ""
    text = f"evaluate can't read the checkpoint under another value of {', '.join(open_)}" if open_ else ""
    return Finding("objective", f"free of the knobs{but}", text, "note" if open_ else "good")


def _schedules(search: Search, measured: Measurements) -> Iterator[Finding]:
    if not isinstance(search.model, OwnModel):
        return
    reports = list(zip(measured.until, measured.trainings[FIRST].metrics, strict=False))
    for each in compare(search.model, search.base, reports):
        about, told = f"schedule {each.name}", each.told(search.model.unit)
        if each.parting is None:
            yield Finding(about, "as declared", "")
        else:
            yield Finding(about, f"parts at {search.model.unit} {each.parting[0]}", told, "warning")


def _unchecked(about: str, measured: Measurements) -> Finding:
    what = f"there was no time for it in {measured.seconds:.0f} s; --seconds gives more"
    return Finding(about, "not checked", what, "note")


def _difference(search: Search, one: list[Mapping[str, float]], other: list[Mapping[str, float]]) -> float:
    """By how much the objective differs at most."""
    metric = search.model.objective.metric
    return max((abs(a[metric] - b[metric]) for a, b in zip(one, other, strict=False)), default=0.0)


def _weights(told: Measured, index: int) -> str | None:
    return told.reports[index].get("weights") if index < len(told.reports) else None


def _parted(one: Measured, other: Measured) -> bool:
    return any(a.get("weights") != b.get("weights") for a, b in zip(one.reports, other.reports, strict=False))


def _same(search: Search, first: Measured, other: Measured) -> bool:
    """Whether two trainings were the same up to their first evaluation, in all that can be seen of them. The values of
    declared schedules differ without any effect, so they don't count where the weights are known."""
    weights = _weights(first, 0)
    if weights is not None:
        return weights == _weights(other, 0)
    scheduled = set(search.model.knobs(search.model.parse(search.base, "base"), 0))
    one, two = ({k: v for k, v in told.metrics[0].items() if k not in scheduled} for told in (first, other))
    return one == two
