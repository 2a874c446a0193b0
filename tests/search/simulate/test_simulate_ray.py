"""The simulator against the real thing: with one worker, a search on Ray and its simulation decide alike."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from simulated import Heard, Move

from benchmarks.trivial import SPACE
from search.history.events import Ended, Event, Paused, Promoted, Proposed
from search.history.journal import read
from search.history.records import Records
from search.sampling.proposer import Proposer
from search.sampling.trial_history import Problem, Sampling, Scoring
from search.simulate.clock import simulate
from search.simulate.ours import RungPolicy
from search.simulate.sources import Learned
from search.spec.plan import make_plan
from search.spec.resolve import resolve
from search.stopping.bracket import Bracket
from search.stopping.rungs import Rule

pytestmark = pytest.mark.integration

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"  # the model `trivial`, a closed form, lives there
TRIALS = 12
SEARCH = (
    SPACE
    + """\
budget: {trials: %d, steps: 9, evaluate_every: 1}
early_stopping: {kind: asha, mode: %s, first_rung: 1, reduction: 3}
sampler: {kind: %s, seed: 3}
confirm: {top: 1, seeds: 0}
"""
)
DRIVER = """
import logging, sys
import ray
from search import run
from search.execution import cluster
cluster._connect = lambda where: ray.init(
    address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
sys.exit(run.main(sys.argv[1:]))
"""


def move(event: Event, records: Records) -> Move | None:
    """What the journal says, as the simulator says it; None for what it leaves out: the end of paused trials, too."""
    match event:
        case Proposed():
            return "propose", event.trial, 0
        case Paused():
            return "pause", event.trial, event.step
        case Promoted():
            return "promote", event.trial, event.step
        case Ended(status="completed"):
            return "completed", event.trial, records.trials[event.trial].step
        case Ended() if not event.reason.startswith("not promoted"):
            return "stopped", event.trial, records.trials[event.trial].step
        case _:
            return None


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "sampler"), [("promote", "tpe"), ("promote", "forest"), ("stop", "tpe")])
def test_a_search_on_ray_and_its_simulation_decide_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, sampler: str
) -> None:
    monkeypatch.setenv("SCHEDULE_SEARCH_MODELS", "trivial=trivial")
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    (tmp_path / "search.yaml").write_text(SEARCH % (TRIALS, mode, sampler))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RAY_", "TUNE_"))}
    command = [sys.executable, "-c", DRIVER, "search.yaml", "--name", "s"]
    done = subprocess.run(command, cwd=tmp_path, env=kept, text=True, capture_output=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr

    events = read(tmp_path / "results/s/journal.jsonl")[0]
    records = Records(events)
    on_ray = [found for event in events if (found := move(event, records)) is not None]

    import trivial  # found by the path above

    search = resolve(tmp_path / "search.yaml", [], "s", None)
    plan = make_plan(search)
    objective, settings = search.model.objective, search.settings
    proposer = Proposer(
        Problem(search.name, search.space, search.base, search.horizon, plan.rungs),
        Sampling(settings.sampler.kind, settings.sampler.seed, settings.sampler.points),
        Scoring(objective.mode, objective.worst),
        None,
    )
    values: dict[int, dict[str, Any]] = {}

    def train(trial: int, proposed: Mapping[str, Any]) -> Sequence[float]:
        values[trial] = dict(proposed)
        return [trivial.loss(**proposed, step=step) for step in range(1, search.horizon + 1)]

    source = Heard(Learned(proposer, train))
    rule = Rule("promote" if mode == "promote" else "stop", plan.rungs, 3, objective.mode, objective.worst)
    policy = RungPolicy(Bracket(rule, exempt=lambda trial: trial == 0), source, TRIALS)
    run = simulate(policy, 1, 10**6)

    assert on_ray == source.moves
    assert {trial.number: trial.values for trial in records.of_kind("search")} == values
    assert records.search_steps == run.evaluations < TRIALS * 9
    assert sum(kind == "promote" for kind, *_ in source.moves) >= (3 if mode == "promote" else 0)
