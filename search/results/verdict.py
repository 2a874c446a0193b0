"""What follows from the confirmation runs: switch to the winner, keep one's config, or train more seeds to decide.

A search's own best value flatters (the winner's curse): only the values of the confirmation runs are reported as the
result. All candidates train on the same seeds, so that the difference of two of them is paired.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean, stdev
from typing import Any, Literal

from search.history.events import StartReady
from search.history.records import Records, Trial
from search.results.procedure import Estimate, boundaries, in_turn, quantile, settled
from search.results.shortlist import furthest
from trainables.run import Objective

MOST_SEEDS = 40
"""More than so many are not advised: then the gain is too small to matter at this cost."""
TELLING = 4
"""From fewer gains the scatter between seeds is a guess, and so is any number of seeds that it would take
(benchmarks/verdict.py)."""
LIKELY = 0.84
"""Standard errors that a true gain must lie above the bound for a switch with a chance of 80%."""


@dataclass(frozen=True)
class Candidate:
    """A config of the search with its objective on each fresh seed."""

    trial: int
    baseline: bool
    values: Mapping[str, Any]
    by_seed: Mapping[int, float]
    aside: int | None = None
    """The seed that chose among the candidates: its value flatters the chosen one, and counts only where it is all."""
    part: tuple[int, int] | None = None
    """It has so many of so many changes of its trial; None: all."""

    @property
    def origin(self) -> str:
        """Of the runs on fresh seeds that train it."""
        return f"trial {self.trial}" if self.part is None else part_origin(self.trial, *self.part)

    @property
    def name(self) -> str:
        """What people call it."""
        return "documented baseline" if self.baseline else self.origin

    @property
    def estimate(self) -> Estimate:
        """Its mean over the seeds."""
        kept = [value for seed, value in self.by_seed.items() if seed != self.aside]
        return Estimate.of(kept or list(self.by_seed.values()))


@dataclass(frozen=True)
class Verdict:
    """What to do, and on what evidence."""

    decision: Literal["switch", "keep", "undecided", "unconfirmed"]
    """`undecided`: better on average on fresh seeds, by no more than their luck may give, and more seeds may tell."""
    why: str
    winner: Candidate
    """The best mean, among those that are surely better if any is; unconfirmed, the best trial of the search with its
    own value."""
    baseline: Candidate | None
    gain: Estimate | None
    """Winner against baseline, paired by seed; above zero is better, whatever the objective's mode. Its interval is
    that of the test that decided."""
    ranking: tuple[Candidate, ...]
    """All candidates, best mean first."""
    pairs: Mapping[int, float] = field(default_factory=dict)
    """The gain on each seed that it rests on."""
    whole: Candidate | None = None
    """The config of which the winner has a part of the changes (`search.results.parsimony`), with its gain."""
    whole_gain: Estimate | None = None
    needed: int | None = None
    """Of an undecided one: seeds in all that show the gain with a chance of 80%, if gain and scatter stay so. None from
    too few gains."""

    comparisons: int = 1
    """All on all seeds: among how many configs the best was chosen, for which each interval allows."""

    @property
    def to_switch(self) -> bool:
        """Whether the winner is handed over; not so where the user's own config is, as nothing is surely better."""
        return self.decision in {"switch", "unconfirmed"} or self.baseline is None

    @property
    def handed_over(self) -> Candidate:
        """The config that the user is given."""
        return self.winner if self.to_switch or self.baseline is None else self.baseline


def judge(records: Records, objective: Objective, most: int | None = None) -> Verdict | None:
    """The verdict on what is recorded so far.

    Args:
        records: of the search.
        objective: by which it is judged.
        most: the most seeds of a confirmation one seed at a time; None where their number is fixed.

    Returns:
        None where no trial has a value.

    """
    verdict = _judged(records, objective, most)
    if verdict is None or records.given is None or not records.confirming:
        return verdict
    return replace(verdict, why=f"{verdict.why}; {one_start(records.given)}")


def part_origin(trial: int, changes: int, of: int) -> str:
    """Of a run that has so many of the changes of `trial`."""
    return f"trial {trial}, {changes} of {of} changes"


def one_start(given: StartReady) -> str:
    """What fresh seeds do not show where all trials start from one state."""
    return f"all of them go on from one given training, {given.source}: only what follows it has fresh seeds"


def _judged(records: Records, objective: Objective, most: int | None) -> Verdict | None:
    found = sorted(confirmed(records, objective), key=lambda c: objective.score(c.estimate.mean))
    baseline = next((c for c in found if c.baseline), None)
    if baseline is None or not records.confirming:
        return _unconfirmed(records, objective)
    awaited = {run.proposed.origin for run in records.compared() if not run.over} - {baseline.origin}
    if awaited and not any(c.baseline is False for c in found):
        return _awaiting(found, baseline)
    if most is None:
        return _all_at_once(found, baseline, objective, awaited)
    return _one_at_a_time(found, baseline, objective, most, choosing_seed(records))


def _awaiting(found: Sequence[Candidate], baseline: Candidate) -> Verdict:
    why = "no config beats the baseline so far, and some are still to be trained on fresh seeds"
    return Verdict("undecided", why, baseline, baseline, None, tuple(found))


def confirmed(records: Records, objective: Objective) -> list[Candidate]:
    """The configs with at least one confirmation run that ended; a diverged one has the worst value."""
    by_origin: dict[str, dict[int, float]] = {}
    for run in records.compared():
        value = counted(run, objective)
        if value is not None:
            by_origin.setdefault(run.proposed.origin, {})[run.proposed.seed] = value
    return [
        Candidate(trial.number, trial.baseline, trial.values, by_origin[trial.name])
        for trial in records.of_kind("search")
        if trial.name in by_origin
    ]


def counted(run: Trial, objective: Objective) -> float | None:
    """What a run on a fresh seed came to, the worst value where it diverged; None of one that counts for nothing."""
    if run.status == "diverged" and run.objective is None:
        return objective.worst
    return run.objective if run.status in {"completed", "diverged"} else None


def choosing_seed(records: Records) -> int | None:
    """The seed on which the candidates of a confirmation one seed at a time are compared; None where there is only
    one."""
    runs = records.compared()
    baseline = records.baseline
    own = baseline.name if baseline is not None else ""
    several = len({run.proposed.origin for run in runs} - {own}) > 1
    return min(run.proposed.seed for run in runs) if several else None


def chosen(found: Sequence[Candidate], objective: Objective, seed: int | None) -> Candidate | None:
    """The candidate that goes on: the best on `seed`; None where none has a value there."""
    others = [c for c in found if not c.baseline and (seed is None or seed in c.by_seed)]
    if seed is None:
        return next(iter(others), None)
    return min(others, key=lambda c: (objective.score(c.by_seed[seed]), c.trial), default=None)


def gains_of(candidate: Candidate, baseline: Candidate, objective: Objective, aside: int | None) -> dict[int, float]:
    """The gain over the baseline on each common seed, in their order; `aside` is left out."""
    common = sorted((set(candidate.by_seed) & set(baseline.by_seed)) - {aside})
    return {seed: objective.score(baseline.by_seed[seed] - candidate.by_seed[seed]) for seed in common}


def _all_at_once(ranking: Sequence[Candidate], baseline: Candidate, objective: Objective, awaited: set[str]) -> Verdict:
    """All candidates on all seeds, each judged at its share of the error; `awaited`: origins of runs to come."""
    gains = {c.trial: gains_of(c, baseline, objective, None) for c in ranking if c is not baseline}
    judged = {c.origin for c in ranking if len(gains.get(c.trial, {})) > 1}
    compared = max(1, len(judged | awaited))
    critical = partial(quantile, comparisons=compared)
    means = {
        trial: Estimate.of(list(one.values()), critical(len(one)) if len(one) > 1 else None)
        for trial, one in gains.items()
        if one
    }
    sure = [c for c in ranking if c.trial in means and (means[c.trial].low or 0.0) > 0]
    winner = next(iter([*sure, *ranking]))
    gain = means.get(winner.trial)
    pairs = gains.get(winner.trial, {})
    open_ = Verdict("unconfirmed", "", winner, baseline, gain, tuple(ranking), pairs, comparisons=compared)
    if winner is baseline:
        return _awaiting(ranking, baseline) if awaited - judged else _beaten(open_, objective)
    if gain is None or gain.low is None:
        return replace(open_, why="one seed gives no interval: confirm on at least two (confirm.seeds)")
    fair = f", allowing for the choice among {compared}" if compared > 1 else ""
    needed = seeds_needed(list(open_.pairs.values()), critical)
    return _decided(open_, gain, f"{gain.n} fresh seeds{fair}", objective, needed)


def _one_at_a_time(
    found: Sequence[Candidate], baseline: Candidate, objective: Objective, most: int, aside: int | None
) -> Verdict:
    """The candidate that the seed `aside` chose, tested again with each further seed."""
    new = chosen(found, objective, aside)
    if new is None:
        return _beaten(Verdict("keep", "", baseline, baseline, None, tuple(found)), objective)
    most -= aside is not None
    pairs: dict[int, float] = {}
    for seed, value in gains_of(new, baseline, objective, aside).items():
        if not settled(list(pairs.values()), most):
            pairs[seed] = value
    values = list(pairs.values())
    new, baseline = (_counted(each, pairs, aside) for each in (new, baseline))
    rest = [c for c in found if c.trial not in {new.trial, baseline.trial}]
    best, second = (new, baseline) if not values or fmean(values) > 0 else (baseline, new)
    open_ = Verdict("undecided", "", best, baseline, None, (best, second, *rest), pairs)
    if not values:
        return replace(open_, why="no seed counts yet: the first only chooses among the candidates")
    if best is baseline:
        return _beaten(open_, objective)
    gain = in_turn(values, most)
    if gain.low is None:
        why = f"paired gain {gain} {objective.unit} on {_seeds(gain.n)} so far: too few for an interval"
        return replace(open_, why=why, gain=gain)
    last = boundaries(most)[most] / quantile(most)  # what looking early costs at the end; nearly equal for all `most`
    needed = seeds_needed(values, lambda n: last * quantile(n))
    needed = needed if needed is None else needed + (aside is not None)
    looks = f"{_seeds(gain.n)}, allowing for a look after each"
    return _decided(replace(open_, gain=gain), gain, looks, objective, needed if len(values) >= most else None)


def _counted(candidate: Candidate, pairs: Mapping[int, float], aside: int | None) -> Candidate:
    """The candidate with what the pairs stand on; where seeds were trained ahead, the rest came after the decision."""
    by_seed = {seed: value for seed, value in candidate.by_seed.items() if not pairs or seed in pairs or seed == aside}
    return replace(candidate, by_seed=by_seed, aside=aside)


def _beaten(verdict: Verdict, objective: Objective) -> Verdict:
    assert verdict.baseline is not None
    why = f"no config beat the baseline's mean of {verdict.baseline.estimate} {objective.unit} on fresh seeds"
    return replace(verdict, decision="keep", why=why, gain=None)


def _decided(verdict: Verdict, gain: Estimate, seeds: str, objective: Objective, needed: int | None) -> Verdict:
    """`verdict` with its decision, from a mean gain above zero that has an interval."""
    measured = f"paired gain {gain} {objective.unit} over {seeds}"
    if gain.low is not None and gain.low > 0:
        return replace(verdict, decision="switch", why=f"{measured}: above zero")
    if needed is not None and needed > MOST_SEEDS:
        why = f"{measured}: not surely above zero, and too small for {MOST_SEEDS} seeds to tell"
        return replace(verdict, decision="keep", why=why)
    more = f"; about {needed} seeds would tell" if needed is not None else ""
    return replace(verdict, decision="undecided", why=f"{measured}: not surely above zero{more}", needed=needed)


def seeds_needed(values: Sequence[float], critical: Callable[[int], float]) -> int | None:
    """The least number of seeds that shows a gain with this mean and scatter with a chance of 80%: the least n with
    (critical(n) + LIKELY) · s / √n < mean. MOST_SEEDS + 1 where more are needed; None where `values` can't say."""
    if len(values) < TELLING or fmean(values) <= 0:
        return None
    mean, scatter = fmean(values), stdev(values)
    fitting = (n for n in range(len(values), MOST_SEEDS + 1) if (critical(n) + LIKELY) * scatter / n**0.5 < mean)
    return next(fitting, MOST_SEEDS + 1)


def _seeds(n: int) -> str:
    return f"{n} fresh seed{'s' * (n != 1)}"


def _unconfirmed(records: Records, objective: Objective) -> Verdict | None:
    def own(trial: Trial) -> Candidate:
        assert trial.objective is not None
        return Candidate(trial.number, trial.baseline, trial.values, {trial.proposed.seed: trial.objective})

    baseline = records.baseline
    base = own(baseline) if baseline and baseline.objective is not None else None
    best = furthest(records, objective)
    if best is not None:
        winner = own(best)
    elif base is not None and baseline is not None and baseline.status not in {"diverged", "failed"}:
        winner = base
    else:
        return None
    ranking = sorted(
        [winner, *([base] if base and base is not winner else [])], key=lambda c: objective.score(c.estimate.mean)
    )
    why = "nothing was trained on fresh seeds, and a search's own best value flatters"
    return Verdict("unconfirmed", why, winner, base, None, tuple(ranking))
