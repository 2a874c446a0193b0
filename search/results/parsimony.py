"""The smallest change that keeps the gain: of the winner's changes those without which it would be lost.

Where the verdict is to switch, and the configs on the way to the winner have been trained (`search.results.explain`),
its changes are taken back one by one, the last of the way first, as long as the config that is left

1. is surely better than the baseline, by the test that decided on the winner, and
2. has at least (1 − parsimony) of the winner's mean gain on the same seeds.

The order of these tests is fixed before any fresh seed is trained, and the first that fails ends them: so all of them
together switch wrongly no more often than the first alone (fixed sequence; Westfall & Krishen 2001, Optimally weighted,
fixed sequence and gatekeeper multiple testing procedures, JSPI 99:25). The second condition compares means and is no
test: what is given up may truly be somewhat more, or less.
"""

from collections.abc import Sequence
from dataclasses import replace

from search.history.records import Records
from search.results.explain import parts, values_of
from search.results.procedure import Estimate, in_turn, quantile
from search.results.verdict import Verdict, gains_of, judge, part_origin
from search.spec.config import Confirm
from trainables.run import Objective


def conclude(records: Records, objective: Objective, confirm: Confirm) -> Verdict | None:
    """The verdict, with the config that is handed over as its winner. None where no trial has a value."""
    verdict = judge(records, objective, confirm.most)
    if verdict is None or verdict.decision != "switch" or confirm.parsimony is None or verdict.baseline is None:
        return verdict
    whole, baseline = verdict.winner, verdict.baseline
    assert verdict.gain is not None, "a switch has a gain"
    least = (1 - confirm.parsimony) * verdict.gain.mean
    smaller = verdict
    for (changes, of), values in sorted(parts(records, whole.trial).items(), reverse=True):
        if changes != (smaller.winner.part or (of, of))[0] - 1:
            break  # one is missing
        by_seed = values_of(records, objective, part_origin(whole.trial, changes, of))
        part = replace(whole, values=values, by_seed=by_seed, aside=None, part=(changes, of))
        known = gains_of(part, baseline, objective, None)
        gains = {seed: known[seed] for seed in verdict.pairs if seed in known}
        if len(gains) < len(verdict.pairs):
            break  # a run is not over, or has failed
        gain = _tested(list(gains.values()), verdict, confirm.most)
        if gain.low is None or gain.low <= 0 or gain.mean < least:
            break
        smaller = replace(verdict, winner=part, gain=gain, pairs=gains)
    return verdict if smaller is verdict else _told(smaller, verdict, objective)


def _tested(gains: Sequence[float], verdict: Verdict, most: int | None) -> Estimate:
    """The mean gain with the interval of the test that decided on the winner."""
    if most is not None:
        return in_turn(gains, most - (verdict.winner.aside is not None))
    return Estimate.of(gains, quantile(len(gains), verdict.comparisons) if len(gains) > 1 else None)


def _told(smaller: Verdict, verdict: Verdict, objective: Objective) -> Verdict:
    """The verdict on a part of the winner, which says so."""
    part, whole = smaller.winner, verdict.winner
    assert part.part is not None
    changes, of = part.part
    tested = verdict.why.removeprefix(f"paired gain {verdict.gain}")  # on the same seeds, by the same test
    why = (
        f"paired gain {smaller.gain}{tested}; that is with {changes} of the {of} changes of trial {whole.trial}, with "
        f"all {of} the gain is {verdict.gain}"
    )
    ranking = sorted([*verdict.ranking, part], key=lambda c: objective.score(c.estimate.mean))
    return replace(smaller, why=why, ranking=tuple(ranking), whole=whole, whole_gain=verdict.gain)
