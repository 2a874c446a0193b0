"""What happens to the trials of a bracket as values, for tests that play it again."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from search.stopping.bracket import Bracket, Report


@dataclass(frozen=True)
class Start:
    """A trial got a worker."""

    trial: int


@dataclass(frozen=True)
class Gone:
    """A trial failed for good or was taken away."""

    trial: int


Record = Start | Report | Gone


def replay(bracket: Bracket, history: Iterable[Record]) -> None:
    """Bring `bracket` to where `history` left it."""
    for record in history:
        match record:
            case Start(trial):
                bracket.start(trial)
            case Report():
                bracket.report(record)
            case Gone(trial):
                bracket.leave(trial)
            case _:
                assert_never(record)
