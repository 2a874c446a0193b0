"""What a value read from a file may be, so that all that comes after reading can take it: size, depth, kinds."""

import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spaces.problems import BadInput, Problem, raise_any

MOST_BYTES = 1 << 18
"""Of a config file: those of real trainings have some thousand, and a megabyte of YAML takes many seconds to read."""
MOST_VALUES = 100_000
"""Keys and values in one file, those that aliases repeat counted each time."""
DEEPEST = 64
"""Sections and lists within each other."""
MOST = 2**64
"""The absolute value of a whole number: seeds have up to 64 bits."""
_SHOWN = 5  # problems of one file


def read_bounded(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises BadInput, also for devices and pipes, unread."""
    check_regular(path)
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise BadInput.of(str(path), "can't be read: it is a folder")
        if about.st_size > most:
            raise BadInput.of(str(path), f"is too large: {about.st_size} bytes, where {most} are the most")
        with path.open("rb") as file:
            content = file.read(most + 1)  # it may grow, or say that it is empty, as in /proc
    except OSError as error:
        raise BadInput.of(str(path), f"can't be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInput.of(repr(str(path)), "can't be read: a path has no NUL character") from error
    if len(content) > most:
        raise BadInput.of(str(path), f"is too large: more than {most} bytes")
    return content


def check_regular(path: Path) -> None:
    """Raise BadInput for a device, a pipe or a socket, which may never end; a missing path is its reader's."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise BadInput.of(str(path), "can't be read: it is no regular file (a device, a pipe, a socket)")


def check_value(value: Any, where: str, finite: bool = False) -> None:
    """Raise BadInput where something in `value` (from YAML, JSON or Python literals) can't be used or written again.

    Refused: more than `MOST_VALUES` values, more than `DEEPEST` levels, whole numbers beyond `MOST`, text that is no
    UTF-8 or has a NUL character, and anything but mappings, lists, text, numbers, true, false and null; with `finite`
    also NaN and infinity.
    """
    problems: list[Problem] = []
    for count, (path, item, depth) in enumerate(_walk(value)):
        if count >= MOST_VALUES:
            raise BadInput.of(where, f"holds more than {MOST_VALUES} values; a config is smaller")
        what = f"is nested more than {DEEPEST} deep" if depth > DEEPEST else _wrong(item, finite)
        if what is not None:
            problems.append(Problem(f"{where} {path if len(path) < 80 else path[:79] + '…'}".strip(), what))
        if depth > DEEPEST or len(problems) >= _SHOWN:
            break
    raise_any(problems)


def _walk(value: Any) -> Iterator[tuple[str, Any, int]]:
    """Everything in `value` with its dotted path and its depth; keys, too."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        path, item, depth = waiting.pop()
        yield path, item, depth
        if isinstance(item, dict):
            for key, inner in item.items():
                yield f"{path}.{key!r}", key, depth
                waiting.append((f"{path}.{key}" if path else str(key), inner, depth + 1))
        elif isinstance(item, list | tuple):
            waiting += [(f"{path}[{index}]", inner, depth + 1) for index, inner in enumerate(item)]


def _wrong(item: Any, finite: bool) -> str | None:
    match item:
        case None | bool() | dict() | list() | tuple():
            return None
        case int():
            if abs(item) > MOST:
                digits = str(len(str(item))) if item.bit_length() < 10_000 else "thousands of"
                return f"is a whole number of {digits} digits; at most 2^64"
        case float():
            if finite and not math.isfinite(item):
                return f"{item} can't be trained with or kept; use null, a finite number, or leave the key out"
        case str():
            if "\0" in item:
                return "text has no NUL character"
            if not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
                return "is no text: half of a character (a lone surrogate)"
        case _:
            return f"{type(item).__name__} values have no place in a config; use numbers, text, lists, mappings"
    return None
