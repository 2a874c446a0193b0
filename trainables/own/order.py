"""What a command is to train: its config, its folder, its command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.native import as_yaml, rewrite
from trainables.own.arguments import CommandLine, Filling, command_line
from trainables.own.declaration import Declaration
from trainables.own.keeper import Keeper


@dataclass(frozen=True)
class Order:
    """What the command is to train."""

    declared: Declaration
    native: Mapping[str, Any]
    changes: Mapping[str, Any]
    """Of `native`, what differs from the user's file."""
    base_name: str
    base_text: str | None
    root: Path
    work: Path
    """The trial's own folder."""
    seed: int
    length: int
    worst: float
    keeper: Keeper | None = None
    """Who keeps it in memory while its trial is paused; None: nobody."""

    @property
    def folder(self) -> Path:
        """`{dir}`."""
        return self.work / "run"

    @property
    def config(self) -> Path:
        """`{config}`."""
        return self.work / "config" / self.base_name

    def write_config(self) -> None:
        """The user's file with this training's values."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        text = as_yaml(self.native)
        if self.base_text is not None:
            text = rewrite(self.base_text, self.base_name, self.changes)
        self.config.write_text(text, encoding="utf-8")

    def line(self, checkpoint: Path | None) -> CommandLine:
        """The command line, going on from `checkpoint`."""
        filling = Filling(self.native, self.config, self.seed, self.folder, self.length, checkpoint)
        return command_line(self.declared, filling)
