"""Signals, and the loss of Ray's processes."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_search import proposed, records_of, reported

from search.app import endings
from search.app.endings import Loss, interruption
from search.app.relaunch import Relaunched
from search.common.command_line import STOPPING
from search.execution.admission import Halt
from search.history.journal import Journal

LOST = "Ray's raylet ended (killed, or out of memory)"


@pytest.fixture(autouse=True)
def inherited() -> Iterator[None]:
    """None of them is ignored, as under nohup, and all are as before afterwards."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (*STOPPING, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_ends_in_order_and_the_second_at_once(number: signal.Signals) -> None:
    halt, said = Halt(), list[str]()
    with interruption(halt, said.append):
        signal.raise_signal(number)
        assert (halt.kind, halt.reason) == ("signal", number.name)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert said == ["stopping: trials keep their last evaluation; again to stop at once"]
    assert signal.getsignal(number) is signal.default_int_handler


def test_one_signal_is_enough_in_a_search_that_ends_for_another_reason() -> None:
    halt = Halt("3 trials alike", "failures")
    with interruption(halt, lambda _: None):
        signal.raise_signal(signal.SIGTERM)
    assert (halt.kind, halt.reason) == ("signal", "SIGTERM")


def test_a_signal_is_known_that_the_main_thread_could_not_take_yet() -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    with interruption(Halt(), lambda _: None) as arrived:
        assert arrived() == ""
        signal.raise_signal(signal.SIGUSR1)
        assert arrived() == ""  # not one that asks to end
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGHUP)
        assert arrived() == "SIGHUP"
        assert arrived() == ""


def test_the_caller_hears_of_signals_as_before_even_after_an_error() -> None:
    before = signal.set_wakeup_fd(-1)
    try:
        with pytest.raises(RuntimeError), interruption(Halt(), lambda _: None):
            raise RuntimeError
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.set_wakeup_fd(before)


Lost = Callable[..., tuple[str, Relaunched, bool, str]]


@pytest.fixture
def lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lost:
    """What the next process is told when Ray is lost."""
    told, ended = list[Any](), list[Path]()
    monkeypatch.setattr(endings, "TOGETHER_SECONDS", 0.0)
    monkeypatch.setattr(endings, "relaunch", lambda *given: told.append(given[:4]))
    monkeypatch.setattr(endings, "end_all", ended.append)

    def lose(halt: Halt, left: Relaunched, reports: int | None, arrived: str = "", own: bool = True) -> Any:
        loss = Loss(halt, left, lambda: arrived, tmp_path, "the command", lambda _: None)
        if reports is not None:
            steps = [[proposed(n), *(reported(n, step, 0.5) for step in range(1, 1 + reports // 2))] for n in range(2)]
            loss.follow(SimpleNamespace(records=records_of(*steps)), 3, own)  # type: ignore[arg-type]
        loss(LOST)
        assert ended == [tmp_path / "trials"]  # no worker of Ray's outlives it
        return told[0]

    return lose


@pytest.mark.parametrize(
    ("before", "reports", "after"),
    [
        (Relaunched(), 4, Relaunched(0, 4, 3)),
        (Relaunched(1, 4, 3), 6, Relaunched(0, 6, 3)),
        (Relaunched(1, 4, 3), 4, Relaunched(2, 4, 3)),  # nothing was evaluated since
        (Relaunched(), 0, Relaunched(0, 0, 3)),
        (Relaunched(0, 0, 3), 0, Relaunched(1, 0, 3)),
        (Relaunched(), None, Relaunched(0, 0)),  # lost before the folder was open
        (Relaunched(2, 4, 3), None, Relaunched(3, 4, 3)),
        (Relaunched(0, 0, 0), None, Relaunched(1, 0, 0)),
    ],
)
def test_a_fresh_process_goes_on_and_knows_whether_the_last_was_in_vain(
    lost: Lost, before: Relaunched, reports: int | None, after: Relaunched
) -> None:
    halt = Halt()
    assert lost(halt, before, reports) == (LOST, after, True, "the command")
    assert (halt.kind, halt.reason) == ("ray", LOST)  # what Ray reports from now on is no trial's own failure


def test_what_is_evaluated_on_the_way_to_the_start_is_not_in_vain(lost: Lost, tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    with Journal(tmp_path / "start" / "journal.jsonl") as journal:
        for event in (proposed(0), reported(0, 1, 0.5), reported(0, 2, 0.4)):
            journal.append(event)
    assert lost(Halt(), Relaunched(1, 0, 3), 0)[1] == Relaunched(0, 2, 3)


@pytest.mark.parametrize("called", [True, False])
def test_a_search_that_a_signal_ends_does_so_in_the_fresh_process(lost: Lost, called: bool) -> None:
    halt = Halt("SIGTERM", "signal") if called else Halt("3 trials alike", "failures")
    _, left, _, _ = lost(halt, Relaunched(), 2, "" if called else "SIGTERM")
    assert left == Relaunched(0, 2, 3, "SIGTERM")
    assert halt.kind == ("signal" if called else "ray")


def test_a_cluster_that_was_joined_is_known_as_such(lost: Lost) -> None:
    assert lost(Halt(), Relaunched(), 2, own=False)[2] is False
