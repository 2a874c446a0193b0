"""Reaching the head of a cluster: its address, the token that it is shown, and whether it can take jobs."""

import socket
import threading
import time
from pathlib import Path

import pytest
import ray
from written_heads import CANARY, Answers, ray_answers

from search.spec.nodes import Node
from search.submit import head as heads
from search.submit.head import Head, Unreachable, address_of, head_at, token_of
from spaces.problems import BadInput
from tests.search.submit.conftest import Served


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


def test_a_head_of_our_ray_is_taken_and_says_what_its_living_nodes_have(served: Served) -> None:
    server = served(ray_answers(gpus=2))
    head = Head(server.url, CANARY)
    head.check()
    rack = Node("1", "rack", {"CPU": 4.0, "GPU": 2.0}, {"pool": "a100"})
    assert head.nodes() == [rack, Node("2", "head", {"memory": 1.0})]
    assert server.tokens() == {f"Bearer {CANARY}"}


@pytest.mark.parametrize(
    ("answers", "token", "said"),
    [
        (ray_answers(version="2.9.0"), None, f"the cluster runs Ray 2.9.0, this client {ray.__version__}"),
        (ray_answers(python="3.10.2"), None, "the cluster runs Python 3.10.2; 3.11 or newer"),
        ({"GET /api/version": [(401, "no")]}, None, "asks for a token: set RAY_AUTH_MODE=token"),
        ({"GET /api/version": [(403, "no")]}, CANARY, "refuses this token"),
        ({"GET /api/version": [(404, "nothing")]}, None, r"no Ray dashboard \(HTTP 404\)"),
        ({"GET /api/version": [(200, "<html>")]}, None, "no Ray dashboard"),
        ({"GET /api/version": [(200, "{}")]}, None, "no Ray dashboard"),
    ],
)
def test_a_head_that_can_t_take_the_job_says_why(
    served: Served, answers: Answers, token: str | None, said: str
) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        Head(served(answers).url, token).check()
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("answers", [{"GET /api/version": [(0, "")]}, {"GET /api/version": [(502, "gateway")]}])
def test_a_head_that_doesn_t_answer_is_unreachable_within_its_time(
    served: Served, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "ANSWER_SECONDS", 1.2)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        Head(served(answers).url, None).check()
    assert time.monotonic() - began < 2 and heads.ANSWER_SECONDS < 5.01


def test_a_head_without_its_nodes_is_not_there_yet(served: Served) -> None:
    with pytest.raises(Unreachable, match="doesn't know its nodes yet"):
        Head(served({**ray_answers(), "GET /api/v0/nodes": [(200, {"data": None})]}).url, None).nodes()


def test_what_speaks_another_language_is_no_dashboard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"SSH-2.0-x\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(BadInput, match="is no Ray dashboard"):
            Head(f"http://127.0.0.1:{other.getsockname()[1]}", None).check()
        thread.join()


def test_the_head_of_the_command_line_is_checked_first(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = {"GET /api/v0/cluster_metadata": [(200, {"data": {"pythonVersion": "3.12.1"}})]}
    dashboard = served(meta)
    monkeypatch.setenv("RAY_AUTH_MODE", "TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    assert head_at(f"{dashboard.url}/").address == dashboard.url
    assert [token for token, _ in dashboard.asked("GET /api/v0/cluster_metadata")] == ["Bearer mine"]
    with pytest.raises(BadInput, match=r"no Ray dashboard answers there .*is the cluster up"):
        head_at("127.0.0.1:9")
