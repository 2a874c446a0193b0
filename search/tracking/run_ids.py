"""Which runs exist in the store and how far the journal has been sent: what tracking remembers on disk."""

import errno
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class RunIds:
    """Which runs exist and how far the journal has been sent, in a file of JSON lines that is only appended to.

    A line torn by a crash is passed over: a lost id is looked up in the store (its intent was written before), and
    events that were sent but not acknowledged are sent again, which the store tells from new ones.
    """

    def __init__(self, path: Path, store: str) -> None:
        """`store` names the place where the runs live; lines about another place don't count."""
        self.uid = ""
        """Names this search in any store."""
        self.ids: dict[int, str] = {}
        self.doubtful: set[int] = set()
        """Trials whose run may exist without our knowing its id."""
        self.described = False
        """The params of the search's own run are in the store."""
        self.acknowledged = 0
        """Events from the start of the journal that are in the store."""
        self.uid_is_new = True
        """No other process has tracked this search, in any store."""
        text = path.read_bytes() if path.exists() else b""
        self._parse(text, store)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self._torn = bool(text) and not text.endswith(b"\n")
        if not self.uid:
            self.uid = uuid.uuid4().hex
            self._write([{"uid": self.uid}])
        self._write([{"store": store}])
        os.fsync(self._file)

    def _parse(self, text: bytes, store: str) -> None:
        here = False
        for record in _records(text):
            match record:
                case {"uid": str(uid)}:
                    self.uid, self.uid_is_new = uid, False
                case {"store": str(name)}:
                    here = name == store
                case {"creating": int(trial)} if here:
                    self.doubtful.add(trial)
                case {"trial": int(trial), "run": str(run)} if here:
                    self.ids[trial] = run
                    self.doubtful.discard(trial)
                case {"described": True} if here:
                    self.described = True
                case {"acknowledged": int(count)} if here:
                    self.acknowledged = count

    def creating(self, trials: Iterable[int]) -> None:
        """Runs of `trials` are about to be created. On disk when this returns."""
        lines = [{"creating": trial} for trial in trials]
        if lines:
            self._write(lines)
            os.fdatasync(self._file)

    def created(self, trial: int, run: str) -> None:
        """The run of `trial` exists."""
        self.ids[trial] = run
        self._write([{"trial": trial, "run": run}])

    def adopt(self, runs: Mapping[int, str]) -> None:
        """These runs of the search are in the store. On disk when this returns: all of them, or not the last."""
        self.ids.update(runs)
        self.doubtful -= set(runs)
        self._write([{"trial": trial, "run": run} for trial, run in runs.items()])
        os.fdatasync(self._file)

    def describe(self) -> None:
        """The params of the search's own run are in the store."""
        if not self.described:
            self._write([{"described": True}])
            self.described = True

    def acknowledge(self, count: int) -> None:
        """The first `count` events of the journal are in the store."""
        if count > self.acknowledged:
            self._write([{"acknowledged": count}])
            self.acknowledged = count

    def close(self) -> None:
        """Bring everything to the disk. Nothing may be written after."""
        os.fsync(self._file)
        os.close(self._file)

    def _write(self, lines: list[dict[str, Any]]) -> None:
        data = (b"\n" if self._torn else b"") + b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self._torn = True
        if os.write(self._file, data) < len(data):
            raise OSError(errno.ENOSPC, "only a part of the record could be written")
        self._torn = False


def uid_of(path: Path) -> str:
    """The uid that names the search in any store, from its `tracking.jsonl`; empty where nothing was tracked."""
    for record in _records(path.read_bytes() if path.exists() else b""):
        match record:
            case {"uid": str(uid)}:
                return uid
    return ""


def _records(text: bytes) -> Iterator[Any]:
    """What the lines say that are not torn."""
    for line in text.splitlines():
        with suppress(ValueError, RecursionError):
            yield json.loads(line)
