"""What a command shows of its validation data while it is probed: `seen.py` inside the command's own processes.

`Elsewhere` puts a `sitecustomize` on their path that runs this file there. It waits for torch, and writes down the
digest of what modules are given in validation. Standard library only, and never an error: the command runs as ever.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType

FOLDER = "SCHEDULE_SEARCH_SEEN"
"""Environment variable: where the digests go, a file per process."""
_HOOK = "hook"
_SITE = """\
import os, runpy, sys
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != {folder!r}]
runpy.run_path({file!r}, run_name="seen")
this = sys.modules.pop("sitecustomize", None)
try:
    import sitecustomize  # the environment's own
except ImportError:
    if this is not None:
        sys.modules["sitecustomize"] = this  # its import, which this is part of, asks for it
"""


class Elsewhere:
    """Within its block, commands are watched that this process starts."""

    def __init__(self, folder: Path) -> None:
        """`folder`: for the digests."""
        self._folder = folder.resolve()
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> "Elsewhere":
        hook = self._folder / _HOOK
        hook.mkdir(parents=True, exist_ok=True)
        site = _SITE.format(folder=str(hook), file=str(Path(__file__).resolve()))
        (hook / "sitecustomize.py").write_text(site, encoding="utf-8")
        self._before = {name: os.environ.get(name) for name in (FOLDER, "PYTHONPATH")}
        os.environ[FOLDER] = str(self._folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(hook), self._before["PYTHONPATH"])))
        return self

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def taken(self) -> str | None:
        """The digest of all items so far; None where there were none."""
        found = sorted(file.read_text(encoding="utf-8").strip() for file in self._folder.glob("seen-*.txt"))
        return " ".join(found) or None


class _Finder(importlib.abc.MetaPathFinder):
    """Lets torch be found by the others, and watches it once it is there."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def executed(module: ModuleType) -> None:
                execute(module)
                with suppress(Exception):  # whatever this torch lacks
                    _watch()

            spec.loader.exec_module = executed  # type: ignore[method-assign]
        return spec


def _watch() -> None:
    spec = importlib.util.spec_from_file_location("seen_of_probe", Path(__file__).with_name("seen.py"))
    assert spec is not None
    assert spec.loader is not None
    seen = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seen)

    def write(digest: str) -> None:
        path = Path(os.environ[FOLDER]) / f"seen-{os.getpid()}.txt"  # of a process that was forked since, its own
        with suppress(OSError):
            file = os.open(path, os.O_WRONLY | os.O_CREAT)
            os.pwrite(file, digest.ljust(80).encode(), 0)  # in one: the process may be stopped at any moment
            os.close(file)

    seen.Seen(write).__enter__()


if __name__ == "seen" and FOLDER in os.environ:
    sys.meta_path.insert(0, _Finder())
