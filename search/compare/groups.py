"""Which searches belong together: those that differ only in their seed, and those whose values mean the same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.compare.sources import Source
from search.report.shown import setting
from search.spec.search import objective_name
from spaces.paths import get, has
from trainables.own.declaration import WAYS

_BESIDE = {"name", "resources", "max_failures", "stop_after_failures", "trial_timeout"}
"""What search.yaml says and no result depends on."""


@dataclass(frozen=True)
class Group:
    """Searches that differ in nothing but their seed; often just one."""

    name: str
    members: tuple[Source, ...]
    """By seed."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The sampler's seed of each member."""
        return tuple(seed_of(source) for source in self.members)


@dataclass(frozen=True)
class Table:
    """Groups whose values may stand on one axis: one model and objective, on the same data, at the same length."""

    groups: tuple[Group, ...]

    @property
    def first(self) -> Source:
        """A search to ask what all have in common."""
        return self.groups[0].members[0]

    @property
    def sources(self) -> tuple[Source, ...]:
        """All searches."""
        return tuple(source for group in self.groups for source in group.members)


def seed_of(source: Source) -> int:
    """The seed of a search's proposals and trainings."""
    sampler = source.material.settings["settings"].get("sampler", {})
    return int(sampler.get("seed", 0))


def grouped(sources: Sequence[Source]) -> list[Group]:
    """Searches that differ only in seed together, in the order given. Of a seed that comes twice, the second search
    stands for itself: it is no independent repetition.
    """
    found: dict[tuple[str, int], list[Source]] = {}
    for source in sources:
        key, again = _identity(source), 0
        while any(seed_of(other) == seed_of(source) for other in found.get((key, again), [])):
            again += 1
        found.setdefault((key, again), []).append(source)
    members = [sorted(group, key=seed_of) for group in found.values()]
    return [Group(name, tuple(group)) for name, group in zip(_names(members), members, strict=True)]


def unseeded(source: Source) -> dict[str, Any]:
    """How the search searches: its settings without the sampler's seed."""
    settings = source.material.settings["settings"]
    sampler = {key: value for key, value in settings.get("sampler", {}).items() if key != "seed"}
    return {**settings, "sampler": sampler}


def _identity(source: Source) -> str:
    """What the search is, its seed aside."""
    content = {key: value for key, value in source.material.settings.items() if key not in _BESIDE}
    return json.dumps({**content, "settings": unseeded(source)}, sort_keys=True, default=str)


def _names(groups: Sequence[Sequence[Source]]) -> list[str]:
    """A name for each: the search's own, or its first and last member's; never the same twice."""
    names: list[str] = []
    for group in groups:
        said = [source.name for source in group]
        name = said[0] if len(said) == 1 else f"{said[0]} … {said[-1]}"
        if len(said) == 1 and sum(other.name == name for each in groups for other in each) > 1:
            name = f"{name} ({group[0].where})"
        while name in names:
            name += "′"
        names.append(name)
    return names


def tables(groups: Sequence[Group]) -> list[Table]:
    """The groups by what may be compared, in order."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(json.dumps(_meaning(group.members[0]), sort_keys=True), []).append(group)
    return [Table(tuple(each)) for each in found.values()]


def _meaning(source: Source) -> Mapping[str, Any]:
    """What a value of the search's objective depends on beside the config: name -> content. Training code of the user's
    own is called as its YAML is, and the digest of its data is that of the code."""
    material = source.material
    own = material.settings.get("trainable")
    return {
        "model": material.model.name if own is None else next(str(own[way]) for way in WAYS if way in own),
        "objective": material.settings.get("objective", objective_name(material.model.objective)),
        "data": material.settings.get("data_digest", ""),
        "length": f"{material.horizon} {material.unit}s",
    }


def apart(found: Sequence[Table]) -> Iterator[str]:
    """Why the tables are not one: a line for each against the first."""
    for table in found[1:]:
        here, there = _meaning(table.first), _meaning(found[0].first)
        differing = [key for key in here if here[key] != there[key]]
        differing = ["model"] if "model" in differing else differing  # all else follows from it
        data = "the code differs" if "trainable" in table.first.material.settings else "the data differ"
        said = [data if key == "data" else f"{key}: {here[key]}, there {there[key]}" for key in differing]
        names, others = (", ".join(group.name for group in each.groups) for each in (table, found[0]))
        yield f"Values of {names} can't be compared with those of {others}: {'; '.join(said)}."


def warnings(table: Table) -> Iterator[str]:
    """Settings in which searches of one table differ though no space may hold them, each with the model's reason."""
    model = table.first.material.model
    for key, reason in model.unsearchable.items():
        if key == model.length_key:
            continue
        said = {
            group.name: setting(get(base, key))
            for group in table.groups
            if has(base := group.members[0].material.base, key)
        }
        if len(set(said.values())) > 1:
            values = ", ".join(f"{value} in {name}" for name, value in said.items())
            yield f"{key} differs ({values}): {reason}."
