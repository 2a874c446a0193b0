"""A search that is taken up again keeps what it began with wherever its user says nothing: defaults may change."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from search.spec.config import Sampler, Settings
from search.spec.knobs import named
from search.spec.search import Search
from search.stopping.kinds import EarlyStopping
from spaces.paths import get, has, leaves, with_values
from spaces.space import Space, parse_space
from trainables.native import parse_native

_SECTIONS: Mapping[str, TypeAdapter[Any]] = {
    "early_stopping": TypeAdapter(EarlyStopping),
    "sampler": TypeAdapter(Sampler),
}

_IMPLIED: Mapping[str, Mapping[str, Any]] = {"asha": {"from_settled": False, "baseline": "full"}}
"""What a kind did before it had the key."""


def as_begun(search: Search, recorded: Mapping[str, Any]) -> Search:
    """`search` with the values that its folder recorded, for everything that neither YAML nor base file says.

    Args:
        search: as today's defaults resolve it.
        recorded: the content of `search.yaml` in its folder, perhaps of an older version.

    Returns:
        The search to go on with. What the user says stays as it is said: where that differs from the record, the folder
        refuses it as another search.

    """
    settings = _settings(search.settings, recorded.get("settings", {}))
    base = _base(search, recorded.get("base", {}))
    budget = settings.budget
    length, every = recorded.get("horizon", search.horizon), recorded.get("every", search.every)
    horizon = search.horizon if budget.steps is not None or _said(search, search.model.length_key) else int(length)
    every = search.every if budget.evaluate_every is not None or horizon % int(every) else int(every)
    base = with_values(base, {search.model.length_key: horizon})
    space = _space(search, recorded.get("space", {}))
    return replace(search, settings=settings, base=base, horizon=horizon, every=every, space=space)


def _settings(settings: Settings, recorded: Mapping[str, Any]) -> Settings:
    """Keys of the sections that decide what the search is, where they are not said."""
    kept = {}
    for name, adapter in _SECTIONS.items():
        old = recorded.get(name)
        said = getattr(settings, name).model_dump(exclude_unset=True) if name in settings.model_fields_set else {}
        if not isinstance(old, Mapping) or said.get("kind", old.get("kind")) != old.get("kind"):
            continue
        try:
            kept[name] = adapter.validate_python({**_IMPLIED.get(old.get("kind", ""), {}), **old, **said})
        except ValidationError:  # a kind or key that this version has no more: told as a difference
            continue
    if settings.share == "auto":  # rungs hang on it
        kept["share"] = recorded.get("share", "off")
    return settings.model_copy(update=kept)


def _base(search: Search, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The native config, with the recorded value of every key that the user's file leaves out."""
    old = {path: get(recorded, path) for path in leaves(recorded)}
    return with_values(dict(search.base), {path: value for path, value in old.items() if not _said(search, path)})


def _said(search: Search, path: str) -> bool:
    """Whether the user gives the key `path` of the base a value: the key itself, or what holds it as a whole."""
    if path in search.fixed or search.base_source is None:
        return path in search.fixed
    given = parse_native(search.base_source, search.base_name, search.base_name)
    above = [path[: dot.start()] for dot in re.finditer(r"\.", path)]
    return has(given, path) or any(has(given, each) and not isinstance(get(given, each), Mapping) for each in above)


def _bare(domain: Mapping[str, Any]) -> dict[str, Any]:
    """What of a domain says which values it holds; the reasons beside them are for people."""
    return {key: value for key, value in domain.items() if key not in {"why", "documented"}}


def _space(search: Search, recorded: Mapping[str, Any]) -> Space:
    """The recorded domain of every knob that the search YAML doesn't name; a list `knobs:` names all there are."""
    mine, said = search.space.as_dict(), named(search.settings)
    listed = search.settings.knobs
    kept: dict[str, Any] = {}
    for path, domain in recorded.items():
        if path in search.settings.space and _bare(mine.get(path, {})) != _bare(domain):
            kept |= {path: mine[path]} if path in mine else {}
        elif listed is None or path in listed:
            kept[path] = domain
    kept |= {path: domain for path, domain in mine.items() if path in said and path not in kept}
    return parse_space(kept, search.source) if recorded else search.space
