"""A search with several objectives, a control group and a budget in steps, as a user runs it: real Ray, real MLflow."""

from pathlib import Path

import pandas as pd
import pytest

from search.execution.choose_stopping import make_bracket
from search.history.events import Paused, Promoted, Proposed, Reported
from search.history.journal import read
from search.spec.plan import make_plan
from search.spec.resolve import resolve
from search.stopping.bracket import Report
from search.stopping.rungs import Goal, controlled, further_scores
from tests.integration.conftest import make_project, run

pytestmark = [pytest.mark.integration, pytest.mark.slow]

OVERRIDES = [
    "budget.trials=null",
    "budget.total_steps=60",
    "objectives=[{val_mae_prior_sd: min}, {seconds_per_step: min}]",
    "early_stopping={kind: asha, first_rung: 1, control: 0.2}",
    "sampler={kind: forest, seed: 0}",
    "confirm={top: 2, seeds: 1}",
]
WORDS = ["search.yaml", "--name", "s", *(word for each in OVERRIDES for word in ("--set", each))]
GOALS = (Goal("seconds_per_step", "min"),)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> tuple[Path, str]:
    folder = make_project(tmp_path_factory.mktemp("objectives"))
    code, output = run("search.run", WORDS, folder, environment)
    assert code == 0, output
    return folder / "results" / "s", output


def test_it_ends_with_its_steps_and_shows_the_front(finished: tuple[Path, str]) -> None:
    folder, output = finished
    assert "about" in output.splitlines()[0] and "beside it seconds_per_step (min)" in output
    assert "nothing beats these in all objectives at once" in output and "pareto.csv" in output
    trials = pd.read_csv(folder / "trials.csv")
    searched = trials[trials.kind == "search"]
    assert 60 <= searched.steps.sum() <= 60 + 2  # two workers may each finish an evaluation
    front = pd.read_csv(folder / "pareto.csv")
    assert set(front.trial) <= set(searched[searched.steps == 9].number)
    values = front[["val_mae_prior_sd", "seconds_per_step"]].to_numpy()
    assert not any((a <= b).all() and (a < b).any() for a in values for b in values)
    assert {f"t{number:04d}.yaml" for number in front.trial} == {file.name for file in (folder / "pareto").iterdir()}


def test_the_control_group_is_never_paused(finished: tuple[Path, str]) -> None:
    events = read(finished[0] / "journal.jsonl")[0]
    paused = {event.trial for event in events if isinstance(event, Paused)}
    group = {event.trial for event in events if isinstance(event, Proposed) and controlled(event.trial, 0, 0.2)}
    assert group and not group & paused and paused


def test_its_journal_replays_to_the_same_pauses_and_promotions(finished: tuple[Path, str]) -> None:
    events = read(finished[0] / "journal.jsonl")[0]
    searched = {event.trial: event.values for event in events if isinstance(event, Proposed) and event.kind == "search"}
    search = resolve(finished[0].parents[1] / "search.yaml", OVERRIDES)
    bracket = make_bracket(search, make_plan(search), searched.__getitem__)
    assert bracket is not None and bracket.rule.further == GOALS
    decided, taken = [], []
    for event in events:
        match event:
            case Proposed() if event.trial in searched:
                bracket.start(event.trial)
            case Reported() if event.trial in searched:
                more = further_scores(GOALS, event.metrics, event.outcome)
                report = Report(event.trial, event.step, event.metrics["objective"], event.outcome, more)
                decided += [(event.trial, event.step)] * (bracket.report(report) == "pause")
            case Paused() if event.trial in searched:
                taken.append((event.trial, event.step))
            case Promoted() if event.trial in searched:
                assert event.trial in {*bracket.promotions(), bracket.closing()}
                bracket.start(event.trial)
            case _:
                pass
    assert decided == taken and len(taken) >= 6
