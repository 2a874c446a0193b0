"""The verdict in plain words, what it cost, and what to do next: what stands on the first screen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from search.report.anytime import Anytime
from search.report.changes import Change
from search.report.material import Material
from search.report.shown import count, duration, interval, number, rounded, scale, share
from search.report.timeline import Timeline
from search.results.confirm import LEVEL, Estimate, Verdict

MOST_SEEDS = 40
"""More than so many are not advised: then the gain is too small to matter at this cost."""
LATE = 0.7
"""A best config among the last 30% of the proposals says that the search had not levelled off."""

_INSTEAD = "instead of"
"""Advice on the first rung that says to change it."""

Tone = Literal["switch", "keep", "open"]


@dataclass(frozen=True)
class Step:
    """Something to do: why, and what to type (empty where there is nothing to type)."""

    what: str
    command: str = ""
    note: str = ""


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


def tell(
    material: Material,
    course: Anytime,
    lanes: Timeline,
    changes: Sequence[Change],
    advice: str | None,
) -> Story:
    """What a reader needs to decide. `advice`: what the curves say about the first rung, if anything."""
    verdict = material.verdict
    tone: Tone = "open" if verdict is None or verdict.decision == "unconfirmed" else verdict.decision
    done = material.state == "done"
    return Story(
        tone=tone,
        status=_status(material),
        headline=_headline(verdict, done),
        sentence=_sentence(material, verdict),
        reason=_reason(material, verdict),
        facts=tuple(_facts(material, course, lanes)),
        steps=tuple(_steps(material, verdict, course, changes, advice)),
    )


def place(material: Material) -> str:
    """The folder as people type it from the project's root; nothing of the machine's own paths."""
    return f"{material.folder.parent.name}/{material.folder.name}" if material.folder.parent.name else material.name


def _status(material: Material) -> str:
    match material.state:
        case "done":
            return "finished"
        case "confirming":
            runs = material.records.of_kind("confirm")
            return f"confirming, or interrupted: {sum(t.over for t in runs)} of {count(len(runs), 'run')} over"
        case "searching":
            asked = material.asked
            return f"searching, or interrupted: {sum(t.over for t in material.trials)} of {count(asked, 'trial')} over"


def _headline(verdict: Verdict | None, done: bool) -> str:
    if verdict is None:
        return "No trial succeeded" if done else "No trial has a value yet"
    if verdict.decision == "unconfirmed":
        return "Not confirmed yet" if done else "Not decided yet"
    words = {"switch": "Switch to the new config", "keep": "Keep your config"}[verdict.decision]
    return words if done else f"So far: {words[0].lower()}{words[1:]}"


def _sentence(material: Material, verdict: Verdict | None) -> str:
    if verdict is None:
        return "There is nothing to compare: look at the failures below."
    objective, base, best = material.model.objective, verdict.baseline, verdict.winner
    better = f"{'lower' if objective.mode == 'min' else 'higher'} is better"
    if base is None:
        own = f"{best.estimate} {objective.unit}"
        return f"The best config so far scores {own} ({better}); the documented one has no score yet."
    fresh = verdict.decision != "unconfirmed" or verdict.gain is not None
    where = f"On {count(len(best.by_seed), 'fresh seed')}" if fresh else "On the search's own seed"
    if best is base:
        own = f"{number(base.estimate.mean)} {objective.unit}"
        return f"{where}, no config that was found beats the documented one's {own} ({better})."
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
    if verdict.gain is None or verdict.gain.low is None:
        return f"{verdict.why[0].upper()}{verdict.why[1:]}."
    gain = verdict.gain
    mean = f"{rounded(gain.mean, scale(gain))} {unit}"
    told = f"Paired seed by seed, the gain is {mean}; its 95% interval is {interval(gain)}"
    if verdict.decision == "switch":
        return f"{told}, above zero: more than the luck of the seeds."
    return f"{told}, which doesn't lie above zero: the difference may be the luck of the seeds."


def _facts(material: Material, course: Anytime, lanes: Timeline) -> Iterator[Fact]:
    unit = material.unit
    confirming = material.records.of_kind("confirm")
    spent = sum(trial.step for trial in confirming)
    planned = len(material.trials) * material.horizon
    saved = f"{planned:,} without early stopping" if planned > course.steps else "no trial was stopped early"
    yield Fact("Searching", count(course.steps, unit), f"{count(len(material.trials), 'config')}; {saved}")
    runs = (
        f"{count(len(confirming), 'training')} on fresh seeds" if confirming else "nothing trained on fresh seeds yet"
    )
    yield Fact("Confirming", count(spent, unit), runs)
    idle = f"; workers idle for {share(max(0.0, lanes.idle))}" if lanes.idle is not None else ""
    worked = sum(trial.seconds for trial in material.records.trials.values())
    yield Fact("Time", duration(worked), f"of training, {duration(_clock(lanes))} on the clock{idle}")
    yield gpu_fact(material)


def _clock(lanes: Timeline) -> float:
    if not lanes.spans:
        return 0.0
    whole = max(span.end for span in lanes.spans) - min(span.begin for span in lanes.spans)
    return whole - sum(end - begin for begin, end in lanes.gaps)


def gpu_fact(material: Material) -> Fact:
    """GPU-hours: training time of trials on a GPU, by the share of one that each of them held."""
    asked = material.settings.get("resources", {}).get("gpu", "auto")
    held = float(asked) if isinstance(asked, int | float) and asked else 1.0
    on_gpu = [t for t in material.records.trials.values() if any(start.gpu for start in t.starts)]
    if not on_gpu:
        return Fact("GPU", "none", "everything ran on CPUs")
    names = sorted({start.gpu for t in on_gpu for start in t.starts if start.gpu})
    hours = sum(t.seconds for t in on_gpu) * held / 3600
    return Fact("GPU", f"{number(hours, 3)} GPU-hours", ", ".join(names))


def _steps(
    material: Material, verdict: Verdict | None, course: Anytime, changes: Sequence[Change], advice: str | None
) -> Iterator[Step]:
    where = place(material)
    if material.state != "done":
        yield Step("Go on with the search: type its command again, and it continues where it is.")
    if verdict is None:
        return
    if material.best and verdict.winner is not verdict.baseline and verdict.decision != "keep":
        seed = material.best.get("seed")
        yield Step(
            "Train the new config:" if verdict.decision == "switch" else "Train the best config so far:",
            f"python -m trainables.train {where}/best.yaml",
            f"Repeats the run of seed {seed} to the last digit. Your own file with the new values: {where}/native.",
        )
    if verdict.decision == "keep" and verdict.winner is not verdict.baseline:
        yield from _more_seeds(verdict)
    if verdict.decision == "unconfirmed" and material.state == "done":
        yield Step("Train the best configs on fresh seeds: the search's command again, with", "--set confirm.seeds=5")
    edges = [change for change in changes if change.edge]
    if edges and verdict.decision != "unconfirmed":
        names = ", ".join(f"{change.path} = {change.new}" for change in edges[:4])
        at_end = "lies at an end of its domain" if len(edges) == 1 else "lie at ends of their domains"
        yield Step(
            f"Search on in a wider space, if values beyond make sense: {names} {at_end}. Widen it there, and add",
            "--fork NAME",
            "to the search's command: it takes all trials along.",
        )
    if material.state == "done" and len(course.best) > 1 and course.best[-1].trial >= LATE * len(material.trials):
        yield Step(
            "Search on: the best config came late, so more trials may find a better one. The same command with",
            f"--set budget.trials={2 * material.asked}",
        )
    if advice is not None and _INSTEAD in advice:
        yield Step(f"Next time: {advice}.")
    if verdict.decision == "keep" and verdict.winner is verdict.baseline:
        yield Step("Nothing to change. Search other knobs, or a wider space, if you expect more.")


def _more_seeds(verdict: Verdict) -> Iterator[Step]:
    needed = seeds_needed(verdict.gain)
    if needed is None:
        yield Step("The best config found is no better on fresh seeds. Search other knobs, or a wider space.")
    elif needed > MOST_SEEDS:
        yield Step(f"It would take over {MOST_SEEDS} seeds to tell this gain from chance: it is too small to pay for.")
    else:
        yield Step(
            f"About {needed} seeds would decide it, if gain and scatter stay so. The search's command again, with",
            f"--set confirm.seeds={needed}",
        )


def seeds_needed(gain: Estimate | None) -> int | None:
    """The least number of seeds at which a gain with this mean and scatter has an interval above zero.

    The least n > 1 with t(n − 1) · s / √n < mean. None where the mean isn't above zero, or its scatter isn't known;
    MOST_SEEDS + 1 where more than that are needed.
    """
    if gain is None or gain.low is None or gain.mean <= 0:
        return None

    def quantile(n: int) -> float:
        return float(stats.t.ppf((1 + LEVEL) / 2, n - 1))

    scatter = (gain.mean - gain.low) * gain.n**0.5 / quantile(gain.n)
    fitting = (n for n in range(2, MOST_SEEDS + 1) if quantile(n) * scatter / n**0.5 < gain.mean)
    return next(fitting, MOST_SEEDS + 1)
