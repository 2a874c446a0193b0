"""What the page's scripts draw: columns of plain numbers and text, packed where there are many."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.history.records import Trial
from search.report.anytime import Anytime, Point
from search.report.importance import INACTIVE, Importance, Level
from search.report.material import Material
from search.report.page import packed
from search.report.schedules import Schedules
from search.report.shown import setting
from search.report.timeline import Timeline
from spaces.domain import Categorical
from spaces.knob import Knob
from spaces.values import thaw
from trainables.run import OBJECTIVE
from trainables.usage import CORES, GPU, GPU_MEMORY, MEMORY

MOST = 60_000
"""Evaluations that the page draws; of more, each curve is thinned, with its ends and rungs kept."""
SLICED, PAIRED, AXES = 6, 3, 12
"""Knobs that get a slice, that are paired, and that are axes of the parallel coordinates: the most important ones."""
BINS = 300
"""Stretches of time that are told apart, however many evaluations there were."""
GIB = 2**30
_USAGE = {
    CORES: ("Processors that each worker used", "Processors in use, a worker each: the mean between two evaluations."),
    MEMORY: (
        "Memory that each worker held",
        "Memory held by a worker and the processes it started, at evaluations.",
    ),
    GPU: ("Share of the GPU that was busy", "How busy the worker's GPU was, at evaluations, whoever used it."),
    GPU_MEMORY: ("GPU memory that each worker held", "The most that torch held of the GPU between two evaluations."),
}
"""Of each quantity that workers take: its chart's name and caption."""


def trial_columns(trials: Sequence[Trial], knobs: Sequence[Knob]) -> dict[str, Any]:
    """One list per column; `knobs` holds a list of values per knob, None where it is inactive."""
    return {
        "number": [t.number for t in trials],
        "kind": [t.proposed.kind for t in trials],
        "origin": [t.proposed.origin for t in trials],
        "status": [t.status for t in trials],
        "objective": [t.objective for t in trials],
        "steps": [t.step for t in trials],
        "seconds": [round(t.seconds, 3) for t in trials],
        "seed": [t.proposed.seed for t in trials],
        "reason": [t.reason for t in trials],
        "ended": [bool(t.reports) and t.reports[-1].outcome == "ended" for t in trials],
        "knobs": [[_value(knob, t.values) for t in trials] for knob in knobs],
        "places": [packed([knob.place(t.values, INACTIVE) for t in trials]) for knob in knobs],
    }


def curves(trials: Sequence[Trial], rungs: Sequence[int], every: int) -> dict[str, Any]:
    """All learning curves end to end: `starts[i]` to `starts[i + 1]` are trial i's points; steps count in `every`."""
    total = sum(len(t.reports) for t in trials)
    stride = max(1, math.ceil(total / MOST))
    kept = [thinned(t, stride, rungs) for t in trials]
    starts = np.cumsum([0, *(len(points) for points in kept)])
    points = [point for of_trial in kept for point in of_trial]
    if any(step % every for step, _ in points):  # a run that ended itself between two evaluations
        every = 1
    steps = [step // every for step, _ in points]
    return {
        "starts": packed(starts, "i4"),
        "steps": packed(steps, "u2" if max(steps, default=0) < 2**16 else "i4"),
        "every": every,
        "values": packed([value for _, value in points]),
        "stride": stride,
    }


def thinned(trial: Trial, stride: int, rungs: Sequence[int] = ()) -> list[tuple[int, float]]:
    """(step, objective) of one in `stride` evaluations, of the last one, and of those at rungs."""
    last = len(trial.reports) - 1
    return [
        (report.step, report.metrics[OBJECTIVE])
        for index, report in enumerate(trial.reports)
        if index % stride == 0 or index == last or report.step in rungs
    ]


def knob_columns(knobs: Sequence[Knob]) -> list[dict[str, Any]]:
    """What a knob's axis needs: its ticks are (place from 0 to 1, label, number)."""
    return [
        {
            "path": knob.path,
            "choice": isinstance(knob.domain, Categorical),
            "log": not isinstance(knob.domain, Categorical) and knob.domain.log,
            "ticks": _ticks(knob),
            "integer": not isinstance(knob.domain, Categorical) and isinstance(knob.domain.low, int),
        }
        for knob in knobs
    ]


def _ticks(knob: Knob) -> list[tuple[float, str, float]]:
    """(place, label, number) of each tick; of a choice the number is its place."""
    domain = knob.domain
    if isinstance(domain, Categorical):
        places = [knob.place({knob.path: choice}, INACTIVE) for choice in domain.choices]
        return [(at, setting(thaw(choice)), at) for at, choice in zip(places, domain.choices, strict=True)]
    inner = [float(v) for v in _between(domain.low, domain.high, domain.log)]
    values: list[float | int] = [domain.low, *inner, domain.high]
    if isinstance(domain.low, int):
        values = sorted({round(v) for v in values})
    return [(knob.place({knob.path: value}, INACTIVE), setting(value), float(value)) for value in values]


def _between(low: float, high: float, log: bool) -> list[float]:
    """Powers of ten inside a logarithmic domain, the middle of another."""
    if not log:
        return [(low + high) / 2]
    first, last = math.floor(math.log10(low)) + 1, math.ceil(math.log10(high)) - 1
    powers = [10.0**n for n in range(first, last + 1) if low * 1.5 < 10.0**n < high / 1.5]
    return powers[:: max(1, len(powers) // 3)]


def _value(knob: Knob, values: Mapping[str, Any]) -> Any:
    """A number for a number (to 8 digits: trials.csv has them all), text for a choice, None where inactive."""
    if knob.path not in values:
        return None
    value = values[knob.path]
    if isinstance(knob.domain, Categorical):
        return setting(thaw(value))
    return float(f"{value:.8g}") if isinstance(value, float) else value


def course_data(course: Anytime) -> dict[str, Any]:
    """Best so far, and where each trial ended."""

    def columns(points: Sequence[Point]) -> dict[str, Any]:
        return {
            "steps": [p.steps for p in points],
            "seconds": [round(p.seconds, 3) for p in points],
            "value": [p.value for p in points],
            "trial": [p.trial for p in points],
            "length": [p.length for p in points],
        }

    whole = {"steps": course.steps, "seconds": round(course.seconds, 3)}
    return {"best": columns(course.best), "ends": columns(course.ends), "whole": whole, "baseline": course.baseline}


def schedule_data(found: Schedules) -> dict[str, Any]:
    """The moving knobs; constant ones stand in the page's table."""
    return {
        "steps": list(found.steps),
        "courses": [
            {
                "name": course.name,
                "documented": packed(course.documented, "f8") if course.documented is not None else None,
                "new": packed(course.new, "f8") if course.new is not None else None,
                "seenDocumented": list(course.seen_documented),
                "seenNew": list(course.seen_new),
                "log": course.logarithmic,
            }
            for course in found.courses
            if not course.constant
        ],
    }


def level_data(found: Sequence[Level], chosen: Level | None) -> dict[str, Any]:
    """Scores at each step of comparison; `chosen` is the one shown at first."""
    return {
        "all": [{"step": one.step, "trials": list(one.trials), "values": list(one.values)} for one in found],
        "chosen": found.index(chosen) if chosen is not None else 0,
    }


def importance_data(found: Importance | None) -> dict[str, Any] | None:
    """Both measures, most important knob first."""
    if found is None:
        return None
    return {"knobs": list(found.knobs), "pedAnova": list(found.ped_anova), "permutation": list(found.permutation)}


def timeline_data(lanes: Timeline, trials: Mapping[int, Trial]) -> dict[str, Any]:
    """Spans by lane, in seconds since the first one began."""
    begin = min((span.begin for span in lanes.spans), default=0.0)
    return {
        "lanes": list(lanes.lanes),
        "trial": [span.trial for span in lanes.spans],
        "lane": [span.lane for span in lanes.spans],
        "begin": [round(span.begin - begin, 2) for span in lanes.spans],
        "length": [round(span.end - span.begin, 2) for span in lanes.spans],
        "steps": [list(span.steps) for span in lanes.spans],
        "kind": [trials[span.trial].proposed.kind for span in lanes.spans],
        "gaps": [[round(a - begin, 2), round(b - begin, 2)] for a, b in lanes.gaps],
    }


def usage_data(lanes: Timeline, trials: Mapping[int, Trial]) -> dict[str, list[dict[str, Any]]]:
    """By quantity and lane: seconds since the first trial began, and the value there. Memory is in GiB, the most of its
    stretch of time; all else is the mean."""
    begin = min((span.begin for span in lanes.spans), default=0.0)
    width = (max((span.end for span in lanes.spans), default=0.0) - begin) / BINS or 1.0
    found: dict[str, dict[int, dict[int, list[float]]]] = {}
    for span in lanes.spans:
        for report in trials[span.trial].reports:
            if span.begin <= report.at <= span.end:
                at = min(BINS - 1, int((report.at - begin) / width))
                for key, value in report.usage.items():
                    found.setdefault(key, {}).setdefault(span.lane, {}).setdefault(at, []).append(value)
    return {
        key: [
            {
                "lane": lane,
                "at": [round((at + 0.5) * width, 1) for at in sorted(known)],
                "value": [_used(key, known[at]) for at in sorted(known)],
            }
            for lane, known in sorted(of_lane.items())
        ]
        for key, of_lane in found.items()
        if key in _USAGE
    }


def usage_figures(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Key, name and caption of each quantity that there is something to show of."""
    return [(key, *shown) for key, shown in _USAGE.items() if key in found]


def _used(key: str, values: list[float]) -> float:
    return round(max(values) / GIB if key in {MEMORY, GPU_MEMORY} else float(np.mean(values)), 3)


def robust_range(material: Material) -> tuple[float, float] | None:
    """The range of objectives worth looking at: the worst 3% of evaluations, and what diverged, may lie outside."""
    values = [r.metrics[OBJECTIVE] for t in material.trials if t.status != "diverged" for r in t.reports]
    if not values:
        return None
    low, high = (0.0, 0.97) if material.model.objective.mode == "min" else (0.03, 1.0)
    ends = np.quantile(values, [low, high])
    room = 0.05 * float(ends[1] - ends[0]) or 0.05 * abs(float(ends[1])) or 1.0
    return float(ends[0]) - room, float(ends[1]) + room


def main_knobs(
    knobs: Sequence[Knob], found: Importance | None, trials: Mapping[int, Trial], level: Level | None
) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Paths of the axes, of the slices, and of the pairs, the most important first; of pairs, both mostly active."""
    every = list(dict.fromkeys([*(found.knobs if found is not None else ()), *(knob.path for knob in knobs)]))
    numbers = level.trials if level is not None else tuple(trials)
    active = {path: sum(path in trials[number].values for number in numbers) for path in every}
    order = [path for path in every if active[path]]
    common = [path for path in order if 2 * active[path] >= len(numbers)]
    first = common[:PAIRED]
    pairs = [(a, b) for i, a in enumerate(first) for b in first[i + 1 :]]
    return order[:AXES], order[:SLICED], pairs
