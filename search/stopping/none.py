"""`kind: none`: no trial is stopped early."""

from typing import ClassVar, Literal

from search.stopping.kind import StoppingKind


class NoStopping(StoppingKind):
    """Every trial runs to the full budget."""

    several_objectives: ClassVar[bool] = True

    kind: Literal["none"]
    """No trial is ended early."""
