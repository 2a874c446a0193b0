"""Native configs read, in whichever form the user has them.

- One args.json: flat, with `start_lr`, `min_lr`, … of a single phase.
- A list `phases:` of such arguments; what stands beside the list holds for all of them.
- `commands:`, the later phases as `continue_training.py …` or `train_….py …` command lines, beside the flat arguments
  of the first, which may be the first of the commands. A flag that a `continue_training.py` command leaves out keeps
  the value of the phase before it, whose model it continues; one that a `train_….py` command leaves out has that
  script's own value.
- `plan:`, the form that a search works on and `best.yaml` has (`config.py`).

A key that arguments leave out has the value of the user's scripts. α is no argument of theirs: each of the three has
its own (`LOSSES`), so a phase says `loss:` or `alpha:`, or its command names the script. A run with `existing_model`,
and each phase after the first, continues a training: its rate falls linearly, without a warmup.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from spaces import strict_yaml
from spaces.problems import BadInput, Problem, raise_any
from spaces.schema import parse
from trainables.sequence_generator.config import Config, Phase, PhasePlan
from trainables.sequence_generator.plan import ANCHORS, DOCUMENTED, in_plan_form, phases_of

Native = Mapping[str, Any]

PHASE_KEYS = tuple(Phase.model_fields)
RATIO = "teacher_forcing_ratio"  # native: the share where a file gives neither its start nor its end
LOSS = "loss"  # which of the three scripts trains a phase
LOSSES = {"combined": 0.5, "mae": 1.0, "autocorr": 0.0}
"""The α of each of the user's three scripts."""
OWN = frozenset({*PHASE_KEYS, RATIO, LOSS})  # keys of a single phase's arguments
ONLY_FLAT = OWN - {*ANCHORS, "epochs"}  # keys that only a file of flat arguments has
CHAINED = frozenset({"model_path", "existing_model", "output_dir"})  # of a later phase: where the one before it lies
DOCUMENTED_PLAN = in_plan_form(DOCUMENTED)
SCRIPT = re.compile(r"(?:^|[/\\])(continue_training|train_\w+)\.py$")
PHASE_EPOCHS = Phase.model_fields["epochs"].default
RANGE = re.compile(r"\s*(\d+)\s*[-–]\s*(\d+)\s*")


def parse_config(native: Native, where: str) -> Config:
    """The typed config; what `native` omits is as in the user's scripts. Raises BadInput with every problem."""
    raw = dict(native)
    if form_of_native(native, where) != "plan":
        raw = _from_list(raw, where)
    return _normal(_checked(raw, where), where)


def form_of_native(native: Native, where: str) -> str:
    """plan, phases, commands or flat. Raises BadInput for a mix."""
    given = [key for key in ("plan", "phases", "commands") if key in native]
    if len(given) > 1:
        what = f"{' and '.join(given)} both say what the phases are; your scripts know neither"
        raise BadInput.of(where, f"{what}; keep one of them")
    if not given:
        return "flat"
    if given == ["plan"] and (mixed := sorted(ONLY_FLAT & set(native))):
        what = f"{', '.join(mixed)} stand beside plan, which says what the phases are and which your scripts don't know"
        raise BadInput.of(where, f"{what}; take them out")
    return given[0]


def _checked(raw: dict[str, Any], where: str) -> Config:
    """The config of a mapping that has a plan; each phase of it is checked on its own, for a message that names it."""
    plan = raw.get("plan")
    if not isinstance(plan, Mapping) or not plan:
        what = f"expected a mapping phase_1, phase_2, … of shares, got {plan!r}; your scripts don't know this key"
        raise BadInput.of(f"{where} plan", f"{what}: leave it out, or take best.yaml's")
    problems: list[Problem] = []
    checked: dict[str, PhasePlan] = {}
    for place, (name, shares) in enumerate(plan.items()):
        documented = DOCUMENTED_PLAN["plan"][f"phase_{min(place, len(DOCUMENTED) - 1) + 1}"]
        try:
            if not isinstance(shares, Mapping):
                raise BadInput.of(f"{where} plan.{name}", f"expected a mapping of keys to values, got {shares!r}")
            checked[str(name)] = parse(PhasePlan, {**documented, **shares}, where, f"plan.{name}")
        except BadInput as error:
            problems += error.problems
    try:
        config = parse(Config, {**raw, "plan": checked}, where)
    except BadInput as error:
        problems += error.problems
    raise_any(problems)
    return config


def _normal(config: Config, where: str) -> Config:
    """The config as its own phases give it back: whatever form it came in, equal trainings have equal configs."""
    try:
        phases = phases_of(config)
    except BadInput as error:
        placed = [Problem(f"{where} {problem.where}".strip(), problem.what) for problem in error.problems]
        raise BadInput(placed) from error
    return parse(Config, {**config.model_dump(), **in_plan_form(phases)}, where)


# A list of phases.


def _from_list(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """A native mapping with a plan, of one with phases as they are."""
    items = list(items_of(raw, where))
    beside = {key: value for key, value in raw.items() if key not in ("phases", "commands")}
    shared = {key: value for key, value in beside.items() if key not in OWN}
    problems: list[Problem] = []
    phases: list[Phase] = []
    first = 1  # epoch of the phase
    for place, (at, item) in enumerate(items):
        own = {key: value for key, value in item.items() if key in OWN}
        _lift({key: value for key, value in item.items() if key not in own}, shared, place, f"{where} {at}", problems)
        continues = place > 0 or bool(shared.get("existing_model"))
        problems += _loss_faults(own, where, at)
        try:
            values = {**own, "epochs": _epochs(own.get("epochs", PHASE_EPOCHS), first, f"{where} {at}.epochs")}
            phases.append(parse(Phase, completed(values, continues), where, at))
            first += phases[-1].epochs
        except BadInput as error:
            problems += error.problems
    raise_any(problems)
    total = beside.get("epochs", first - 1)
    if "phases" in raw and total != first - 1:
        what = f"{total!r}, but the phases take {first - 1} together, and your scripts train each to its end"
        raise BadInput.of(f"{where} epochs", f"{what}; leave this key out")
    return {**shared, **in_plan_form(phases)}


def items_of(raw: Native, where: str) -> Iterator[tuple[str, Native]]:
    """Each phase's place in the file and its arguments; what stands beside a list fills what an item omits.

    An item's own loss goes before an α beside the list, and the other way round.
    """
    beside = {key: value for key, value in raw.items() if key in OWN}
    if "phases" in raw:
        items = raw["phases"]
        if not isinstance(items, list | tuple) or not items or not all(isinstance(item, Mapping) for item in items):
            what = f"expected a list of phases, each a mapping as in args.json, got {items!r}"
            raise BadInput.of(f"{where} phases", f"{what}; your scripts train one a run: write {{…}} for each")
        beside.pop("epochs", None)
        for place, item in enumerate(items):
            yield f"phases.{place}", _over(beside, item)
        return
    commands = raw.get("commands", [])
    if not isinstance(commands, list | tuple) or not all(isinstance(command, str) for command in commands):
        what = f"expected a list of command lines, got {commands!r}; your shell runs one after the other"
        raise BadInput.of(f"{where} commands", f"{what}: write [python continue_training.py --epochs …, …]")
    previous: Native = beside
    if not begins_with_command(raw):
        yield "", beside
    for place, command in enumerate(commands):
        given = arguments_of(command, f"{where} commands.{place}")
        previous = _over(_continued(previous), given) if script_of(command) == "continue_training" else given
        yield f"commands.{place}", previous


def _over(kept: Native, given: Native) -> dict[str, Any]:
    """`given` over `kept`: the loss or the α of either goes out for that of `given`."""
    says = {LOSS, "alpha"}
    dropped = says if says & set(given) else set()
    return {**{key: value for key, value in kept.items() if key not in dropped}, **given}


def begins_with_command(raw: Native) -> bool:
    """Whether the first phase, too, is a command: one of a training script, with no arguments of a phase beside it."""
    commands = raw.get("commands") or [""]
    return script_of(commands[0]) not in (None, "continue_training") and not OWN & set(raw)


def script_of(command: str) -> str | None:
    """The name of the user's script that a command runs, without its suffix."""
    return next((found[1] for word in command.split() if (found := SCRIPT.search(word.strip("\"'")))), None)


def _script_loss(script: str) -> str | None:
    """The loss that a training script's name says: `train_mae` → mae."""
    name = script.lower()
    mae, autocorr = "mae" in name, "auto" in name
    if mae != autocorr:
        return "mae" if mae else "autocorr"
    return "combined" if mae or "combined" in name or "50" in name else None


def _loss_faults(own: Native, where: str, at: str) -> Iterator[Problem]:
    """What is wrong where a phase's arguments don't say its α: none of the user's scripts has it as an argument."""
    loss, place = own.get(LOSS), f"{where} {f'{at}.' if at else ''}{LOSS}"
    choice = ", ".join(f"loss: {name} (α {alpha:g})" for name, alpha in LOSSES.items())
    if loss is None and own.get("alpha") is None:
        what = f"missing: which of your three training scripts is it? They differ in α: add {choice}, or alpha: VALUE"
        yield Problem(place, what)
    if loss is not None and loss not in LOSSES:
        yield Problem(place, f"{loss!r} is none of your training scripts'; write {choice}, or alpha: VALUE")


def _continued(previous: Native) -> dict[str, Any]:
    """What a command keeps of the phase before it where it has no flag for it: values from that one's end on."""
    kept = {key: value for key, value in previous.items() if key in OWN}
    whole = completed({**kept, "epochs": 1}, continues=False)
    end = whole.get("teacher_forcing_end", Phase.model_fields["teacher_forcing_end"].default)
    fresh = {"start_lr": whole["min_lr"], "min_lr": whole["min_lr"], "teacher_forcing_start": end}
    dropped = {"lr_schedule", "warmup_lr", RATIO}
    return {**{key: value for key, value in kept.items() if key not in dropped}, **fresh, "teacher_forcing_end": end}


def arguments_of(command: str, where: str) -> dict[str, Any]:
    """The arguments of one `continue_training.py --flag value …` or `train_….py …`. Raises BadInput."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        what = f"{command[:60]!r} is no command line, in your shell either: {error}"
        raise BadInput.of(where, f"{what}; close its quotes") from error
    starts = [place for place, word in enumerate(words) if SCRIPT.search(word)]
    if not starts:
        what = f"{command[:60]!r} runs none of your training scripts"
        raise BadInput.of(where, f"{what}; write continue_training.py or train_….py with its arguments")
    found: dict[str, Any] = {}
    for word in words[starts[0] + 1 :]:
        if word.startswith("--"):
            key, _, value = word[2:].partition("=")
            found[key.replace("-", "_")] = strict_yaml.loads(value, where) if value else True
        elif not found or found[key] is not True:
            what = f"{word!r} belongs to no flag, and your script refuses it, too"
            raise BadInput.of(where, f"{what}; write --flag value")
        else:
            found[key] = strict_yaml.loads(word, where)
    loss = _script_loss(words[starts[0]].replace("\\", "/").rpartition("/")[2].removesuffix(".py"))
    return found if loss is None or {LOSS, "alpha"} & set(found) else {**found, LOSS: loss}


def completed(values: dict[str, Any], continues: bool) -> dict[str, Any]:
    """A phase's arguments with what depends on the others filled in; `continues`: it begins with a trained model."""
    done = {key: value for key, value in values.items() if key not in (RATIO, LOSS)}
    if done.get("alpha") is None and values.get(LOSS) in LOSSES:
        done["alpha"] = LOSSES[values[LOSS]]
    if RATIO in values:
        if "teacher_forcing_start" not in done:
            done.setdefault("teacher_forcing_end", values[RATIO])
        done.setdefault("teacher_forcing_start", values[RATIO])
    start = done.get("start_lr", Phase().start_lr)
    if isinstance(start, int | float):  # else it is refused, under its own name
        end = done.setdefault("min_lr", min(Phase().min_lr, start))
        done.setdefault("warmup_lr", min(end, start) if isinstance(end, int | float) else start)
    done.setdefault("lr_schedule", "linear" if continues else "one_cycle")
    return done


def _epochs(value: Any, first: int, where: str) -> Any:
    """A phase's number of epochs, which may be written as a range `101-200`; `first` is the epoch it must start at."""
    found = RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    start, end = int(found[1]), int(found[2])
    if start > first:
        what = f"{value} leaves a hole, which your script doesn't see: epoch {first} is in no phase"
        raise BadInput.of(where, f"{what}; start there")
    if start < first:
        what = f"{value} overlaps the phase before it, which ends at {first - 1}; your script trains these epochs twice"
        raise BadInput.of(where, f"{what}; start at {first}")
    return end - start + 1


def _lift(item: Native, shared: dict[str, Any], place: int, where: str, problems: list[Problem]) -> None:
    """Move a phase's other keys to those of the whole run: one network is trained, on one split, through all phases."""
    for key, value in item.items():
        if key in CHAINED and place:
            continue
        if key not in Config.model_fields:
            shared[f"phase_{place + 1}.{key}" if place or key in PHASE_KEYS else key] = value
        elif key not in shared:
            shared[key] = value
        elif shared[key] != value:
            what = f"{value!r}, but the run has {shared[key]!r}; one network goes through all "
            what += "phases, and your script can't load it into another: make them equal"
            problems.append(Problem(f"{where}.{key}", what))
