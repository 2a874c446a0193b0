"""What Ray is given to run, and what becomes of a run that leaves its worker to another one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_search import proposed, records_of, reported

from search.execution.admission import Halt, Slots
from search.execution.engine import Stage
from search.execution.ray_schedulers import MakesRoom
from search.execution.trial_feed import TrialFeed
from trainables.job import Job
from trainables.run import OBJECTIVE, SAVED, STEP

CONTINUE, PAUSE = MakesRoom.CONTINUE, MakesRoom.PAUSE


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Of three runs on fresh seeds, of which one has come to step 6 of 18, for two workers."""
    records = records_of(
        [proposed(0, kind="confirm", seed=1), reported(0, 6, 0.4)],
        [proposed(1, kind="confirm", seed=2)],
        [proposed(2, kind="confirm", seed=3)],
    )
    ledger: Any = SimpleNamespace(records=records, emit=records.apply)
    cluster: Any = SimpleNamespace(say=print)
    gate = Slots(lambda: 2, lambda: True, [0, 1, 2], left=lambda number: 18 - records.trials[number].step, turn=2)
    job = Job("early_inference", {}, {}, 1, 18, str(tmp_path))
    return Stage(job, ledger, cluster, gate, MakesRoom(gate.makes_room), lambda: None, {}, Halt(), 2)


def test_a_run_that_makes_room_is_handed_in_again_and_has_not_ended(stage: Stage) -> None:
    feed = TrialFeed(stage)

    def given(name: str) -> int | None:
        config = feed.suggest(name)
        assert config is None or isinstance(config, dict)
        return None if config is None else config["trial"]

    def told(number: int, step: int, saved: bool = True) -> str:
        """What is decided when Ray tells of an evaluation."""
        if step > stage.ledger.records.trials[number].step:
            stage.ledger.emit(reported(number, step, 0.4))
        trial = SimpleNamespace(config={"trial": number})
        return str(stage.scheduler.on_trial_result(None, trial, {STEP: step, SAVED: saved}))

    assert [given("a"), given("b"), given("c")] == [1, 2, None]  # those with most left
    assert told(1, 7) == CONTINUE  # 11 left, where 12 wait
    assert told(1, 8, saved=False) == CONTINUE  # it would train that again
    assert told(1, 8) == PAUSE  # 10 left
    assert given("d") is None  # it has not left yet
    feed.on_trial_complete("a")
    assert not stage.ledger.records.trials[1].over
    assert [given("d"), given("e")] == [0, None]
    assert told(2, 9) == CONTINUE  # 9 left, where 10 wait
    assert told(2, 10) == PAUSE
    feed.on_trial_complete("b")
    assert [given("f"), given("g")] == [1, None] and not stage.gate.finished()
    assert told(1, 18) == CONTINUE  # 8 wait: it ends by itself
    feed.on_trial_complete("f", {STEP: 18, OBJECTIVE: 0.4})
    assert stage.ledger.records.trials[1].status == "completed"
    assert [given("h"), given("i")] == [2, None]


def test_where_trials_do_not_go_on_each_is_trained_in_one_go(stage: Stage) -> None:
    assert isinstance(stage.gate, Slots)
    stage.gate.turn = 0
    feed = TrialFeed(stage)
    assert [feed.suggest("a") is None, feed.suggest("b") is None] == [False, False]
    stage.ledger.emit(reported(1, 15, 0.4))
    trial, result = SimpleNamespace(config={"trial": 1}), {STEP: 15, SAVED: True}
    assert stage.scheduler.on_trial_result(None, trial, result) == CONTINUE
