"""All searches' Optuna studies in one dashboard, in a process of its own.

`python -m search.dashboard.studies RESULTS HOST PORT`.

The dashboard can rename, annotate and delete what it shows, and a search that runs writes to its file meanwhile. So it
is given copies in memory, made anew when a file has changed; the files are only read.
"""

import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from search.dashboard.child import end_with_parent

STUDY = "study.journal"
LOOK = 5.0  # seconds between two looks at the files,
SHARE = 0.1  # or longer: reading may take this share of the time

Stamp = tuple[int, int]
Read = tuple[FrozenStudy, Sequence[FrozenTrial]]


class Studies:
    """The studies under a folder of results, each read again when its file has changed."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._known: dict[Path, tuple[Stamp, list[Read]]] = {}

    def changed(self) -> bool:
        """Read what is new; whether there was anything."""
        stamps = dict(self._stamps())
        gone = set(self._known) - set(stamps)
        for path in gone:
            del self._known[path]
        fresh = [path for path, stamp in stamps.items() if path not in self._known or self._known[path][0] != stamp]
        for path in fresh:
            self._known[path] = (stamps[path], read(path))
        return bool(fresh or gone)

    def storage(self) -> InMemoryStorage:
        """Copies of all of them, under their searches' names; new files come last, so that numbers stay as they are."""
        found = InMemoryStorage()
        names: set[str] = set()
        for path, (_, studies) in self._known.items():
            for study, trials in studies:
                name = study.study_name if study.study_name not in names else f"{study.study_name} ({path.parent.name})"
                names.add(name)
                number = found.create_new_study(study.directions, name)
                for key, value in study.user_attrs.items():
                    found.set_study_user_attr(number, key, value)
                for key, value in study.system_attrs.items():
                    found.set_study_system_attr(number, key, value)
                for trial in trials:
                    found.create_new_trial(number, trial)
        return found

    def _stamps(self) -> Iterable[tuple[Path, Stamp]]:
        for path in sorted(self._results.glob(f"*/{STUDY}")):
            try:
                status = path.stat()
            except OSError:  # replaced just now
                continue
            yield path, (status.st_mtime_ns, status.st_size)


def read(path: Path) -> list[Read]:
    """The studies in a journal file; none of one that can't be read now."""
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
        return [(each, storage.get_all_trials(each._study_id)) for each in storage.get_all_studies()]
    except Exception as error:  # a half-written line, a foreign file: the others are shown
        print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return []


class Live:
    """A WSGI application that shows the studies as they are now."""

    def __init__(self, studies: Studies) -> None:
        self._studies = studies
        self._application: Any = None
        self.refresh()

    def refresh(self) -> None:
        """Look at the files, and show what has changed."""
        from optuna_dashboard import wsgi  # not everyone has it

        if self._studies.changed() or self._application is None:
            self._application = wsgi(self._studies.storage())

    def keep_fresh(self) -> None:
        """Refresh for ever."""
        while True:
            began = time.monotonic()
            self.refresh()
            time.sleep(max(LOOK, (time.monotonic() - began) / SHARE))

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer a request."""
        return self._application(environ, start_response)


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        """Requests are nobody's business."""


def main(arguments: Sequence[str]) -> None:
    """Serve until killed, or until whoever started this is gone."""
    results, host, port = arguments
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    live = Live(Studies(Path(results)))
    threading.Thread(target=live.keep_fresh, daemon=True).start()
    end_with_parent()
    with make_server(host, int(port), live, handler_class=_Silent) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
