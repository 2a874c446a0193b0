"""What workers took of their machines over time: processors, memory, GPU."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from search.history.records import Trial
from search.report.timeline import Timeline
from trainables.usage import CORES, GPU, GPU_MEMORY, MEMORY

BINS = 300
"""Stretches of time that are told apart, however many evaluations there were."""
GIB = 2**30
_FIGURES = {
    CORES: ("Processors that each worker used", "Processors in use, a worker each: the mean between two evaluations."),
    MEMORY: (
        "Memory that each worker held",
        "Memory held by a worker and the processes it started, at evaluations.",
    ),
    GPU: ("Share of the GPU that was busy", "How busy the worker's GPU was, at evaluations, whoever used it."),
    GPU_MEMORY: ("GPU memory that each worker held", "The most that torch held of the GPU between two evaluations."),
}


def by_lane(lanes: Timeline, trials: Mapping[int, Trial]) -> dict[str, list[dict[str, Any]]]:
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
                "value": [_of(key, known[at]) for at in sorted(known)],
            }
            for lane, known in sorted(of_lane.items())
        ]
        for key, of_lane in found.items()
        if key in _FIGURES
    }


def figures(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, name and caption of each quantity that there is something to show of."""
    yield from ((key, *_FIGURES[key]) for key in _FIGURES if key in found)


def _of(key: str, values: list[float]) -> float:
    return round(max(values) / GIB if key in {MEMORY, GPU_MEMORY} else float(np.mean(values)), 3)
