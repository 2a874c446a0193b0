"""Native configs written: the user's own file with only what changed in it, the phase list, and the commands."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spaces.paths import with_values
from spaces.problems import BadInput
from spaces.values import show
from trainables.handover import with_note
from trainables.keys import Ours, differing
from trainables.native import as_yaml, parse_native, plain, rewrite, yaml_value
from trainables.sequence_generator.config import Config, Phase
from trainables.sequence_generator.forms import (
    LOSS,
    OWN,
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
OURS = frozenset(
    name
    for schema in (Config, Phase)
    for name, field in schema.model_fields.items()
    if any(isinstance(mark, Ours) for mark in field.metadata)
)
"""Keys that the user's scripts don't know."""
OUTPUT = "output"  # where a config names no output_dir


def native_forms(source: str | None, name: str, config: Config) -> dict[str, str]:
    """The files for `native/`: the user's own file, if there is one, the phase list and the commands.

    What the user's scripts can't be told stands at a file's top.
    """
    commands = command_file(config)
    files = {PHASES_FILE: phase_list(config)}
    files |= with_note({COMMANDS_FILE: commands}, COMMANDS_FILE, _beyond(commands, COMMANDS_FILE, config))
    if source is not None:
        file = Path(name).name
        text = rewrite(source, file, _changes(parse_native(source, file, file), file, config))
        files |= with_note({file: text}, file, _beyond(text, file, config))
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
    if len(phases) > 1:
        lines.append("commands:\n")
    for number, arguments in enumerate(phases[1:], 2):
        lines.append(f"  - {yaml_value(command(arguments, number, config.output_dir or OUTPUT))}\n")
    return "".join(lines)


def command(arguments: Mapping[str, Any], number: int, output: str) -> str:
    """The documented command that trains phase `number` on from the one before it."""
    flags: dict[str, Any] = {"model_path": f"{output}/phase_{number - 1}/best_model.pt"}
    flags |= {key: arguments[key] for key in DOCUMENTED_FLAGS}
    flags["output_dir"] = f"{output}/phase_{number}"
    flags |= {key: value for key, value in arguments.items() if key not in flags and key not in OURS}
    return " ".join(["python continue_training.py", *_flags(flags)])


def _word(value: Any) -> str:
    return value if isinstance(value, str) else yaml_value(value)


# The user's own file.


def _changes(native: Mapping[str, Any], file: str, config: Config) -> dict[str, Any]:
    """What to write where in a file of the user's form, for it to say `config`."""
    form, before, after = form_of_native(native, file), parse_config(native, file), phases_of(config)
    if form == "plan":
        return _fewest(native, file, differing(plain(before), plain(config)), config)
    other = differing(shared_keys(before), shared_keys(config))
    if form != "phases":  # a file of arguments is the script's own: no key that the script doesn't know is added
        other = {key: value for key, value in other.items() if key in native or key not in OURS}
    written: dict[str, Any] = {}
    for key, value in other.items():  # a key of the whole run may stand in the phases, too
        places = [f"phases.{i}.{key}" for i, item in enumerate(native.get("phases", ())) if key in item]
        written |= dict.fromkeys([*places, *([key] if key in native or not places else [])], value)
    first, *later = items_of(native, file)
    continues = bool(config.existing_model)
    if form != "phases":
        if not first[0]:
            written |= _differences("", first[1], continues, after[0], frozenset(native))
        commands = _commands(native, after if first[0] else after[1:])
        return written | {f"commands.{i}": text for i, text in enumerate(commands)}
    lengths = [phase.epochs for phase in phases_of(before)]
    if "epochs" in native:
        written["epochs"] = sum(phase.epochs for phase in after)
    for place, (at, item) in enumerate([first, *later]):
        item = {**item, "epochs": lengths[place]}  # which may stand there as a range
        written |= _differences(f"{at}.", item, continues or place > 0, after[place], OURS)
    return {**written, **_ranges(native["phases"], lengths, after)}


def _fewest(native: Mapping[str, Any], file: str, written: dict[str, Any], config: Config) -> dict[str, Any]:
    """`written` without shares that mean the same as those that stand there: a length has whole epochs, a share the
    rounding of what it is a share of, and a constant rate no end."""
    for path in list(written):
        rest = {key: value for key, value in written.items() if key != path}
        try:
            if parse_config(with_values(native, rest), file) == config:
                written = rest
        except BadInput:
            continue
    return written


def _beyond(text: str, file: str, config: Config) -> dict[str, str]:
    """What the file can't say of `config`: key → the value trained with, and what the script does instead."""
    says = parse_config(parse_native(text, file, file), file)
    before, after = shared_keys(says), shared_keys(config)
    missed = {key: (value, before.get(key.partition(".")[0])) for key, value in differing(before, after).items()}
    pairs = list(zip(phases_of(says), phases_of(config), strict=True))
    for number, (read, wanted) in enumerate(pairs, 1):
        for key in PHASE_KEYS:
            same = getattr(read, key) == getattr(wanted, key) or (
                key == "lr_schedule" and _level(read) and _level(wanted)
            )
            if key not in unused(wanted) and not same:
                name = key if len(pairs) == 1 else f"phase {number} {key}"
                missed[name] = (getattr(wanted, key), getattr(read, key))
    return {key: f"{show(value)} (your script trains as with {show(own)})" for key, (value, own) in missed.items()}


def _level(phase: Phase) -> bool:
    """Whether the rate stays as it is, whatever its kind is called."""
    return phase.lr_schedule == "constant" or (phase.lr_schedule != "one_cycle" and phase.start_lr == phase.min_lr)


def _ranges(items: Sequence[Mapping[str, Any]], before: Sequence[int], after: Sequence[Phase]) -> dict[str, str]:
    """Epochs that the file gives as ranges: anew, if any phase's length has changed."""
    if list(before) == [phase.epochs for phase in after]:
        return {}
    written, first = {}, 1
    for place, (item, phase) in enumerate(zip(items, after, strict=True)):
        if isinstance(item.get("epochs"), str):
            written[f"phases.{place}.epochs"] = f"{first}-{first + phase.epochs - 1}"
        first += phase.epochs
    return written


def _differences(
    prefix: str, item: Mapping[str, Any], continues: bool, wanted: Phase, addable: frozenset[str]
) -> dict[str, Any]:
    """The fewest keys to write into a phase's arguments `item` for it to say `wanted`; of the keys that are not the
    script's, only `addable` ones."""
    own = {key: value for key, value in item.items() if key in OWN}
    keys = [key for key in PHASE_KEYS if key not in unused(wanted) and (key not in OURS or key in addable)]
    given: dict[str, Any] = {}
    # First what stands there, as omitted keys follow from it; the warmup's rate last, as it follows from others.
    for these in ([key for key in keys if key in own], [key for key in keys if key != "warmup_lr"], keys):
        says = completed({**own, **given}, continues)
        default = Phase.model_fields
        given |= {
            key: getattr(wanted, key) for key in these if says.get(key, default[key].default) != getattr(wanted, key)
        }
    return {f"{prefix}{key}": value for key, value in given.items()}


def _commands(native: Mapping[str, Any], after: Sequence[Phase]) -> list[str]:
    """Each command with the phase's values in it; its other flags, and what stands before them, as they were."""
    written = []
    for text, phase in zip(native.get("commands", ()), after, strict=True):
        given = arguments_of(text, "commands")
        wanted = phase.model_dump(include={key for key in PHASE_KEYS if key not in OURS or f"--{key}" in text})
        flags = {key: value for key, value in given.items() if key not in (RATIO, LOSS)} | wanted
        if given == flags:
            written.append(text)
            continue
        head = text[: text.index(".py") + len(".py")]
        written.append(" ".join([head, *_flags(flags)]))
    return written


def _flags(flags: Mapping[str, Any]) -> list[str]:
    """Words of a command line; a flag that is true stands alone, and one that is false is left out."""
    words = []
    for key, value in flags.items():
        if value is True or value is False:
            words += [f"--{key}"] if value else []
        else:
            words.append(f"--{key} {shlex.quote(_word(value))}")
    return words
