"""What becomes of a trial's results and failures, without Ray."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_search import proposed

from search.execution.admission import Halt
from search.execution.engine import ResultListener
from search.history.events import Changed, Ended, Retried, Started
from search.history.journal import Journal, read
from search.history.ledger import Ledger
from search.history.records import Records
from trainables import checkpoints
from trainables.layout import checkpoint_folder
from trainables.prefix import GONE, KEPT, REPLAYED
from trainables.run import MACHINE, METRICS, OBJECTIVE, SECONDS, STEP, WARNING

HERE, THERE = {"instructions": "AVX512", "torch": "2"}, {"instructions": "AVX2", "torch": "2"}


class Scene:
    """A stage of three trials, its journal and what was said."""

    def __init__(self, folder: Path, journal: Journal, earlier: Records | None = None) -> None:
        self.folder, self.said, self.halt = folder, list[str](), Halt()
        self.checks: dict[str, Any] = {"folder": lambda: None}
        self.entries, self.gone = dict[str, Any](), list[dict[str, str]]()
        self.ledger = Ledger(journal, earlier or Records())
        stage: Any = SimpleNamespace(
            ledger=self.ledger,
            halt=self.halt,
            job=SimpleNamespace(folder=str(folder)),
            cluster=SimpleNamespace(say=self.said.append, room=SimpleNamespace(tend=lambda _: None)),
            gate=SimpleNamespace(lost=lambda *_: None, has_pending_work=lambda: True),
            store=None,
            max_failures=2,
            checks=self.checks,
            lending=SimpleNamespace(kept=self.entries, gone=lambda **key: self.gone.append(key)),
        )
        self.listener = ResultListener(stage, {f"r{number}": number for number in range(3)})

    def result(self, number: int, machine: dict[str, Any], step: int = 1, **more: Any) -> None:
        report = {STEP: step, OBJECTIVE: 0.5, METRICS: {}, SECONDS: 1.0, "pid": 7, MACHINE: machine, **more}
        self.listener(f"r{number}", report)

    def fails(self, number: int, text: str) -> None:
        file = self.folder / "error.txt"
        file.write_text(text)
        trial = SimpleNamespace(trial_id=f"r{number}", config={"trial": number}, error_file=str(file))
        self.listener.on_trial_error(0, [], trial)


def test_the_machine_type_is_in_the_journal_and_another_one_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        scene = Scene(tmp_path, journal)
        for number in range(3):
            scene.ledger.emit(proposed(number))
        scene.result(0, HERE)
        scene.result(1, HERE)
        assert scene.said == []
    history = read(path)[0]
    assert [event.machine for event in history if isinstance(event, Started)] == [HERE, HERE]
    with Journal(path) as journal:  # the same search, taken up elsewhere
        scene = Scene(tmp_path, journal, Records(history))
        scene.result(0, THERE)
        scene.result(1, HERE)
        scene.result(2, THERE)
    (said,) = scene.said
    assert "trial 0 trains on another machine type" in said and "instructions AVX512 -> AVX2" in said
    assert "2.7e-8 to 3.1e-6" in said


def test_what_is_shared_is_in_the_journal_and_counts_as_it_was(tmp_path: Path) -> None:
    state = {"key": "k", "address": "a", "step": 2, "size": 9, "seen": 0}
    with Journal(tmp_path / "journal.jsonl") as journal:
        scene = Scene(tmp_path, journal)
        for number in range(2):
            scene.ledger.emit(proposed(number))
        scene.result(0, HERE, 1)
        scene.result(0, HERE, 2, **{KEPT: [state]})
        scene.entries["k"] = state
        scene.result(0, HERE, 2, **{KEPT: [state]})  # told again after a crash
        del scene.entries["k"]  # had to make room
        scene.result(0, HERE, 3, **{KEPT: [state]})
        for step in (1, 2):
            scene.result(1, HERE, step, **{REPLAYED: {"trial": 0, "step": 3}})
        scene.result(1, HERE, 3, **{GONE: {"key": "k", "address": "a"}})  # the rest was lost meanwhile
    records = Records(read(tmp_path / "journal.jsonl")[0])
    assert len(records.kept) == 2 and scene.gone == [{"key": "k", "address": "a"}]
    assert records.trials[1].replayed == records.replayed_steps == 2
    assert records.search_steps == 3 + 1


@pytest.mark.parametrize(
    ("text", "tries"),
    [
        ("Traceback\nValueError: the cable 7 is loose\n", 2),
        ("Traceback\nModuleNotFoundError: No module named 'tochr'\n", 1),
        ("Traceback\nspaces.problems.BadInput: c.yaml lr: 7 is above 1\n", 1),
        ("Traceback\ntrainables.run.UserCodeError: metric 'loss' is a list\n", 1),
        ("Traceback\ntrainables.run.BeforeReportError: train.py line 3: RuntimeError: the disk is away\n", 2),
        ("ray.exceptions.ActorDiedError: The actor died unexpectedly.\n", 3),  # somebody may have killed it
    ],
)
def test_what_no_other_try_mends_is_not_tried_again(tmp_path: Path, text: str, tries: int) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        scene = Scene(tmp_path, journal)
        for number in range(2):
            scene.ledger.emit(proposed(number))
        for _ in range(tries):
            assert not scene.ledger.records.trials[0].over
            scene.fails(0, text)
        assert scene.ledger.records.trials[0].status == "failed"
        scene.fails(1, text)  # once will do, where the code has raised it
        assert scene.ledger.records.trials[1].over is (tries < 3)
    assert sum(isinstance(e, Ended) for e in read(tmp_path / "journal.jsonl")[0]) == 1 + (tries < 3)


def test_a_retry_says_from_which_checkpoint(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        scene = Scene(tmp_path, journal)
        scene.ledger.emit(proposed(0))
        scene.fails(0, "Traceback\nOSError: once\n")
        checkpoints.write(checkpoint_folder(tmp_path, 0), 4, {"run": {}})
        scene.fails(0, "Traceback\nKeyError: 'twice'\n")
    found = [event.step for event in read(tmp_path / "journal.jsonl")[0] if isinstance(event, Retried)]
    assert found == [0, 4]


def test_what_a_worker_warns_of_is_said_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        scene = Scene(tmp_path, journal)
        for number, text in enumerate(["the GPU is old", "the GPU is old", "the disk is slow"]):
            scene.ledger.emit(proposed(number))
            scene.result(number, HERE, **{WARNING: text})
    assert scene.said == ["warning: the GPU is old", "warning: the disk is slow"]


def test_knobs_that_change_in_mid_run_are_in_the_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        scene = Scene(tmp_path, journal)
        scene.ledger.emit(proposed(0, {"lr": 0.1}))
        for lr in (0.1, 0.2, 0.2):
            scene.listener.on_trial_start(
                0, [], SimpleNamespace(trial_id="r0", config={"trial": 0, "values": {"lr": lr}})
            )
    assert [e.values for e in read(tmp_path / "journal.jsonl")[0] if isinstance(e, Changed)] == [{"lr": 0.2}]


def test_the_first_reason_to_end_counts_and_a_spent_budget_waits_for_nobody(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        scene = Scene(tmp_path, journal)
        assert scene.listener.stop_all() is False
        scene.checks |= {"budget": lambda: "it is spent", "clock": lambda: "it was set back"}
        assert scene.listener.stop_all() is True
        assert (scene.halt.kind, scene.halt.reason) == ("budget", "it is spent")


@pytest.mark.parametrize("made_room", [False, True])
def test_the_end_waits_for_who_trains_and_not_for_who_has_made_room(tmp_path: Path, made_room: bool) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        scene = Scene(tmp_path, journal)
        scene.ledger.emit(proposed(0, kind="confirm"))
        scene.result(0, HERE)
        if made_room:
            scene.listener.on_trial_complete(0, [], SimpleNamespace(trial_id="r0"))
        scene.halt.call("SIGTERM", "signal")
        assert scene.listener.stop_all() is made_room


@pytest.mark.parametrize(
    ("kind", "reason", "text"),
    [
        ("folder", "/r/s was moved, renamed or deleted while the search ran", "FileNotFoundError: [Errno 2] t0000"),
        ("signal", "SIGTERM", "ray.exceptions.ActorDiedError: The actor died unexpectedly."),
        ("failures", "box does not see /r/s", "trainables.storage.Unseen: box does not see /r/s"),
    ],
)
def test_no_trial_is_given_up_for_what_is_not_its_own_failure(
    tmp_path: Path, kind: Any, reason: str, text: str
) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        scene = Scene(tmp_path, journal)
        scene.ledger.emit(proposed(0))
        if kind == "folder":
            scene.checks["folder"] = lambda: reason
        elif kind == "signal":
            scene.halt.call(reason, kind)
        scene.fails(0, f"Traceback\n{text}\n")
        assert not scene.ledger.records.trials[0].over and scene.ledger.records.trials[0].failures == 0
        assert (scene.halt.kind, scene.halt.reason) == (kind, reason)
