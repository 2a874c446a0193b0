"""When configs have settled: left warmup, freeze and ramp, so that they can be compared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from search.spec.search import Search
from search.spec.sharing import Shared
from search.stopping.ladder import RUNGS_SHARE
from spaces.paths import with_values
from spaces.problems import BadInput, Problem
from spaces.values import show
from trainables.registry import model_of
from trainables.run import Model

DRAWN_LENGTH = 160  # characters of a config in an error
SAMPLED = 200
"""Configs drawn from the space to learn when they settle."""


def drawn(search: Search) -> list[int]:
    """When each of many sampled configs, the baseline first among them, has settled, in steps of the whole training;
    empty where the model can't know. Raises BadInput for a space with configs that the model refuses."""
    rng = np.random.default_rng(0)
    draws: list[Mapping[str, Any]] = [{}, *(search.space.sample(rng, search.base) for _ in range(SAMPLED))]
    settles: list[int] = []
    refused: list[tuple[Mapping[str, Any], BadInput]] = []
    for values in draws:
        try:
            settled = _settled(search.model, search.base, values)
            settles += [settled] if settled is not None else []
        except BadInput as error:
            refused.append((values, error))
    if refused:
        raise BadInput(tuple(_refusals(search, refused, len(draws))))
    return settles


def comparable(settled: int, search: Search, shared: Shared) -> int:
    """From which step of the whole training a config can be compared: settled, and trained for as long as before any
    rung since it is another than those that it shares its beginning with."""
    if not shared.together:
        return max(settled, search.begins)
    first = min(search.length, shared.together + max(search.every, search.length // RUNGS_SHARE))
    return max(settled, search.begins + first)


def by_trial(search: Search, shared: Shared, values: Callable[[int], Mapping[str, Any]]) -> Callable[[int], int]:
    """From which step each trial can be compared, by its number. `values`: its values."""
    return lambda trial: comparable(_settled(search.model, search.base, values(trial)) or 0, search, shared)


def as_recorded(described: Mapping[str, Any], where: str) -> Callable[[Mapping[str, Any]], int]:
    """From which step a config was compared in a search of the past, by its values. `described`: the `search.yaml` of
    its folder, found at `where`."""
    settings, base = described["settings"], described["base"]
    if not settings.get("early_stopping", {}).get("from_settled"):
        return lambda values: 0  # noqa: ARG005
    model = model_of(settings["model"], described.get("reference"), f"{where} settings.model")
    return lambda values: _settled(model, base, values) or 0


def _settled(model: Model[Any, Any], base: Mapping[str, Any], values: Mapping[str, Any]) -> int | None:
    """The settled step of the config `base` with these values; None where the model can't know."""
    return model.settles(model.parse(with_values(base, values), ""))


def _refusals(search: Search, refused: Sequence[tuple[Mapping[str, Any], BadInput]], draws: int) -> Iterator[Problem]:
    """What the model says to configs of the space: one problem per knob, with how often, and an example."""
    said: dict[str, list[str]] = {}
    for values, error in refused:
        first: dict[str, str] = {}  # of this config's problems with the knob
        for problem in error.problems:
            key = problem.where.strip()
            knob = next((path for path in values if f"{key}.".startswith(f"{path}.")), "")
            shown = "" if knob else f" (drawn: {_shown(values)})"
            first.setdefault(knob, f"{key + ': ' if key != knob else ''}{problem.what}{shown}")
        for knob, what in first.items():
            said.setdefault(knob, []).append(what)
    for knob, whats in said.items():
        where = f"{search.source} space" + (f".{knob}" if knob else "")
        yield Problem(where, f"{len(whats)} of {draws} drawn configs are refused: {whats[0]}; narrow it")


def _shown(values: Mapping[str, Any]) -> str:
    """A drawn config for people, cut where it is long."""
    text = ", ".join(f"{path}: {show(value)}" for path, value in values.items())
    return text if len(text) <= DRAWN_LENGTH else text[: DRAWN_LENGTH - 1] + "…"
