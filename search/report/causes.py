"""What went wrong, grouped by cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search.history.events import Ended, Event, Retried, signature

Kind = Literal["failed", "diverged", "tried again"]


@dataclass(frozen=True)
class Cause:
    """Failures that differ in nothing but numbers and names."""

    kind: Kind
    reason: str
    """Of the first of them."""
    trials: tuple[int, ...]
    """In order, each once."""
    times: int
    detail: str
    """The traceback of the first that has one; else empty."""


def causes(events: Sequence[Event]) -> tuple[Cause, ...]:
    """All failures, divergences and retries of a search, those with most trials first."""
    groups: dict[tuple[Kind, str], list[Ended | Retried]] = {}
    for event in events:
        if isinstance(event, Retried):
            groups.setdefault(("tried again", signature(event.reason)), []).append(event)
        elif isinstance(event, Ended) and (event.status == "failed" or event.status == "diverged"):
            groups.setdefault((event.status, signature(event.reason)), []).append(event)
    found = [
        Cause(
            kind,
            group[0].reason or "no reason was recorded",
            tuple(dict.fromkeys(event.trial for event in group)),
            len(group),
            next((event.detail for event in group if event.detail), ""),
        )
        for (kind, _), group in groups.items()
    ]
    order: Sequence[Kind] = ("failed", "diverged", "tried again")
    return tuple(sorted(found, key=lambda cause: (order.index(cause.kind), -len(cause.trials), cause.trials)))
