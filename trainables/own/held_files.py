"""A command's checkpoint files: found when they are whole, taken into our own checkpoint, and put back."""

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.own.declaration import STEP


def matching(folder: Path, patterns: Sequence[str], of: int | None = None) -> list[Path]:
    """The files that the patterns name, those of named folders too; sorted. `of`: only those of that step, by their
    names."""
    found: set[Path] = set()
    for pattern in patterns:
        for step, path in _named(folder, pattern):
            if of is None or step == of:
                found |= {path} if path.is_file() else {inner for inner in path.rglob("*") if inner.is_file()}
    return sorted(found)


def newest(folder: Path, patterns: Sequence[str]) -> Path | None:
    """The file or folder that the first pattern names and that was written last."""
    found = sorted((path for _, path in _named(folder, patterns[0])), key=_written)
    return found[-1] if found else None


def last_step(folder: Path, patterns: Sequence[str], upto: int) -> int:
    """The last step up to `upto` of which there is all that the patterns name; -1 without one."""
    there = [{step for step, _ in _named(folder, pattern) if step <= upto} for pattern in patterns]
    return max(set.intersection(*there), default=-1)


def _named(folder: Path, pattern: str) -> Iterator[tuple[int, Path]]:
    """What a pattern names, with the step in the name; 0 where it has none."""
    plain = pattern.replace("{dir}/", "")
    before, has_step, after = plain.partition(STEP)
    spelling = re.compile(rf"{_spelling(before)}(\d+){_spelling(after)}")
    for path in folder.glob(f"{before}*{after}" if has_step else plain):
        if not has_step:
            yield 0, path
        elif step := spelling.fullmatch(path.relative_to(folder).as_posix()):
            yield int(step[1]), path


def _spelling(pattern: str) -> str:
    return fnmatch.translate(pattern).removesuffix(r"\Z")


def written(files: Iterable[Path]) -> float:
    """When the newest of them was written, in unix seconds; 0 without one."""
    return max(map(_written, files), default=0.0)


def given(name: str, content: bytes, step: int) -> dict[str, Any]:
    """A command's state at a step, with nothing but its own checkpoint: a file and what it is called."""
    return {"step": step, "files": {name: _as_tensor(content)}, "rows": {}}


def being_written(files: Iterable[Path], pids: Iterable[int]) -> bool:
    """Whether one of the processes has one of the files open for writing."""
    wanted = {str(path.resolve()) for path in files}
    for pid in pids:
        try:
            for link in Path(f"/proc/{pid}/fd").iterdir():
                if str(link.readlink()) in wanted and _for_writing(pid, link.name):
                    return True
        except OSError:
            continue  # it has ended, or closed the file meanwhile
    return False


def taken(folder: Path, files: Iterable[Path]) -> dict[str, torch.Tensor]:
    """The files' contents, by their names relative to `folder`."""
    return {path.relative_to(folder).as_posix(): _as_tensor(path.read_bytes()) for path in files}


def _as_tensor(content: bytes) -> torch.Tensor:
    if not content:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def put_back(folder: Path, contents: Mapping[str, Any]) -> None:
    """Write the contents into `folder`."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else np.asarray(content).tobytes())


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _for_writing(pid: int, number: str) -> bool:
    text = Path(f"/proc/{pid}/fdinfo/{number}").read_text(encoding="utf-8")
    flags = next((line.split()[1] for line in text.splitlines() if line.startswith("flags:")), "0")
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY
