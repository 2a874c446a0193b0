"""A search's folder as the copy of what an object store holds: made, kept and handed back by one driver at a time."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from search.common.store_uri import identity, sqlite_file
from search.history.chain import parse
from search.history.journal import read
from search.persistence.lease import Displaced, Lease
from search.persistence.object_store_journal import Mirror, journal, parts
from search.spec.search import Search
from search.spec.storage import DESCRIPTION, JOURNAL, NOTE, Home, check
from search.tracking.types import TrackingInfo
from search.tracking.updates import PARENT
from spaces.problems import BadInput
from trainables.files import write_text
from trainables.objects import Prefix

UID, RUNS = "uid", "tracking.jsonl"
"""In a store: the name of the search's runs. In a folder: which there are (`search.tracking.run_ids`)."""

Say = Callable[[str], None]


@contextmanager
def held(home: Home, say: Say) -> Iterator[Mirror | None]:
    """Have the search for this process while the block runs; its folder is what the store knows. None without a store.

    Raises BadInput where the store can't be used, another driver has the search, or the folder holds another story.
    """
    if home.store is None:
        check_note(home.path)
        yield None
        return
    check(home.store)
    store = replace(home.store, say=say)
    written, lease = parts(store), Lease(home.store)
    lease.take(max((part.epoch for part in written), default=0) + 1, say)
    mirror = Mirror(store, lease)
    try:
        known = journal(store, parts(store))  # again: the driver before may have written until now
        mirror.restored = restore(home.path, store, known)
        mirror.begin(len(known))
        yield mirror
    except Displaced as error:
        raise BadInput.of(str(store), f"{error}; what was not in the store yet is done again there") from error
    finally:
        with suppress(OSError):  # the store is away: the lease will be found to be nobody's
            lease.release(keep=bool(written) or mirror.begun)


def check_note(path: Path) -> None:
    """Raise BadInput where the folder is the copy of a search in a store: going on here alone would leave it behind."""
    note = path / NOTE
    if note.exists():
        base, question, query = note.read_text(encoding="utf-8").strip().partition("?")
        uri = base.rpartition("/")[0] + question + query
        raise BadInput.of(str(path), f"is a copy of a search that is kept in {uri}; go on with --storage {uri}")


def restore(path: Path, store: Prefix, known: bytes) -> bool:
    """Make the folder's journal what the store knows; whether that was more than the folder knew. Raises BadInput where
    it holds something else, or damage.
    """
    parse(known, f"{store / 'journal'}")
    local = path / JOURNAL
    if local.exists():
        intact = local.read_bytes()[: read(local)[1].size]
        if not known.startswith(intact):
            what = f"its journal is not that of {store}; move the folder away to go on from there, or choose another "
            raise BadInput.of(str(path), what + "--name")
        if len(intact) == len(known) == local.stat().st_size:
            return False
    elif not known:
        return False
    path.mkdir(parents=True, exist_ok=True)
    described = store.get(DESCRIPTION)
    if described is None:
        raise BadInput.of(str(store), f"holds a journal and no {DESCRIPTION}; put it back from a backup")
    write_text(path / NOTE, f"{store.uri}\n")
    write_text(path / DESCRIPTION, described.decode())
    write_text(local, known.decode())  # last: with it the folder holds a search
    return True


def remember_runs(mirror: Mirror, trials: Iterable[int], info: TrackingInfo) -> None:
    """Let the tracker of this search know, before it starts, under which name its runs are in any tracking store; and,
    where another driver has gone further than this folder knows, which runs to look for before it makes them.
    """
    uid = mirror.store.get(UID)
    file = info.folder / RUNS
    if uid is None:
        uid = uuid.uuid4().hex.encode()
        mirror.store.put(UID, uid)
    lines: list[dict[str, object]] = [{"uid": uid.decode()}]
    database = sqlite_file(info.uri)
    if mirror.restored and (database is None or database.exists()):
        lines += [{"store": identity(info.uri, info.experiment)}, {"described": True}]
        lines += [{"creating": trial} for trial in (PARENT, *trials)]
    with file.open("a", encoding="utf-8") as text:
        text.write("".join(f"\n{json.dumps(line)}" for line in lines) + "\n")


def bring_source(home: Home, search: Search) -> None:
    """Make, or bring up to date, the copy of the search that a new one starts from, where the store holds it."""
    start = search.settings.warm_start
    if home.store is None or start is None or start.search is None or "/" in start.search:
        return
    store, path = home.store.beside(start.search), home.path.parent / start.search
    known = journal(store, parts(store))
    if known:
        restore(path, store, known)
