"""A declared trainable as one of the models: what the search, the trainer and the bridge ask of it."""

import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from spaces.paths import get, has, leaves, with_values
from spaces.problems import BadInput, Problem, nearest, raise_any
from spaces.schema import Section, Text, parse
from trainables.keys import differing
from trainables.native import as_yaml, parse_native, rewrite
from trainables.own import code
from trainables.own.arguments import Filling, command_line
from trainables.own.config import OwnConfig, OwnData
from trainables.own.declaration import UNKNOWN, Declaration
from trainables.own.expression import Expression, ExpressionError
from trainables.own.presets import PresetError, schedule_of
from trainables.prefix import Sharing
from trainables.run import Native, Objective, Prepared, Run
from trainables.schedules import Schedule

if TYPE_CHECKING:  # only a worker needs it
    from trainables.own.keeper import Keeper
    from trainables.own.order import Order

COMMAND = "command.txt"
"""Beside the handed-over config: the user's own command line that trains it."""
_SETS = "the search sets it"
_WORD = re.compile(r"[A-Za-z_][\w.]*")


class Reference(Section):
    """All that is needed to make a declared trainable again, in another process or from a file."""

    name: Text
    declaration: Declaration
    folder: Text
    """The folder of the search's YAML, where the code lies."""
    relative: Text
    """The same, from where the search was started."""
    code: dict[Text, Text]
    """Its files, relative to the folder, with their digests."""
    base_name: Text
    base_text: Text | None = None
    """The user's config file; None where the code takes arguments only."""


class OwnModel:
    """A function or a command that the user brought along; its unit and objective are the declared ones."""

    def __init__(
        self,
        reference: Reference,
        work: Path | None = None,
        copy: Path | None = None,
        keeper: "Keeper | None" = None,
    ) -> None:
        """`work`: the folder of the one trial that this trains; `copy`: a copy of the code, in the search's folder;
        `keeper`: who keeps the commands of paused trials in memory."""
        self.reference, self._copy, self._keeper = reference, copy, keeper
        self._work = None if work is None else work.resolve()
        declared = reference.declaration
        self.declared = declared
        self.name: str = reference.name
        self.unit: Literal["epoch", "step"] = declared.unit
        self.objective: Objective = declared.goal
        self.length_key: str = declared.length
        kept = {declared.length: f"it is the run's length, and {_SETS} from its budget"}
        if declared.seed is not None:
            kept[declared.seed] = f"it is the seed, and {_SETS}: each run has its own"
        self.unsearchable: Mapping[str, str] = MappingProxyType(kept)
        self.changeable: frozenset[str] = frozenset()

    def documented(self) -> Native:
        """Nothing: there is no recipe beside the user's own file."""
        return {}

    def parse(self, native: Native, where: str) -> OwnConfig:
        """The config; every key that a file holds is one of its own. Raises BadInput where what is declared has no
        value for it.
        """
        if not isinstance(native, Mapping):
            raise BadInput.of(where, f"expected a mapping of keys to values, got {native!r}")
        config = OwnConfig.model_validate(dict(native))
        problems = [
            Problem(f"{where} trainable.{key}", f"the config has no key {path!r}{nearest(path, leaves(native))}")
            for key, path in (("length", self.declared.length), ("seed", self.declared.seed))
            if path is not None and not has(native, path)
        ]
        raise_any(problems)
        length = get(native, self.length_key)
        if type(length) is not int or length < 1:
            what = f"the config's {self.length_key} is {length!r}; a length is a whole number of {self.unit}s from 1"
            raise BadInput.of(f"{where} trainable.length", what)
        self.schedules(config, where)
        self.settles(config, where)
        return config

    def parse_data(self, data: Native, config: OwnConfig, where: str) -> OwnData:  # noqa: ARG002
        """Nothing but an empty section. Raises BadInput."""
        return parse(OwnData, data, where, "data")

    def prepare(self, data: OwnData, config: OwnConfig) -> Prepared:  # noqa: ARG002
        """Where the code is on this machine, and its digest. Raises BadInput where it is not what it was."""
        root = self.root()
        files = self.reference.code
        count = f"{len(files)} file{'s' * (len(files) != 1)} of code"
        told = f"{count} in {root}: {', '.join(sorted(files)[:6])}"
        if not files:
            told = (
                f"none of the command's code was found in {root}, so changes to it go unseen: name it in trainable.code"
            )
        return Prepared(root, code.together(files), told)

    def root(self) -> Path:
        """The folder of the code on this machine. Raises BadInput where it is not what it was."""
        known = self.reference
        return code.located(known.folder, known.relative, known.code, self._copy)

    def knobs(self, config: OwnConfig, step: int) -> Mapping[str, float]:
        """The declared schedules' values while training unit `step` (0-based)."""
        return {name: schedule.at(step) for name, schedule in self.schedules(config).items()}

    def schedules(self, config: OwnConfig, where: str = "") -> Mapping[str, Schedule]:
        """The declared schedules, for a config of the file `where`. Raises BadInput."""
        length = int(get(config.native, self.length_key))
        found, problems = {}, []
        for name, declared in self.declared.schedules.items():
            try:
                found[name] = schedule_of(declared, config.native, length)
            except PresetError as error:
                problems.append(Problem(f"{where} trainable.schedules.{name}", str(error)))
        raise_any(problems)
        return found

    def static(self, config: OwnConfig) -> Native:
        """The whole config: what the code makes of a key is not known."""
        return config.native

    @property
    def sharing(self) -> Sharing[OwnConfig] | None:
        """Of what declares schedules and keeps its state: a key that only they name acts through them. A command runs
        on until it is stopped: its checkpoint says in its name of which step it is, or may be from later."""
        declared = self.declared
        exact = declared.goes_on and (declared.command is None or declared.stepped)
        if not exact or not declared.schedules:
            return None

        def realised(config: OwnConfig, step: int) -> list[Mapping[str, float]]:
            # Within an epoch, a schedule may already be on its way to the next one's value.
            return [self.knobs(config, at) for at in ((step, step + 1) if self.unit == "epoch" else (step,))]

        return Sharing(realised, static=self.unscheduled)

    def unscheduled(self, config: OwnConfig) -> Native:
        """The keys that no declared schedule names."""
        words = set(_words(self.declared.schedules)) - {self.length_key}
        return {path: get(config.native, path) for path in leaves(config.native) if path not in words}

    def settles(self, config: OwnConfig, where: str = "") -> int | None:
        """When the last of the declared schedules settles; None where nothing is declared, or `unknown`."""
        declared = self.declared.settles
        if declared == UNKNOWN or (declared is None and not self.declared.schedules):
            return None
        latest = max((schedule.settles for schedule in self.schedules(config, where).values()), default=0)
        if declared is None:
            return latest
        try:
            value = Expression(declared).value(config.native, int(get(config.native, self.length_key)))
        except ExpressionError as error:
            raise BadInput.of(f"{where} trainable.settles", str(error)) from error
        return max(latest, math.ceil(value), 0)

    def build(self, config: OwnConfig, prepared: Prepared, seed: int) -> Run:
        """A run at step 0."""
        native = self.seeded(config.native, seed)
        if self.declared.command is not None:
            from trainables.own import command  # lazy, as below

            return command.CommandRun(self.order(native, prepared.path, seed))
        return self._function(native, prepared.path, seed)

    @property
    def work(self) -> Path:
        """The folder in which the one training may write."""
        assert self._work is not None, "a model that trains has a folder to work in"
        return self._work

    def order(self, native: Native, root: Path, seed: int) -> "Order":
        """What the command is to train."""
        from trainables.own.order import Order  # lazy, as below

        return Order(self.reference, native, root, self.work, seed, self._keeper)

    def seeded(self, native: Native, seed: int) -> dict[str, Any]:
        """The config with the seed in it, where the code takes it from there."""
        return dict(native) if self.declared.seed is None else with_values(native, {self.declared.seed: seed})

    def _function(self, native: Native, root: Path, seed: int) -> Run:
        from trainables.own import function, load  # lazy: torch takes seconds to import, and planning needs none
        from trainables.own.handle import Config

        file, name = self.declared.entry
        task = function.Task(
            train=self._training(load.load(root, file, name)),
            config=Config(native),
            seed=seed,
            folder=self.work / "run",
            root=root,
            unit=self.unit,
            length=int(get(native, self.length_key)),
            wanted=self.declared.judged[:1],
            worst=self.objective.worst,
            checkpoints=self.declared.goes_on,
        )
        return function.FunctionRun(task)

    def _training(self, entry: Callable[..., Any]) -> Callable[[Any], Any]:
        """The training function: the user's own, or the one that trains what their factory makes."""
        checkpoints = self.declared.goes_on
        if self.declared.trainer is not None:
            from trainables.own import huggingface

            return huggingface.training(entry, self.unit, checkpoints)
        if self.declared.lightning is not None:
            from trainables.own import lightning

            return lightning.training(entry, self.unit, checkpoints)
        return entry

    def write_native(self, source: str | None, name: str, config: OwnConfig) -> Mapping[str, str]:
        """The user's own file made to say `config`; where the code takes arguments only, the config as YAML."""
        if source is not None:
            return {name: rewrite(source, name, differing(parse_native(source, name, name), config.native))}
        return {"config.yaml": as_yaml(config.native)}

    def typed(self, folder: Path, native: Native, seed: int) -> str | None:
        """The user's own command line for the config whose file lies in `folder`, to be typed in a shell; None for a
        function.
        """
        if self.declared.command is None:
            return None
        config, length = folder / Path(self.reference.base_name).name, int(get(native, self.length_key))
        place = folder.parent / "trained"
        made = f"mkdir -p {shlex.quote(str(place))} && " if "{dir}" in self.declared.command else ""
        line = command_line(self.declared, Filling(native, config, seed, place, length))
        return f"cd {shlex.quote(self.reference.folder)} && {made}{line}"


def _words(declared: Any) -> Iterator[str]:
    """All that may be the name of a config key in what is declared of schedules."""
    match declared:
        case Mapping():
            for inner in declared.values():
                yield from _words(inner)
        case list() | tuple():
            for inner in declared:
                yield from _words(inner)
        case str():
            yield from _WORD.findall(declared)
        case _:
            return
