"""Reading a search YAML, and what the command line sets in its place."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.common.store_uri import mask
from search.spec.config import Settings
from search.spec.problems import Problems
from spaces import strict_yaml
from spaces.paths import with_values
from spaces.problems import BadInput, Problem, raise_any
from spaces.schema import parse


def read_settings(path: Path, overrides: Sequence[str] = ()) -> tuple[Settings, Problems]:
    """The settings in a search YAML, with `KEY=VALUE` overrides applied, and what is wrong with them.

    Keys of the top level that are wrong have their defaults. Raises BadInput with every problem where nothing is left
    that further checks could go by.
    """
    raw = strict_yaml.load(path)
    if not isinstance(raw, dict):
        raise BadInput.of(str(path), "a search is a mapping with the keys model, data, budget, …")
    given, where = overridden(raw, overrides), str(path)
    needed = () if "trainable" in given else ("model", "data")
    found = [Problem(f"{where} {key}", "missing; this key is required") for key in needed if key not in given]
    wrong = {key for key in needed if key not in given}
    try:
        return parse(Settings, given, where), Problems(found, wrong)
    except BadInput as error:
        found += error.problems
    wrong |= {problem.where.removeprefix(f"{where} ").partition(".")[0] for problem in found}
    kept = {key: value for key, value in given.items() if key not in wrong}
    if "budget" in wrong:  # it has no default; what is wrong with it is known
        kept["budget"] = {"trials": 1}
    try:
        return parse(Settings, kept, where), Problems(found, wrong)
    except BadInput as error:
        raise BadInput(found) from error


def overridden(raw: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`raw` with each `a.b.c=VALUE` set, VALUE read as YAML. Raises BadInput for one that can't be applied."""
    out = with_values(raw, {})  # a copy, whose sections are its own where the YAML names one twice by an alias
    problems: list[Problem] = []
    for text in overrides:
        key, separator, value = text.partition("=")
        try:
            if mask(text) != text and key != "storage":  # which is answered with its own remedy
                what = "carries credentials: a command is seen by everybody on the machine and kept in histories; "
                raise BadInput.of(f"--set {mask(text)}", what + "set MLFLOW_TRACKING_URI instead")
            if not separator or not key or "" in key.split("."):
                raise BadInput.of(f"--set {text}", "expected KEY=VALUE with a dotted key, as in budget.trials=12")
            _set(out, key, strict_yaml.loads(value, f"--set {text}"))
        except BadInput as error:
            problems += error.problems
    raise_any(problems)
    return out


def _set(out: dict[str, Any], key: str, value: Any) -> None:
    """Sections that don't exist are made. Knobs have dotted names of their own: `space.` takes the rest as one."""
    *sections, last = key.split(".", 1) if key.startswith("space.") else key.split(".")
    section = out
    for name in sections:
        inner = section.setdefault(name, {})
        if not isinstance(inner, dict):
            raise BadInput([Problem(f"--set {key}", f"{name} is {inner!r}, which has no keys below it")])
        section = inner
    section[last] = value
