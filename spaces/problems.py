"""Bad input, reported together: every problem with its place, its value and what to do about it."""

import difflib
import errno
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the input: `where` (file and dotted key path) and `what` (value, bound, remedy)."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class BadInput(Exception):
    """The user's input can't be used. Carries every problem found, not just the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        assert self.problems, "BadInput needs at least one problem"
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def of(cls, where: str, what: str) -> "BadInput":
        """Bad input with a single problem."""
        return cls([Problem(where, what)])

    def __reduce__(self) -> tuple[type["BadInput"], tuple[tuple[Problem, ...]]]:
        return BadInput, (self.problems,)  # survives the trip from a worker process


def raise_any(problems: Iterable[Problem]) -> None:
    """Raise BadInput with all of `problems`, if there are any."""
    if found := tuple(problems):
        raise BadInput(found)


def bad_input(error: Exception) -> BadInput:
    """What an error says as bad input: itself, or that a path is too long. Raises any other error again."""
    if isinstance(error, BadInput):
        return error
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return BadInput.of(
            f"…/{Path(str(error.filename)).name[:40]}…", "is longer than a path may be on this system; shorten it"
        )
    raise error


def nearest(key: str, keys: Iterable[str]) -> str:
    """A hint for an unknown key: `; did you mean 'lr'?` plus, without a close match, the valid keys."""
    known = sorted(keys)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"; valid keys: {shown}" if known else ""


def cause(error: BaseException) -> str:
    """The first line of what an error says, or else its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
