"""A Hugging Face `Trainer` as a training function: its evaluations are the reports, its checkpoint folders the state.

The user's factory gives the trainer that the script would have called `train()` on; nothing else changes.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trainables.own import held_files
from trainables.own.handle import Trial
from trainables.run import UserCodeError

if TYPE_CHECKING:  # it takes seconds to import; only who trains needs it
    from transformers import Trainer

_FOLDER = "trainer"  # in the training's own folder: what the Trainer writes
_PREFIX = "eval_"  # put before the name of every metric by the Trainer


def training(make: Callable[[Any], Any], unit: Literal["epoch", "step"], checkpoints: bool) -> Callable[[Trial], None]:
    """The training function of a factory.

    Args:
        make: Takes the config and returns a `Trainer` that has not trained.
        unit: What its evaluations are counted in.
        checkpoints: Whether a training goes on from its checkpoints after a pause.

    Returns:
        A function for `trainable.function`. It raises UserCodeError where the trainer's arguments can't be searched.

    """

    def train(run: Trial) -> None:
        from transformers import Trainer, set_seed  # lazy: see above

        before = {path.name for path in Path.cwd().iterdir()}
        trainer = make(run.config)
        if not isinstance(trainer, Trainer):
            raise UserCodeError(f"the factory returned a {type(trainer).__name__}; return the Trainer, not yet trained")
        _check(trainer, unit, checkpoints)
        _adapt(trainer, run, before)
        trainer.add_callback(_reporting(run, unit, checkpoints))
        set_seed(run.seed)  # the Trainer has seeded with its own default, 42
        state = run.resume()
        begin = None if state is None else str(unpacked(state, run.folder / "resumed"))
        trainer.train(resume_from_checkpoint=begin)

    return train


def _check(trainer: "Trainer", unit: str, checkpoints: bool) -> None:
    args = trainer.args
    wanted = "epoch" if unit == "epoch" else "steps"
    if args.eval_strategy != wanted:
        what = f"eval_strategy is {_named(args.eval_strategy)!r}; trials are judged by evaluations, counted in {unit}s"
        raise UserCodeError(f"{what}: set eval_strategy={wanted!r}")
    if not checkpoints:
        return
    if args.save_strategy != wanted:
        what = f"save_strategy is {_named(args.save_strategy)!r} and eval_strategy {wanted!r}; a trial pauses after an "
        raise UserCodeError(f"{what}evaluation and goes on from its checkpoint: set save_strategy={wanted!r}")
    if unit == "step" and args.save_steps != args.eval_steps:
        what = f"save_steps is {args.save_steps:g} and eval_steps {args.eval_steps:g}"
        raise UserCodeError(f"{what}; a trial goes on from the checkpoint of its evaluation: set both to the same")
    if args.save_only_model:
        raise UserCodeError(
            "save_only_model is on: without optimizer and scheduler no trial can go on; set it to False"
        )


def _named(strategy: Any) -> str:
    """A strategy as the user writes it."""
    return str(getattr(strategy, "value", strategy))


def _adapt(trainer: "Trainer", run: Trial, before: set[str]) -> None:
    """Give the training its own folder and seed, and keep what it prints and stores small. `before`: what there was in
    the current folder before the Trainer made its own there, which stays empty."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback  # lazy: see above

    args = trainer.args
    made = Path(args.output_dir or "")
    if not made.is_absolute() and made.parts[:1] and made.parts[0] not in before:
        with suppress(OSError):
            os.removedirs(made)
    args.output_dir = str(run.folder / _FOLDER)
    args.seed = run.seed
    args.restore_callback_states_from_checkpoint = True  # such as how long an early stopping has waited
    if args.save_total_limit is None:
        args.save_total_limit = 1
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)


def _reporting(run: Trial, unit: str, checkpoints: bool) -> Any:
    """The callback that reports: after an evaluation, and where trials pause once its checkpoint is written."""
    from transformers import TrainerCallback  # lazy: see above

    class Reporting(TrainerCallback):
        metrics: Mapping[str, float] | None = None

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            self.metrics = {key.removeprefix(_PREFIX): value for key, value in (metrics or {}).items()}
            if not checkpoints:
                self._report(args, state, control)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if checkpoints:
                self._report(args, state, control)

        def _report(self, args: Any, state: Any, control: Any) -> None:
            if self.metrics is None:
                return
            told, self.metrics = _told(self.metrics), None
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            step = state.global_step if unit == "step" else round(state.epoch)
            kept = (lambda: _packed(folder)) if checkpoints else None
            run.report(step, state=kept, ends=control.should_training_stop, **told)

    return Reporting()


def _told(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of the evaluation; not the Trainer's own timings, which no two trainings have in common."""
    timed = ("runtime", "samples_per_second", "steps_per_second", "epoch", "step", "state")
    return {key: float(value) for key, value in metrics.items() if key not in timed and isinstance(value, int | float)}


def _packed(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint by name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {"name": folder.name.encode(), **{p.relative_to(folder).as_posix(): p.read_bytes() for p in files}}


def unpacked(state: Mapping[str, bytes], place: Path) -> Path:
    """The folder of a checkpoint, written again."""
    shutil.rmtree(place, ignore_errors=True)
    folder = place / state["name"].decode()
    held_files.put_back(folder, {name: content for name, content in state.items() if name != "name"})
    return folder
