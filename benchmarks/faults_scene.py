"""What a fault of the matrix is, and what it works with."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from benchmarks.faults_arena import Arena, Size
from benchmarks.faults_model import Kind


@dataclass
class Scene:
    """What a fault works with."""

    arena: Arena
    random: Random
    seconds: float
    """How long an undisturbed search takes."""
    hold: float
    """The part of a fault's own length (a lock of 30 s) that it lasts: 1, or less for a quick test."""
    stack: ExitStack = field(default_factory=ExitStack)
    """What is to be put away once the account has been taken."""
    notes: list[str] = field(default_factory=list)

    def again(self) -> None:
        """The same command, after the last sitting has ended."""
        self.arena.start()

    def hold_for(self, seconds: float) -> None:
        """Wait a fault's length; note what was evaluated meanwhile."""
        before = self.arena.reports()
        time.sleep(max(2.0, seconds * self.hold))
        self.notes.append(f"{self.arena.reports() - before} evaluations meanwhile")


@dataclass(frozen=True)
class Fault:
    """A row of the matrix."""

    name: str
    what: str
    act: Callable[[Scene], None]
    trouble: Kind | None = None
    """What one trial of the disturbed search does."""
    befalls: Literal["one", "most"] = "one"
    lasting: Kind | None = None
    """The trouble of the undisturbed search that this one is to equal, where the trouble does not pass."""
    settings: tuple[str, ...] = ()
    destroys: int = 0
    """Evaluations that the fault takes beside the one in flight: those in the file that it damages."""
    tries: int = 0
    """Times that the search is meant to try the troubled evaluation again."""
    code: int = 0
    says: str = ""
    """What people must have been told at the end."""
    exact: bool = True
    """Whether the result is to be equal bit for bit; else the same trials and decisions are enough."""
    stretch: float = 0.0
    """Seconds that an evaluation takes at least, so that the search outlasts the fault."""
    missing: Callable[[], str | None] = lambda: None
    """Why this machine can't play the fault, if so."""

    def size(self, size: Size, hold: float) -> Size:
        """The search's size for this row."""
        return replace(size, pause=max(size.pause, self.stretch * hold))
