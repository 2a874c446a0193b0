"""Submitting a search: what is refused before anything is sent, what a job's end means, what is shown of it."""

import argparse
import http.server
import io
import json
import os
import re
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from small_search import write_search

from search.spec.nodes import Node
from search.spec.resources import Resources
from search.submit import fetch, look
from search.submit import follow as following
from search.submit import head as heads
from search.submit.__main__ import main
from search.submit.follow import Client, Final, Lost, Output, follow, meaning, table
from search.submit.head import Head, Job, Order, Unreachable, address_of, token_of
from search.submit.start import HANDED
from search.submit.submission import entrypoint
from spaces.problems import BadInput

CANARY = "canary-9f8e7d6c5b4a"
UP, HEAD_ALONE = Node("1", "box", {"CPU": 1.0}), Node("2", "head", {"memory": 1.0})

# -- addresses, tokens, resources


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ("http://head:8265/", {}, "http://head:8265"),
        ("head:8265", {}, "http://head:8265"),
        ("https://ray.example/x", {"RAY_API_SERVER_ADDRESS": "http://other:1"}, "https://ray.example/x"),
        (None, {"RAY_API_SERVER_ADDRESS": "http://a:1", "RAY_ADDRESS": "http://b:1"}, "http://a:1"),
        (None, {"RAY_ADDRESS": "http://b:1"}, "http://b:1"),
    ],
)
def test_the_address_is_given_or_rays_own(given: str | None, environment: dict[str, str], expected: str) -> None:
    assert address_of(given, environment) == expected


@pytest.mark.parametrize(
    ("given", "environment", "said"),
    [
        (None, {}, "which cluster"),
        (None, {"RAY_ADDRESS": "10.0.0.1:6379"}, "which cluster"),
        ("ray://head:10001", {}, "jobs go to the dashboard"),
        ("http://:8265", {}, "jobs go to the dashboard"),
        ("http://head:port", {}, "jobs go to the dashboard"),
        (f"http://me:{CANARY}@head:8265", {}, "carries credentials"),
    ],
)
def test_other_addresses_are_refused(given: str | None, environment: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        address_of(given, environment)
    assert CANARY not in str(refused.value)


def test_the_token_comes_from_where_ray_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    on = {"RAY_AUTH_MODE": "token"}
    assert token_of({"RAY_AUTH_TOKEN": "x"}) is None  # nobody is shown a token unasked
    with pytest.raises(BadInput, match=r"there is no token: RAY_AUTH_TOKEN is not set, and no .*auth_token exists"):
        token_of(on)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("home\n")
    (tmp_path / "other").write_text("other\n")
    assert token_of(on) == "home"
    assert token_of({**on, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "other")}) == "other"
    assert token_of({**on, "RAY_AUTH_TOKEN": "own", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "other")}) == "own"


# -- a head over HTTP


class Server:
    """An HTTP server with fixed answers: path -> (code, text); silent where the code is 0."""

    def __init__(self, answers: Mapping[str, tuple[int, str]]) -> None:
        seen: list[str | None] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.headers.get("Authorization"))
                code, text = answers.get(self.path.partition("?")[0], (404, "nothing"))
                if code == 0:
                    time.sleep(1)
                    return
                self.send_response(code)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *words: object) -> None: ...

        self.seen = seen
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


Served = Callable[[Mapping[str, tuple[int, str]]], Server]


@pytest.fixture
def served() -> Iterator[Served]:
    servers: list[Server] = []

    def start(answers: Mapping[str, tuple[int, str]]) -> Server:
        servers.append(Server(answers))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ray_answers(version: str = ray.__version__, python: str = "3.11.7", gpus: int = 0) -> dict[str, tuple[int, str]]:
    rows = [
        {
            "state": "ALIVE",
            "node_id": "1",
            "node_name": "rack",
            "resources_total": {"CPU": 4.0, **({"GPU": float(gpus)} if gpus else {})},
            "labels": {"pool": "a100"},
        },
        {"state": "ALIVE", "node_id": "2", "node_name": "head", "resources_total": {"memory": 1.0}},
        {"state": "DEAD", "node_id": "3", "node_name": "gone", "resources_total": {"CPU": 64.0}},
    ]
    return {
        "/api/version": (200, json.dumps({"version": "4", "ray_version": version})),
        "/api/v0/cluster_metadata": (200, json.dumps({"data": {"pythonVersion": python}})),
        "/api/v0/nodes": (200, json.dumps({"data": {"result": {"result": rows}}})),
    }


def test_a_head_of_our_ray_is_taken_and_says_what_its_living_nodes_have(served: Served) -> None:
    server = served(ray_answers(gpus=2))
    head = Head(server.url, CANARY)
    head.check()
    rack = Node("1", "rack", {"CPU": 4.0, "GPU": 2.0}, {"pool": "a100"})
    assert head.nodes() == [rack, Node("2", "head", {"memory": 1.0})]
    assert set(server.seen) == {f"Bearer {CANARY}"}


@pytest.mark.parametrize(
    ("answers", "token", "said"),
    [
        (ray_answers(version="2.9.0"), None, f"the cluster runs Ray 2.9.0, this client {ray.__version__}"),
        (ray_answers(python="3.10.2"), None, "the cluster runs Python 3.10.2; 3.11 or newer"),
        ({"/api/version": (401, "no")}, None, "asks for a token: set RAY_AUTH_MODE=token"),
        ({"/api/version": (403, "no")}, CANARY, "refuses this token"),
        ({}, None, r"no Ray dashboard \(HTTP 404\)"),
        ({"/api/version": (200, "<html>")}, None, "no Ray dashboard"),
        ({"/api/version": (200, "{}")}, None, "no Ray dashboard"),
    ],
)
def test_a_head_that_can_t_take_the_job_says_why(
    served: Served, answers: dict[str, tuple[int, str]], token: str | None, said: str
) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        Head(served(answers).url, token).check()
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("answers", [{"/api/version": (0, "")}, {"/api/version": (502, "gateway")}])
def test_a_head_that_doesn_t_answer_is_unreachable_within_its_time(
    served: Served, answers: dict[str, tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "ANSWER_SECONDS", 1.2)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        Head(served(answers).url, None).check()
    assert time.monotonic() - began < 2 and heads.ANSWER_SECONDS < 5.01


def test_a_head_without_its_nodes_is_not_there_yet(served: Served) -> None:
    with pytest.raises(Unreachable, match="doesn't know its nodes yet"):
        Head(served({**ray_answers(), "/api/v0/nodes": (200, '{"data": null}')}).url, None).nodes()


# -- what the end of a job means

RUNNING = Job("s-1", "RUNNING", "s", "~/r", None, None, "", 1.0, None)


def ended(status: str, code: int | None = None, error: str | None = None, message: str = "") -> Job:
    return replace(RUNNING, status=status, exit_code=code, error=error, message=message, ended=2.0)


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


# -- staying with a job

Answer = Job | None | Exception


@dataclass
class Script:
    """A head that answers as written; the last answer holds."""

    answers: list[Answer]
    printed: str = ""
    chunks: list[str] = field(default_factory=list)
    breaks: bool = False
    nodes_: list[list[Node]] = field(default_factory=lambda: [[UP]])
    submitted: list[str] = field(default_factory=list)
    checks: int = 0
    known: list[Job] = field(default_factory=list)
    address: str = "http://head:8265"

    def jobs(self) -> list[Job]:
        return self.known

    def stop(self, job_id: str) -> bool:  # noqa: ARG002
        return bool(self.answers and self.answers[0] is not None and not isinstance(self.answers[0], Exception))

    def _next(self, answers: list[Any]) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def job(self, job_id: str) -> Job | None:
        answer = self._next(self.answers)
        return replace(answer, id=job_id) if answer is not None else None

    def nodes(self) -> list[Node]:
        found: list[Node] = self._next(self.nodes_)
        return found

    def check(self) -> None:
        self.checks += 1
        if self.checks < 3:
            raise Unreachable("refused")

    def submit(self, job_id: str, order: Order) -> None:  # noqa: ARG002
        self.submitted.append(job_id)

    def logs(self, job_id: str) -> str:  # noqa: ARG002
        return self.printed

    async def tail(self, job_id: str, show: Callable[[str], None]) -> None:  # noqa: ARG002
        for chunk in self.chunks:
            show(chunk)
        if self.breaks:
            raise ConnectionError("gone")


def ignored(_: object) -> None: ...


def none(_: Head) -> list[Job]:
    return []


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


# -- the command line


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


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client's folder, with a search in it and nothing of the user's settings."""
    for name in list(os.environ):
        if name.startswith(("RAY_", "MLFLOW_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "client"
    folder.mkdir()
    write_search(folder)
    monkeypatch.chdir(folder)
    return folder


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


Looked = Callable[..., tuple[int, str, str]]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Looked:
    """Runs a command against a scripted head: its exit code, what it said, and its errors."""

    def run(script: Script, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(look, "head_at", lambda _: script)
        code = main(list(words))
        return code, *capsys.readouterr()

    return run


def test_a_job_is_found_by_its_id_and_by_its_searchs_name(looked: Looked) -> None:
    newest = replace(ended("FAILED", 3, message="no trial succeeded"), id="s-2")
    code, said, _ = looked(Script([RUNNING]), "status", "s-1")
    assert code == 0 and said.splitlines()[:3] == ["s-1: running", "search   s", "results  ~/r"]
    code, said, _ = looked(Script([None], known=[newest, RUNNING]), "status", "s")
    assert code == 0 and said.startswith("s-2: failed, exit code 3") and "no trial succeeded" in said
    code, _, error = looked(Script([None], known=[RUNNING]), "status", "t")
    assert code == 2 and "t: the cluster knows no job and no search of this name (its searches: s)" in error


def test_logs_are_shown_and_followed_to_the_jobs_own_exit_code(looked: Looked) -> None:
    assert looked(Script([RUNNING], printed="so far"), "logs", "s-1")[:2] == (0, "so far")
    script = Script([ended("FAILED", 3)], printed="all of it\n")
    assert looked(script, "logs", "-f", "s-1")[:2] == (3, "all of it\n")
    code, said, _ = looked(Script([ended("FAILED", -9)], printed=""), "logs", "-f", "s-1")
    assert code == 1 and "its process was killed (-9)" in said


def test_a_job_is_stopped_and_waited_for(looked: Looked) -> None:
    code, said, _ = looked(Script([RUNNING, ended("STOPPED")]), "stop", "s-1")
    assert code == 0 and "s-1: stopped; the same submission goes on with s" in said
    code, said, _ = looked(Script([None], known=[ended("SUCCEEDED", 0)]), "stop", "s")
    assert code == 0 and "s-1 is over already: succeeded" in said


def test_an_empty_cluster_says_so_and_a_silent_one_is_refused(looked: Looked) -> None:
    assert looked(Script([None]), "list")[1] == "no searches at http://head:8265\n"
    code, _, error = looked(Script([Unreachable("reset")]), "status", "s-1")
    assert code == 2 and "--address http://head:8265: it answered, and then no more (reset)" in error


def test_a_result_is_fetched_from_where_the_search_was_sent(
    looked: Looked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def fetched(_: object, folder: str, to: Path) -> list[Path]:
        asked.append(folder)
        return [to / "trials.csv"]

    monkeypatch.setattr(fetch, "fetch", fetched)
    script = Script([None], known=[replace(RUNNING, results="/nfs/r/")])
    code, said, _ = looked(script, "fetch", "s", "--to", str(tmp_path))
    assert code == 0 and f"1 files in {tmp_path}: trials.csv" in said
    assert "no best.yaml: the search has not come to one yet, and its job is running" in said
    looked(Script([None]), "fetch", "s", "--to", str(tmp_path))
    looked(script, "fetch", "s", "--to", str(tmp_path), "--results", "/other")
    looked(Script([None]), "fetch", "s", "--to", str(tmp_path), "--storage", "/nfs/r")
    assert asked == ["/nfs/r/s", "~/schedule-search/s", "/other/s", "/nfs/r/s"]


@pytest.mark.parametrize("words", [["status"], ["fetch", "s"], ["search.yaml", "--retries", "-1"], ["logs", "-f"]])
def test_half_a_command_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended_:
        main(words)
    assert ended_.value.code == 2 and "usage: python -m search.submit" in capsys.readouterr().err
