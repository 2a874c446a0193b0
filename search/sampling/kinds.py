"""The table of samplers. A new one is a module beside this one, and a line here.

A sampler's module has `make(seed, finished, context)`, which gives an Optuna sampler for one proposal, and `WINDOW`:
how many of the best finished trials that one looks at, and how many finished ones in all.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:  # Optuna takes a while to import; settings need only the names
    from optuna.samplers import BaseSampler

    from search.sampling.samplers import SamplerContext

SAMPLERS = {
    "forest": "search.sampling.forest_sampler",
    "tpe": "search.sampling.tpe",
}
"""`kind` of `sampler:` → module."""
KINDS = (*SAMPLERS, "random", "grid")
"""Random draws and a grid need no sampler: see `search.sampling.draw` and `search.sampling.grid`."""

if TYPE_CHECKING:
    SamplerName = str
else:
    SamplerName = Literal[KINDS]


def make_sampler(kind: str, seed: int, finished: int, context: "SamplerContext") -> "BaseSampler":
    """A sampler without a past, for one proposal. `finished`: trials that have ended, also outside the window."""
    make: Callable[[int, int, SamplerContext], BaseSampler] = _module(kind).make
    return make(seed, finished, context)


def window(kind: str) -> tuple[int, int]:
    """How many of the best finished trials a sampler of this kind looks at, and how many finished ones in all."""
    return cast(tuple[int, int], _module(kind).WINDOW)


def _module(kind: str) -> Any:
    return import_module(SAMPLERS[kind])
