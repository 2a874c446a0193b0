"""Several objectives as one for a sampler, weighed anew for each proposal: so that it explores the whole front.

ParEGO (Knowles 2006, IEEE Transactions on Evolutionary Computation 10(1), section III) with ranks in place of values:

    f(x) = max_i λ_i·z_i + .05·Σ_i λ_i·z_i,   λ uniform on the simplex,   z_i = the share that is better,

for a pace, or a loss early in training, spans orders of magnitude, and a range would be set by the worst of them.
"""

import copy
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.sampling.samplers import Standing
from search.stopping.pareto import Point

AUGMENT = 0.05
WORST = math.nextafter(1 + AUGMENT, math.inf)  # f is at most 1 + AUGMENT


def weights(objectives: int, seed: int) -> npt.NDArray[np.float64]:
    """λ: non-negative, of sum 1, uniform on the simplex."""
    return np.random.default_rng(seed).dirichlet(np.ones(objectives))


def scalars(points: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The f of each row of `points` (n, objectives): from 0 for what is best in everything; lower is better."""
    n = len(points)
    shares = np.empty_like(points)
    for column in range(points.shape[1]):
        ordered = np.sort(points[:, column])
        shares[:, column] = np.searchsorted(ordered, points[:, column], side="left") / max(1, n - 1)
    weighed = shares * weight
    found: npt.NDArray[np.float64] = weighed.max(axis=1) + AUGMENT * weighed.sum(axis=1)
    return found


class Several:
    """What trials scored in all objectives, and how a sampler of one objective sees it."""

    def __init__(self, objectives: int) -> None:
        self._objectives = objectives
        self._points: dict[int, dict[int, Point]] = {}  # trial (the study's number) -> step -> scores, lower is better

    def put(self, trial: int, step: int, point: Point) -> None:
        """Take in an evaluation."""
        assert len(point) == self._objectives, f"{len(point)} scores, where there are {self._objectives} objectives"
        self._points.setdefault(trial, {})[step] = point

    def standing(self, trials: Iterable[FrozenTrial], seed: int) -> Standing:
        """The trials under weights drawn from `seed`, numbered anew from 0, their one objective to be minimised.

        A diverged trial keeps its constraint, by which samplers rank it last; its value is worse than any other.
        """
        known = list(trials)
        places = [(trial.number, step) for trial in known for step in self._points.get(trial.number, {})]
        table = np.array([self._points[number][step] for number, step in places]).reshape(-1, self._objectives)
        found = scalars(table, weights(self._objectives, seed))
        value = {place: float(each) for place, each in zip(places, found, strict=True)}
        standing = Standing(StudyDirection.MINIMIZE)
        for index, trial in enumerate(known):
            seen = copy.copy(trial)
            seen.number = seen._trial_id = index
            steps = sorted(trial.intermediate_values)
            seen.intermediate_values = {step: value.get((trial.number, step), WORST) for step in steps}
            if trial.state in {TrialState.COMPLETE, TrialState.PRUNED} and trial.value is not None:
                seen.value = value.get((trial.number, steps[-1]), WORST) if steps else WORST
            standing.put(seen)
        return standing
