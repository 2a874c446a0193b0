"""Native configs written: for the user's own loader, which refuses keys that it doesn't know, and applies no level.

What a level or an override puts in force stands in the handed-over file as the file's own value. A switch to another
level is a second command, from the first one's checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spaces.paths import with_values
from trainables.builtin import paths
from trainables.handover import Parse, changes, with_note
from trainables.keys import differing, ours, without
from trainables.native import as_yaml, parse_native, plain, rewrite
from trainables.tts.command import commands
from trainables.tts.config import Config
from trainables.tts.levels import CUSTOM, KEYS

NATIVE_FILE = "train_main.yaml"
"""The whole config, with the commands that train it in its head."""
OWN_SECTIONS = ("optimization_level", "level_switch", "overrides", "levels")
"""Keys of `training:` that only a file for this search has: there, what was found is written in the same form."""


def native_forms(source: str | None, name: str, config: Config, parse: Parse) -> dict[str, str]:
    """The files for `native/`: the user's own text `source` (called `name`) made to say `config`, and the whole of it
    with the commands of the user's script."""
    whole = _sized(as_script(config, parse), parse)
    native = _stripped(without(plain(whole), frozenset(path for path, _ in ours(whole))))
    head = "".join(f"# {line}\n" for line in commands(config))
    beyond = {**changes(native, whole, parse).beyond, **_switched(config)}
    files = with_note({NATIVE_FILE: head + as_yaml(native)}, NATIVE_FILE, beyond)
    if source is not None:
        files |= _own_file(source, Path(name).name, config, parse)
    return files


def as_script(config: Config, parse: Parse) -> Config:
    """The first level as a file alone says it: what is in force as the file's own values, and no level."""
    values, training = config.values(after=False), config.training
    native = {f"training.{key}": getattr(values, key) for key in KEYS if key not in ("scheduler", "restart_period")}
    if training.own_scheduler != values.scheduler:
        native["training.scheduler"] = "noam" if values.scheduler == "noam" else "cosine"
        native["training.cosine_restarts"] = values.scheduler == "cosine_restarts"
        native["training.use_warmup_cosine_schedule"] = values.scheduler == "warmup_cosine"
    blank = {"optimization_level": CUSTOM, "level_switch": {}, "overrides": {}, "levels": {}}
    native |= {f"training.{key}": value for key, value in blank.items()}
    plainly = with_values(plain(config), native)
    if parse(plainly).model_dump()["training"]["scheduler"] != "noam" and values.scheduler == "cosine_restarts":
        steps = values.restart_period * config.steps_per_epoch
        plainly = with_values(plainly, {"training.scheduler_params.restart_period": steps})
    found = parse(plainly)
    assert isinstance(found, Config)
    return found


def _own_file(source: str, file: str, config: Config, parse: Parse) -> dict[str, str]:
    native = parse_native(source, file, file)
    training = native.get("training")
    if isinstance(training, Mapping) and any(key in training for key in OWN_SECTIONS):
        values = differing(plain(parse(native)), plain(config))
        return {file: rewrite(source, file, values)}
    found = changes(_stripped(native), as_script(config, parse), parse)
    text = rewrite(source, file, _under_nulls(native, found.values))
    return with_note({file: text}, file, {**found.beyond, **_switched(config)})


def _switched(config: Config) -> dict[str, str]:
    if config.training.level_switch.rule == "never":
        return {}
    return {
        "training.level_switch": f"this file is the first level's; the commands in {NATIVE_FILE} are for all of them"
    }


def _sized(config: Config, parse: Parse) -> Config:
    """The config with the network's shape spelt out."""
    names = paths("text_encoder_dim text_encoder_layers decoder_dim decoder_layers", "model")
    heads = paths("text_encoder_heads decoder_heads", "model")
    shape = zip((*names, *heads), (*config.model.shape, *config.model.heads), strict=True)
    found = parse(with_values(plain(config), dict(shape)))
    assert isinstance(found, Config)
    return found


def _stripped(native: Mapping[str, Any]) -> dict[str, Any]:
    """`native` without nulls, which mean absent."""
    return {
        key: _stripped(value) if isinstance(value, Mapping) else value
        for key, value in native.items()
        if value is not None
    }


def _under_nulls(native: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` by dotted path, where those under a section that the file has as null are that section whole."""
    found: dict[str, Any] = {}
    for path, value in values.items():
        *sections, last = path.split(".")
        node: Any = native
        for depth, part in enumerate(sections, 1):
            if isinstance(node, Mapping) and part in node and node[part] is None:
                rest = [*sections[depth:], last]
                section = ".".join(sections[:depth])
                found[section] = with_values(found.get(section, {}), {".".join(rest): value})
                break
            node = node.get(part, {}) if isinstance(node, Mapping) else {}
        else:
            found[path] = value
    return found
