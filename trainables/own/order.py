"""What a command is to train: its config, its folder, its command line; and where its metrics are."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spaces.paths import get, has, leaves
from trainables.native import as_yaml, parse_native, rewrite
from trainables.own.arguments import CommandLine, Filling, command_line
from trainables.own.declaration import Declaration
from trainables.own.keeper import Keeper
from trainables.own.model import Reference
from trainables.own.readings import CsvFile, JsonFile, Names, Printed, Source
from trainables.own.tagged_files import EventFiles, MlflowFiles
from trainables.run import Native


@dataclass(frozen=True)
class Order:
    """What the command is to train."""

    reference: Reference
    native: Native
    root: Path
    work: Path
    """The trial's own folder."""
    seed: int
    keeper: Keeper | None = None
    """Who keeps it in memory while its trial is paused; None: nobody."""

    @property
    def declared(self) -> Declaration:
        """What is declared of the command."""
        return self.reference.declaration

    @property
    def length(self) -> int:
        """Units of the training."""
        return int(get(self.native, self.declared.length))

    @property
    def folder(self) -> Path:
        """`{dir}`."""
        return self.work / "run"

    @property
    def config(self) -> Path:
        """`{config}`."""
        return self.work / "config" / self.reference.base_name

    def write_config(self) -> None:
        """The user's file with this training's values."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        name, text = self.reference.base_name, self.reference.base_text
        if text is None:
            written = as_yaml(self.native)
        else:
            own = parse_native(text, name, name)
            paths = leaves(self.native)
            changes = {path: value for path in paths if not _same(own, path, value := get(self.native, path))}
            written = rewrite(text, name, changes)
        self.config.write_text(written, encoding="utf-8")

    def line(self, checkpoint: Path | None, line: str | None = None) -> CommandLine:
        """The command line, going on from `checkpoint`; or another `line` with this training's values."""
        filling = Filling(self.native, self.config, self.seed, self.folder, self.length, checkpoint)
        return command_line(self.declared, filling, line)


def source_of(declared: Declaration, folder: Path) -> Source:
    """The declared source of a training whose `{dir}` is `folder`."""
    given = declared.metrics
    assert given is not None
    names = Names(declared)
    match given.kind:
        case "csv":
            return CsvFile(folder, _path(folder, given.csv), names)
        case "jsonl":
            return JsonFile(folder, _path(folder, given.jsonl), names)
        case "tensorboard":
            return EventFiles(_path(folder, given.tensorboard), names)
        case "mlflow":
            return MlflowFiles(folder / "mlruns", names)
        case _:
            assert given.stdout is not None
            return Printed(re.compile(given.stdout), names)


def _path(folder: Path, given: str | None) -> Path:
    return folder / (given or "").replace("{dir}/", "").replace("{dir}", ".")


def _same(native: Native, path: str, value: Any) -> bool:
    return has(native, path) and bool(get(native, path) == value) and type(get(native, path)) is type(value)
