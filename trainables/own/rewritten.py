"""What a training writes into the folder that it runs in, where each trial writes it, too."""

import os
from collections import deque
from contextlib import suppress
from pathlib import Path

from trainables.layout import AGAIN

_MOST = 5000  # files that are looked at, those nearest to the folder first
_SKIPPED = {"__pycache__", "node_modules"}
_ENVIRONMENT = "pyvenv.cfg"
_STORE = "mlflow.db"  # several may write to a database

Stamps = dict[str, tuple[int, int]]
"""Of each file, by its path from the folder: when it was written, in ns, and how long it is."""


def stamps(folder: Path) -> Stamps:
    """When the files of a folder were written. Hidden folders, environments and those of searches are left out."""
    found: Stamps = {}
    waiting = deque([folder])
    while waiting and len(found) < _MOST:
        try:
            entries = sorted(os.scandir(waiting.popleft()), key=lambda entry: entry.name)
        except OSError:
            continue  # not ours to read, or gone
        if {AGAIN, _ENVIRONMENT} & {entry.name for entry in entries}:
            continue
        for entry in entries:
            with suppress(OSError):  # it may be gone by now
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False) and not entry.name.startswith(_STORE):
                    known = entry.stat()
                    found[Path(entry.path).relative_to(folder).as_posix()] = (known.st_mtime_ns, known.st_size)
    return found


def written(before: Stamps, after: Stamps) -> list[str]:
    """The files that are new, or other than before."""
    return sorted(name for name, stamp in after.items() if before.get(name) != stamp)
