"""Staying with a job: what its end means, what is shown of it, and what is done where the cluster loses it."""

import re
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_heads import RUNNING, UP, Answer, Script, ended

from search.spec.nodes import Node
from search.spec.resources import Resources
from search.submit import follow as following
from search.submit.follow import Client, Final, Lost, Output, follow, meaning, table
from search.submit.head import Job, Order, Unreachable

HEAD_ALONE = Node("2", "head", {"memory": 1.0})


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (ended("SUCCEEDED", 0), Final(0)),
        (ended("STOPPED"), Final(130, "it was stopped")),
        (ended("FAILED", 2), Final(2)),
        (ended("FAILED", 3), Final(3)),
        (ended("FAILED", 130), Final(130)),
        (ended("FAILED", 1), Final(1, "its process ended with exit code 1")),
        (ended("FAILED", -9), Lost("its process was killed (-9)")),
        (ended("FAILED", 137), Lost("its process was killed (137)")),
        (ended("FAILED", None, "JOB_SUPERVISOR_ACTOR_DIED", "x\nnode died\n"), Lost("node died")),
        (
            ended("FAILED", None, "RUNTIME_ENV_SETUP_FAILURE", "no torch"),
            Final(1, "its environment could not be made: no torch"),
        ),
        (ended("FAILED"), Lost("Ray doesn't say why")),
    ],
)
def test_the_end_of_a_job_means(job: Job, expected: Final | Lost) -> None:
    assert meaning(job, again=False) == expected


def test_a_search_that_its_lost_process_still_holds_is_tried_again_but_not_at_first() -> None:
    held = ended("FAILED", 2, message="error: /r/s: head pid 7 is running this search; wait for it or stop it")
    assert meaning(held, again=False) == Final(2)
    assert isinstance(meaning(held, again=True), Lost)


def ignored(_: object) -> None: ...


def stay(script: Script, retries: int = 3) -> tuple[int, list[str]]:
    said: list[str] = []
    client = Client(script, Resources(cpu=1, gpu=0), said.append, ignored, ignored)
    job_id = client.submit("s", Order("x"))
    return client.stay("s", job_id, Order("x"), retries), said


def test_a_job_that_ends_well_is_done() -> None:
    script = Script([replace(RUNNING, status="PENDING"), RUNNING, ended("SUCCEEDED", 0)])
    assert stay(script) == (0, []) and len(script.submitted) == 1


def test_a_lost_head_is_waited_for_and_the_search_handed_in_again() -> None:
    """The head goes, comes back without the job, has no node for trials at first; then the search ends."""
    script = Script([RUNNING, Unreachable("reset"), None, RUNNING, ended("SUCCEEDED", 0)])
    script.nodes_ = [[], [HEAD_ALONE], [UP]]
    code, said = stay(script)
    assert code == 0 and script.checks == 3
    assert len(set(script.submitted)) == 2 and all(re.fullmatch("s-[0-9a-f]{8}", each) for each in script.submitted)
    first, second = script.submitted
    assert said[0].startswith("http://head:8265 doesn't answer (reset); waiting")
    assert f"job {first} was lost: the head that answers now knows nothing of it; handing it in again (1 of 3)" in said
    assert "waiting for nodes: no node can run a trial: the cluster has no node" in "\n".join(said)
    assert said[-1] == f"job {second} goes on with s"


def test_a_head_that_only_paused_still_has_the_job() -> None:
    script = Script([RUNNING, Unreachable("slow"), RUNNING, ended("FAILED", 3)])
    assert stay(script)[0] == 3 and len(script.submitted) == 1


def test_the_last_lines_of_a_job_are_waited_for_without_haste() -> None:
    script = Script([ended("SUCCEEDED", 0)])
    refusals = [Unreachable("no agent")] * 5

    def logs(_: str) -> str:
        if refusals and script.checks > 2:
            raise refusals.pop()
        return script.printed

    script.checks, script.logs = 3, logs  # type: ignore[method-assign]
    rests: list[float] = []
    said: list[str] = []
    client = Client(script, Resources(cpu=1, gpu=0), said.append, ignored, rests.append)
    assert client.stay("s", "s-1", Order("x"), 0) == 0
    assert len(rests) == 4 and len(said) == 2  # it is said once that it doesn't answer, and that it does again


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_job_is_handed_in_again_no_more_often_than_asked_for(retries: int) -> None:
    script = Script([ended("FAILED", -9)])
    code, said = stay(script, retries)
    assert code == 1 and len(script.submitted) == retries + 1
    assert said[-1].endswith(f"was lost: its process was killed (-9); tried {retries + 1} times in all")


def test_a_failure_of_the_search_itself_is_not_tried_again() -> None:
    script = Script([ended("FAILED", 1)])
    assert stay(script)[0] == 1 and len(script.submitted) == 1


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(Unreachable, match="refused"):
        stay(Script([Unreachable("reset")]))


@given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=5), st.integers(0, 60), st.booleans(), st.booleans())
def test_each_character_of_the_output_is_shown_once(
    text: str, cuts: list[int], until: int, breaks: bool, pauses: bool
) -> None:
    """However it comes in pieces, wherever the connection breaks, and where the head is away for a while."""
    places = [0, *sorted(cut for cut in cuts if cut < min(until, len(text))), min(until, len(text))]
    chunks = [text[a:b] for a, b in pairwise(places)]
    away: list[Answer] = [Unreachable("away")] if pauses else []
    answers: list[Answer] = [RUNNING, RUNNING, *away, RUNNING, RUNNING, ended("SUCCEEDED", 0)]
    script = Script(answers, printed=text, chunks=chunks, breaks=breaks)
    shown: list[str] = []
    output = Output(shown.append)
    if pauses:
        with pytest.raises(Unreachable):
            follow(script, "s-1", output, lambda _: time.sleep(0.001))
    assert follow(script, "s-1", output, lambda _: time.sleep(0.001)) is not None
    assert "".join(shown) == text


def test_the_table_says_what_runs_since_when_and_where() -> None:
    lines = table([replace(RUNNING, began=100.0), ended("SUCCEEDED", 0)], now=7300.0)
    assert [line.split() for line in lines] == [
        ["s-1", "running", "2", "h", "ago", "~/r/s"],
        ["s-1", "succeeded", "2", "h", "ago", "~/r/s"],
    ]
