"""What a training reports, checked: its metrics as plain numbers, its objective, its step."""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from trainables.run import ENDED, GPU, METRICS, OBJECTIVE, PACE, STEP, Diverged, Run, UserCodeError


def plain_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics as Python numbers: a tensor or numpy value that holds one number is that number.

    Raises UserCodeError, naming the metric, for anything else.
    """
    return {str(name): _number(str(name), value) for name, value in metrics.items()}


def _number(name: str, value: Any) -> float:
    if type(value) is int:  # of any size
        return value
    if isinstance(value, int | float):
        return float(value)
    item = getattr(value, "item", None)  # torch's and numpy's
    shape = tuple(getattr(value, "shape", ()))
    if callable(item) and all(length == 1 for length in shape):
        found = item()
        if isinstance(found, int | float):
            return float(found)
    what = f"a {type(value).__name__}" + (f" of shape {shape}" if shape else "")
    raise UserCodeError(f"metric {name!r} is {what}, not a number: report a float, or a tensor that holds just one")


def objective_of(metrics: Mapping[str, float], metric: str) -> float:
    """The objective's value. Raises UserCodeError, saying which metrics there are, where it is not among them."""
    if metric not in metrics:
        there = ", ".join(sorted(metrics)) or "none at all"
        raise UserCodeError(f"the objective {metric!r} is not reported; the metrics that are: {there}")
    return metrics[metric]


def check_advanced(before: int, until: int, run: Run) -> None:
    """Raise UserCodeError where `train(until)` has left the run at or before the step that it came from, unless the
    training has ended by itself there: its code need not know that it has until more is asked of it."""
    if run.step <= before and run.ended is None:
        what = f"train({until}) was called at step {before} and left the run at step {run.step}"
        raise UserCodeError(f"{what}: it must train to step {until} and count it in `step`")


def report_of(run: Run, trained: Mapping[str, float], metric: str, further: Sequence[str]) -> dict[str, Any]:
    """The report of an evaluation.

    Raises Diverged for a metric that is not finite, UserCodeError for one that is no number and for an objective that
    is not among them.
    """
    metrics = plain_metrics({**trained, **run.evaluate()})
    missing = [name for name in further if name not in metrics and name != PACE]
    if missing:
        there = ", ".join(sorted(metrics))
        what = f"no {' and no '.join(missing)} is reported under this config: take it out of objectives"
        raise UserCodeError(f"{what}; the metrics that are: {there}")
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise Diverged(name, run.step, value)
    report: dict[str, Any] = {STEP: run.step, OBJECTIVE: objective_of(metrics, metric), METRICS: metrics}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        report[GPU] = torch.cuda.get_device_name()
    if run.ended is not None:
        report[ENDED] = run.ended
    return report
