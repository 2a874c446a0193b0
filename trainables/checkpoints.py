"""Checkpoints of one trial: written whole or not at all, verified when read, the previous one kept until then.

They lie in a folder, or below a prefix of an object store: `Place`.
"""

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trainables.files import write_bytes
from trainables.objects import Prefix

KEPT = 2
"""Newest checkpoints kept per trial: the second is there for the case that the first can't be read."""
_DIGEST = hashlib.sha256().digest_size
"""Bytes at the head of a checkpoint's file: the hash of the rest, which is a torch file."""
_EVICTED = "evicted"  # a note that there were checkpoints, which had to make room
_NAME = re.compile(r"[0-9]+\.pt")

Place = Path | Prefix
P = TypeVar("P", Path, Prefix, Path | Prefix)


@dataclass(frozen=True)
class Held:
    """What a trial's place holds."""

    steps: tuple[int, ...] = ()
    """Of its checkpoints, intact or not, newest first."""
    bytes: int = 0
    evicted: bool = False
    """Checkpoints were deleted here to make room, and none was written since."""


def write(folder: P, step: int, state: Mapping[str, Any]) -> P:
    """Write `state` as the checkpoint at `step` and drop those beyond the newest `KEPT`. Raises OSError."""
    return put(folder, step, packed(state))


def packed(state: Mapping[str, Any]) -> bytes:
    """The bytes of a checkpoint's file that holds `state`: equal states make equal bytes."""
    import torch  # here and below: the driver, which only removes checkpoints, starts without it

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    data = buffer.getvalue()
    return hashlib.sha256(data).digest() + data


def put(folder: P, step: int, content: bytes) -> P:
    """As `write`, of what `packed` made."""
    name, place = f"{step:09d}.pt", _at(folder)
    place.put(name, content)
    held = place.sizes()
    if _EVICTED in held:
        place.delete(_EVICTED)
    for old in _newest_first(held)[KEPT:]:
        place.delete(old)
    return folder / name


def newest(folder: Place, device: str) -> tuple[int, dict[str, Any]] | None:
    """The newest checkpoint that is intact, as (step, state) with tensors on `device`; None where there is none."""
    return next(intact(folder, device), None)


def newest_file(folder: Path) -> Path | None:
    """The newest checkpoint in `folder` that is intact; None where there is none. Needs no torch."""
    return next(
        (folder / name for name in _newest_first(_at(folder).sizes()) if _checked(folder, name) is not None), None
    )


def intact(folder: Place, device: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The intact checkpoints as (step, state), newest first, each read when it is asked for."""
    for name in _newest_first(_at(folder).sizes()):
        data = _checked(folder, name)
        if data is not None:
            yield _step(name), loaded(data, device)


def taken(folder: Place, step: int) -> bytes | None:
    """The bytes of the intact checkpoint at `step`; None where there is none."""
    return _checked(folder, f"{step:09d}.pt")


def digest_of(data: bytes) -> str:
    """The hash of what a checkpoint's file holds, which stands at its head."""
    return data[:_DIGEST].hex()


def loaded(data: bytes, device: str) -> dict[str, Any]:
    """What the bytes of an intact checkpoint's file hold, tensors on `device`."""
    import torch

    # weights_only: tensors and plain containers, no code. The digest says it is ours; this says it is harmless.
    state: dict[str, Any] = torch.load(io.BytesIO(data[_DIGEST:]), map_location=device, weights_only=True)
    return state


def remove(folder: Place, beyond: int = -1) -> None:
    """Delete the checkpoints in `folder` of steps above `beyond`: by default all."""
    for name in _newest_first(_at(folder).sizes()):
        if _step(name) > beyond:
            _at(folder).delete(name)


def trim(folder: Place) -> None:
    """Delete all checkpoints in `folder` but the newest."""
    for name in _newest_first(_at(folder).sizes())[1:]:
        _at(folder).delete(name)


def evict(folder: Place) -> None:
    """Delete every checkpoint in `folder` to make room, and note that it was on purpose."""
    match folder:
        case Path():
            (folder / _EVICTED).touch()
        case Prefix():
            folder.put(_EVICTED, b"-")
    remove(folder)


def steps(folder: Place) -> list[int]:
    """The steps of the checkpoints in `folder`, intact or not, newest first."""
    return [_step(name) for name in _newest_first(_at(folder).sizes())]


def size(folder: Place) -> int:
    """Bytes that the checkpoints in `folder` take."""
    return held(_at(folder).sizes()).bytes


def held(files: Mapping[str, int]) -> Held:
    """What `files` (name -> bytes) of a trial's place say."""
    names = _newest_first(files)
    return Held(tuple(_step(name) for name in names), sum(files[name] for name in names), _EVICTED in files)


def survey(base: Place) -> dict[int, Held]:
    """What each trial below `base`/trials holds, by number; also those that hold nothing. One request of a store."""
    files: dict[int, dict[str, int]] = {}
    match base:
        case Path():
            for folder in (base / "trials").glob("t[0-9]*"):
                files[int(folder.name[1:])] = _at(folder / "checkpoints").sizes()
        case Prefix():
            for path, length in (base / "trials").sizes(recursive=True).items():
                trial, _, rest = path.partition("/")
                if re.fullmatch(r"t[0-9]+", trial):
                    known = files.setdefault(int(trial[1:]), {})
                    if rest.startswith("checkpoints/"):
                        known[rest.removeprefix("checkpoints/")] = length
    return {number: held(known) for number, known in files.items()}


def _newest_first(files: Mapping[str, int]) -> list[str]:
    return sorted((name for name in files if _NAME.fullmatch(name)), reverse=True)


def _step(name: str) -> int:
    return int(name.partition(".")[0])


class _Folder:
    """A folder as a `Prefix` would be one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sizes(self) -> dict[str, int]:
        found = {}
        for path in self._path.glob("*"):
            with suppress(OSError):  # replaced meanwhile
                found[path.name] = path.stat().st_size
        return found

    def get(self, name: str) -> bytes | None:
        with suppress(OSError):
            return (self._path / name).read_bytes()
        return None

    def put(self, name: str, content: bytes) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        for left in self._path.glob(".*.partial"):  # by a worker that died while it wrote
            left.unlink(missing_ok=True)
        write_bytes(self._path / name, content, sync=True)

    def delete(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


def _at(place: Place) -> Prefix | _Folder:
    return _Folder(place) if isinstance(place, Path) else place


def whole(data: bytes) -> bytes | None:
    """The torch file in what `write` saved; None where the bytes are not that, or not all of it."""
    return data[_DIGEST:] if hashlib.sha256(data[_DIGEST:]).digest() == data[:_DIGEST] else None


def _checked(place: Place, name: str) -> bytes | None:
    """The file that `write` made, if it is whole."""
    data = _at(place).get(name)
    return data if data is not None and whole(data) is not None else None
