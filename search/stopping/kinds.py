"""The table of the kinds of early stopping. A new one is a module beside this one, and a line here."""

import operator
from functools import reduce
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from search.stopping.kind import StoppingKind

KINDS = {
    "asha": "search.stopping.asha:Asha",
    "none": "search.stopping.none:NoStopping",
    "hyperband": "search.stopping.hyperband:Hyperband",
    "median": "search.stopping.median:Median",
    "pbt": "search.stopping.pbt:Pbt",
}
"""`kind` of `early_stopping:` → module and class of its settings, a `StoppingKind`."""


def _load(where: str) -> type[StoppingKind]:
    module, _, name = where.partition(":")
    found: type[StoppingKind] = getattr(import_module(module), name)
    return found


if TYPE_CHECKING:
    EarlyStopping = StoppingKind
else:
    EarlyStopping = Annotated[reduce(operator.or_, map(_load, KINDS.values())), Field(discriminator="kind")]
