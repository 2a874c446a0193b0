"""Which confirmation runs are to be trained: the best configs and the baseline, in full, on fresh seeds."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from search.history.events import Proposed, TrialKind
from search.history.records import Records, Trial
from search.results.procedure import settled
from search.results.shortlist import candidates, certain
from search.results.verdict import choosing_seed, chosen, confirmed, gains_of
from search.spec.config import FEWEST_PAIRS, Confirm, Settings
from search.stopping.rungs import Goal
from trainables.run import Objective

Wanted = tuple[str, int, Mapping[str, Any]]
"""A run on a fresh seed: its origin, its seed, the values of its knobs."""


def first_seed(settings: Settings) -> int:
    """The first fresh seed, which best.yaml names."""
    return settings.sampler.seed + 1


def fresh_seeds(settings: Settings) -> range:
    """All that it may train on."""
    return range(first_seed(settings), first_seed(settings) + settings.confirm.distinct)


def due(
    records: Records,
    objective: Objective,
    confirm: Confirm,
    seed: int,
    now: float,
    further: Sequence[Goal] = (),
    workers: int = 1,
) -> list[Proposed]:
    """The runs to be proposed now, the baseline's first; numbers follow the search's trials. `seed`: the first.
    `workers`: trials that may train at once.
    """
    configs = _configs(records, objective, confirm.top, further)
    seeds = range(seed, seed + confirm.distinct)
    if confirm.seeds == "auto":
        return _in_turn(records, objective, configs, seeds, now, max(1, workers // 2))
    return _missing(records, [(config, one) for one in seeds for config in configs], now)


def ahead(
    records: Records,
    objective: Objective,
    confirm: Confirm,
    seed: int,
    further: Sequence[Goal] = (),
    undecided: Collection[int] | None = None,
) -> list[Wanted]:
    """The runs that the confirmation needs however the search ends, for workers that its end leaves idle: the
    baseline's, then those of configs that are compared in any case. `seed`: the first. `undecided`: the trials at work,
    if no other one can change any more.
    """
    found = candidates(records, objective, confirm.top, further)
    if records.baseline is None or not found:
        return []
    seeds = range(seed, seed + confirm.fewest(len(found)))
    sure = [] if further or undecided is None else certain(records, objective, confirm.top, undecided)
    tried = seeds[:1] if confirm.seeds == "auto" else seeds
    pairs = [*((records.baseline, one) for one in seeds), *((trial, one) for one in tried for trial in sure)]
    return [_wanted(trial, one) for trial, one in pairs]


def needless(records: Records, objective: Objective, confirm: Confirm, further: Sequence[Goal] = ()) -> list[Trial]:
    """The unfinished runs that were begun ahead, of configs that are not compared now, nor were before: the search has
    gone on for longer than it was to then."""
    wanted = {config.name for config in _configs(records, objective, confirm.top, further)}
    wanted |= {run.proposed.origin for run in records.compared()}
    return [run for run in records.begun_ahead() if not run.over and run.proposed.origin not in wanted]


def _in_turn(
    records: Records, objective: Objective, configs: Sequence[Trial], seeds: Sequence[int], now: float, ahead: int
) -> list[Proposed]:
    """The runs to be proposed now where seeds come in turn, at most `seeds`, so many `ahead` of what is decided.

    All candidates train on the first, if there are several: the best of them goes on with the baseline until it is
    decided (`search.results.procedure`). The baseline's runs that are needed whichever it is wait behind those of the
    first seed, for workers that these leave idle. Empty while results are awaited, and at the end.
    """
    if len(configs) < 2 or records.baseline is None:
        return []
    rivals, aside = configs, choosing_seed(records)
    if len(configs) > 2 or aside is not None:
        first = [(config, seeds[0]) for config in configs]
        if _missing(records, first, now):
            return _missing(records, [*first, *((configs[0], seed) for seed in seeds[1 : 1 + FEWEST_PAIRS])], now)
        if not all(_over(records, config, seeds[0]) for config in configs):
            return []
        best = chosen(confirmed(records, objective), objective, seeds[0])
        if best is None:
            return []
        rivals, seeds = [configs[0], records.trials[best.trial]], seeds[1:]
    return _missing(records, _next_pairs(records, objective, rivals, seeds, ahead), now)


def _next_pairs(
    records: Records, objective: Objective, rivals: Sequence[Trial], seeds: Sequence[int], ahead: int
) -> list[tuple[Trial, int]]:
    """The runs that are always needed, or those of the next `ahead` seeds unless the gains before them decide."""
    known = {candidate.trial: candidate for candidate in confirmed(records, objective)}
    base, new = (known.get(trial.number) for trial in rivals)
    gains = gains_of(new, base, objective, None) if new is not None and base is not None else {}
    awaited: list[int] = []
    before: list[float] = []
    for number, seed in enumerate(seeds):
        if number >= FEWEST_PAIRS and (len(awaited) >= ahead or settled(before, len(seeds))):
            break
        if not all(_over(records, trial, seed) for trial in rivals):
            awaited.append(seed)
        elif not awaited:  # gains count in the order of their seeds, whichever is known first
            before += [gains[seed]] if seed in gains else []
    return [(trial, seed) for seed in awaited for trial in rivals]


def _configs(records: Records, objective: Objective, top: int, further: Sequence[Goal]) -> list[Trial]:
    """The baseline and the best configs; none where no trial has ever reported: fresh seeds would not either."""
    if all(trial.objective is None for trial in records.of_kind("search")):
        return []
    baseline = records.baseline
    return ([baseline] if baseline else []) + candidates(records, objective, top, further)


def missing(records: Records, kind: TrialKind, wanted: Iterable[Wanted], now: float) -> list[Proposed]:
    """The runs of `wanted` that nobody has proposed yet; numbers follow the search's trials."""
    done = {run.pair for run in records.of_kind(kind) if run.status != "stopped"}
    new = [run for run in wanted if run[:2] not in done]
    numbers = count(max(records.trials, default=-1) + 1)
    return [Proposed(next(numbers), values, seed, kind, origin, now) for origin, seed, values in new]


def _missing(records: Records, wanted: Sequence[tuple[Trial, int]], now: float) -> list[Proposed]:
    """The runs of `wanted` that nobody has proposed yet."""
    return missing(records, "confirm", [_wanted(trial, seed) for trial, seed in wanted], now)


def _wanted(config: Trial, seed: int) -> Wanted:
    return config.name, seed, config.values


def _over(records: Records, config: Trial, seed: int) -> bool:
    wanted = config.name, seed
    return any(run.over and run.pair == wanted for run in records.of_kind("confirm") if run.status != "stopped")
