"""What is left in order when Ray's loop ends, which is a stand-in here."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import FIFOScheduler
from small_search import proposed, records_of, reported, trial

from search.execution import engine
from search.execution.admission import Halt, Slots
from search.execution.engine import Stage, run_stage
from search.history.events import Paused
from trainables.job import Job
from trainables.layout import HALT

Fit = Callable[[Any], None]


def stage(folder: Path, halt: Halt, closed: list[str]) -> Stage:
    """Of trials that are over, at work, and waiting at a rung, and of a run on a fresh seed."""
    records = records_of(
        trial(0, 0.5),
        [proposed(1), reported(1, 3, 0.4)],
        [proposed(2), reported(2, 9, 0.4), Paused(2, 9, 0.0)],
        [proposed(3, kind="confirm", seed=1), reported(3, 3, 0.4)],
    )
    room = SimpleNamespace(close=lambda: closed.append("room"))
    cluster: Any = SimpleNamespace(own=True, say=print, room=room, request=lambda: {"cpu": 1})
    ledger: Any = SimpleNamespace(records=records, emit=records.apply)
    job = Job("early_inference", {}, {}, 1, 18, str(folder))
    return Stage(job, ledger, cluster, Slots(lambda: 1, lambda: True), FIFOScheduler(), lambda: None, {}, halt, 2)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fit], None]:
    """Sets what Ray's loop does with what it was given."""
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "")  # which is set for Ray: as before, afterwards

    def set_fit(fit: Fit) -> None:
        made = lambda *_, **given: SimpleNamespace(fit=lambda: fit(SimpleNamespace(**given)))  # noqa: E731
        monkeypatch.setattr(engine, "Tuner", made)

    return set_fit


@pytest.mark.parametrize(
    ("halt", "stopped"),
    [
        (Halt(), {1: "not promoted from 3", 2: "not promoted from 9"}),
        (Halt("budget.wall 60 s is spent"), dict.fromkeys((1, 2), "budget.wall 60 s is spent")),
        (Halt("SIGTERM", "signal"), {}),  # they go on in the next sitting
        (Halt("3 trials alike", "failures"), {}),
    ],
)
def test_only_a_search_that_is_over_ends_the_trials_that_are_left(
    tmp_path: Path, ray: Callable[[Fit], None], halt: Halt, stopped: dict[int, str]
) -> None:
    (tmp_path / HALT).touch()  # by an earlier sitting
    seen, closed = list[bool](), list[str]()
    ray(lambda _: seen.append((tmp_path / HALT).exists()))
    made = stage(tmp_path, halt, closed)
    run_stage(made)
    assert seen == [False] and closed == ["room"]
    trials = made.ledger.records.trials
    assert {n: t.reason for n, t in trials.items() if t.status == "stopped"} == stopped
    assert trials[0].status == "completed" and not trials[3].over  # the confirmation takes that one up


def test_an_error_of_ray_s_leaves_the_trials_as_they_are(tmp_path: Path, ray: Callable[[Fit], None]) -> None:
    def breaks(_: Any) -> None:
        raise RuntimeError("odd")

    ray(breaks)
    closed = list[str]()
    made = stage(tmp_path, Halt(), closed)
    with pytest.raises(RuntimeError, match="odd"):
        run_stage(made)
    assert closed == ["room"] and not made.ledger.records.trials[1].over


def test_ray_keeps_its_notes_in_the_search_s_folder_and_names_trials_by_their_numbers(
    tmp_path: Path, ray: Callable[[Fit], None]
) -> None:
    given = list[Any]()
    ray(given.append)
    run_stage(stage(tmp_path, Halt(), []))
    run, tuned = given[0].run_config, given[0].tune_config
    assert Path(run.storage_path) == tmp_path.resolve() and run.failure_config.max_failures == 0
    name = tuned.trial_name_creator(SimpleNamespace(config={"trial": 7}, trial_id="ab_3"))
    assert name == "t0007_ab_3"
