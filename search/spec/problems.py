"""All that is wrong with a search in one round: checks that go on after the first one has found something."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from spaces.problems import BadInput, Problem, bad_input, raise_any

T = TypeVar("T")


class Problems:
    """Collects what checks find, so that the user sees all of it at once."""

    def __init__(self, found: Iterable[Problem] = (), wrong: Iterable[str] = ()) -> None:
        """Begin with what is known: problems, and keys of the YAML's top level that can't be judged by any more."""
        self.found = list(found)
        self.wrong = set(wrong)
        self.note = ""
        """Added to what is found from now on."""

    def checked(self, check: Callable[[], T], *keys: str) -> T | None:
        """What `check` returns; None where it finds something wrong, which is kept.

        Args:
            check: raises BadInput for what is wrong.
            keys: keys of the YAML's top level: what the check is about, then what it takes for granted. It is left out,
                with None, where one of them is wrong already: it would complain of what follows from that.

        """
        if self.wrong.intersection(keys):
            return None
        try:
            return check()
        except (BadInput, OSError) as error:
            self.found += [Problem(each.where, each.what + self.note) for each in bad_input(error).problems]
            self.wrong.update(keys[:1])
            return None

    def read(self, reader: Callable[[Any, str], T], value: Any, where: str) -> T | None:
        """What `reader` makes of a value, which is said to stand at `where`; None for None and where that is wrong."""
        return None if value is None else self.checked(lambda: reader(value, where))

    def stop(self) -> None:
        """Raise BadInput if anything was found."""
        raise_any(dict.fromkeys(self.found))
