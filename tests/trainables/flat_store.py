"""An object store in memory, as pyarrow shows one: for tests of what is asked of it, and of what when it fails."""

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from pyarrow import fs

from trainables import objects

URI = "s3://bucket/team/s"
SLOW = "When doing x: AWS Error SLOW_DOWN during X: y (Request ID: 1)"


class Written(io.BytesIO):
    """The object is there when the stream is closed, as a whole."""

    def __init__(self, store: "Flat", path: str) -> None:
        super().__init__()
        self._store, self._path = store, path

    def close(self) -> None:
        if not self.closed:
            self._store.hold("put", self._path)
            self._store.content[self._path] = (self.getvalue(), self._store.now)
        super().close()


@dataclass
class Flat:
    """Names and contents; no folders."""

    content: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    now: float = 0.0
    """Seconds of the store's clock."""
    fails: int = 0
    """So many requests from now on fail."""
    error: Exception = field(
        default_factory=lambda: OSError("When doing x: AWS Error SLOW_DOWN during X: y (Request ID: 1)")
    )
    asked: Counter[str] = field(default_factory=Counter)

    def hold(self, what: str, path: str) -> None:
        self.asked[what] += 1
        assert path.startswith("bucket/")
        if self.fails:
            self.fails -= 1
            raise self.error

    def open_output_stream(self, path: str, compression: None) -> Written:  # noqa: ARG002 - pyarrow's
        return Written(self, path)

    def open_input_file(self, path: str) -> io.BytesIO:
        self.hold("get", path)
        if path not in self.content:
            raise FileNotFoundError(2, "Path does not exist")
        return io.BytesIO(self.content[path][0])

    def get_file_info(self, what: Any) -> Any:
        if isinstance(what, str):
            self.hold("info", what)
            found = self.content.get(what)
            if found is None:
                return fs.FileInfo(what, fs.FileType.NotFound)
            return self._info(what)
        self.hold("list", what.base_dir)
        start = f"{what.base_dir}/"
        names = [path for path in self.content if path.startswith(start)]
        return [self._info(path) for path in names if what.recursive or "/" not in path.removeprefix(start)]

    def delete_file(self, path: str) -> None:
        self.hold("delete", path)
        if self.content.pop(path, None) is None:
            raise FileNotFoundError(2, "Path does not exist")

    def delete_dir(self, path: str) -> None:
        self.hold("delete", path)
        found = [name for name in self.content if name.startswith(f"{path}/")]
        if not found:
            raise FileNotFoundError(2, "Path does not exist")
        for name in found:
            del self.content[name]

    def _info(self, path: str) -> fs.FileInfo:
        data, at = self.content[path]
        return fs.FileInfo(path, fs.FileType.File, mtime=datetime.fromtimestamp(at, UTC), size=len(data))


@contextmanager
def flat_store() -> Iterator[Flat]:
    """What every `Prefix` reaches, whatever its bucket; nobody waits."""
    store = Flat()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "filesystem", lambda *_, **__: store)
        patch.setattr(objects, "FIRST_WAIT", 0.0)
        yield store
