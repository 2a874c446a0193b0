"""An earlier search on disk, to start from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from small_search import proposed, reported, small_search, trial

from search.history.events import Changed, Event, Paused, Phase, Started
from search.persistence.folder import opened
from search.spec.plan import make_plan
from search.spec.search import Search
from trainables.run import Prepared

PREPARED = Prepared(Path("/nowhere"), "d" * 64, "20 curves")
VALUES: dict[str, Any] = {"lr": 2e-3, "batch_size": 64, "warmup_epochs": 2}
EVENTS: list[Event] = [
    Phase("search", 1.0),
    *trial(0, 0.6, values={"lr": 1e-3, "batch_size": 256, "warmup_epochs": 3}, origin="baseline"),
    proposed(1, VALUES),
    reported(1, 3, 0.7),
    reported(1, 9, 0.65),
    Paused(1, 9, 0.0),
    *trial(2, 1.0, step=3, status="diverged", values=VALUES),
    *trial(3, None, status="failed", values=VALUES),
    proposed(4, VALUES),
    Started(4, "h", 1, "", 0.0),
    proposed(5, VALUES),
    Changed(5, {**VALUES, "lr": 3e-3}, 0.0),
    reported(5, 3, 0.4),
    *trial(6, 0.1, kind="confirm", origin="trial 0", values=VALUES),
]


def silent(text: str) -> None: ...


def made(place: Path, path: Path, *events: Event, overrides: tuple[str, ...] = ()) -> Search:
    """A search in the folder `path` with such a journal."""
    search = replace(small_search(place, *overrides), name=path.name)
    with opened(path, search, make_plan(search), PREPARED, silent) as folder:
        for event in events:
            folder.ledger.emit(event)
    return search


def state(folder: Path) -> dict[str, tuple[bytes, float]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime) for p in sorted(folder.rglob("*")) if p.is_file()}
