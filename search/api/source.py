"""Where the code of a function lies, so that other processes and later days find it: its file, or a pickle of it."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from search.api.beside import copied, names_in
from trainables.files import write_bytes, write_text

_PICKLED = "function.pkl"
_MODULE = "pickled"
_LOADER = f'''"""A function from a notebook, as it was when its search began."""

from pathlib import Path

import cloudpickle

train = cloudpickle.loads(Path(__file__).with_name("{_PICKLED}").read_bytes())
'''


@dataclass(frozen=True)
class Source:
    """A function as a search's YAML names it."""

    folder: Path
    entry: str
    """`file:function` in that folder."""
    code: tuple[str, ...] | None
    """The files that are its code; None: its file and what that imports."""


def source_of(function: Callable[..., Any], place: Path) -> Source:
    """Where a function is; one from a notebook or from within another function is pickled into the folder `place`.

    Raises TypeError for what is no plain function.
    """
    if not isinstance(function, FunctionType):
        raise TypeError(f"expected a function train(run), got {function!r}")
    file = _file(function)
    if file is not None and "." not in function.__qualname__ and function.__name__ != "<lambda>":
        root, module = file.parent, function.__module__
        if module not in ("__main__", file.stem):  # in a package: imports within it need its root
            for _ in range(module.count(".")):
                root = root.parent
        return Source(root, f"{file.relative_to(root).as_posix()}:{function.__name__}", None)
    _pickle(function, place)
    return Source(place, f"{_MODULE}:train", (f"{_MODULE}.py", _PICKLED, *copied(function, place)))


def _file(function: FunctionType) -> Path | None:
    module = sys.modules.get(function.__module__)
    path = getattr(module, "__file__", None)
    return Path(path).resolve() if path and inspect.getsourcefile(function) else None


def _pickle(function: FunctionType, place: Path) -> None:
    """Keep the function; the bytes of an equal one stay, since a notebook's kernel pickles it differently each time."""
    import cloudpickle  # lazy: only for notebooks

    place.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(b"".join(_parts(function, set()))).hexdigest()
    known = place / f"{_PICKLED}.sha256"
    if (place / _PICKLED).is_file() and known.is_file() and known.read_text(encoding="utf-8").strip() == digest:
        return
    write_bytes(place / _PICKLED, cloudpickle.dumps(function))
    write_text(place / f"{_MODULE}.py", _LOADER)
    write_text(known, f"{digest}\n")


def _parts(function: FunctionType, seen: set[int]) -> Iterator[bytes]:
    """What a function computes: its code and that of the functions and classes beside it that it names."""
    if id(function) in seen:
        return
    seen.add(id(function))
    yield from _code(function.__code__)
    yield repr(function.__defaults__).encode()
    for name in sorted(names_in(function.__code__)):
        value = function.__globals__.get(name)
        members = vars(value).values() if inspect.isclass(value) else (value,)
        for member in members:
            if isinstance(member, FunctionType) and member.__module__ == function.__module__:
                yield from _parts(member, seen)
            elif isinstance(member, int | float | str | bool | tuple | list | dict):
                yield f"{name}={member!r}".encode()


def _code(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            yield repr(constant).encode()
