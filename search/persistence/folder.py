"""A search's folder under `results/`: made for a new search, taken up again by its one owner."""

import json
import os
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from search.history.chain import End
from search.history.events import Event
from search.history.journal import Journal, check_head, is_done, read
from search.history.ledger import Ledger
from search.history.records import Records
from search.persistence.object_store_journal import Mirror
from search.persistence.reconcile import reconcile
from search.spec.plan import Plan
from search.spec.search import Search
from search.spec.storage import BASE, DESCRIPTION, NOTE
from search.spec.storage import JOURNAL as JOURNAL
from spaces import strict_yaml
from spaces.problems import BadInput
from spaces.values import show
from trainables.files import write_bytes, write_text
from trainables.layout import CODE, OWNER
from trainables.objects import Prefix
from trainables.own.code import located
from trainables.run import Prepared


@dataclass(frozen=True)
class Folder:
    """An open search: its place, what happened before, and the ledger for what will."""

    path: Path
    history: tuple[Event, ...]
    ledger: Ledger
    owner: str
    """What `OWNER` in it says of this process."""
    store: Prefix | None = None
    """Where its lasting state is, if not in the folder itself."""

    def trouble(self) -> str | None:
        """What has happened to the folder while it is in use, if its journal is no longer the file that is written."""
        if self.ledger.in_place:
            return None
        if self._there():
            return f"{self.path / JOURNAL} was deleted or replaced while the search ran"
        return f"{self.path} was moved, renamed or deleted while the search ran"

    def mend(self) -> str:
        """Put the journal back where it was, if the folder is there; what people should know and do."""
        with suppress(OSError):
            if self._there():
                self.ledger.put_back()
                return "it is written again, complete"
        return "move it back; if it was deleted, nothing is left of it and the search begins anew"

    def _there(self) -> bool:
        """Whether this is still the search's folder: a worker may have made a new one of its name."""
        return (self.path / DESCRIPTION).exists()

    @property
    def records(self) -> Records:
        """What is known of every trial."""
        return self.ledger.records

    def replay(self, index: int) -> Iterator[Event]:
        """The journal's events from `index` on, down to its present end."""
        return islice(read(self.path / JOURNAL)[0], index, None)


def check_name(path: Path, resume: bool) -> None:
    """Raise BadInput where no search can be begun or gone on with, and with `resume` where none exists yet."""
    for place in (path.parent, path):
        if place.exists() and not place.is_dir():
            raise BadInput.of(str(place), "is a file, where a folder is needed; choose another --results or --name")
    exists = (path / JOURNAL).exists()
    if resume and not exists:
        raise BadInput.of(str(path), "there is no search to resume; leave --resume out to start it")
    if path.exists() and not exists and any(not file.name.startswith(".") for file in path.iterdir()):
        raise BadInput.of(str(path), "the folder holds something else than a search; choose another --name")


def check_same(path: Path, search: Search, digest: str, open_: Collection[str] = ()) -> None:
    """Raise BadInput where the folder holds another search than this one, on data of `digest`. Reads only the first
    line of the journal, so that a mistake is told before anything slow is begun; `opened` looks again. `open_`:
    settings that are not decided yet.
    """
    journal = path / JOURNAL
    with suppress(FileNotFoundError), journal.open("rb") as file:
        if file.readline().endswith(b"\n"):
            _check_same(path / DESCRIPTION, search, digest, open_)


def finished(path: Path, search: Search, digest: str) -> bool:
    """Whether the folder holds this search to its end, asked for as it is now. `digest`: of the data."""
    described = path / DESCRIPTION
    return (
        is_done(path / JOURNAL)
        and described.exists()
        and described.read_text(encoding="utf-8") == search.to_yaml(digest)
    )


@contextmanager
def opened(
    path: Path,
    search: Search,
    plan: Plan,
    prepared: Prepared,
    say: Callable[[str], None],
    mirror: Mirror | None = None,
) -> Iterator[Folder]:
    """Own the folder until the end of the block; `say` tells people what needs them meanwhile. `mirror`: the store that
    the folder is a copy of.

    Raises BadInput where another process owns it, where what the search is has changed since it began, or where the
    journal is damaged or doesn't go with what lies beside it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_text(path / ".writable", "")
        (path / ".writable").unlink()
    except OSError as error:
        raise BadInput.of(
            str(path), f"nothing can be written here ({error.strerror}); choose another --results"
        ) from error
    store = None if mirror is None else mirror.store
    with _owned(path) as owner:
        journal = path / JOURNAL
        history, end = read(journal) if journal.exists() else ([], End())
        check_head(journal, end)
        if history:
            _check_same(path / DESCRIPTION, search, prepared.digest)
            for line in reconcile(path, Records(history), search.every, store):
                say(line)
        first = None if mirror is None else mirror.commit
        # First: by the journal a search that was killed right here is known again.
        with Journal(journal, end, say, first) as file:
            for name, content in _described(search, plan, prepared.digest):
                place = path / name
                place.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(place, content)
                if store is not None:
                    store.put(name, content)
            if store is not None:
                write_text(path / NOTE, f"{store.uri}\n")
            yield Folder(path, tuple(history), Ledger(file, Records(history)), owner, store)


def _described(search: Search, plan: Plan, digest: str) -> Iterator[tuple[str, bytes]]:
    """The files that say what the search is, as (name in its folder, content): its settings, its plan, the user's own
    native file and code, with which alone a training can be done again.
    """
    checked = {"checked": dict(search.checked)} if search.checked else {}
    yield DESCRIPTION, search.to_yaml(digest).encode()
    yield "plan.json", (json.dumps({**plan.as_dict(), **checked}, indent=2) + "\n").encode()
    if search.base_source is not None:
        yield f"{BASE}/{Path(search.base_name).name}", search.base_source.encode()
    known = search.trainable
    if known is not None:
        root = located(known["folder"], known["relative"], known["code"], None)
        for name in known["code"]:
            yield f"{CODE}/{name}", (root / name).read_bytes()


@contextmanager
def _owned(path: Path) -> Iterator[str]:
    owner = path / OWNER
    me = f"{socket.gethostname()} pid {os.getpid()}\n"
    try:
        with FileLock(path / ".lock", timeout=0):
            write_text(owner, me)
            yield me
    except Timeout as error:
        who = owner.read_text(encoding="utf-8").strip() if owner.exists() else "another process"
        raise BadInput.of(str(path), f"{who} is running this search; wait for it or stop it") from error


def _check_same(path: Path, search: Search, digest: str, open_: Collection[str] = ()) -> None:
    before = strict_yaml.load(path)
    if not isinstance(before, dict):
        what = "is not what this search has written there: a mapping of its settings. Put it back from a backup, or "
        raise BadInput.of(str(path), what + "begin anew with another --name")
    now = json.loads(json.dumps({**search.identity(), "data_digest": digest}))
    now["base"] = _known(now["base"], before.get("base"))
    for settings in (now["settings"], before.get("settings")):
        if isinstance(settings, dict):
            settings.setdefault("share", "off")
            for key in open_:
                settings.pop(key, None)
    code = _changed_code(before.get("code"), now.pop("code", None))
    now = {key: value for key, value in now.items() if not code or key != "data_digest"}  # it holds the code's
    changed = [*code, *_differences({key: before.get(key) for key in now}, now, "")]
    if changed:
        what = "this is not the search that the folder holds; take its results along with --fork NAME, begin anew with "
        what += "another --name, or undo what changed: "
        raise BadInput.of(str(path), what + "; ".join(changed[:8]) + ("; …" if len(changed) > 8 else ""))


def _known(base: Any, before: Any) -> Any:
    """`base` without the keys that the version which began the search did not know: they do now what it did then."""
    if not isinstance(base, dict) or not isinstance(before, dict):
        return base
    return {key: _known(value, before[key]) for key, value in base.items() if key in before}


def _changed_code(old: Any, new: Any) -> list[str]:
    """The files of the user's own code that are not what they were, in one entry."""
    was, now = old if isinstance(old, dict) else {}, new if isinstance(new, dict) else {}
    names = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
    return [f"the code in {', '.join(names)}"] if names else []


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path}: {show(old)} -> {show(new)}"
