"""The course of searches on common axes: best so far against units trained, and its mean over seeds."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from search.compare.sources import Source
from search.report.anytime import anytime
from search.results.procedure import Estimate


@dataclass(frozen=True)
class Course:
    """A step function: from `steps[i]` units on, the best value so far is `values[i]`."""

    steps: tuple[int, ...]
    values: tuple[float, ...]
    end: int
    """Units that the search has trained in all."""

    def at(self, step: int) -> float | None:
        """The best so far after `step` units; None before there is one. After its end it stays what it was."""
        index = bisect_right(self.steps, step)
        return self.values[index - 1] if index else None


@dataclass(frozen=True)
class Mean:
    """The mean over courses, where each of them has a value: a step function as well."""

    steps: tuple[int, ...]
    values: tuple[Estimate, ...]
    end: int


def course(source: Source) -> Course:
    """The search's own course; only fully trained trials count."""
    found = anytime(source.material)
    return Course(tuple(p.steps for p in found.best), tuple(p.value for p in found.best), found.steps)


def mean(courses: Sequence[Course]) -> Mean | None:
    """Their mean with its 95% interval; None where a course has no value at all."""
    if not courses or not all(each.steps for each in courses):
        return None
    first = max(each.steps[0] for each in courses)
    places = sorted({first, *(step for each in courses for step in each.steps if step >= first)})
    values = [[value for each in courses if (value := each.at(place)) is not None] for place in places]
    return Mean(tuple(places), tuple(map(Estimate.of, values)), max(each.end for each in courses))
