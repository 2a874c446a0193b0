"""Reading pickled arrays without executing anything that the pickle says.

A pickle is a program, and whoever wrote it decides what Python's unpickler calls. No unpickler runs here: the program
is followed step by step, the few operations that numpy's arrays need are carried out on plain values, and of the names
it calls for only those that numpy itself writes are known, exactly. Calling one of them records its arguments; arrays
are made afterwards, from a checked dtype, a checked shape and bytes of the right number, so numpy never sees the
program's own state either. Everything else is refused, by name.

Formats: https://docs.python.org/3/library/pickletools.html for the operations, `ndarray.__reduce__` for the arrays.
"""

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PLAIN_DTYPE = re.compile(r"[biufSU]\d{1,4}")  # bool, integers, floats, text: what holds no Python objects
_BYTE_ORDERS = {"<": "<", ">": ">", "=": "=", "|": ""}

# Names an array's pickle calls for, and what stands for them. numpy wrote `numpy.core` before version 2 and writes
# `numpy._core` since; the last two spell bytes in protocol 2.
ALLOWED = {
    ("numpy._core.multiarray", "_reconstruct"): "_reconstruct",
    ("numpy.core.multiarray", "_reconstruct"): "_reconstruct",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
}


class Refused(Exception):
    """The pickle holds something that a dict of plain arrays does not need; the text says what."""


@dataclass(frozen=True)
class _Name:
    """Stands for an allowed name."""

    name: str


@dataclass
class _Dtype:
    """A recorded dtype: `f8` and its byte order."""

    code: str
    order: str = "="


@dataclass
class Recorded:
    """A recorded array; `content` is its bytes, or the list of items of an object array."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    fortran: bool = False
    content: Any = None

    @property
    def holds_objects(self) -> bool:
        """Whether it is an object array."""
        return self.dtype.lstrip("<>=").startswith("O")

    def real(self) -> NDArray[Any]:
        """The array itself. Raises Refused for anything but numbers, bools and text of matching size."""
        if not _PLAIN_DTYPE.fullmatch(self.dtype.lstrip("<>=")):
            raise Refused(f"an array of dtype {self.dtype!r}; numbers and text are accepted")
        try:
            dtype = np.dtype(self.dtype)
        except TypeError as error:
            raise Refused(f"an array of dtype {self.dtype!r}, which does not exist") from error
        content = self.content.encode("latin-1", "replace") if isinstance(self.content, str) else self.content
        expected = math.prod(self.shape) * dtype.itemsize
        if not isinstance(content, bytes) or len(content) != expected or not dtype.itemsize or len(self.shape) > 8:
            size = len(content) if isinstance(content, bytes) else "no"
            raise Refused(f"an array of {dtype} and shape {self.shape} with {size} bytes where {expected} are needed")
        return np.frombuffer(content, dtype=dtype).reshape(self.shape, order="F" if self.fortran else "C")


def real(value: Any) -> Any:
    """`value` with a recorded array made real; numbers, text and lists of them stay. Raises Refused."""
    match value:
        case Recorded():
            return value.real()
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple() if all(item is None or isinstance(item, bool | int | float | str) for item in value):
            return value
    raise Refused(f"a value of type {type(value).__name__}; arrays, numbers and text are accepted")


def follow(program: bytes) -> Any:
    """What the pickle `program` describes: plain values, and `Recorded` for each array. Raises Refused."""
    machine = _Machine()
    try:
        for op, arg, _ in pickletools.genops(program):
            if op.name == "STOP":
                return machine.stack.pop()
            if op.name not in _STEPS:
                raise Refused(f"a pickle with the operation {op.name}")
            _STEPS[op.name](machine, arg)
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise Refused(f"a pickle that can't be followed ({error})") from error
    raise Refused("a pickle without an end")


@dataclass
class _Machine:
    """The state of a pickle program: a stack, the stacks put aside by MARK, and the memo."""

    stack: list[Any] = field(default_factory=list)
    aside: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.aside.pop()
        return values

    def mark(self) -> None:
        self.aside.append(self.stack)
        self.stack = []

    def remember(self, at: int | None) -> None:
        self.memo[len(self.memo) if at is None else at] = self.stack[-1]

    def extend(self, items: list[Any]) -> None:
        """APPENDS: `items` to the list on top."""
        if not isinstance(self.stack[-1], list):
            raise Refused("a pickle that appends to something else than a list")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        """SETITEMS: key, value, key, value… into the dict on top."""
        if not isinstance(self.stack[-1], dict):
            raise Refused("a pickle that sets items of something else than a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise Refused(f"a dict with a key of type {type(key).__name__}; names are accepted")
            self.stack[-1][key] = value

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in ALLOWED:
            raise Refused(f"a pickle that calls for {module}.{name}")
        self.push(_Name(ALLOWED[module, name]))

    def call(self) -> None:
        """REDUCE: record the call of an allowed name."""
        match self.pop(2):
            case [_Name("_reconstruct"), (_Name("ndarray"), (0,), b"b" | "b")]:
                self.push(Recorded())
            case [_Name("dtype"), (str(code),) | (str(code), _, _)]:
                self.push(_Dtype(code))
            case [_Name("scalar"), (_Dtype() as dtype, (bytes() | str()) as content)]:
                self.push(Recorded(dtype=dtype.order + dtype.code, content=content))
            case [_Name("encode"), (str(text), "latin1" | "latin-1")]:
                self.push(text.encode("latin-1"))
            case [_Name("bytes"), ()]:
                self.push(b"")
            case [_Name(name), _]:
                raise Refused(f"a pickle that calls {name} with arguments that no array needs")
            case _:
                raise Refused("a pickle that calls something without a name")

    def build(self) -> None:
        """BUILD: the state of the array or dtype below it."""
        (state,) = self.pop(1)
        match self.stack[-1], state:
            case _Dtype() as dtype, (int(), str(order), None, None, None, *_) if order in _BYTE_ORDERS:
                dtype.order = _BYTE_ORDERS[order]
            case _Dtype() as dtype, _:
                raise Refused(f"a structured or unusual dtype ({dtype.code!r})")
            case Recorded() as array, (int(), tuple(shape), _Dtype() as dtype, int(fortran), content) if all(
                type(n) is int and n >= 0 for n in shape
            ):
                array.shape, array.fortran, array.content = shape, bool(fortran), content
                array.dtype = dtype.order + dtype.code
            case Recorded(), _:
                raise Refused("an array without the usual state (version, shape, dtype, order, content)")
            case _:
                raise Refused("a pickle that changes the state of something else than an array")


_Step = Callable[[_Machine, Any], None]
_CONSTANTS = [
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
]
_STEPS: dict[str, _Step] = {
    **dict.fromkeys(_CONSTANTS, lambda m, arg: m.push(arg)),
    **dict.fromkeys(("PROTO", "FRAME"), lambda _m, _: None),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), lambda m, arg: m.remember(arg)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, arg: m.push(m.memo[arg])),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE1": lambda m, _: m.push(tuple(m.pop(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.pop(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.pop(3))),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "MARK": lambda m, _: m.mark(),
    "APPEND": lambda m, _: m.extend(m.pop(1)),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.update(m.pop(2)),
    "SETITEMS": lambda m, _: m.update(m.since_mark()),
    "GLOBAL": lambda m, arg: m.name(*arg.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.pop(2)),
    "INST": lambda m, arg: m.name(*arg.split(" ", 1)),  # no array has it: refused, by its name
    "REDUCE": lambda m, _: m.call(),
    "BUILD": lambda m, _: m.build(),
}
