"""Native configs written: the user's own file with only what changed in it, the phase list, and the commands."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.native import as_yaml, parse_native, plain, rewrite, yaml_value
from trainables.sequence_generator.config import Config, Phase
from trainables.sequence_generator.forms import (
    PHASE_KEYS,
    RATIO,
    arguments_of,
    completed,
    form_of_native,
    items_of,
    parse_config,
)
from trainables.sequence_generator.plan import ANCHORS, phases_of, unused

PHASES_FILE, COMMANDS_FILE = "phases.yaml", "commands.yaml"
DOCUMENTED_FLAGS = ("epochs", "start_lr", "min_lr")  # of the documented command; the others follow them
OUTPUT = "output"  # where a config names no output_dir


def native_forms(source: str | None, name: str, changes: Mapping[str, Any], config: Config) -> dict[str, str]:
    """The files for `native/`: the user's own file, if there is one, the phase list and the commands."""
    files = {PHASES_FILE: phase_list(config), COMMANDS_FILE: command_file(config)}
    if source is not None:
        file = Path(name).name
        files[file] = rewrite(source, file, _changes(parse_native(source, file, file), file, changes, config))
    return files


def shared_keys(config: Config) -> dict[str, Any]:
    """What holds for all phases, unknown keys of single phases left out."""
    whole = plain(config)
    left_out = {"plan", "epochs", *ANCHORS}
    return {key: value for key, value in whole.items() if key not in left_out and not _phase_of(key)}


def phase_arguments(config: Config) -> list[dict[str, Any]]:
    """Each phase's values as they are, with the keys of it that are only carried through."""
    carried = config.model_extra or {}
    found = []
    for number, phase in enumerate(phases_of(config), 1):
        own = {key.partition(".")[2]: value for key, value in carried.items() if _phase_of(key) == number}
        said = phase.model_dump(exclude=set(unused(phase)))
        found.append({**said, **own})
    return found


def _phase_of(key: str) -> int | None:
    """The number of the phase whose unknown key `phase_2.name` is."""
    head, dot, _ = key.partition(".")
    number = head.removeprefix("phase_")
    return int(number) if dot and number != head and number.isdecimal() else None


def phase_list(config: Config) -> str:
    """The documented form of several phases: a list of arguments, as YAML."""
    lines = ["# The phases as a list of arguments, each phase's own; what stands above them holds for all.\n"]
    lines += [as_yaml(shared_keys(config)), "phases:\n"]
    for arguments in phase_arguments(config):
        for place, (key, value) in enumerate(arguments.items()):
            lines.append(f"  {'  ' if place else '- '}{yaml_value(key)}: {yaml_value(value)}\n")
    return "".join(lines)


def command_file(config: Config) -> str:
    """The first phase's args.json as YAML, and the command that continues with each phase after it."""
    phases = phase_arguments(config)
    lines = ["# The first phase's arguments (args.json), then the command that continues with each later phase.\n"]
    lines += [as_yaml({**shared_keys(config), **phases[0]})]
    if len(phases) == 1:
        return "".join(lines)
    lines.append("commands:\n")
    for number, arguments in enumerate(phases[1:], 2):
        lines.append(f"  - {yaml_value(command(arguments, number, config.output_dir or OUTPUT))}\n")
    return "".join(lines)


def command(arguments: Mapping[str, Any], number: int, output: str) -> str:
    """The documented command that trains phase `number` on from the one before it."""
    flags: dict[str, Any] = {"model_path": f"{output}/phase_{number - 1}/best_model.pt"}
    flags |= {key: arguments[key] for key in DOCUMENTED_FLAGS}
    flags["output_dir"] = f"{output}/phase_{number}"
    flags |= {key: value for key, value in arguments.items() if key not in flags}
    words = [word for key, value in flags.items() for word in (f"--{key}", _word(value))]
    return shlex.join(["python", "continue_training.py", *words])


def _word(value: Any) -> str:
    return value if isinstance(value, str) else yaml_value(value)


# The user's own file.


def _changes(native: Mapping[str, Any], file: str, changes: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """What to write where in a file of the user's form, for `changes` (dotted key of the plan's form → value)."""
    form = form_of_native(native, file)
    if form == "plan":
        return dict(changes)
    other = {key: value for key, value in changes.items() if key.partition(".")[0] not in {"plan", *ANCHORS}}
    if form == "documented":
        planned = any(key not in other for key in changes)
        anchors = {key: value for key, value in changes.items() if key in ANCHORS}
        return {**other, **anchors, **({"plan": plain(config)["plan"]} if planned else {})}
    after = phases_of(config)
    written: dict[str, Any] = {}
    for key, value in other.items():  # a key of the whole run may stand in the phases, too
        places = [f"phases.{i}.{key}" for i, item in enumerate(native.get("phases", ())) if key in item]
        written |= dict.fromkeys([*places, *([key] if key in native or not places else [])], value)
    first, *later = items_of(native, file)
    if form != "phases":
        written |= _differences("", first[1], 0, after[0])
        written |= {f"commands.{i}": text for i, text in enumerate(_commands(native, after)) if later}
        return written
    before = phases_of(parse_config(native, file))
    if "epochs" in native:
        written["epochs"] = sum(phase.epochs for phase in after)
    for place, (at, item) in enumerate([first, *later]):
        item = {**item, "epochs": before[place].epochs}  # which may stand there as a range
        written |= _differences(f"{at}.", item, place, after[place])
    return {**written, **_ranges(native["phases"], before, after)}


def _ranges(items: Sequence[Mapping[str, Any]], before: Sequence[Phase], after: Sequence[Phase]) -> dict[str, str]:
    """Epochs that the file gives as ranges: anew, if any phase's length has changed."""
    if [phase.epochs for phase in before] == [phase.epochs for phase in after]:
        return {}
    written, first = {}, 1
    for place, (item, phase) in enumerate(zip(items, after, strict=True)):
        if isinstance(item.get("epochs"), str):
            written[f"phases.{place}.epochs"] = f"{first}-{first + phase.epochs - 1}"
        first += phase.epochs
    return written


def _differences(prefix: str, item: Mapping[str, Any], place: int, wanted: Phase) -> dict[str, Any]:
    """The fewest keys to write into a phase's arguments `item` for it to say `wanted`."""
    own = {key: value for key, value in item.items() if key in {*PHASE_KEYS, RATIO}}
    keys = [key for key in PHASE_KEYS if key not in unused(wanted)]
    given: dict[str, Any] = {}
    # First what stands there, as omitted keys follow from it; the warmup's rate last, as it follows from others.
    for these in ([key for key in keys if key in own], [key for key in keys if key != "warmup_lr"], keys):
        says = Phase.model_validate({**Phase().model_dump(), **completed({**own, **given}, place)})
        given |= {key: getattr(wanted, key) for key in these if getattr(says, key) != getattr(wanted, key)}
    return {f"{prefix}{key}": value for key, value in given.items()}


def _commands(native: Mapping[str, Any], after: Sequence[Phase]) -> list[str]:
    """Each command with the phase's values in it; its other flags, and what stands before them, as they were."""
    written = []
    for place, (text, phase) in enumerate(zip(native.get("commands", ()), after[1:], strict=True)):
        given = arguments_of(text, f"commands.{place}")
        flags = {**given, **phase.model_dump(include=set(PHASE_KEYS) - unused(phase))}
        flags.pop(RATIO, None)
        head = text[: text.index("continue_training.py") + len("continue_training.py")]
        written.append(" ".join([head, *(f"--{key} {shlex.quote(_word(value))}" for key, value in flags.items())]))
    return written
