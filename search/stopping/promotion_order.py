"""In which order trials that wait at a rung take up free workers: one rule for Ray and for the simulator."""

from collections.abc import Container, Iterator

from search.stopping.bracket import Bracket


def due(bracket: Bracket, busy: Container[int], alone: bool) -> Iterator[int]:
    """The paused trials that free workers take up, in order: those that are promoted, from the top rung down; with
    none of them, and if `alone`, the closing promotion. Where this gives too few, new trials follow.

    `busy`: trials that have a worker though they are paused (they still save, or run up to their rung once more).
    `alone`: no trial has a worker, and no new one will come.
    """
    some = False
    for trial in bracket.promotions():
        if trial not in busy:
            some = True
            yield trial
    if alone and not some:
        closing = bracket.closing()
        if closing is not None:
            yield closing
