"""Looking at what runs on a cluster: status, logs, stop, list and fetch."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flat_store import flat_store
from written_heads import RUNNING, Script, ended

from search.submit import fetch, look
from search.submit.head import Job, Unreachable
from tests.search.submit.conftest import Run


def test_a_job_is_found_by_its_id_and_by_its_searchs_name(run: Run) -> None:
    newest = replace(ended("FAILED", 3, message="no trial succeeded"), id="s-2")
    code, said, _ = run(Script([RUNNING]), "status", "s-1")
    assert code == 0 and said.splitlines()[:3] == ["s-1: running", "search   s", "results  ~/r"]
    code, said, _ = run(Script([None], known=[newest, RUNNING]), "status", "s")
    assert code == 0 and said.startswith("s-2: failed, exit code 3") and "no trial succeeded" in said
    code, _, error = run(Script([None], known=[RUNNING]), "status", "t")
    assert code == 2 and "t: the cluster knows no job and no search of this name (its searches: s)" in error


def test_logs_are_shown_and_followed_to_the_jobs_own_exit_code(run: Run) -> None:
    assert run(Script([RUNNING], printed="so far"), "logs", "s-1")[:2] == (0, "so far")
    script = Script([ended("FAILED", 3)], printed="all of it\n")
    assert run(script, "logs", "-f", "s-1")[:2] == (3, "all of it\n")
    code, said, _ = run(Script([ended("FAILED", -9)], printed=""), "logs", "-f", "s-1")
    assert code == 1 and "its process was killed (-9)" in said


def test_a_job_is_stopped_and_waited_for(run: Run) -> None:
    code, said, _ = run(Script([RUNNING, ended("STOPPED")]), "stop", "s-1")
    assert code == 0 and "s-1: stopped; the same submission goes on with s" in said
    code, said, _ = run(Script([None], known=[ended("SUCCEEDED", 0)]), "stop", "s")
    assert code == 0 and "s-1 is over already: succeeded" in said


def test_an_empty_cluster_says_so_and_a_silent_one_is_refused(run: Run) -> None:
    assert run(Script([None]), "list")[1] == "no searches at http://head:8265\n"
    code, _, error = run(Script([Unreachable("reset")]), "status", "s-1")
    assert code == 2 and "--address http://head:8265: it answered, and then no more (reset)" in error


def test_a_result_is_fetched_from_where_the_search_was_sent(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def fetched(_: object, folder: str, to: Path) -> list[Path]:
        asked.append(folder)
        return [to / "trials.csv"]

    monkeypatch.setattr(fetch, "fetch", fetched)
    script = Script([None], known=[replace(RUNNING, results="/nfs/r/")])
    code, said, _ = run(script, "fetch", "s", "--to", str(tmp_path))
    assert code == 0 and f"1 files in {tmp_path}: trials.csv" in said
    assert "no best.yaml: the search has not come to one yet, and its job is running" in said
    run(Script([None]), "fetch", "s", "--to", str(tmp_path))
    run(script, "fetch", "s", "--to", str(tmp_path), "--results", "/other")
    run(Script([None]), "fetch", "s", "--to", str(tmp_path), "--storage", "/nfs/r")
    assert asked == ["/nfs/r/s", "~/schedule-search/s", "/other/s", "/nfs/r/s"]


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
    code, _, errors = run(Script(answers, printed=printed), *words)
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
    found, out, _ = run(Script(list(answers)), "stop", "s-1")
    assert (found, out.splitlines()[-1], len(rested)) == (code, said, rests)


def test_the_searches_of_a_cluster_are_listed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "now", lambda: 7200.0)
    code, out, _ = run(Script(known=[RUNNING, ended("SUCCEEDED", 0)]), "list")
    assert code == 0 and [" ".join(line.split()) for line in out.splitlines()] == [
        "s-1 running 2 h ago ~/r/s",
        "s-1 succeeded 119 min ago ~/r/s",
    ]


def test_a_result_in_a_store_is_fetched_whether_or_not_a_cluster_is_there(run: Run, tmp_path: Path) -> None:
    with flat_store() as store:
        store.content["bucket/r/s/best.yaml"] = (b"lr: 1", 1.0)
        code, out, _ = run(Script(known=Unreachable("gone")), "fetch", "s", "--to", "a", "--storage", "s3://bucket/r")
        assert (code, out) == (0, "1 files in a: best.yaml\n")
        known = [Job("s-1", "RUNNING", "s", "s3://bucket/r", None, None, "", 0.0, None)]
        store.content["bucket/r/s/trials.csv"] = store.content.pop("bucket/r/s/best.yaml")
        code, out, _ = run(Script(known=known), "fetch", "s", "--to", "b")
    assert code == 0 and "no best.yaml: the search has not come to one yet, and its job is running" in out
    assert (tmp_path / "client" / "b" / "trials.csv").read_text() == "lr: 1"
