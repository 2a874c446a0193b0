"""The modules that a notebook's function uses and only the notebook's own process finds, such as a file beside it."""

import inspect
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from trainables.own.code import files_of

_ASK = "import sys, importlib.util as u; print(*(name for name in sys.argv[1:] if u.find_spec(name) is None))"
_NEVER = {"__main__", "__mp_main__", "search", "spaces", "trainables"}


def copied(function: FunctionType, place: Path) -> tuple[str, ...]:
    """Copy the files of such modules, and what they import there, into the folder `place`; their paths in it."""
    found: set[str] = set()
    for name in _unknown({name for name in _used(function, set()) if _origin(name) is not None}):
        origin = _origin(name)
        assert origin is not None
        root, file = origin
        for each in files_of(root, [file]):
            target = place / each
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / each, target)
            found.add(each)
    return tuple(sorted(found))


def _used(function: FunctionType, seen: set[int]) -> Iterator[str]:
    """The modules of whatever the function names, and the functions and classes beside it."""
    if id(function) in seen:
        return
    seen.add(id(function))
    values: list[Any] = [cell.cell_contents for cell in function.__closure__ or ()]
    for name in names_in(function.__code__):
        if name in function.__globals__:
            values.append(function.__globals__[name])
        else:
            yield name  # it may be imported within
    for value in values:
        if isinstance(value, ModuleType):
            yield value.__name__
            continue
        module = getattr(value, "__module__", None)
        for member in [value, *vars(value).values()] if inspect.isclass(value) else [value]:
            if isinstance(member, FunctionType) and member.__module__ == function.__module__:
                yield from _used(member, seen)
        if isinstance(module, str):
            yield module


def names_in(code: CodeType) -> set[str]:
    """All names in a function's code and the code within it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*(names_in(each) for each in inner))


def _origin(module: str) -> tuple[Path, str] | None:
    """The folder that a module is imported from and its file there; None where it has no file."""
    known = getattr(sys.modules.get(module), "__file__", None)
    if known is None:  # not imported yet: it may lie beside the notebook
        root, file = Path(next(iter(sys.path), "") or ".").resolve(), Path(*module.split(".")).with_suffix(".py")
        return (root, file.as_posix()) if (root / file).is_file() else None
    path = Path(known).resolve()
    root = path.parents[module.count(".") + (path.name == "__init__.py")]
    return root, path.relative_to(root).as_posix()


def _unknown(modules: set[str]) -> list[str]:
    """Those that a fresh process of this environment doesn't find."""
    tops = sorted({name.partition(".")[0] for name in modules} - _NEVER)
    asked = [sys.executable, "-P", "-c", _ASK, *tops]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()  # noqa: S603
    return sorted(name for name in modules if name.partition(".")[0] in found)
