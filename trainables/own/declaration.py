"""`trainable:` in a search's YAML: what the user's code is, how long it trains, and what it is judged by."""

import fnmatch
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from spaces.problems import nearest
from spaces.schema import Section, Text, Whole
from trainables.own.expression import Expression
from trainables.run import Objective

UNKNOWN = "unknown"
PLACEHOLDERS = ("config", "args", "args_underscore", "args_hydra", "env", "seed", "dir", "resume", "length")
STEP = "{step}"
"""In a checkpoint's name: the step that it is of."""
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_WHOLE_WORDS = ("args", "args_underscore", "args_hydra", "env", "resume")
_ENTRY = re.compile(r"[\w./-]+:[A-Za-z_]\w*")
WAYS = ("function", "command", "trainer", "lightning")
_HELD = 8
_ABOUT = ("worst", "unit")  # the keys of `objective` that are no metric

Pause = Literal["checkpoint", "rerun", "stop", "hold"]
Formula = Text | Whole | Annotated[float, Field(allow_inf_nan=False)]


class MetricSource(Section):
    """Where a command's metrics are read: one of csv, jsonl, stdout, tensorboard, mlflow."""

    csv: Text | None = None
    """A file with a header, in {dir} unless the path is absolute."""
    jsonl: Text | None = None
    """A file with one JSON object per line."""
    stdout: Text | None = None
    """A regular expression with a named group for the step and one per metric."""
    tensorboard: Text | None = None
    """The folder of the event files."""
    mlflow: Literal[True] | None = None
    """The run that the script makes under the MLFLOW_TRACKING_URI that it is given."""
    step: Text | None = None
    """The column, key or group that counts; null: the unit's name."""
    first: Annotated[Whole, Field(ge=0, le=1)] = 1
    """What the script calls the state after its first unit: 1, or 0 where it counts from zero."""
    names: dict[Text, Text] = Field(default_factory=dict)
    """A metric's name here -> its column, key, group or tag there, where they differ."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [key for key in ("csv", "jsonl", "stdout", "tensorboard", "mlflow") if getattr(self, key) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"give one of csv, jsonl, stdout, tensorboard and mlflow, got {got}")
        if self.stdout is not None:
            try:
                re.compile(self.stdout)
            except re.error as error:
                raise ValueError(f"stdout: {self.stdout!r} is no regular expression: {error}") from error
        return self

    @property
    def kind(self) -> str:
        """Which of them."""
        return next(k for k in ("csv", "jsonl", "stdout", "tensorboard", "mlflow") if getattr(self, k) is not None)


class Declaration(Section):
    """The user's code as one of the models."""

    function: Text | None = None
    """`train:train`: in train.py beside the YAML, the function train."""
    command: Text | None = None
    """The user's own command line, with placeholders; run beside the YAML, without a shell."""
    trainer: Text | None = None
    """`finetune:make_trainer`: a function of the config that returns a Hugging Face Trainer."""
    lightning: Text | None = None
    """`train:make`: a function of the config that returns a Lightning trainer and what its fit takes."""
    folder: Text = "."
    """The folder of the code, relative to the YAML."""
    code: list[Text] | None = None
    """Files, folders and patterns that are its code. null: what the function's or the command's files import."""
    unit: Literal["epoch", "step"] = "epoch"
    """What `length` and the reported steps count."""
    length: Text
    """The config key of a full training's length in `unit`; the search sets it."""
    objective: dict[Text, Any]
    """`{val_loss: min, worst: 2.3, unit: nats}`; more metrics may stand behind the first."""
    schedules: dict[Text, Any] = Field(default_factory=dict)
    """Knobs that follow a schedule: name -> preset."""
    settles: Formula | None = None
    """The first unit by which every schedule has left its warmup; `unknown`: first_rung must be a number. null: what
    `schedules` say."""
    seed: Text | None = None
    """The config key of the seed, where the code takes it from its config."""
    pause: Pause | None = None
    """How a trial waits at a rung. null: `checkpoint` for a function and where `checkpoint` is given, else `stop`."""
    evaluate: Text | None = None
    """What a checkpoint scores under a config: `train:evaluate`, a function of (config, state); of a command another
    command, with {checkpoint}. By it the probe tells whether a searched knob enters the objective itself."""
    held: Annotated[Whole, Field(ge=1, le=1000)] = _HELD
    """With `pause: hold`: how many commands of paused trials a node keeps in memory, and at most half of it."""
    checkpoint: Text | list[Text] | None = None
    """A command's checkpoint, as paths or patterns in {dir}. With the step in each name, as in `epoch_{step}.pt`,
    trials may share what they have in common."""
    resume: Text = "--resume {checkpoint}"
    """What {resume} becomes when a trial goes on."""
    metrics: MetricSource | None = None
    """Where a command writes its metrics."""
    booleans: Literal["flag", "no", "value"] = "flag"
    """In {args}, true and false are `--key` and nothing; `--key` and `--no-key`; or `--key true` and `--key false`."""
    grace: Annotated[float, Field(gt=0, le=600)] = 5.0
    """Seconds from SIGTERM to SIGKILL at a command's end."""

    @field_validator("objective")
    @classmethod
    def _judged(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        metrics = {key: mode for key, mode in value.items() if key not in _ABOUT}
        if not metrics:
            raise ValueError("names no metric; write {val_loss: min, worst: 2.3}")
        for key, mode in metrics.items():
            if not key.strip():
                raise ValueError(f"a metric needs its name, got {key!r}")
            if mode not in ("min", "max"):
                near = nearest(key, _ABOUT)
                raise ValueError(f"{key}: expected min or max, got {mode!r}{near if 'did you mean' in near else ''}")
        if "worst" not in value:
            what = "worst is missing: what a trivial predictor scores, such as ln(classes) for a cross entropy or 0 for"
            raise ValueError(f"{what} an accuracy; diverged trials get it")
        worst = value["worst"]
        if isinstance(worst, bool) or not isinstance(worst, int | float) or not math.isfinite(worst):
            raise ValueError(f"worst: expected a finite number, got {worst!r}")
        if not isinstance(value.get("unit", ""), str):
            raise ValueError(f"unit: expected text, got {value['unit']!r}")
        return value

    @field_validator("settles")
    @classmethod
    def _formula(cls, value: Any) -> Any:
        if value is not None and value != UNKNOWN:
            Expression(value)
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"expected a unit from 0 on, got {value}; 0 where there is no warmup")
        return value

    @field_validator("function", "trainer", "lightning")
    @classmethod
    def _entry(cls, value: str | None) -> str | None:
        if value is not None and not _ENTRY.fullmatch(value):
            raise ValueError(f"expected FILE:FUNCTION, as in train:train for train.py beside this file, got {value!r}")
        return value

    @field_validator("command")
    @classmethod
    def _placeholders(cls, value: str | None) -> str | None:
        return None if value is None else _checked_line(value, PLACEHOLDERS)

    @model_validator(mode="after")
    def _evaluates(self) -> Self:
        if self.evaluate is None:
            return self
        if not self.goes_on:
            raise ValueError("evaluate: scores checkpoints, and none is kept: declare pause: checkpoint, or drop it")
        if self.command is not None:
            _checked_line(self.evaluate, (*PLACEHOLDERS, "checkpoint"), "evaluate: ")
            if not {"checkpoint", "dir"} & set(_PLACEHOLDER.findall(self.evaluate)):
                raise ValueError("evaluate: has neither {checkpoint} nor {dir}, so that it can't read the weights")
        elif not _ENTRY.fullmatch(self.evaluate):
            raise ValueError(f"evaluate: expected FILE:FUNCTION, as in train:evaluate, got {self.evaluate!r}")
        return self

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.pause != "hold" and self.held != _HELD:
            raise ValueError("held: goes with pause: hold; drop it, or declare that")
        if self.pause == "hold" and self.command is None:
            what = "pause: hold keeps a command's process in memory; this is none"
            raise ValueError(f"{what}: use checkpoint, which keeps what is reported, or rerun")
        if self.pause == "hold" and self.checkpoint is not None:
            raise ValueError("checkpoint: goes with pause: checkpoint; drop it, or pause: hold")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = [key for key in WAYS if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(WAYS)}, got {' and '.join(given) or 'none'}")
        if self.command is None:
            only = [key for key in ("metrics", "checkpoint") if getattr(self, key) is not None]
            if only:
                raise ValueError(f"{only[0]}: is a command's; a function reports to run.report; drop it")
            return self
        if self.metrics is None:
            raise ValueError("metrics is missing: say where the command writes them, such as metrics: {csv: log.csv}")
        if self.pause == "checkpoint" and self.checkpoint is None:
            raise ValueError("checkpoint is missing: name the files in {dir} that the command resumes from")
        for name in _PLACEHOLDER.findall(self.resume):
            if name not in ("checkpoint", "dir"):
                raise ValueError(f"resume: unknown placeholder {{{name}}}; use {{checkpoint}} and {{dir}}")
        wanted = {self.counter, *(self.metrics.names.get(name, name) for name in self.judged)}
        if self.metrics.stdout is not None:
            groups = set(re.compile(self.metrics.stdout).groupindex)
            for name in sorted(wanted - groups):
                has = ", ".join(sorted(groups)) or "none"
                raise ValueError(f"metrics.stdout: has no group named {name}, write (?P<{name}>…); it has {has}")
        return self

    @property
    def counter(self) -> str:
        """The column, key or group that counts the units."""
        assert self.metrics is not None
        return self.metrics.step or self.unit

    @property
    def judged(self) -> tuple[str, ...]:
        """The metrics that trials are judged by."""
        return tuple(key for key in self.objective if key not in _ABOUT)

    @property
    def goal(self) -> Objective:
        """The objective, and the further ones."""
        first, *rest = self.judged
        return Objective(
            metric=first,
            mode=self.objective[first],
            worst=float(self.objective["worst"]),
            unit=self.objective.get("unit", first),
            further={name: self.objective[name] for name in rest},
        )

    @property
    def seeded(self) -> bool:
        """Whether the code is given a seed."""
        return self.command is None or self.seed is not None or "{seed}" in (self.command or "")

    @property
    def evaluates_by_seed(self) -> bool:
        """Whether `evaluate` is told the seed, so that a split that moves with it shows there."""
        if self.command is None:
            return self.evaluate is not None and self.seed is not None
        named = set(_PLACEHOLDER.findall(self.evaluate or ""))
        return "seed" in named or (self.seed is not None and bool(named & {"config", "env", *_WHOLE_WORDS}))

    @property
    def paused(self) -> Pause:
        """How a trial waits at a rung."""
        if self.pause is not None:
            return self.pause
        return "checkpoint" if self.command is None or self.checkpoint is not None else "stop"

    @property
    def goes_on(self) -> bool:
        """Whether a trial goes on from a checkpoint."""
        return self.paused == "checkpoint"

    def checkpoint_at(self, name: str, step: int) -> str | None:
        """What a command's whole checkpoint of a step is called in {dir}, given the name of a file that is one; None
        where that can't be: the file has another name, or is not all of it."""
        if len(self.checkpoints) != 1:
            return None
        pattern = self.checkpoints[0].replace("{dir}/", "").replace(STEP, str(self.counted(step)))
        if not set(pattern) & set("*?["):
            return pattern
        return name if fnmatch.fnmatch(name, pattern) else None

    def counted(self, step: int) -> int:
        """What a command calls a step."""
        return step - 1 + (1 if self.metrics is None else self.metrics.first)

    @property
    def stepped(self) -> bool:
        """Whether a command's checkpoints say in their names of which step they are."""
        return bool(self.checkpoints) and all(STEP in pattern for pattern in self.checkpoints)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The checkpoint's paths or patterns."""
        given = self.checkpoint
        return () if given is None else (given,) if isinstance(given, str) else tuple(given)

    @property
    def way(self) -> str:
        """Which of function, command, trainer and lightning is given."""
        return next(key for key in WAYS if getattr(self, key) is not None)

    @property
    def entry(self) -> tuple[str, str]:
        """The function's file, relative to the YAML, and its name."""
        given = self.function or self.trainer or self.lightning
        assert given is not None
        return self.entry_of(given)

    @staticmethod
    def entry_of(given: str) -> tuple[str, str]:
        """The file of a FILE:FUNCTION, relative to the YAML, and the function's name."""
        file, _, name = given.rpartition(":")
        path = file if file.endswith(".py") else f"{file.replace('.', '/')}.py"
        return PurePosixPath(path).as_posix(), name


def _checked_line(value: str, known: Sequence[str], key: str = "") -> str:
    """A command line whose placeholders are known and that can be split. Raises ValueError."""
    for name in _PLACEHOLDER.findall(value):
        if name not in known:
            raise ValueError(f"{key}unknown placeholder {{{name}}}{nearest(name, known)}")
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"{key}can't be split into words: {error}; check its quotes") from error
    if not words:
        raise ValueError(f"{key}is empty; give the command line that trains")
    if bare := sorted({w for w in words if w in ("|", ">", ">>", "<", "&&", "||", ";", "&", "2>&1")}):
        raise ValueError(f"{key}{bare[0]} is a shell's, and there is none; write bash -c '…', or leave it out")
    for name in _WHOLE_WORDS:
        if f"{{{name}}}" in value and f"{{{name}}}" not in words:
            raise ValueError(f"{key}{{{name}}} stands for several words; put spaces around it")
    return value
