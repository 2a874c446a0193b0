from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_search import proposed, reported

from search.execution.failures import ALIKE, DETAIL, Failure, FailurePolicy, failure_of, seen_before, signature
from search.history.events import Ended, Retried, Status
from search.history.records import Records
from trainables.guard import HANG, MEMORY
from trainables.layout import trial_folder

RAISED = """\x1b[36mray::Bridge.train()\x1b[39m (pid=1, ip=127.0.0.1)
  File "run.py", line 3, in train
ValueError: the cable 7 is loose
"""
MONITOR = "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\nTo adjust, see x\n"
DIED = "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\nThe worker is dead\n"
DEAD = "The actor died unexpectedly before finishing this task.\nThe actor is dead because its worker process has died."
NODE = "ray.exceptions.ActorDiedError: The actor died.\nThe actor died because its node has died. Node Id: ab\n"
AWAY = (
    "Failure # 1 (occurred at 2026-11-21)\nThe actor d19f is unavailable: The actor is temporarily unavailable: "
    "RpcError: RPC error: Socket closed rpc_code: 14. The task may or may not have been executed on the actor.\n"
)
REFUSED = "Traceback\nspaces.problems.BadInput: data.dataset_dir: no such folder\nlr: 7 is above 1\n"
IMPORT = "Traceback\n  File run.py, line 3\nModuleNotFoundError: No module named 'tochr'\n"
WRONG = "Traceback\ntrainables.run.UserCodeError: metric 'loss' is a list, not a number\n"
OURS = "Traceback\ntrainables.layout.OutOfMemory: out of GPU memory: lower the batch size\n"


@pytest.mark.parametrize(
    ("text", "told", "hopeless", "free"),
    [
        (RAISED, "ValueError: the cable 7 is loose", False, False),
        (MONITOR, "the machine ran out of memory", False, False),
        (DIED, "the worker was killed", False, False),
        (DEAD, "the worker was killed", False, False),
        ("", "the worker was killed", False, False),
        (NODE, "the node was lost", False, True),
        (AWAY, "the node was lost, or can't be reached", False, True),
        (OURS, "out of GPU memory: lower", True, False),
        (REFUSED, "data.dataset_dir: no such folder", True, False),
        (IMPORT, "ModuleNotFoundError: No module named 'tochr'", True, False),
        (WRONG, "metric 'loss' is a list, not a number", True, False),
    ],
)
def test_what_is_told_and_whether_another_try_may_help(
    text: str, told: str, hopeless: bool, free: bool, tmp_path: Path
) -> None:
    failure = failure_of(tmp_path, 7, text)
    assert failure.reason.startswith(told) and "\n" not in failure.reason
    assert (failure.hopeless, failure.free) == (hopeless, free)
    assert failure.detail == text.strip()
    kept = (trial_folder(tmp_path, 7) / "error.txt").read_text()
    assert failure.reason in kept and text.strip() in kept


def test_the_same_failure_before_the_first_report_is_not_tried_again() -> None:
    raised = Failure("ValueError: the cable 7 is loose", "", raised=True)
    alike, other = Retried(0, "ValueError: the cable 4 is loose", 0.0), Retried(0, "OSError: no file", 0.0)
    for events, seen in (
        ([proposed(0)], False),
        ([proposed(0), other], False),
        ([proposed(0), alike], True),
        ([proposed(0), reported(0, 1, 0.5), alike], False),  # it may be at another step by now
        ([proposed(0), proposed(1), Ended(1, "failed", alike.reason, 0.0)], True),
        ([proposed(0), proposed(1), reported(1, 1, 0.5), Ended(1, "failed", alike.reason, 0.0)], False),
        ([proposed(0), proposed(1), Ended(1, "stopped", alike.reason, 0.0)], False),
    ):
        records = Records(events)
        assert seen_before(records.trials[0], raised, records) is seen, events


def test_what_the_training_raises_while_it_is_built_is_no_killed_worker(tmp_path: Path) -> None:
    raised = "The actor died because of an error raised in its creation task, ray::T.__init__()\n"
    failure = failure_of(tmp_path, 0, raised + "spaces.problems.BadInput: device: 'cuda' asked for")
    assert failure.reason == "device: 'cuda' asked for" and failure.hopeless
    assert "was killed" in failure_of(tmp_path, 0, "The actor is dead because its worker process has died.").reason


def test_the_workers_last_words_say_more_than_its_death(tmp_path: Path) -> None:
    folder = trial_folder(tmp_path, 0)
    folder.mkdir(parents=True)
    (folder / HANG).write_text("Timeout (0:00:01)!\n  File train.py, line 9\n")
    hung = failure_of(tmp_path, 0, DIED)
    assert "trial_timeout" in hung.reason and "line 9" in hung.detail and not hung.hopeless
    (folder / MEMORY).write_text("held 9 GiB, more than its 8")
    ate = failure_of(tmp_path, 0, DIED)
    assert ate.reason == "out of memory: the trial held 9 GiB, more than its 8" and ate.hopeless
    assert failure_of(tmp_path, 0, DIED).reason.startswith("the worker was killed")  # said once


@given(st.text(max_size=3 * DETAIL))
def test_any_text_is_cut_to_what_the_stores_take(text: str) -> None:
    failure = failure_of(Path(__file__), 0, text)  # can't be written there, which must not matter
    assert len(failure.detail) <= DETAIL and len(failure.reason) <= 600 and failure.reason


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("CUDA error 700 at 0x7f3a", "CUDA error 2 at 0x11", True),
        ("KeyError: 'day 3'", "KeyError: 'day 4'", True),
        ("loss 1.5e-3 too small", "loss 2 too small", True),
        ("KeyError: 'a'", "ValueError: 'a'", False),
    ],
)
def test_failures_that_differ_in_numbers_and_names_are_alike(one: str, other: str, alike: bool) -> None:
    assert (signature(one) == signature(other)) is alike


def ended(number: int, status: Status, reason: str = "") -> Ended:
    return Ended(number, status, reason, 0.0)


def of_searched(trials: int) -> Records:
    """Those of a search of so many trials, and of three of them on fresh seeds: the numbers from 100 on."""
    fresh = [proposed(100 + number, kind="confirm", origin=f"trial {number}") for number in range(3)]
    return Records([*map(proposed, range(trials)), *fresh])


def test_a_search_is_stopped_when_most_trials_fail_the_same_way() -> None:
    failure_policy = FailurePolicy(0.5, of_searched(4))
    for number in (100, 101, 102):
        failure_policy(ended(number, "failed", "no file"))  # what the confirmation needs is not the search's own
    failure_policy(ended(0, "completed"))
    for number in (1, 2):
        failure_policy(ended(number, "failed", f"no file {number}"))
    assert failure_policy.cause() is None  # two may be chance
    failure_policy(ended(3, "failed", "no file 3"))
    assert failure_policy.cause() == "3 of 4 trials failed the same way: no file 3"


@given(
    st.lists(st.sampled_from(["completed", "stopped", "diverged", "a", "b"]), max_size=40),
    st.sampled_from([0.0, 0.2, 0.5, 0.9, None]),
)
def test_the_rule(ends: list[str], share: float | None) -> None:
    failure_policy = FailurePolicy(share, of_searched(len(ends)))
    for number, end in enumerate(ends):
        failure_policy(ended(number, "failed", end) if end in "ab" else ended(number, end))  # type: ignore[arg-type]
    most = max((ends.count(kind) for kind in "ab"), default=0)
    due = share is not None and most >= ALIKE and most > share * len(ends)
    assert (failure_policy.cause() is not None) is due
