"""The verdict in plain words and what it cost: the first screen of the report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from search.report.anytime import Anytime
from search.report.changes import Change
from search.report.material import Material
from search.report.next_steps import Step, doubts, next_steps
from search.report.shown import count, duration, interval, number, rounded, scale, share
from search.report.timeline import Timeline
from search.results.verdict import Verdict, one_start
from search.simulate.advice import Advice
from search.simulate.fairness import RungCheck

Tone = Literal["switch", "keep", "open"]


@dataclass(frozen=True)
class Fact:
    """A number with its name and what it means."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Story:
    """The first screen."""

    tone: Tone
    status: str
    headline: str
    sentence: str
    reason: str
    facts: tuple[Fact, ...]
    steps: tuple[Step, ...]
    doubts: tuple[str, ...]
    """What weakens the verdict, as sentences."""


def tell(
    material: Material,
    course: Anytime,
    lanes: Timeline,
    changes: Sequence[Change],
    advice: Advice | None,
    checks: Sequence[RungCheck] = (),
) -> Story:
    """What a reader needs to decide. `advice`: what the curves say about the first rung, if anything; `checks`: how
    well each rung foretold the end."""
    verdict = material.verdict
    tone: Tone = "open"
    if verdict is not None and verdict.decision in {"switch", "keep"}:
        tone = verdict.decision
    return Story(
        tone=tone,
        status=status(material),
        headline=_headline(material, verdict),
        sentence=_sentence(material, verdict),
        reason=_reason(material, verdict),
        facts=tuple(_facts(material, course, lanes)),
        steps=tuple(next_steps(material, verdict, course, changes, advice)),
        doubts=tuple(doubts(verdict, checks, material, advice)),
    )


def status(material: Material) -> str:
    """The state in words, with how many trials are over."""
    runs = material.records.on_fresh_seeds() if material.records.confirming else []
    trials = sum(t.over for t in material.trials)
    over = f"{trials} of {count(material.asked, 'trial')} over"
    if material.standing.state == "done":
        return "finished" if trials >= material.asked else f"finished: {over}{_short(material)}"
    over = f"{sum(t.over for t in runs)} of {count(len(runs), 'confirmation run')} over" if runs else over
    state = material.standing.state
    match state:
        case "starting":
            return "starting"
        case "searching" | "confirming" | "interrupted":
            return f"{state}: {over}"
        case "failed":
            return f"stopped: {over}"
        case _:
            assert_never(state)


def _short(material: Material) -> str:
    """Why a search has ended before it had all its trials."""
    if material.standing.cause:
        return f", as {material.standing.cause}"
    configs = material.planned.get("configs")
    return ", which are all configs of the space" if configs is not None and len(material.trials) >= configs else ""


def _headline(material: Material, verdict: Verdict | None) -> str:
    done = material.done
    if material.standing.state == "failed":
        return "The search stopped itself"
    if verdict is None:
        return "No trial succeeded" if done else "No trial has a value yet"
    if verdict.decision == "unconfirmed":
        return "Not confirmed yet" if done else "Not decided yet"
    if verdict.decision == "undecided":
        return "Undecided: keep your config for now" if done else "Not decided yet"
    words = {"switch": "Switch to the new config", "keep": "Keep your config"}[verdict.decision]
    return words if done else f"So far: {words[0].lower()}{words[1:]}"


def _sentence(material: Material, verdict: Verdict | None) -> str:
    cause = material.standing.cause
    if material.standing.state == "failed" and cause:
        return f"Why: {cause}"
    if verdict is None:
        failed = "There is nothing to compare: look at the failures below."
        return failed if material.done else "Nothing has been evaluated so far."
    objective, base, best, unit = material.model.objective, verdict.baseline, verdict.winner, material.unit
    better = f"{'lower' if objective.mode == 'min' else 'higher'} is better"
    if base is None:
        own = f"{best.estimate} {objective.unit}"
        return f"The best config so far scores {own} ({better}); the documented one has none at the same {unit} yet."
    fresh = verdict.decision != "unconfirmed" or verdict.gain is not None
    where = f"On {count(best.estimate.n, 'fresh seed')}" if fresh else "On the search's own seed"
    where += f", both at {unit} {material.compared_at}" if material.compared_at is not None else ""
    if best is base:
        own = f"{number(base.estimate.mean)} {objective.unit}"
        said = f"{where}, no config that was found beats the documented one's {own} ({better})"
        return f"{said} so far; some are still to be trained there." if verdict.decision == "undecided" else f"{said}."
    before, after = base.estimate.mean, best.estimate.mean
    known = [one for one in (scale(best.estimate), scale(base.estimate)) if one]
    spread = min(known, default=before - after)
    change = f": {share(abs(after - before) / abs(before))} {'lower' if after < before else 'higher'}" if before else ""
    return (
        f"{where}, the new config scores {rounded(after, spread)} {objective.unit} where the documented one scores "
        f"{rounded(before, spread)}{change} ({better})."
    )


def _reason(material: Material, verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    unit = material.model.objective.unit
    if material.standing.state == "failed":
        return ""
    if verdict.gain is None or verdict.gain.low is None:
        return f"{verdict.why[0].upper()}{verdict.why[1:]}."
    gain = verdict.gain
    mean = f"{rounded(gain.mean, scale(gain))} {unit}"
    given = material.records.given
    one = f" {one_start(given).capitalize()}." if given is not None else ""
    told = f"Paired seed by seed, the gain is {mean}; its 95% interval is {interval(gain)}{_allowed(material)}"
    if verdict.decision == "switch":
        return f"{told}, above zero: more than the luck of the seeds.{_part(verdict, unit)}{one}"
    return f"{told}, which doesn't lie above zero: the difference may be the luck of the seeds.{one}"


def _part(verdict: Verdict, unit: str) -> str:
    """That the new config has a part of a trial's changes, and what all of them gain."""
    if verdict.winner.part is None or verdict.whole_gain is None:
        return ""
    (changes, of), gain = verdict.winner.part, verdict.whole_gain
    return (
        f" It has {changes} of the {of} changes of trial {verdict.winner.trial}; with all of them the gain is "
        f"{rounded(gain.mean, scale(gain))} {unit} ({interval(gain)})."
    )


def _allowed(material: Material) -> str:
    """What the interval of the gain allows for, beside the luck of the seeds."""
    if material.confirm.most is not None:
        return " (wide enough for a look after every seed)"
    compared = material.verdict.comparisons if material.verdict is not None else 0
    return f" (wide enough for the best of {compared})" if compared > 1 else ""


def _facts(material: Material, course: Anytime, lanes: Timeline) -> Iterator[Fact]:
    unit = material.unit
    confirming = material.records.on_fresh_seeds()
    spent = sum(trial.trained for trial in confirming)
    planned = len(material.trials) * (material.horizon - material.records.begins)
    saved = f"{planned:,} if each had trained in full" if planned > course.steps else "each trained in full"
    replayed = material.records.replayed_steps
    saved += f"; {count(replayed, unit)} more replayed, which another trial had trained" if replayed else ""
    yield Fact("Searching", count(course.steps, unit), f"{count(len(material.trials), 'config')}; {saved}")
    runs = count(len(confirming), "training") if confirming else "nothing trained"
    yield Fact("Confirming", count(spent, unit), f"{runs} on fresh seeds{'' if confirming else ' yet'}")
    yield from _start(material)
    idle = f"; workers idle for {share(max(0.0, lanes.idle))}" if lanes.idle is not None else ""
    worked = sum(trial.seconds for trial in material.records.trials.values())
    yield Fact("Time", duration(worked), f"of training, {duration(_clock(lanes))} on the clock{idle}")
    hours, gpus = gpu_hours(material)
    used = f"{number(hours, 3)} GPU-hours" if gpus else "none"
    yield Fact("GPU", used, ", ".join(gpus) or "everything ran on CPUs")


def _start(material: Material) -> Iterator[Fact]:
    """Where every trial started, if not at step 0."""
    starts, unit = list(material.records.starts.values()), material.unit
    if not starts:
        return
    trained = sum(start.trained for start in starts)
    cost = f"; {count(trained, unit)} trained up to there" if trained else ""
    axis = f"{unit}s count from 0 of the whole training, and the documented config is going on unchanged"
    yield Fact("Start", f"{unit} {starts[0].step}", f"{starts[0].source}{cost}; {axis}")


def _clock(lanes: Timeline) -> float:
    if not lanes.spans:
        return 0.0
    whole = max(span.end for span in lanes.spans) - min(span.begin for span in lanes.spans)
    return whole - sum(end - begin for begin, end in lanes.gaps)


def gpu_hours(material: Material) -> tuple[float, tuple[str, ...]]:
    """Training time of trials on a GPU, by the share of one that each of them held; the GPUs' names."""
    asked = material.settings.get("resources", {}).get("gpu", "auto")
    held = float(asked) if isinstance(asked, int | float) and asked else 1.0
    on_gpu = [t for t in material.records.trials.values() if any(start.gpu for start in t.starts)]
    names = sorted({start.gpu for t in on_gpu for start in t.starts if start.gpu})
    return sum(t.seconds for t in on_gpu) * held / 3600, tuple(names)
