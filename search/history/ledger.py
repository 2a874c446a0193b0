"""The one door through which events enter: written to the journal first, then folded and passed on."""

from collections.abc import Iterator
from contextlib import contextmanager

from search.history.events import Event, Listener
from search.history.journal import Journal
from search.history.records import Records


class Ledger:
    """Journal, records and listeners kept in step."""

    def __init__(self, journal: Journal, records: Records) -> None:
        self.records = records
        self._journal = journal
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell `listener` every event from now on, after the records have taken it in. It must not raise."""
        self._listeners.append(listener)

    @contextmanager
    def listening(self, *listeners: Listener) -> Iterator[None]:
        """As `listen`, until the end of the block."""
        self._listeners += listeners
        try:
            yield
        finally:
            self._listeners = [known for known in self._listeners if known not in listeners]

    @property
    def in_place(self) -> bool:
        """Whether the journal is still where it was opened."""
        return self._journal.in_place

    def put_back(self) -> None:
        """Write the journal at its path once more. Raises OSError where its folder is gone."""
        self._journal.put_back()

    def emit(self, event: Event) -> None:
        """Keep `event`, then tell the listeners. Raises OSError where the journal can't be written."""
        self._journal.append(event)
        self.records.apply(event)
        for listener in self._listeners:
            listener(event)
