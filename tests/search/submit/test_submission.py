"""A submission from the command line to its end, and looking at what runs there, at a head with written answers."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flat_store import flat_store
from small_search import write_search

from search.spec.nodes import Node
from search.submit import look, submission
from search.submit.__main__ import main
from search.submit.head import Job, Order, Unreachable

CANARY = "canary-9f8e7d6c5b4a"
HEAD = "http://head:8265"
RUNNING = Job("s-1", "RUNNING", "s", "~/r", None, None, "", 0.0, None)


def ended(status: str, code: int | None = None) -> Job:
    return Job("s-1", status, "s", "~/r", code, None, "", 0.0, 60.0)


@dataclass
class Written:
    """A head whose answers to what is asked of a job are written down; the last holds."""

    answers: list[Any] = field(default_factory=list)
    nodes_: list[Node] = field(default_factory=lambda: [Node("1", "box", {"CPU": 4.0})])
    known: list[Job] | Exception = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    refuses: Exception | None = None
    printed: str | None = "what it printed\n"
    address: str = HEAD

    def nodes(self) -> list[Node]:
        return self.nodes_

    def jobs(self) -> list[Job]:
        if isinstance(self.known, Exception):
            raise self.known
        return self.known

    def submit(self, _: str, order: Order) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.orders.append(order)

    def job(self, _: str) -> Job | None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        found: Job | None = answer
        return found

    def stop(self, _: str) -> bool:
        return True

    def logs(self, _: str) -> str | None:
        return self.printed


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command at a written head, in a folder with a search: the exit code, what is said, and the errors."""
    for name in list(os.environ):
        if name.startswith(("RAY_", "MLFLOW_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "client").mkdir()
    write_search(tmp_path / "client")
    monkeypatch.chdir(tmp_path / "client")

    def run(head: Written, *words: str) -> tuple[int, str, str]:
        for module in (look, submission):
            monkeypatch.setattr(module, "head_at", lambda _: head)
        return main(words), *capsys.readouterr()

    return run


def submitted(run: Run, head: Written, *words: str) -> tuple[int, str, str]:
    return run(head, "search.yaml", "--name", "s", "--no-install", *words)


@pytest.mark.parametrize(
    ("job", "code", "said"),
    [
        (
            ended("SUCCEEDED", 0),
            0,
            f"-m search.submit fetch s --to results/s --address {HEAD}",
        ),
        (ended("FAILED", 3), 3, "what it printed"),
        (ended("FAILED", 1), 1, "its process ended with exit code 1"),
    ],
)
def test_who_submits_stays_until_the_end_and_is_told_how_to_go_on(run: Run, job: Job, code: int, said: str) -> None:
    head = Written([job])
    found, out, errors = submitted(run, head)
    assert (found, errors) == (code, "") and said in out and f" at {HEAD}" in out
    assert ("fetch the result" in out) == (code == 0)
    assert "pip" not in head.orders[0].runtime_env


def test_who_leaves_is_told_the_way_back(run: Run) -> None:
    code, out, _ = submitted(run, Written([KeyboardInterrupt()]))
    assert code == 130
    assert re.search(f"left; the search goes on. Back to it: .* -m search.submit logs -f s --address {HEAD}\n", out)
    assert re.search(f"end it: .* -m search.submit stop s --address {HEAD}\n", out)


@pytest.mark.parametrize(
    ("head", "code", "said"),
    [
        (
            Written(refuses=Unreachable("reset")),
            1,
            "doesn't answer any more (reset); the same command goes on when it ",
        ),
        (Written(known=Unreachable("reset")), 2, f"--address {HEAD}: it answered, and then no more (reset)"),
    ],
)
def test_a_head_that_goes_away_meanwhile_is_said(run: Run, head: Written, code: int, said: str) -> None:
    found, out, errors = submitted(run, head)
    assert found == code and said in out + errors and head.orders == []


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["--results", "/nfs/r"], "2 nodes: each must see /nfs/r, on NFS for instance"),
        (["--storage", "s3://bucket/r"], "2 nodes: each must reach s3://bucket/r"),
    ],
)
def test_what_the_nodes_must_reach_is_said_before_the_search_is_sent(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], note: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    nodes = [Node("1", "box", {"CPU": 4.0}), Node("2", "rack", {"CPU": 4.0})]
    code, out, _ = submitted(run, Written(nodes_=nodes), "--no-wait", *words)
    lines = out.splitlines()
    sent = next(index for index, line in enumerate(lines) if line.startswith("sends "))
    assert code == 0 and note in lines[:sent]
    assert "warning: to the cluster's head http://127.0.0.1:5000 is the head itself; " in "\n".join(lines[:sent])
    assert re.fullmatch(f"look at it with: .* -m search.submit logs -f s --address {HEAD}", lines[-1])


def test_a_secret_in_a_setting_that_another_replaces_is_not_sent_either(run: Run) -> None:
    head = Written()
    code, out, errors = submitted(run, head, "--set", f"storage=s3://me:{CANARY}@bucket/r", "--storage", "/nfs/r")
    assert code == 2 and "--set storage=s3://***@bucket/r: carries credentials, and a job's command is shown" in errors
    assert CANARY not in out + errors and head.orders == []


def test_a_name_that_no_registered_model_can_have_is_not_sent(run: Run) -> None:
    head = Written([ended("SUCCEEDED", 0)])
    code, _, errors = submitted(run, head, "--register", "a/b: c")
    assert code == 2 and "--register: 'a/b: c' can't name a registered model" in errors and head.orders == []


# -- looking at it


@pytest.mark.parametrize(
    ("words", "answers", "printed"),
    [
        (["logs", "-f", "s-1"], [RUNNING, None], ""),
        (["logs", "s-1"], [RUNNING], None),
        (["logs", "-f", "s-1"], [ended("SUCCEEDED")], None),
    ],
)
def test_a_job_that_the_cluster_forgets_while_it_is_looked_at_is_an_error(
    run: Run, words: list[str], answers: list[Any], printed: str | None
) -> None:
    code, _, errors = run(Written(answers, printed=printed), *words)
    assert code == 2 and "s-1: the cluster knows nothing of it any more" in errors


@pytest.mark.parametrize(
    ("answers", "code", "said", "rests"),
    [
        ([RUNNING, RUNNING, ended("STOPPED")], 0, "s-1: stopped; the same submission goes on with s", 1),
        ([RUNNING, RUNNING, None], 0, "s-1: gone; the same submission goes on with s", 1),
        ([RUNNING], 1, "s-1: still ending; see `status`", 100),
    ],
)
def test_a_job_that_is_ended_is_waited_for_as_long_as_it_may_take(
    run: Run, monkeypatch: pytest.MonkeyPatch, answers: list[Job | None], code: int, said: str, rests: int
) -> None:
    rested: list[float] = []
    monkeypatch.setattr(look, "time", SimpleNamespace(sleep=rested.append, monotonic=lambda: sum(rested)))
    found, out, _ = run(Written(list(answers)), "stop", "s-1")
    assert (found, out.splitlines()[-1], len(rested)) == (code, said, rests)


def test_the_searches_of_a_cluster_are_listed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "now", lambda: 7200.0)
    code, out, _ = run(Written(known=[RUNNING, ended("SUCCEEDED", 0)]), "list")
    assert code == 0 and [" ".join(line.split()) for line in out.splitlines()] == [
        "s-1 running 2 h ago ~/r/s",
        "s-1 succeeded 119 min ago ~/r/s",
    ]


def test_a_result_in_a_store_is_fetched_whether_or_not_a_cluster_is_there(run: Run, tmp_path: Path) -> None:
    with flat_store() as store:
        store.content["bucket/r/s/best.yaml"] = (b"lr: 1", 1.0)
        code, out, _ = run(Written(known=Unreachable("gone")), "fetch", "s", "--to", "a", "--storage", "s3://bucket/r")
        assert (code, out) == (0, "1 files in a: best.yaml\n")
        known = [Job("s-1", "RUNNING", "s", "s3://bucket/r", None, None, "", 0.0, None)]
        store.content["bucket/r/s/trials.csv"] = store.content.pop("bucket/r/s/best.yaml")
        code, out, _ = run(Written(known=known), "fetch", "s", "--to", "b")
    assert code == 0 and "no best.yaml: the search has not come to one yet, and its job is running" in out
    assert (tmp_path / "client" / "b" / "trials.csv").read_text() == "lr: 1"
