"""Ray's job API, as the head of a cluster answers it: what is asked, what comes back, what each refusal means."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from written_heads import VERSION, Answers

from search.submit import head as heads
from search.submit.head import Head, Job, Order, Unreachable
from spaces.problems import BadInput
from tests.search.submit.conftest import Served

ORDER = Order("python -m x", {"env_vars": {"A": "1"}}, {"schedule_search": "s", "results": "/nfs"})
DETAILS = {"type": "SUBMISSION", "submission_id": "s-1", "status": "RUNNING", "entrypoint": "x"}
NO_AGENT = (500, "Traceback:\nRuntimeError: No available agent to submit job, please try again later.")
TAKEN = (200, {"job_id": "s-1", "submission_id": "s-1"})
GONE = (404, "Job s-1 does not exist")


@pytest.fixture
def rested(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was rested between tries; a clock that only rests move."""
    rests: list[float] = []
    monkeypatch.setattr(heads, "time", SimpleNamespace(sleep=rests.append, monotonic=lambda: sum(rests)))
    return rests


def test_an_order_is_sent_as_it_is_under_the_clients_id_and_token(served: Served) -> None:
    dashboard = served({"POST /api/jobs/": [TAKEN]})
    Head(dashboard.url, "token").submit("s-1", ORDER)
    ((token, sent),) = dashboard.asked("POST /api/jobs/")
    assert (token, sent["submission_id"], sent["entrypoint"]) == ("Bearer token", "s-1", ORDER.entrypoint)
    assert (sent["metadata"], sent["runtime_env"]["env_vars"]) == (ORDER.metadata, {"A": "1"})


@pytest.mark.parametrize(
    ("answers", "sent", "rests"),
    [
        ({"POST /api/jobs/": [NO_AGENT, NO_AGENT, TAKEN]}, 3, [1, 1]),
        ({"POST /api/jobs/": [(504, "gateway")], "GET /api/jobs/s-1": [(200, DETAILS)]}, 1, []),  # only its answer lost
        ({"POST /api/jobs/": [(504, "")], "GET /api/jobs/s-1": [(500, "too early"), (200, DETAILS)]}, 2, [1]),
    ],
)
def test_an_order_is_sent_until_the_head_has_it_and_no_more(
    served: Served, rested: list[float], answers: Answers, sent: int, rests: list[float]
) -> None:
    dashboard = served({"GET /api/jobs/s-1": [GONE]} | dict(answers))
    Head(dashboard.url, None).submit("s-1", ORDER)
    assert (len(dashboard.asked("POST /api/jobs/")), rested) == (sent, rests)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (NO_AGENT, BadInput, "takes no jobs: RuntimeError: No available agent .*give the head one with --dashboard-ag"),
        ((503, "upstream\nis away"), Unreachable, "^is away"),
    ],
)
def test_a_head_that_never_takes_the_order_is_given_its_time(
    served: Served,
    rested: list[float],
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, str],
    kind: type[Exception],
    said: str,
) -> None:
    monkeypatch.setattr(heads, "AGENT_SECONDS", 3.0)
    dashboard = served({"POST /api/jobs/": [answer], "GET /api/jobs/s-1": [GONE]})
    with pytest.raises(kind, match=said):
        Head(dashboard.url, None).submit("s-1", ORDER)
    assert 3 < sum(rested) <= 4


def test_an_order_that_is_refused_is_not_sent_again(served: Served, rested: list[float]) -> None:
    dashboard = served({"POST /api/jobs/": [(400, "the runtime_env is wrong")]})
    with pytest.raises(BadInput, match=f"--address {dashboard.url}: .*the runtime_env is wrong"):
        Head(dashboard.url, None).submit("s-1", ORDER)
    assert len(dashboard.asked("POST /api/jobs/")) == 1 and rested == []


def test_a_job_is_told_in_seconds_with_what_it_says_of_its_search(served: Served) -> None:
    over = {
        "status": "FAILED",
        "message": "killed",
        "error_type": "X",
        "driver_exit_code": -9,
        "start_time": 1_500,
        "end_time": 2_250,
        "metadata": ORDER.metadata,
    }
    head = Head(served({"GET /api/jobs/s-1": [(200, DETAILS), (200, DETAILS | over), GONE]}).url, None)
    assert head.job("s-1") == Job("s-1", "RUNNING", None, None, None, None, "", None, None)
    failed = Job("s-1", "FAILED", "s", "/nfs", -9, "X", "killed", 1.5, 2.25)
    assert head.job("s-1") == failed and failed.over
    assert head.job("s-1") is None


def test_of_all_jobs_the_searches_are_listed_the_newest_first(served: Served) -> None:
    def listed(name: str | None, began: int | None, search: str | None) -> dict[str, Any]:
        metadata = {"schedule_search": search} if search else None
        return DETAILS | {"submission_id": name, "start_time": began, "metadata": metadata}

    jobs = [
        listed("a-1", 1000, "a"),
        listed("pending", None, "a"),
        listed("other", 9000, None),
        listed("b-1", 3000, "b"),
        listed(None, 5000, "a") | {"type": "DRIVER"},
    ]
    assert [job.id for job in Head(served({"GET /api/jobs/": [(200, jobs)]}).url, None).jobs()] == [
        "b-1",
        "a-1",
        "pending",
    ]


def test_a_job_is_read_stopped_and_forgotten(served: Served) -> None:
    dashboard = served(
        {
            "GET /api/jobs/s-1/logs": [(200, {"logs": "ä\n"})],
            "POST /api/jobs/s-1/stop": [(200, {"stopped": True}), (200, {"stopped": False})],
            "DELETE /api/jobs/s-1": [(200, {"deleted": True})],
        }
    )
    head = Head(dashboard.url, None)
    assert (head.logs("s-1"), head.stop("s-1"), head.stop("s-1")) == ("ä\n", True, False)
    head.forget("s-1")
    assert len(dashboard.asked("DELETE /api/jobs/s-1")) == 1


def test_a_job_that_is_gone_can_be_asked_for_anything(served: Served) -> None:
    head = Head(served({}).url, None)  # 404, whatever is asked
    assert (head.job("s-1"), head.logs("s-1"), head.stop("s-1")) == (None, None, False)
    head.forget("s-1")
    with pytest.raises(BadInput, match="takes no jobs"):
        head.submit("s-1", ORDER)


@pytest.mark.parametrize(
    ("answer", "token", "kind", "said"),
    [
        ((401, "who?"), None, BadInput, "asks for a token: set RAY_AUTH_MODE=token"),
        ((403, "no"), "token", BadInput, "refuses this token"),
        ((400, "Can only get logs of submission type jobs"), None, BadInput, "Can only get logs of submission type"),
        ((502, "bad gateway"), None, Unreachable, "502: bad gateway"),
        ((200, "<html>"), None, Unreachable, r"no answer \(JSONDecodeError\)"),
    ],
)
def test_what_a_head_answers_instead(
    served: Served, answer: tuple[int, str], token: str | None, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        Head(served({"GET /api/jobs/s-1/logs": [answer]}).url, token).logs("s-1")


def test_a_head_that_went_away_is_unreachable_and_asked_again_it_is_there(served: Served) -> None:
    with pytest.raises(Unreachable, match=r"no answer \(ConnectionError\)"):
        Head("http://127.0.0.1:9", None).jobs()
    head = Head(
        served({"GET /api/version": [(500, "starting"), (200, VERSION)], "GET /api/jobs/": [(200, [])]}).url, ""
    )
    with pytest.raises(Unreachable, match="no answer"):
        head.jobs()
    assert head.jobs() == []


def test_a_head_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(heads, "UPLOAD_SECONDS", 0.05)
    monkeypatch.setattr(heads, "AGENT_SECONDS", -1.0)
    monkeypatch.setattr(heads, "JobSubmissionClient", lambda *_, **__: release.wait(5))
    monkeypatch.setattr(Head, "job", lambda *_: None)
    try:
        with pytest.raises(Unreachable, match=r"no answer \(TimeoutError\)"):
            Head("http://head:1", None).submit("s-1", ORDER)
    finally:
        release.set()


@pytest.mark.filterwarnings("ignore:ssl=None:DeprecationWarning")  # Ray's client says so to aiohttp
def test_what_a_job_prints_is_shown_as_it_comes(served: Served) -> None:
    async def printed(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for piece in ("one\n", request.headers["Authorization"]):
            await socket.send_str(piece)
        await socket.close()
        return socket

    async def version(_: web.Request) -> web.Response:
        return web.json_response(VERSION)

    async def jobs(_: web.Request) -> web.Response:
        return web.json_response([])

    async def shown() -> list[str]:
        app = web.Application()
        app.add_routes([web.get("/api/version", version), web.get("/api/jobs/", jobs)])
        app.add_routes([web.get("/api/jobs/s-1/logs/tail", printed)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        head, pieces = Head(f"http://{host}:{port}", "token"), list[str]()
        await asyncio.to_thread(head.jobs)
        try:
            await head.tail("s-1", pieces.append)
        finally:
            await runner.cleanup()
        return pieces

    assert asyncio.run(shown()) == ["one\n", "Bearer token"]
