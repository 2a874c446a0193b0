"""Which kept states stay: those that save much for their size and were asked for lately, within a cap."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

FADING = 0.98
"""What a hit is worth when one more trial has been handed out."""


@dataclass
class Entry:
    """A kept state. Only `hits` changes."""

    key: str
    address: str
    """Empty where nothing is stored: the reports of a whole training, which are in the journal."""
    step: int
    size: int
    seen: int | None
    """The longest stretch without a gain that its controller had seen; None once it had acted."""
    source: int
    """The trial that kept it."""
    hits: list[int] = field(default_factory=list)
    """When it was asked for, in trials handed out by then."""

    def worth(self, now: int) -> float:
        """Steps saved × recent hits / bytes, a hit fading by `FADING` with each trial; being kept counts as one."""
        recent = sum(FADING ** (now - at) for at in self.hits)
        return self.step * recent / max(1, self.size)


def evicted(entries: Iterable[Entry], needed: int, in_use: Collection[str], now: int) -> list[Entry]:
    """The entries to delete so that `needed` bytes come free: the least worth first, never one that is in use.

    Fewer where that is all there are; none where `needed` is not above 0.
    """
    chosen: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: (entry.worth(now), entry.address)):
        if needed <= 0:
            break
        if entry.size and entry.key not in in_use:
            chosen.append(entry)
            needed -= entry.size
    return chosen
