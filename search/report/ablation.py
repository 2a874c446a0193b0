"""Which of the winner's changes carry the gain, as rows to be shown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from search.report.material import Material
from search.report.shown import setting_in
from search.results.ablation import Ablation, Setting, Values, ablation, differing
from search.results.explain import by_seed
from search.results.procedure import Estimate
from search.results.verdict import Candidate


@dataclass(frozen=True)
class Row:
    """A change on the way from the documented config to the new one."""

    knobs: tuple[tuple[str, str, str], ...]
    """Path, value before and after."""
    predicted: float
    """The objective with this change and those above it."""
    share: float | None
    """Of the predicted gain; None where none is predicted."""
    acts: bool
    confirmed: Estimate | None = None
    """The objective on fresh seeds."""
    brought: Estimate | None = None
    """What the change brings on top of those above it, paired by seed, above zero is better; its interval is that of
    this comparison alone."""


@dataclass(frozen=True)
class Way:
    """The way from the documented config to the new one, the most promising change first."""

    start: float
    """The objective that is predicted of the documented config."""
    rows: tuple[Row, ...]
    skill: float
    confirmed: Estimate | None = None
    """The documented config's objective on the same fresh seeds."""
    kept: int | None = None
    """The new config has so many of the changes, the first ones; None: all."""
    needed: bool = False
    """It has all of them, as it would lose too much without the last (`confirm.parsimony`)."""


def way_of(material: Material) -> Way | None:
    """The way to the verdict's winner; None where there is none, or too few trials to learn from."""
    verdict, baseline = material.verdict, material.records.baseline
    if verdict is None or baseline is None or verdict.winner is verdict.baseline:
        return None
    whole = verdict.whole or verdict.winner
    ground = Setting(material.space, material.base, material.model, material.horizon, material.rungs)
    found = ablation(material.records, ground, whole.values)
    if found is None:
        return None
    rows = _rows(found, baseline.values, material.sign)
    if verdict.baseline is None or not material.records.of_kind("explain"):
        return Way(found.start, tuple(rows), found.skill)
    start = {seed: verdict.baseline.by_seed[seed] for seed in verdict.pairs}
    rows = list(_confirmed(material, whole, found, rows, start))
    part = verdict.winner.values if verdict.whole is not None else None
    kept = next((n for n, c in enumerate(found.changes, 1) if part and not differing(c.values, part)), None)
    last = rows[-2].confirmed if len(rows) > 1 else None
    needed = part is None and verdict.decision == "switch" and last is not None and last.n == len(start)
    needed = needed and material.confirm.parsimony is not None
    return Way(found.start, tuple(rows), found.skill, _mean(start.values()), kept, needed)


def _confirmed(
    material: Material, whole: Candidate, found: Ablation, rows: Sequence[Row], known: Mapping[int, float]
) -> Iterator[Row]:
    """The rows with what fresh seeds say of them; `known`: the values of the config before the first."""
    seeds = list(known)
    for row, change in zip(rows, found.changes, strict=True):
        if change is found.changes[-1]:
            new = whole.by_seed
        else:
            new = by_seed(material.records, whole.trial, change.values, material.model.objective)
        new = {seed: new[seed] for seed in seeds if seed in new}
        gains = [material.sign * (known[seed] - new[seed]) for seed in new if seed in known]
        yield replace(row, confirmed=_mean(new.values()), brought=_mean(gains))
        known = new


def _mean(values: Iterable[float]) -> Estimate | None:
    known = list(values)
    return Estimate.of(known) if known else None


def _rows(found: Ablation, before: Values, sign: int) -> list[Row]:
    rows = []
    gains = sign * (found.start - found.changes[-1].predicted) > 0
    for change, share in zip(found.changes, found.shares or [0.0] * len(found.changes), strict=True):
        knobs = tuple((path, setting_in(before, path), setting_in(change.values, path)) for path in change.knobs)
        rows.append(Row(knobs, change.predicted, share if gains else None, change.acts))
        before = change.values
    return rows
