"""A Lightning `Trainer` as a training function: each validation is a report, the trainer's own checkpoint the state.

The user's factory gives the trainer and what its `fit` takes; nothing else changes.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from trainables.own.handle import Trial
from trainables.run import UserCodeError

_ROOT = "PL_TRAINER_DEFAULT_ROOT_DIR"
"""Environment variable that Lightning takes the trainer's folder from, where the code names none."""
_CHECKPOINT = "resumed.ckpt"
_RETURNS = "return the trainer and what fit takes, as in: return trainer, module, train_loader, val_loader"


def training(make: Callable[[Any], Any], unit: Literal["epoch", "step"], checkpoints: bool) -> Callable[[Trial], None]:
    """The training function of a factory.

    Args:
        make: Takes the config and returns `(trainer, module, …)`: the trainer and the positional arguments of its fit.
        unit: What validations are counted in.
        checkpoints: Whether a training goes on from its checkpoints after a pause.

    Returns:
        A function for `trainable.function`. It raises UserCodeError where the factory returns something else.

    """

    def train(run: Trial) -> None:
        library = _library()
        with _rooted(run.folder):
            made = make(run.config)
        if not isinstance(made, tuple) or len(made) < 2 or not isinstance(made[0], library.Trainer):
            raise UserCodeError(f"the factory returned {_described(made)}; {_RETURNS}")
        trainer, *fit = made
        _check(trainer, unit)
        trainer.callbacks.append(_reporting(library, run, unit, checkpoints))
        state = run.resume()
        begin = None if state is None else written(state, run.folder)
        # Our own file, written by this trial: hyperparameters in it are any Python objects.
        trainer.fit(*fit, ckpt_path=begin, weights_only=False)

    return train


@contextmanager
def _rooted(folder: Path) -> Iterator[None]:
    """Meanwhile a trainer for which the user names no folder writes into `folder`; else into one that trials share."""
    if _ROOT in os.environ:
        yield
        return
    os.environ[_ROOT] = str(folder)
    try:
        yield
    finally:
        del os.environ[_ROOT]


def _library() -> Any:
    """`lightning.pytorch`, or the same under its older name."""
    for name in ("lightning.pytorch", "pytorch_lightning"):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return importlib.import_module(name)  # takes seconds: only who trains needs it
    raise UserCodeError("neither lightning nor pytorch_lightning is installed: pip install lightning")


def _described(made: Any) -> str:
    if isinstance(made, tuple):
        return f"({', '.join(type(item).__name__ for item in made)})"
    return f"a {type(made).__name__}"


def _check(trainer: Any, unit: str) -> None:
    every = trainer.check_val_every_n_epoch
    if unit == "epoch" and (every is None or trainer.val_check_interval not in (None, 1.0)):
        what = f"validation runs by val_check_interval={trainer.val_check_interval!r}, not after each epoch"
        raise UserCodeError(f"{what}: leave val_check_interval out, or declare unit: step")


def _reporting(library: Any, run: Trial, unit: str, checkpoints: bool) -> Any:
    """The callback that reports. A `Checkpoint` of the library's, so that it comes after all other callbacks."""

    class Reporting(library.callbacks.Checkpoint):  # type: ignore[misc]  # untyped here
        def __init__(self) -> None:
            super().__init__()
            self._before: Mapping[str, Any] = {}
            self._metrics: dict[str, float] | None = None

        def on_validation_start(self, trainer: Any, _: Any) -> None:
            self._before = dict(trainer.callback_metrics)

        def on_validation_end(self, trainer: Any, _: Any) -> None:
            if trainer.sanity_checking:
                return
            now = dict(trainer.callback_metrics)  # of these, training's own are the tensors that were there before
            self._metrics = {k: float(v) for k, v in now.items() if v is not self._before.get(k)}
            if unit == "step":
                self._report(trainer, trainer.global_step)

        def on_train_epoch_end(self, trainer: Any, _: Any) -> None:
            if unit == "epoch":
                self._report(trainer, trainer.current_epoch + 1)

        def _report(self, trainer: Any, step: int) -> None:
            told, self._metrics = self._metrics, None
            if told is not None:
                kept = (lambda: {"checkpoint": _saved(trainer, run.folder)}) if checkpoints else None
                run.report(step, state=kept, ends=_stops(trainer, unit), **told)

    return Reporting()


def _stops(trainer: Any, unit: str) -> bool:
    """Whether the trainer ends after this validation, at the request of a callback."""
    epochs = trainer.current_epoch + (unit == "epoch")  # it counts up after the epoch's callbacks
    enough = epochs >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    return bool(trainer.should_stop and enough)


def written(state: Mapping[str, bytes], folder: Path) -> Path:
    """The trainer's own checkpoint, as a file again."""
    path = folder / _CHECKPOINT
    path.write_bytes(state["checkpoint"])
    return path


def _saved(trainer: Any, folder: Path) -> bytes:
    path = folder / "saved.ckpt"
    trainer.save_checkpoint(path)
    content = path.read_bytes()
    path.unlink()
    return content
