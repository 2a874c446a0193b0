"""What one run of the command is to do, and how it speaks to people."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from rich.console import Console

from search.common import command_line
from search.history.events import WarmStarted
from search.persistence.object_store_journal import Mirror
from search.spec.plan import Plan
from search.spec.search import Search
from trainables.run import Prepared

Detail: TypeAlias = Literal["quiet", "normal", "verbose"]


@dataclass(frozen=True)
class Invocation:
    """A search to be run, or gone on with, and what the command line says beside it."""

    search: Search
    plan: Plan
    prepared: Prepared
    path: Path
    """The search's folder."""
    address: str | None
    """A Ray cluster; None: RAY_ADDRESS, else this machine."""
    again: str
    """The command that goes on after an interruption."""
    console: Console
    detail: Detail = "normal"
    """How much is told while it runs."""
    warm: WarmStarted | None = None
    """What a new search takes over from earlier ones."""
    register: str | None = None
    """The registered model of MLflow that a final winner becomes a version of."""
    mirror: Mirror | None = None
    """The store that the folder is a copy of."""
    here: str = ""
    """The folder in which trials run."""

    def say(self, text: str) -> None:
        """Tell people a line."""
        command_line.say(self.console, text)
