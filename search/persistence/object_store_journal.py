"""A search's journal in an object store, and the files that it hands over.

Objects can't be appended to. So the newest one is written again, longer, with each record until it is large enough, and
then another one is begun: `journal/EPOCH-ID/START`, START being the byte of the journal that it begins with, EPOCH the
number of the driver (`search.persistence.lease`). A record is in the store before it is in the driver's own journal,
and so before anything is done about it: whatever machine is lost, the store knows all that ever had consequences.
"""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from search.persistence.lease import Lease
from spaces.problems import BadInput
from trainables.objects import Prefix

FULL = 32 * 2**10  # bytes of an object, after which the next one is begun: each record costs as many at most
_AT_ONCE = 8
_PLACE = re.compile(r"(?P<epoch>\d+)-(?P<id>[0-9a-f]+)/(?P<start>\d+)")
_LOCAL = re.compile(
    r"(^|/)(\.|ray/|checkpoints/|worker\.json|hang\.txt|memory\.txt|(journal|tracking)\.jsonl|study\.journal)"
)
"""Files of a search's folder that are of use on one machine only, are in the store already, or are derived."""


@dataclass(frozen=True)
class Part:
    """What one driver wrote."""

    epoch: int
    id: str
    start: int
    """The byte of the journal that it begins with."""
    objects: tuple[str, ...]
    """In order."""


class Mirror:
    """The journal of the search in `store`; for the driver that holds its lease."""

    def __init__(self, store: Prefix, lease: Lease) -> None:
        self.store, self._lease = store, lease
        self._start, self._content = 0, b""
        self.begun = False
        """Whether the journal holds anything."""
        self.restored = False
        """Whether the store knew more than the folder."""

    def begin(self, length: int) -> None:
        """Go on from the journal's first `length` bytes."""
        self._start, self._content, self.begun = length, b"", length > 0

    def commit(self, record: bytes) -> None:
        """Bring a record into the store; waits while the store is away. Raises Displaced where another driver has taken
        the search over.
        """
        self._lease.check()
        content = self._content + record
        self.begun = True
        place = self.store / f"journal/{self._lease.epoch:05d}-{self._lease.id}"
        place.put(f"{self._start:012d}", content)
        if len(content) < FULL:
            self._content = content
        else:
            self._start, self._content = self._start + len(content), b""


def parts(store: Prefix) -> list[Part]:
    """What drivers have written, in order. Raises BadInput where two bear the same number."""
    by_driver: dict[tuple[int, str], list[str]] = {}
    for name in sorted((store / "journal").sizes(recursive=True)):
        if found := _PLACE.fullmatch(name):
            by_driver.setdefault((int(found["epoch"]), found["id"]), []).append(name)
    made = [
        Part(epoch, identity, int(names[0].rpartition("/")[2]), tuple(names))
        for (epoch, identity), names in sorted(by_driver.items())
    ]
    for one, other in pairwise(made):
        if one.epoch == other.epoch:
            what = "two drivers began at the same moment, and both wrote; look at both and delete one"
            raise BadInput.of(str(store / "journal"), f"{one.epoch:05d}-{one.id} and -{other.id}: {what}")
    return made


def journal(store: Prefix, made: Iterable[Part]) -> bytes:
    """The journal. Raises BadInput where a part of it is missing.

    A driver's part ends where the next one's begins: what the first still wrote then, never had consequences.
    """
    content = b""
    for part in made:
        if part.start > len(content):
            raise _hole(store, part, len(content))
        content = content[: part.start]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            pieces = list(pool.map((store / "journal").get, part.objects))
        for name, piece in zip(part.objects, pieces, strict=True):
            if piece is None or int(name.rpartition("/")[2]) != len(content):
                raise _hole(store, part, len(content))
            content += piece
    return content


def upload(store: Prefix, folder: Path) -> None:
    """Bring what people look at in a search's folder into the store; trials' files only where they have grown."""
    there = store.sizes(recursive=True)
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    chosen = [
        (name, path)
        for name, path in files.items()
        if not _LOCAL.search(name) and not (name.startswith("trials/") and there.get(name) == path.stat().st_size)
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda each: store.put(each[0], each[1].read_bytes()), chosen))


def _hole(store: Prefix, part: Part, at: int) -> BadInput:
    what = f"bytes from {at} are missing before what driver {part.epoch} wrote; put them back from a backup"
    return BadInput.of(str(store / "journal"), what)
