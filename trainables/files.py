"""Files replaced whole: no reader sees half of one, and a process that is killed leaves the earlier one as it was."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_umask = os.umask(0o077)  # it can only be read by setting it: here, before there are threads that make files
os.umask(_umask)
FILE_MODE, FOLDER_MODE = 0o666 & ~_umask, 0o777 & ~_umask
"""What the user's umask leaves to others of a file and of a folder: temporary ones are made private."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to write in the block; it takes the name `path` at the block's end.

    Where the block raises, it is removed: it would take the room that another try needs. Raises OSError.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(FILE_MODE)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes, *, sync: bool = False) -> None:
    """Replace the file whole or not at all; `sync`: the content is on the disk before it has its name."""
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Replace the file whole or not at all."""
    write_bytes(path, text.encode())
