"""What a comparison comes to, in plain words: the first thing on the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.compare.groups import Table
from search.compare.results import Difference, Outcome, Summary
from search.report.shown import count, number
from search.results.procedure import Estimate


@dataclass(frozen=True)
class Story:
    """A headline, and the evidence for it."""

    headline: str
    sentence: str
    reason: str


def tell(table: Table, found: Sequence[Summary], gaps: Sequence[Difference]) -> Story:
    """The story of one table of searches."""
    known = [one for each in found for one in each.outcomes if one.confirmed is not None]
    if not known:
        return Story("Nothing is confirmed yet", "No search has trained its best configs on fresh seeds.", "")
    if len(found) == 1:
        return _alone(found[0])
    return _between(table, found, gaps, known)


def _alone(found: Summary) -> Story:
    """Searches that differ in their seed only: how far their result can be trusted."""
    said = ", ".join(f"{many} {what}" for what, many in found.decisions.items())
    if len(found.outcomes) == 1:
        decision = next(iter(found.decisions))
        gain = "" if found.gain is None else f"Gain over the documented config: {number(found.gain.mean)}"
        gain += "" if found.gain is None else f"{_interval(found.gain)}."
        return Story(
            f"{found.group.name}: {decision}", "One search, on its own seed: nothing here to compare it with.", gain
        )
    sentence = f"{len(found.outcomes)} searches that differ only in their seed say: {said}."
    if found.gain is None:
        return Story(f"{found.group.name}: {said}", sentence, "Not every search has a confirmed gain.")
    gain = f"{number(found.gain.mean)}{_interval(found.gain)}"
    reason = f"Mean gain over the documented config, each search's on its own fresh seeds: {gain}."
    return Story(_agreement(found, found.gain), sentence, reason)


def _agreement(found: Summary, gain: Estimate) -> str:
    said = set(found.decisions)
    if said == {"switch"}:
        return "Every seed agrees: switch"
    if gain.low is not None and gain.low > 0:
        return "Better on average, " + (
            "though no search shows it alone" if said <= {"keep", "undecided"} else "not on every seed"
        )
    return "Every seed agrees: keep your config" if said == {"keep"} else "The seeds do not agree"


def _between(table: Table, found: Sequence[Summary], gaps: Sequence[Difference], known: Sequence[Outcome]) -> Story:
    sign, unit = table.first.material.sign, table.first.material.model.objective.unit
    best = min(known, key=lambda one: sign * (one.confirmed.mean if one.confirmed is not None else 0.0))
    assert best.confirmed is not None, "only confirmed ones are looked at"
    score = f"{number(best.confirmed.mean)}{_interval(best.confirmed)} {unit}"
    sentence = f"Among all searches, the winner of {best.source.name} scores best on fresh seeds: {score}."
    if not gaps:
        return Story(
            f"Best config: {best.source.name}",
            sentence,
            "Which way of searching is better can't be said: that takes at least two seeds that they have in common.",
        )
    ahead = [gap for gap in gaps if gap.gain.low is not None and gap.gain.low > 0]
    behind = [gap for gap in gaps if gap.gain.high is not None and gap.gain.high < 0]
    if ahead:
        first = max(ahead, key=lambda gap: gap.gain.mean)
        return Story(f"{first.other} beats {first.reference}", _said(first, unit), sentence)
    if behind and len(behind) == len(found) - 1:
        return Story(f"{behind[0].reference} beats the others", _said(behind[0], unit), sentence)
    return Story("No difference beyond the seeds'", _said(max(gaps, key=lambda gap: gap.gain.mean), unit), sentence)


def _said(gap: Difference, unit: str) -> str:
    better = "better" if gap.gain.mean >= 0 else "worse"
    return (
        f"Over {count(gap.gain.n, 'seed')}, the configs that {gap.other} finds score {number(abs(gap.gain.mean))} "
        f"{unit} {better} than those of {gap.reference}; 95% interval of the paired gain:{_interval(gap.gain)}."
    )


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" [{number(estimate.low)}, {number(estimate.high)}]"
