"""Importing a user's function from its file, afresh for every training: nothing that an earlier one left in a module
reaches the next."""

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables.own import code
from trainables.run import UserCodeError

_OURS = {"search", "spaces", "trainables"}
_LOADED: list[Path] = []
"""The folders that this process imports the code that it trains from."""


def load(root: Path, file: str, name: str) -> Callable[..., Any]:
    """The function `name` of `file` below `root`. Raises UserCodeError naming file and line where importing fails."""
    found = imported(root, file, name, _base(root, file))
    if not callable(found):
        raise UserCodeError(f"{file}: {name} is no function")
    function: Callable[..., Any] = found
    return function


def _base(root: Path, file: str) -> Path:
    """The folder that Python finds the file's module in when it is run by hand: that which its outermost package lies
    in, or a script's own. A folder named `scripts` may be no package, while an installed one has that name."""
    path = root / file
    base = path.parent
    while base != root and (base / "__init__.py").exists():
        base = base.parent
    return root if base == path.parent and code.imports_relatively(path) else base


def imported(root: Path, file: str, name: str, base: Path | None = None) -> Any:
    """What `file` below `root` calls `name`, as a module in `base` (None: `root`). Raises UserCodeError naming file and
    line where importing fails."""
    base = root if base is None else base
    for earlier in {*_LOADED, root, base}:
        forget(earlier)
    _LOADED[:] = [root, base]
    sys.path[:0] = dict.fromkeys((str(base), str(root)))
    module = ".".join((root / file).relative_to(base).with_suffix("").parts)
    if module.partition(".")[0] in _OURS:
        raise UserCodeError(f"{file}: the name {module.partition('.')[0]} is taken by this service; rename the file")
    known = sys.modules.get(module)
    if known is not None and getattr(known, "__file__", None) != str(root / file):
        raise UserCodeError(f"{file}: Python has another module called {module}; rename the file")
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise UserCodeError(f"importing {file}: {located(error, root)}") from error
    except SystemExit as error:
        what = "guard what runs a training by hand with if __name__ == '__main__':"
        raise UserCodeError(f"importing {file} ends the process ({error}); {what}") from error
    if not hasattr(found, name):
        raise UserCodeError(f"{file} has no {name}")
    return getattr(found, name)


def forget(root: Path) -> None:
    """Drop the modules that lie below `root`, so that the next import runs them again."""
    while str(root) in sys.path:
        sys.path.remove(str(root))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name.partition(".")[0] not in _OURS and _below(file, root):
            del sys.modules[name]
    importlib.invalidate_caches()


def located(error: BaseException, root: Path) -> str:
    """An error on one line, with the user's file and line that it came from."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{short(error.filename, root)} line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _below(frame.filename, root)]
    place = f"{short(own[-1].filename, root)} line {own[-1].lineno}: " if own else ""
    text = " ".join(str(error).split())
    return f"{place}{type(error).__name__}{f': {text}' if text else ''}"


def short(file: str, root: Path) -> str:
    """A file's path, relative to `root` where it lies below."""
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else file


def _below(file: str, root: Path) -> bool:
    """Whether a file is the user's own: below the folder, and not of an environment that lies there."""
    return Path(file).is_relative_to(root) and "site-packages" not in file
