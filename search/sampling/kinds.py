"""The table of samplers. A new one is a module beside this one, and a line here.

A sampler's module has `make(seed, finished, context)`, which gives an Optuna sampler for one proposal, and `WINDOW`:
how many of the best finished trials that one looks at, and how many finished ones in all.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

SAMPLERS = {
    "forest": "search.sampling.forest_sampler",
    "tpe": "search.sampling.tpe",
}
"""`kind` of `sampler:` → module. Imported when it is used: Optuna takes a while, and settings need only the names."""
KINDS = (*SAMPLERS, "random", "grid")
"""Random draws and a grid need no sampler: see `search.sampling.draw` and `search.sampling.grid`."""

if TYPE_CHECKING:
    SamplerName = str
else:
    SamplerName = Literal[KINDS]


def sampler_module(kind: str) -> Any:
    """The module of the samplers of this kind, as described above."""
    return import_module(SAMPLERS[kind])
