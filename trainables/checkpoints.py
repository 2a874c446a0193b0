"""Checkpoints of one trial: written whole or not at all, verified when read, the previous one kept until then."""

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

KEPT = 2
"""Newest checkpoints kept per trial: the second is there for the case that the first can't be read."""
_EVICTED = "evicted"  # a note that there were checkpoints, which had to make room


def write(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write `state` as the checkpoint at `step` and drop those beyond the newest `KEPT`. Raises OSError."""
    import torch  # here and below: the driver, which only removes checkpoints, starts without it

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    data = buffer.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{step:09d}.pt"
    partial = folder / f".{step:09d}.{os.getpid()}.partial"
    for left in folder.glob(".*.partial"):  # by a worker that died while it wrote
        left.unlink(missing_ok=True)
    try:
        with partial.open("wb") as file:
            file.write(hashlib.sha256(data).digest())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)  # it would take the room that another try needs
        raise
    (folder / _EVICTED).unlink(missing_ok=True)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def newest(folder: Path, device: str) -> tuple[int, dict[str, Any]] | None:
    """The newest checkpoint that is intact, as (step, state) with tensors on `device`; None where there is none."""
    for path in _newest_first(folder):
        state = _read(path, device)
        if state is not None:
            return int(path.stem), state
    return None


def remove(folder: Path, beyond: int = -1) -> None:
    """Delete the checkpoints in `folder` of steps above `beyond`: by default all."""
    for path in _newest_first(folder):
        if int(path.stem) > beyond:
            path.unlink(missing_ok=True)


def trim(folder: Path) -> None:
    """Delete all checkpoints in `folder` but the newest."""
    for path in _newest_first(folder)[1:]:
        path.unlink(missing_ok=True)


def evict(folder: Path) -> None:
    """Delete every checkpoint in `folder` to make room, and note that it was on purpose."""
    (folder / _EVICTED).touch()
    remove(folder)


def evicted(folder: Path) -> bool:
    """Whether checkpoints were deleted here to make room, and none was written since."""
    return (folder / _EVICTED).exists()


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in `folder`, intact or not, newest first."""
    return [int(path.stem) for path in _newest_first(folder)]


def size(folder: Path) -> int:
    """Bytes that the checkpoints in `folder` take."""
    held = 0
    for path in _newest_first(folder):
        with suppress(OSError):  # replaced meanwhile
            held += path.stat().st_size
    return held


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.pt"), reverse=True)


def _read(path: Path, device: str) -> dict[str, Any] | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return None
    import torch

    # weights_only: tensors and plain containers, no code. The digest says it is ours; this says it is harmless.
    state: dict[str, Any] = torch.load(io.BytesIO(data[32:]), map_location=device, weights_only=True)
    return state
