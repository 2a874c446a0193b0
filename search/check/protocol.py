"""Whether a model from outside keeps to what `trainables.run.Model` asks of it before anything is trained: pure."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search.check.findings import Finding
from search.spec.search import Search
from spaces.paths import get, has, leaves
from spaces.problems import BadInput, cause
from trainables.native import parse_native, plain
from trainables.own.spec import BRINGS_TORCH


def protocol(search: Search) -> list[Finding]:
    """What was found of a model in a file of the user's own; nothing for any other search."""
    if search.outside is None:
        return []
    broken = list(_broken(search))
    if not broken:
        return [Finding("protocol", "kept", "")]
    return [Finding("protocol", "broken", "; ".join(broken), "warning")]


def _broken(search: Search) -> Iterator[str]:
    assert search.outside is not None, "asked of a model from outside"
    if Path(search.outside["folder"]) / search.outside["spec"] in BRINGS_TORCH:
        yield "importing it imports torch, so that every plan takes seconds: import torch inside build"
    for question in (_documented, _refuses, _keys, _knobs, _settles, _static, _native):
        try:
            yield from question(search)
        except Exception as error:  # whatever the user's own code raises
            yield f"{question.__name__.strip('_')}: {type(error).__name__}: {cause(error)}"


def _documented(search: Search) -> Iterator[str]:
    documented = dict(search.model.documented())
    if plain(search.model.parse(documented, "documented")) != documented:
        yield "documented() leaves keys out, or parse changes what it gives: spell out every key"


def _refuses(search: Search) -> Iterator[str]:
    model = search.model
    wrong = {**search.base, model.length_key: "no number"}
    try:
        model.parse(wrong, "a wrong file")
    except BadInput:
        return
    yield f"parse takes {model.length_key}: 'no number'; raise BadInput for values of the wrong kind"


def _keys(search: Search) -> Iterator[str]:
    for key in (search.model.length_key, *search.model.unsearchable):
        if not has(search.base, key):
            yield f"the config has no key {key!r}, which length_key or unsearchable names"


def _knobs(search: Search) -> Iterator[str]:
    model = search.model
    config = model.parse(search.base, "base")
    steps = sorted({0, search.horizon // 2, search.horizon - 1})
    first = [dict(model.knobs(config, step)) for step in steps]
    again = [dict(model.knobs(config, step)) for step in reversed(steps)][::-1]
    if first != again:
        yield "knobs(config, step) gives other values when it is asked again: make it a pure function of the step"
    odd = sorted({name for values in first for name, value in values.items() if not _finite(value)})
    if odd:
        yield f"knobs: {', '.join(odd)} is no finite number"


def _settles(search: Search) -> Iterator[str]:
    step = search.model.settles(search.model.parse(search.base, "base"))
    if step is not None and (type(step) is not int or step < 0):
        yield f"settles gives {step!r}: a step from 0, or None where it isn't known"


def _static(search: Search) -> Iterator[str]:
    json.dumps(search.model.static(search.model.parse(search.base, "base")), allow_nan=False)
    yield from ()


def _native(search: Search) -> Iterator[str]:
    model = search.model
    files = model.write_native(None, "config.yaml", model.parse(search.base, "base"))
    if not files:
        yield "write_native gives no file"
    for name, text in files.items():
        if name.endswith((".yaml", ".yml", ".json")):
            read = plain(model.parse(parse_native(text, name, name), name))
            base = search.base
            differing = [path for path in leaves(base) if not has(read, path) or get(read, path) != get(base, path)]
            if differing:
                yield f"write_native's {name} reads otherwise than the config: {', '.join(differing)}"


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
