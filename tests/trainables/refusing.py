"""What is refused of users' data is said in whole: file, what is there, what their script does, what to do instead."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spaces.problems import BadInput

KEYS = r"(data|dataset|inference|model)(\.\w+)?|max_lag|init_checkpoint_path"
"""Where keys of the user's config are at fault: the command names its file."""
INSTEAD = re.compile(
    r"\b(add|choose|convert|copy|correct|cut|leave|list|load|lower|make|name|raise|rename|repair|run|save|set|sort|split|"
    r"take|widen|write|expected|give)\b",
    re.I,
)


@contextmanager
def refusing(said: str | None = None) -> Iterator[pytest.ExceptionInfo[BadInput]]:
    """The block is refused as `said`, a pattern; every problem is said in whole."""
    with pytest.raises(BadInput, match=said) as error:
        yield error
    for told in error.value.problems:
        if not re.match(r"(… and )?\d+ more problems", told.what):
            assert told.where.startswith("/") or re.fullmatch(KEYS, told.where), told
            assert re.search(r"\byour (own )?(script|network|decoder)", told.what), told
            assert INSTEAD.search(told.what), told
