"""A submission from the command line: what is refused before anything is sent, what is sent, and staying with it."""

import argparse
import io
import json
import re
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from written_heads import CANARY, HEAD, RUNNING, Script, ended, ray_answers

from search.spec.nodes import Node
from search.submit.__main__ import main
from search.submit.head import Head, Job, Order, Unreachable
from search.submit.start import HANDED
from search.submit.submission import entrypoint
from tests.search.submit.conftest import Run, Served


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(
        **{
            "name": None,
            "fork": None,
            "register": None,
            "overrides": [],
            "results": "~/x",
            "storage": None,
            **given,
        }
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ["a b.yaml", "--name", "s", "--results", "{home}/x"]),
        (
            {"overrides": ["space.lr={float: [1e-3, 1]}", "note='$HOME'; echo `id`"], "results": "/nfs/my searches"},
            [
                "--set",
                "space.lr={float: [1e-3, 1]}",
                "--set",
                "note='$HOME'; echo `id`",
                "--results",
                "/nfs/my searches",
            ],
        ),
        (
            {"fork": "s", "name": "old", "register": "m"},
            ["a b.yaml", "--name", "old", "--fork", "s", "--register", "m"],
        ),
        ({"results": "~/my $x/y"}, ["--results", "{home}/my $x/y"]),
        (
            {"storage": "s3://b/p?region=a&scheme=http"},
            ["--storage", "s3://b/p?region=a&scheme=http", "--results", "{home}/x"],
        ),
        ({"storage": "/nfs/my $x"}, ["--name", "s", "--storage", "/nfs/my $x"]),
    ],
)
def test_the_shell_at_the_cluster_hears_the_words_as_they_were_typed(
    given: dict[str, Any], words: Sequence[str], tmp_path: Path
) -> None:
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    line = entrypoint("a b.yaml", options(**given), "s", given.get("storage") or given.get("results", "~/x"))
    done = subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, check=True)
    heard = done.stdout.splitlines()
    assert heard[:2] == ["-m", "search.submit.start"]
    expected = [word.format(home=tmp_path) if word.startswith("{home}") else word for word in words]
    assert " ".join(expected) in " ".join(heard)


def test_a_search_that_can_t_be_is_refused_before_any_cluster_is_asked(
    client: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search.yaml", "--address", "http://127.0.0.1:1", "--set", "budget.trails=3"]) == 2
    assert "budget.trails: unknown key; did you mean 'trials'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--results", "results"], "--results: 'results' is relative to nothing at the cluster"),
        (["--storage", "results"], "storage: 'results' is relative to nothing at the cluster"),
        (["--storage", "/a", "--results", "/b"], "--results: /b, but storage says /a: a search is kept in one"),
        (["--storage", f"s3://me:{CANARY}@bucket/x"], "s3://***@bucket/x carries credentials"),
        (["--set", f"tracking.uri=postgresql://me:{CANARY}@db/x"], "--set tracking.uri=postgresql://***@db/x: carries"),
        (["--set", "data={data_dir: curves}"], "data.data_dir: curves is a relative path; data is not sent along"),
        (["--env", "NOT_THERE"], "--env NOT_THERE: is not set"),
        ([], "--address: which cluster?"),
        (["--address", "http://127.0.0.1:1"], "--address http://127.0.0.1:1: no Ray dashboard answers there"),
        (["--name", "a/b"], "name: 'a/b' can't name a folder"),
    ],
)
def test_what_is_wrong_is_said_on_one_screen(
    words: list[str], said: str, client: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (client / "curves").mkdir()
    assert main(["search.yaml", *words]) == 2
    shown = capsys.readouterr()
    assert said in shown.err and CANARY not in shown.err + shown.out
    assert len(shown.err.splitlines()) == 1
    assert {path.name for path in client.iterdir()} == {"search.yaml", "base.yaml", "curves"}  # nothing written


@pytest.mark.parametrize("words", [["status"], ["fetch", "s"], ["search.yaml", "--retries", "-1"], ["logs", "-f"]])
def test_half_a_command_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended_:
        main(words)
    assert ended_.value.code == 2 and "usage: python -m search.submit" in capsys.readouterr().err


def none(_: Head) -> list[Job]:
    return []


def test_gpus_that_a_cluster_has_not_are_refused_there(
    client: Path, served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Head, "jobs", none)
    assert main(["search.yaml", "--address", served(ray_answers()).url, "--set", "resources.gpu=1"]) == 2
    said = capsys.readouterr().err
    assert re.search(r"resources: no node can run a trial: .*no node has any GPU.*gpu: auto takes what there is", said)


def test_a_search_that_runs_there_already_is_not_sent_again(
    client: Path, served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Head, "jobs", lambda _: [replace(RUNNING, results="~/schedule-search")])
    assert main(["search.yaml", "--name", "s", "--address", served(ray_answers()).url]) == 2
    assert re.search("s: is running there as job s-1; look at it with: .*logs -f s-1", capsys.readouterr().err)


def test_the_order_holds_no_secret_in_what_ray_writes_down(
    client: Path, served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[tuple[str, Order, bytes]] = []

    def submit(self: Head, job_id: str, order: Order) -> None:
        sent.append((job_id, order, Path(order.runtime_env["working_dir"]).read_bytes()))

    monkeypatch.setattr(Head, "jobs", none)
    monkeypatch.setattr(Head, "submit", submit)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", CANARY)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", CANARY)
    words = ["search.yaml", "--address", served(ray_answers()).url, "--no-wait", "--name", "s", "--results", "/nfs/r"]
    assert main(words) == 0
    shown = capsys.readouterr()
    ((job_id, order, archive),) = sent
    assert CANARY not in shown.out + shown.err + json.dumps(dict(order.runtime_env)) + order.entrypoint
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        holding = [entry for entry in files.infolist() if CANARY.encode() in files.read(entry)]
        assert [(entry.filename, entry.external_attr >> 16) for entry in holding] == [(HANDED, 0o600)]
    assert "hands over MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_URI" in shown.out
    assert order.metadata == {"schedule_search": "s", "results": "/nfs/r"}
    assert order.entrypoint == "exec python -m search.submit.start search.yaml --name s --results /nfs/r"
    assert any(line.startswith("torch==") for line in order.runtime_env["pip"]["packages"])
    assert job_id in shown.out and re.search(r"sends \d+ files of .*, packed \d", shown.out)


def submitted(run: Run, head: Script, *words: str) -> tuple[int, str, str]:
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
    head = Script([job])
    found, out, errors = submitted(run, head)
    assert (found, errors) == (code, "") and said in out and f" at {HEAD}" in out
    assert ("fetch the result" in out) == (code == 0)
    assert "pip" not in next(iter(head.orders.values())).runtime_env


def test_who_leaves_is_told_the_way_back(run: Run) -> None:
    code, out, _ = submitted(run, Script([KeyboardInterrupt()]))
    assert code == 130
    assert re.search(f"left; the search goes on. Back to it: .* -m search.submit logs -f s --address {HEAD}\n", out)
    assert re.search(f"end it: .* -m search.submit stop s --address {HEAD}\n", out)


@pytest.mark.parametrize(
    ("head", "code", "said"),
    [
        (
            Script(refuses=Unreachable("reset")),
            1,
            "doesn't answer any more (reset); the same command goes on when it ",
        ),
        (Script(known=Unreachable("reset")), 2, f"--address {HEAD}: it answered, and then no more (reset)"),
    ],
)
def test_a_head_that_goes_away_meanwhile_is_said(run: Run, head: Script, code: int, said: str) -> None:
    found, out, errors = submitted(run, head)
    assert found == code and said in out + errors and head.submitted == []


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
    code, out, _ = submitted(run, Script(nodes_=[nodes]), "--no-wait", *words)
    lines = out.splitlines()
    sent = next(index for index, line in enumerate(lines) if line.startswith("sends "))
    assert code == 0 and note in lines[:sent]
    assert "warning: to the cluster's head http://127.0.0.1:5000 is the head itself; " in "\n".join(lines[:sent])
    assert re.fullmatch(f"look at it with: .* -m search.submit logs -f s --address {HEAD}", lines[-1])


def test_a_secret_in_a_setting_that_another_replaces_is_not_sent_either(run: Run) -> None:
    head = Script()
    code, out, errors = submitted(run, head, "--set", f"storage=s3://me:{CANARY}@bucket/r", "--storage", "/nfs/r")
    assert code == 2 and "--set storage=s3://***@bucket/r: carries credentials, and a job's command is shown" in errors
    assert CANARY not in out + errors and head.submitted == []


def test_a_name_that_no_registered_model_can_have_is_not_sent(run: Run) -> None:
    head = Script([ended("SUCCEEDED", 0)])
    code, _, errors = submitted(run, head, "--register", "a/b: c")
    assert code == 2 and "--register: 'a/b: c' can't name a registered model" in errors and head.submitted == []
