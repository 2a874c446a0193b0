"""Proposals where several objectives count."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import pytest

from search.sampling.proposer import Proposer
from search.sampling.trial_history import PastTrial, Problem, Sampling, Scoring
from spaces.space import Space, parse_space

SPACE: Space = parse_space(
    {
        "x": {"float": [0.0, 1.0], "why": "w", "documented": 0.9},
        "y": {"float": [0.0, 1.0], "why": "w", "documented": 0.9},
    },
    "test",
)
BASE = {"x": 0.9, "y": 0.9}
TRIALS = 40

Kind = Literal["tpe", "forest", "random"]


def scores(values: Mapping[str, Any]) -> tuple[float, float]:
    """Both are best at y = 0; the first is best at x = 0, the second at x = 1."""
    return values["x"] ** 2 + values["y"], (1 - values["x"]) ** 2 + values["y"]


def volume(past: list[PastTrial]) -> float:
    """The hypervolume that the trials dominate below (2, 2); the front's own is 4 − 1/6."""
    found, best = 0.0, 2.0
    for first, second in sorted(scores(trial.values) for trial in past):
        if first < 2 and second < best:
            found += (2 - first) * (best - second)
            best = second
    return found


def proposer(kind: Kind, past: list[PastTrial] | None = None, objectives: int = 2, seed: int = 0) -> Proposer:
    scoring = Scoring("min", 9.0, objectives)
    return Proposer(Problem("s", SPACE, BASE, 1, (1,)), Sampling(kind, seed), scoring, None, past or [])


def searched(kind: Kind, objectives: int = 2, seed: int = 0) -> tuple[Proposer, list[PastTrial]]:
    made, past = proposer(kind, objectives=objectives, seed=seed), []
    for number in range(TRIALS):
        values = made.propose(number)
        assert values is not None
        first, second = scores(values)
        more = (second,) if objectives == 2 else ()
        made.report(number, 1, first, more)
        made.tell(number, "completed", first)
        past.append(PastTrial(number, values, "completed", made.origin(number), [(1, first)], [more], first))
    return made, past


@pytest.mark.parametrize("kind", ["tpe", "forest"])
def test_the_whole_front_is_explored(kind: Kind) -> None:
    both, one = (fmean(volume(searched(kind, n, seed)[1]) for seed in range(4)) for n in (2, 1))
    chance = fmean(volume(searched("random", 2, seed)[1]) for seed in range(4))
    assert both > one + 0.05 and both > chance + 0.1


@pytest.mark.parametrize("kind", ["tpe", "forest"])
def test_a_search_taken_up_again_proposes_the_same(kind: Kind) -> None:
    made, past = searched(kind)
    assert proposer(kind, past).propose(TRIALS) == made.propose(TRIALS)


def test_a_diverged_trial_has_no_scores_and_is_no_obstacle() -> None:
    made, _ = searched("forest")
    assert made.propose(TRIALS) is not None
    made.report(TRIALS, 1, 9.0)
    made.tell(TRIALS, "diverged", reason="loss is nan at step 1")
    assert made.propose(TRIALS + 1) is not None


def test_the_study_file_goes_by_the_first_objective(tmp_path: Path) -> None:
    made = Proposer(Problem("s", SPACE, BASE), Sampling("tpe", 0), Scoring("min", 9.0, 2), tmp_path / "study.journal")
    made.propose(0)
    made.report(0, 1, 0.5, (7.0,))
    made.tell(0, "completed", 0.5)
    assert made.file_error is None and '"value' in (tmp_path / "study.journal").read_text()
