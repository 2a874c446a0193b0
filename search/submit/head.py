"""The head of a cluster: Ray's job API, asked with patience of our own and answered in words for people."""

import contextlib
import json
import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ray
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from search.common.store_uri import mask
from search.common.timeouts import in_time
from search.spec.nodes import Node
from spaces.problems import BadInput

T = TypeVar("T")
ANSWER_SECONDS = 5.0  # within which an address answers, or does not
CALL_SECONDS = 60.0
UPLOAD_SECONDS = 600.0
AGENT_SECONDS = 60.0  # a fresh head answers before its job agent does
OLDEST_PYTHON = (3, 11)
SEARCH, RESULTS = "schedule_search", "results"  # what a job of ours says about itself
_ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


class Unreachable(Exception):
    """The head doesn't answer now: it may be gone, or on its way."""


@dataclass(frozen=True)
class Order:
    """A job to be run."""

    entrypoint: str
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What a head knows about a job."""

    id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    search: str | None
    results: str | None
    exit_code: int | None
    error: str | None
    """Ray's kind of error, such as RUNTIME_ENV_SETUP_FAILURE."""
    message: str
    began: float | None
    """Unix seconds."""
    ended: float | None

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.status in _ENDED


class Head:
    """The jobs of one cluster.

    Methods raise Unreachable where it doesn't answer in time, and BadInput where it refuses.
    """

    def __init__(self, address: str, token: str | None) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def check(self) -> None:
        """Raise BadInput where the cluster can't take jobs of this client: another Ray, an old Python, no dashboard."""
        try:
            theirs = str(self._get("/api/version")["ray_version"])
            python = str(self._get("/api/v0/cluster_metadata")["data"].get("pythonVersion") or "")
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput.of(self._where, f"what answers there is no Ray dashboard ({error!r})") from error
        if theirs != ray.__version__:
            what = f"the cluster runs Ray {theirs}, this client {ray.__version__}: they must be the same. Start the "
            what += f"cluster with the pinned version, or install ray=={theirs} here"
            raise BadInput.of(self._where, what)
        if python and tuple(map(int, python.split(".")[:2])) < OLDEST_PYTHON:
            raise BadInput.of(self._where, f"the cluster runs Python {python}; 3.11 or newer is needed")

    def nodes(self) -> list[Node]:
        """The nodes that are alive."""
        try:
            rows = self._get("/api/v0/nodes?detail=1&limit=10000")["data"]["result"]["result"]
            return [
                Node(row["node_id"], row["node_name"], row.get("resources_total") or {}, row.get("labels") or {})
                for row in rows
                if row["state"] == "ALIVE"
            ]
        except (KeyError, TypeError, ValueError) as error:  # a head that is just starting
            raise Unreachable("it doesn't know its nodes yet") from error

    def submit(self, job_id: str, order: Order) -> None:
        """Send an order; a head that is just starting is given time."""
        until = time.monotonic() + AGENT_SECONDS

        def send(client: JobSubmissionClient) -> None:
            client.submit_job(
                entrypoint=order.entrypoint,
                runtime_env=dict(order.runtime_env),
                metadata=dict(order.metadata),
                submission_id=job_id,
            )

        while True:
            try:
                self._ask(send, UPLOAD_SECONDS)
                return
            except LookupError as error:
                raise BadInput.of(self._where, f"what answers there takes no jobs: {error}") from error
            except Unreachable as error:
                with contextlib.suppress(Unreachable):
                    if self.job(job_id) is not None:
                        return  # only the answer was lost
                if time.monotonic() > until:
                    if "agent" not in str(error):
                        raise
                    what = f"the head takes no jobs: {error} Its job agent may not have started because another Ray on "
                    what += "that machine has its port: give the head one with --dashboard-agent-listen-port"
                    raise BadInput.of(self._where, what) from error
                time.sleep(1)

    def job(self, job_id: str) -> Job | None:
        """The job; None where the head knows none of this id."""
        try:
            return _job(self._ask(lambda client: client.get_job_info(job_id)))
        except LookupError:
            return None

    def jobs(self) -> list[Job]:
        """The searches among all jobs, the newest first."""
        found = [_job(details) for details in self._ask(lambda client: client.list_jobs()) if details.submission_id]
        return sorted((job for job in found if job.search), key=lambda job: -(job.began or 0))

    def logs(self, job_id: str) -> str | None:
        """All that the job has printed; None where the head knows none of this id."""
        try:
            return str(self._ask(lambda client: client.get_job_logs(job_id)))
        except LookupError:
            return None

    async def tail(self, job_id: str, show: Callable[[str], None]) -> None:
        """Show what the job prints, from its beginning, until it ends. Raises whatever aiohttp does."""
        async for text in self._client.tail_job_logs(job_id):
            show(text)

    def stop(self, job_id: str) -> bool:
        """Ask the job to end; whether it was running."""
        try:
            return bool(self._ask(lambda client: client.stop_job(job_id)))
        except LookupError:
            return False

    def forget(self, job_id: str) -> None:
        """Drop a job that is over from the head's list."""
        with contextlib.suppress(LookupError):
            self._ask(lambda client: client.delete_job(job_id))

    @property
    def _where(self) -> str:
        return f"--address {self.address}"

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(self.address + path, headers=self._headers)  # noqa: S310 - http(s), see address_of

        def fetch() -> Any:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS - 1) as answer:  # noqa: S310
                return json.loads(answer.read())

        try:
            return in_time(ANSWER_SECONDS, fetch)
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            if error.code in (401, 403):
                raise self._refused(error.code) from error
            if error.code >= 500:
                raise Unreachable(f"it answers {error.code}") from error
            raise BadInput.of(self._where, f"what answers there is no Ray dashboard (HTTP {error.code})") from error
        except HTTPException as error:
            raise BadInput.of(self._where, f"what answers there is no Ray dashboard ({error!r})") from error
        except OSError as error:
            raise Unreachable(str(getattr(error, "reason", error))) from error

    @cached_property
    def _client(self) -> JobSubmissionClient:
        client = JobSubmissionClient(self.address, headers=dict(self._headers))
        for name in ("dashboard_sdk", "job.sdk"):
            logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
        return client

    def _ask(self, what: Callable[[JobSubmissionClient], T], seconds: float = CALL_SECONDS) -> T:
        """Raises LookupError where the head doesn't know what it is asked about."""
        try:
            return in_time(seconds, lambda: what(self._client))  # Ray's client would wait for ever
        except AuthenticationError as error:
            raise self._refused(403 if self._headers else 401) from error
        except OSError as error:  # requests' own are among them
            raise Unreachable(f"no answer ({type(error).__name__})") from error
        except RuntimeError as error:
            code = re.search(r"status code (\d+)", str(error))
            if code is not None and code[1] == "404":
                raise LookupError(str(error)) from error
            if code is not None and code[1].startswith("5"):
                raise Unreachable(str(error).strip().splitlines()[-1]) from error
            raise BadInput.of(self._where, str(error)) from error

    def _refused(self, code: int) -> BadInput:
        if code == 401:
            what = "the cluster asks for a token: set RAY_AUTH_MODE=token, and the token as RAY_AUTH_TOKEN or in "
            return BadInput.of(self._where, what + "~/.ray/auth_token (`ray get-auth-token` shows it on the head)")
        return BadInput.of(
            self._where, "the cluster refuses this token; it must be the one that the head was started with"
        )


def head_at(address: str | None) -> Head:
    """The head to talk to, from the command line and the environment; checked. Raises BadInput."""
    where = address_of(address, os.environ)
    head = Head(where, token_of(os.environ))
    try:
        head.check()
    except Unreachable as error:
        what = f"no Ray dashboard answers there ({mask(str(error))}); is the cluster up, and its port open to you?"
        raise BadInput.of(f"--address {where}", what) from error
    return head


def address_of(given: str | None, environment: Mapping[str, str]) -> str:
    """The dashboard's address: `--address`, else Ray's own RAY_API_SERVER_ADDRESS, else a RAY_ADDRESS that is one.

    Raises BadInput for none and for one of another kind.
    """
    fallback = environment.get("RAY_ADDRESS", "")
    text = given or environment.get("RAY_API_SERVER_ADDRESS") or (fallback if fallback.startswith("http") else "")
    if not text:
        raise BadInput.of("--address", "which cluster? Give its dashboard, as in --address http://HEAD:8265")
    text = (text if "://" in text else f"http://{text}").rstrip("/")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        what = "jobs go to the dashboard of the head, http://HEAD:8265; ray:// and HOST:6379 are for other things"
        raise BadInput.of(f"--address {mask(text)}", what)
    if parts.username is not None or parts.password is not None:
        raise BadInput.of(f"--address {mask(text)}", "carries credentials; a cluster's token goes into RAY_AUTH_TOKEN")
    return text


def token_of(environment: Mapping[str, str]) -> str | None:
    """The token to show, where RAY_AUTH_MODE=token asks for one: from RAY_AUTH_TOKEN, else the file that
    RAY_AUTH_TOKEN_PATH names, else ~/.ray/auth_token. Raises BadInput where there is none.
    """
    if environment.get("RAY_AUTH_MODE", "").lower() != "token":
        return None
    token = environment.get("RAY_AUTH_TOKEN", "").strip()
    place = Path(environment.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not token and place.is_file():
        token = place.read_text(encoding="utf-8").strip()
    if not token:
        raise BadInput.of("RAY_AUTH_MODE=token", f"there is no token: RAY_AUTH_TOKEN is not set, and no {place} exists")
    return token


def asked(head: Head, question: Callable[[], T]) -> T:
    """The answer to a question to the head. Raises BadInput where it doesn't answer any more."""
    try:
        return question()
    except Unreachable as error:
        raise BadInput.of(f"--address {head.address}", f"it answered, and then no more ({error})") from error


def _job(details: Any) -> Job:
    metadata = details.metadata or {}
    return Job(
        id=details.submission_id,
        status=str(details.status.value if hasattr(details.status, "value") else details.status),
        search=metadata.get(SEARCH),
        results=metadata.get(RESULTS),
        exit_code=details.driver_exit_code,
        error=details.error_type,
        message=details.message or "",
        began=details.start_time / 1000 if details.start_time else None,
        ended=details.end_time / 1000 if details.end_time else None,
    )
