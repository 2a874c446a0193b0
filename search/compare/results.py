"""What came of the searches: verdicts, costs, courses, and the differences between groups over their seeds."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from search.compare.groups import Group, Table, seed_of
from search.compare.sources import Source
from search.report.anytime import anytime
from search.report.material import sittings
from search.report.story import gpu_hours
from search.results.procedure import Estimate
from search.results.verdict import Verdict
from search.results.winner import run_of


@dataclass(frozen=True)
class Outcome:
    """The verdict of one search."""

    source: Source
    best: float | None
    """The best fully trained trial's own value, which flatters."""
    confirmed: Estimate | None
    """The winner on fresh seeds."""
    baseline: Estimate | None
    gain: Estimate | None

    @property
    def verdict(self) -> Verdict | None:
        """As the search's folder tells it."""
        return self.source.material.verdict


@dataclass(frozen=True)
class Summary:
    """The outcomes of a group: means over its searches. None where not every search has the number."""

    group: Group
    outcomes: tuple[Outcome, ...]
    best: Estimate | None
    confirmed: Estimate | None
    baseline: Estimate | None
    gain: Estimate | None

    @property
    def decisions(self) -> dict[str, int]:
        """How many searches say switch, keep, undecided, unconfirmed, or have no verdict."""
        said = [o.verdict.decision if o.verdict is not None else "none" for o in self.outcomes]
        return {each: said.count(each) for each in dict.fromkeys(said)}


@dataclass(frozen=True)
class Difference:
    """Of two groups' confirmed means, paired by the searches' seeds: above zero, the other is better than the
    reference, whatever the objective's mode.
    """

    reference: str
    other: str
    gain: Estimate


@dataclass(frozen=True)
class Cost:
    """What a search took. Seconds; steps in the model's unit."""

    trials: int
    completed: int
    stopped: int
    diverged: int
    failed: int
    search_steps: int
    confirm_steps: int
    full_steps: int
    """What its trials would have trained without early stopping."""
    training: float
    """Of all trainings, added up."""
    clock: float
    """From begin to end; of a search in a folder without the time that it was down."""
    gpu_hours: float
    gpus: tuple[str, ...]


def outcome(source: Source) -> Outcome:
    """What the search says of itself."""
    verdict = source.material.verdict
    best = anytime(source.material).best
    own = best[-1].value if best else None
    # Without a single confirmed config the verdict falls back on the search's own values: they are no evidence.
    if verdict is None or run_of(source.material.records, verdict) is None:
        return Outcome(source, own, None, None, None)
    base = verdict.baseline.estimate if verdict.baseline is not None else None
    return Outcome(source, own, verdict.winner.estimate, base, verdict.gain)


def summary(group: Group) -> Summary:
    """The group's outcomes and their means."""
    found = tuple(outcome(source) for source in group.members)
    return Summary(
        group,
        found,
        _mean([each.best for each in found]),
        _mean([each.confirmed.mean if each.confirmed is not None else None for each in found]),
        _mean([each.baseline.mean if each.baseline is not None else None for each in found]),
        _mean([_gain(each) for each in found]),
    )


def _gain(found: Outcome) -> float | None:
    """A search that keeps the baseline as the best gains nothing."""
    if found.gain is not None:
        return found.gain.mean
    verdict = found.verdict
    kept = found.confirmed is not None and verdict is not None and verdict.winner is verdict.baseline
    return 0.0 if kept else None


def _mean(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    return Estimate.of(known) if known and len(known) == len(values) else None


def differences(table: Table, found: Sequence[Summary]) -> Iterator[Difference]:
    """Each group of the table against its first, by their searches' confirmed means; two seeds in common are needed."""
    sign = table.first.material.sign
    reference, *others = found
    known = _by_seed(reference)
    for other in others:
        mine = _by_seed(other)
        common = sorted(set(known) & set(mine))
        if len(common) >= 2:
            pairs = [sign * (known[seed] - mine[seed]) for seed in common]
            yield Difference(reference.group.name, other.group.name, Estimate.of(pairs))


def overlap(group: Group) -> str | None:
    """What to say of searches that were confirmed on common seeds: their results are not independent."""
    used: list[set[int]] = []
    for source in group.members:
        verdict = source.material.verdict
        used.append(set(verdict.winner.by_seed) if verdict is not None and outcome(source).confirmed else set())
    common = sorted({seed for i, one in enumerate(used) for other in used[:i] for seed in one & other})
    if not common:
        return None
    apart = max(map(len, used)) + 1
    return (
        f"The searches of {group.name} share fresh seeds ({', '.join(map(str, common))}), and with them trainings of "
        f"the documented config: means over these searches look surer than they are. Begin with seeds that lie at "
        f"least {apart} apart (--seed 0, {apart}, {2 * apart})."
    )


def _by_seed(found: Summary) -> dict[int, float]:
    return {seed_of(o.source): o.confirmed.mean for o in found.outcomes if o.confirmed is not None}


def cost(source: Source) -> Cost:
    """What the search took up to now."""
    material = source.material
    trials = material.trials
    hours, gpus = gpu_hours(material)
    ended = [trial.status for trial in trials]
    return Cost(
        trials=len(trials),
        completed=ended.count("completed"),
        stopped=ended.count("stopped"),
        diverged=ended.count("diverged"),
        failed=ended.count("failed"),
        search_steps=anytime(material).steps,
        confirm_steps=sum(run.trained for run in material.records.on_fresh_seeds()),
        full_steps=len(trials) * (material.horizon - material.records.begins),
        training=sum(trial.seconds for trial in material.records.trials.values()),
        clock=sum(max(0.0, events[-1].at - phase.at) for phase, events in sittings(material.events) if events),
        gpu_hours=hours,
        gpus=gpus,
    )


@dataclass(frozen=True)
class Course:
    """A step function: from `steps[i]` units on, the best value so far is `values[i]`."""

    steps: tuple[int, ...]
    values: tuple[float, ...]
    end: int
    """Units that the search has trained in all."""

    def at(self, step: int) -> float | None:
        """The best so far after `step` units; None before there is one. After its end it stays what it was."""
        index = bisect_right(self.steps, step)
        return self.values[index - 1] if index else None


@dataclass(frozen=True)
class Mean:
    """The mean over courses, where each of them has a value: a step function as well."""

    steps: tuple[int, ...]
    values: tuple[Estimate, ...]
    end: int


def course(source: Source) -> Course:
    """The search's own course; only fully trained trials count."""
    found = anytime(source.material)
    return Course(tuple(p.steps for p in found.best), tuple(p.value for p in found.best), found.steps)


def mean(courses: Sequence[Course]) -> Mean | None:
    """Their mean with its 95% interval; None where a course has no value at all."""
    if not courses or not all(each.steps for each in courses):
        return None
    first = max(each.steps[0] for each in courses)
    places = sorted({first, *(step for each in courses for step in each.steps if step >= first)})
    values = [[value for each in courses if (value := each.at(place)) is not None] for place in places]
    return Mean(tuple(places), tuple(map(Estimate.of, values)), max(each.end for each in courses))
