"""The live page: all searches, followed while they run, served by a process that `python -m search.dashboard` starts.

`python -m search.dashboard.live RESULTS HOST PORT`. It only reads, unless `SCHEDULE_SEARCH_TOKEN` holds a token: who
sends that may stop a search and go on with one.
"""

import asyncio
import contextlib
import json
import os
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from search.dashboard import actions, glance
from search.dashboard.child import end_with_parent
from search.dashboard.following import Following, Hub
from search.dashboard.serve import TOKEN
from search.report.page import frame, static, templates
from search.report.plotly_js import plotly_js
from spaces.problems import BadInput

LOOK = 1.0  # seconds between two looks at the journals
HEADER = "x-token"
_OURS = {"default-src": "'none'", "style-src": "'unsafe-inline'", "img-src": "data: blob:", "connect-src": "'self'"}


class Page:
    """What is shown: one reading of the journals for all who look."""

    def __init__(self, results: Path, token: str) -> None:
        self.hub = Hub(results)
        self.token = token
        self._lock = threading.Lock()
        self._results = results

    def refresh(self) -> None:
        """Take in what is new in the journals."""
        with self._lock:
            self.hub.refresh()

    def state(self, name: str) -> dict[str, Any]:
        """The list, and the search called `name` (the first one where it is empty), as the page's script takes it."""
        with self._lock:
            searches = list(self.hub)
            chosen = self.hub.get(name) or (searches[0] if searches and not name else None)
            known = chosen.material.folder.name if chosen is not None else ""
            lines = [glance.brief(one) for one in searches]
            listed = _render("list.html", lines=lines, chosen=known, damaged=self.hub.damaged, results=self._results)
            if chosen is None:
                return {"name": "", "parts": {"list": listed, "head": _render("none.html", name=name)}, "curves": None}
            return {"name": known, "parts": {"list": listed, **self._search(chosen)}, "curves": glance.curves(chosen)}

    def _search(self, one: Following) -> dict[str, str]:
        material = one.material
        head = _render(
            "head.html",
            line=glance.brief(one),
            cause=material.standing.cause,
            facts=list(glance.facts(one)),
            remarks=glance.remarks(one),
            story=None if material.standing.running else one.story(),
            actions=bool(self.token),
            going=material.standing.running,
            best=one.progress.best,
        )
        detail = _render(
            "detail.html",
            going=material.standing.running,
            running=glance.running(one),
            rungs=glance.rungs(one),
            unit=material.unit,
            metric=material.model.objective.metric,
            lower=material.model.objective.mode == "min",
            happened=list(reversed(one.happened)),
        )
        return {"head": head, "detail": detail}


def _render(template: str, /, **values: Any) -> str:
    return templates("search.dashboard").get_template(template).render(**values)


def application(results: Path, token: str = "") -> Starlette:
    """The web application.

    Args:
        results: the folder of the searches.
        token: who sends it may stop and go on; empty: nobody may.

    """
    page = Page(results, token)
    page.refresh()

    async def index(_request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        own = [static(name, "search.dashboard") for name in ("live.js", "live.css")]
        filled = frame("Searches", {}, own[:1], own[1])
        html = _render("live.html", nonce=nonce, **filled)
        policy = "; ".join(f"{key} {value}" for key, value in {**_OURS, "script-src": f"'nonce-{nonce}'"}.items())
        return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})

    async def plotly(_request: Request) -> Response:
        return Response(plotly_js(), media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    async def state(request: Request) -> Response:
        await asyncio.to_thread(page.refresh)
        return JSONResponse(await asyncio.to_thread(page.state, request.query_params.get("search", "")))

    async def events(request: Request) -> Response:
        return StreamingResponse(
            _changes(page, request), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def act(request: Request) -> Response:
        if not token or not secrets.compare_digest(request.headers.get(HEADER, ""), token):
            return JSONResponse({"said": "this page was opened without the token that allows it"}, 403)
        one = page.hub.get(request.path_params["name"])
        known: dict[str, Callable[[Path], str]] = {"stop": actions.stop, "go-on": actions.go_on}
        action = known.get(request.path_params["action"])
        if one is None or action is None:
            return JSONResponse({"said": "there is no such search, or no such action"}, 404)
        try:
            return JSONResponse({"said": await asyncio.to_thread(action, one.material.folder)})
        except BadInput as error:
            return JSONResponse({"said": str(error)}, 409)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/plotly.js", plotly),
            Route("/state", state),
            Route("/events", events),
            Route("/searches/{name}/{action}", act, methods=["POST"]),
        ]
    )


async def _changes(page: Page, request: Request) -> AsyncIterator[str]:
    """Server-sent events: the state whenever it has changed."""
    name, before = request.query_params.get("search", ""), ""
    while not await request.is_disconnected():
        await asyncio.to_thread(page.refresh)
        text = json.dumps(await asyncio.to_thread(page.state, name), separators=(",", ":"), allow_nan=False)
        if text != before:
            yield f"data: {text}\n\n"
            before = text
        else:
            yield ": nothing new\n\n"
        await asyncio.sleep(LOOK)


def main(arguments: Sequence[str]) -> None:
    """Serve until killed, or until whoever started this is gone."""
    results, host, port = arguments
    end_with_parent()
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.run(
            application(Path(results), os.environ.get(TOKEN, "")),
            host=host,
            port=int(port),
            log_level="warning",
            timeout_graceful_shutdown=1,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
