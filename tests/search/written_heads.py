"""Heads of a cluster with written answers: over HTTP, and in this process."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import ray

from search.spec.nodes import Node
from search.submit.head import Job, Order, Unreachable

CANARY = "canary-9f8e7d6c5b4a"
"""A secret."""
HEAD = "http://head:8265"
UP = Node("1", "box", {"CPU": 4.0})
RUNNING = Job("s-1", "RUNNING", "s", "~/r", None, None, "", 0.0, None)
VERSION = {"version": "4", "ray_version": ray.__version__}

Answers = Mapping[str, list[tuple[int, Any]]]
"""`METHOD path` -> what is answered in turn: a code, and text or JSON. The last holds; silent where the code is 0."""


def ended(status: str, code: int | None = None, error: str | None = None, message: str = "") -> Job:
    return replace(RUNNING, status=status, exit_code=code, error=error, message=message, ended=60.0)


def ray_answers(version: str = ray.__version__, python: str = "3.11.7", gpus: int = 0) -> Answers:
    """Of a cluster with a rack, its head, and a node that is gone."""
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
        "GET /api/version": [(200, {"version": "4", "ray_version": version})],
        "GET /api/v0/cluster_metadata": [(200, {"data": {"pythonVersion": python}})],
        "GET /api/v0/nodes": [(200, {"data": {"result": {"result": rows}}})],
    }


class Dashboard:
    """A head's dashboard with written answers; it keeps what it was asked."""

    def __init__(self, answers: Answers) -> None:
        left = {"GET /api/version": [(200, VERSION)]} | {key: list(each) for key, each in answers.items()}
        asked: list[tuple[str, str | None, Any]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                what = f"{self.command} {self.path.partition('?')[0]}"
                asked.append((what, self.headers.get("Authorization"), json.loads(body or b"null")))
                turns = left.get(what) or [(404, "nothing")]
                code, content = turns.pop(0) if len(turns) > 1 else turns[0]
                text = (content if isinstance(content, str) else json.dumps(content)).encode()
                if code == 0:
                    time.sleep(1)
                    return
                self.send_response(code)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_DELETE = do_GET  # noqa: N815

            def log_message(self, *words: object) -> None: ...

        self._asked = asked
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def asked(self, what: str) -> list[tuple[str | None, Any]]:
        """Of each request of this kind, the token and the content."""
        return [(token, body) for each, token, body in self._asked if each == what]

    def tokens(self) -> set[str | None]:
        """Those that it was shown."""
        return {token for _, token, _ in self._asked}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


Answer = Job | None | BaseException


@dataclass
class Script:
    """A head that answers as written; the last answer holds, and what is an error is raised."""

    answers: list[Any] = field(default_factory=list)
    """About a job."""
    printed: str | None = "what it printed\n"
    chunks: list[str] = field(default_factory=list)
    breaks: bool = False
    nodes_: list[Any] = field(default_factory=lambda: [[UP]])
    known: list[Job] | Exception = field(default_factory=list)
    refuses: Exception | None = None
    orders: dict[str, Order] = field(default_factory=dict)
    checks: int = 0
    """How often it was asked whether it is there: the third time it is."""
    address: str = HEAD

    @property
    def submitted(self) -> list[str]:
        return list(self.orders)

    def _next(self, answers: list[Any]) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def check(self) -> None:
        self.checks += 1
        if self.checks < 3:
            raise Unreachable("refused")

    def nodes(self) -> list[Node]:
        found: list[Node] = self._next(self.nodes_)
        return found

    def jobs(self) -> list[Job]:
        known: list[Job] = self._next([self.known])
        return known

    def submit(self, job_id: str, order: Order) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.orders[job_id] = order

    def job(self, job_id: str) -> Job | None:
        answer = self._next(self.answers)
        return replace(answer, id=job_id) if answer is not None else None

    def stop(self, _: str) -> bool:
        return bool(self.answers and isinstance(self.answers[0], Job))

    def logs(self, _: str) -> str | None:
        return self.printed

    async def tail(self, _: str, show: Callable[[str], None]) -> None:
        for chunk in self.chunks:
            show(chunk)
        if self.breaks:
            raise ConnectionError("gone")
