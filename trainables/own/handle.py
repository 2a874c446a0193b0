"""What a user's training function is given: its config, its seed, and `report`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from spaces.problems import nearest
from trainables.run import UserCodeError

State = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class Stateful(Protocol):
    """What can be kept and set back, as torch's modules, optimizers and schedulers can."""

    def state_dict(self) -> Any:
        """All that there is to keep."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Become what was kept."""


class Config(dict[str, Any]):
    """A config as a dict whose keys are attributes, too: `config["lr"]`, `config.lr`, `config.model.width`."""

    def __init__(self, native: Mapping[str, Any]) -> None:
        super().__init__({key: _wrapped(value) for key, value in native.items()})

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"the config has no key {key!r}{nearest(key, map(str, self))}") from None

    def __reduce__(self) -> tuple[type["Config"], tuple[dict[str, Any]]]:
        return Config, (dict(self),)  # a DataLoader's worker may be sent it


def _wrapped(value: Any) -> Any:
    match value:
        case Mapping():
            return Config(value)
        case list() | tuple():
            return [_wrapped(item) for item in value]
        case _:
            return value


class Trial(Protocol):
    """One training as its function sees it: `def train(run)`."""

    @property
    def config(self) -> Config:
        """The values to train with."""

    @property
    def seed(self) -> int:
        """The seed; Python's, NumPy's and torch's generators have been seeded with it."""

    @property
    def folder(self) -> Path:
        """A folder of this training's own, for whatever it writes."""

    def resume(self) -> Any:
        """The state of the last report, where the training goes on from one, else None. Sets the random states back:
        call it right before the loop, when everything is built."""

    def restore(self, *parts: Stateful) -> int:
        """Keep `parts` (net, optimizer, scheduler, scaler: whatever changes while training) with every report, and set
        them back where the training goes on. Call it right before the loop, as `resume`, which it takes the part of.

        Returns:
            Units trained so far, from which to go on: 0 at the beginning.

        """

    def report(self, step: int, *, state: State | None = None, ends: bool = False, **metrics: Any) -> None:
        """Tell how the training stands after `step` units (1 after the first).

        Args:
            step: Units trained so far.
            state: What `resume` gives back: a mapping, or a function that makes it, called only when it is needed.
            ends: The training ends by itself with this report, before its full length: no trial waits here to go on.
            metrics: Numbers by name, the objective among them; tensors and NumPy scalars of one element will do.

        """


def as_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics as floats. Raises UserCodeError naming one that is no number."""
    return {name: _as_number(name, value) for name, value in metrics.items()}


def _as_number(name: str, value: Any) -> float:
    if isinstance(value, str | bytes) or value is None:
        raise UserCodeError(f"report: {name} is {value!r}, no number")
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        shape = getattr(value, "shape", None)
        what = f"has shape {tuple(shape)}" if shape is not None else f"is a {type(value).__name__}"
        raise UserCodeError(f"report: {name} {what}, no single number; report its mean, for instance") from error


def check_step(step: Any, last: int, unit: str) -> int:
    """The step as a whole number above `last`. Raises UserCodeError."""
    number = _as_number(unit, step)
    if not number.is_integer():
        raise UserCodeError(f"report: {unit} {step!r} is no whole number")
    if number < 1:
        raise UserCodeError(
            f"report: {unit} {int(number)}: units trained are counted, 1 after the first; report {unit} + 1"
        )
    if number <= last:
        raise UserCodeError(f"report: {unit} {int(number)} after {unit} {last}: it must grow from report to report")
    return int(number)


def check_names(metrics: Mapping[str, float], wanted: Sequence[str]) -> None:
    """Raise UserCodeError where a metric that trials are judged by is missing."""
    missing = [name for name in wanted if name not in metrics]
    if missing:
        got = ", ".join(metrics) or "nothing"
        hint = nearest(missing[0], metrics) if metrics else ""
        hint = hint if "did you mean" in hint else ""
        raise UserCodeError(f"report: {' and '.join(missing)} is missing; reported: {got}{hint}")


def check_stateful(parts: Sequence[Any]) -> None:
    """Raise UserCodeError for what can't be kept and set back."""
    for number, part in enumerate(parts, 1):
        if not (callable(getattr(part, "state_dict", None)) and callable(getattr(part, "load_state_dict", None))):
            what = (
                f"restore: argument {number} is of type {type(part).__name__}, without state_dict and load_state_dict"
            )
            raise UserCodeError(f"{what}; give it as part of state=… to run.report, and take it from run.resume()")
