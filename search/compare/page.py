"""The comparison as one self-contained page, in the report's frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from search.compare import configs, results
from search.compare.groups import Table, apart, grouped, tables, warnings
from search.compare.sources import Source
from search.compare.story import Story, tell
from search.report.page import page, static, templates
from search.report.shown import moment
from search.results.procedure import Estimate

COLOURS = (
    ("#0072B2", "#56B4E9"),
    ("#D55E00", "#E69F00"),
    ("#009E73", "#2FC39A"),
    ("#AA4499", "#CC79A7"),
    ("#8A6D00", "#F0E442"),
    ("#6B4C7A", "#B79BC4"),
)
"""Of groups, on light and on dark ground: Okabe and Ito (2008), some darkened where light ground asks for it."""


@dataclass(frozen=True)
class Compared:
    """The groups of one table with all that is said of them."""

    table: Table
    found: tuple[results.Summary, ...]
    costs: tuple[tuple[results.Cost, ...], ...]
    """For each group, of each of its searches."""
    gaps: tuple[results.Difference, ...]
    courses: tuple[tuple[results.Course, ...], ...]
    means: tuple[results.Mean | None, ...]
    """Of groups of several searches."""
    warnings: tuple[str, ...]
    story: Story


@dataclass(frozen=True)
class Comparison:
    """All that a comparison says, as values; the page and the screen are two ways to show it."""

    tables: tuple[Compared, ...]
    notes: tuple[str, ...]
    """What can't be compared, or was left out."""

    @property
    def sources(self) -> list[Source]:
        """All searches."""
        return [source for each in self.tables for source in each.table.sources]


def compare(sources: Sequence[Source], notes: Sequence[str] = ()) -> Comparison:
    """Compare searches, at least two. `notes`: what else is to be said."""
    found = tables(grouped(sources))
    return Comparison(tuple(_compared(table) for table in found), (*notes, *apart(found)))


def _compared(table: Table) -> Compared:
    found = tuple(results.summary(group) for group in table.groups)
    courses = tuple(tuple(results.course(source) for source in group.members) for group in table.groups)
    gaps = tuple(results.differences(table, found))
    return Compared(
        table=table,
        found=found,
        costs=tuple(tuple(results.cost(source) for source in group.members) for group in table.groups),
        gaps=gaps,
        courses=courses,
        means=tuple(results.mean(each) if len(each) > 1 else None for each in courses),
        warnings=(*warnings(table), *(said for group in table.groups if (said := results.overlap(group)) is not None)),
        story=tell(table, found, gaps),
    )


def html(found: Comparison, command: str) -> str:
    """The whole page. `command` makes it again."""
    context = {
        "compared": [_context(each) for each in found.tables],
        "notes": found.notes,
        "names": [source.name for source in found.sources],
        "provenance": [_provenance(source) for source in found.sources],
        "command": command,
    }
    body = Markup(templates("search.compare").get_template("compare.html").render(**context))  # noqa: S704 - rendered
    names = " · ".join(group.name for each in found.tables for group in each.table.groups)
    script = static("compare.js", "search.compare")
    return page(f"Comparison: {names}", body, {"compared": [_data(each) for each in found.tables]}, [script])


def _context(each: Compared) -> dict[str, Any]:
    material = each.table.first.material
    several = len(each.table.groups) > 1
    return {
        **vars(each),
        "model": material.model.name,
        "objective": material.model.objective,
        "unit": material.unit,
        "horizon": material.horizon,
        "groups": list(zip(each.found, each.costs, strict=True)),
        "configs": configs.best_configs(each.table),
        "spaces": configs.spaces(each.table),
        "settings": configs.settings(each.table) if several else None,
        "drawn": any(course.steps for courses in each.courses for course in courses),
        "scored": any(one.confirmed is not None for found in each.found for one in found.outcomes),
        "tracked": any(source.tracked for source in each.table.sources),
    }


def _data(each: Compared) -> dict[str, Any]:
    """What the charts draw."""
    objective = each.table.first.material.model.objective
    return {
        "unit": each.table.first.material.unit,
        "objective": {"metric": objective.metric, "mode": objective.mode, "unit": objective.unit},
        "groups": [
            {
                "name": found.group.name,
                "colours": COLOURS[place % len(COLOURS)],
                "dash": ("solid", "dash", "dot", "dashdot")[place // len(COLOURS) % 4],
                "members": [
                    {
                        "name": one.source.name,
                        "seed": seed,
                        "steps": course.steps,
                        "values": course.values,
                        "end": course.end,
                        "confirmed": _estimate(one.confirmed),
                        "scores": list(one.verdict.winner.by_seed.values()) if one.confirmed and one.verdict else [],
                        "baseline": _estimate(one.baseline),
                    }
                    for one, seed, course in zip(found.outcomes, found.group.seeds, courses, strict=True)
                ],
                "mean": _mean(means),
                "confirmed": _estimate(found.confirmed),
            }
            for place, (found, courses, means) in enumerate(zip(each.found, each.courses, each.means, strict=True))
        ],
    }


def _mean(found: results.Mean | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"steps": found.steps, "values": [_estimate(value) for value in found.values], "end": found.end}


def _estimate(found: Estimate | None) -> Mapping[str, Any] | None:
    return None if found is None else {"mean": found.mean, "low": found.low, "high": found.high}


def _provenance(source: Source) -> tuple[str, ...]:
    material = source.material
    last = moment(material.last_at) if material.last_at is not None else "–"
    digest = str(material.settings.get("data_digest", "unknown"))[:16]
    return (
        source.name,
        source.where,
        "finished" if material.done else "not finished" if source.tracked else material.standing.state,
        material.digest or "unknown",
        digest,
        last,
    )
