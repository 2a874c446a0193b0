"""Every state of a search, in all that shows it: report, live page, list, terminal and MLflow say the same."""

import html
import io
import json
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.report_folder import Story, make_folder
from search.app.finalize import describe, tracked
from search.cli.command import app
from search.common.clock import now
from search.dashboard.live import Page
from search.history.events import Ended, Event, Phase, Proposed, Reported, Stopped
from search.history.journal import Journal, read
from search.report import build, listing
from search.report.findings import find
from search.report.material import Material, gather
from search.report.progress import ProgressEstimate, line
from search.report.story import status
from search.results import summary
from search.spec.search import Search
from search.tracking.updates import PARENT, Trials, Update

RUNS = frozenset({"starting", "searching", "confirming"})
DONE = frozenset({"switch", "keep", "undecided", "none", "budget"})
STOPPED = frozenset({"interrupted", "failed"})
SPENT = "budget.wall 60 s is spent"
CAUSE = "3 trials alike: no such file"

SENTENCES: Mapping[str, frozenset[str]] = {
    r"The search runs\.": RUNS,
    r"\bfinished\b": DONE,
    r"Go on with the search": frozenset({"interrupted"}),
    r"Mend the cause": frozenset({"failed"}),
    r"The search stopped itself": frozenset({"failed"}),
    r"stopped itself": frozenset({"failed"}),
    r"Why it stopped": frozenset({*STOPPED, "budget"}),
    CAUSE: frozenset({"failed"}),
    SPENT: frozenset({"budget"}),
    r"\bSwitch to the new config": frozenset({"switch", "budget"}),
    r"verdict: switch": frozenset({"switch", "budget"}),
    r"\bKeep your config": frozenset({"keep"}),
    r"Undecided: keep your config": frozenset({"undecided"}),
    r"No trial succeeded": frozenset({"none"}),
    r"no trial has a value": frozenset({"none", "starting"}),
    r"Train the new config": frozenset({"switch", "budget"}),
    r"Nothing has been evaluated so far": frozenset({"starting"}),
    r"No trial has a value yet": frozenset({"starting"}),
    r"Not decided yet": frozenset({"searching", "confirming", "interrupted"}),
    r"At work": RUNS,
    r"no trial is at work yet": frozenset({"starting"}),
    r"Nothing to change": frozenset({"keep"}),
    r"trial was stopped early|without early stopping": frozenset(),
}
"""A person's checklist: what may be said, and in which states it is true."""


@dataclass(frozen=True)
class Seen:
    """What a search of one state shows."""

    material: Material
    report: str
    live: str
    terminal: str
    row: Mapping[str, Any]
    tags: Mapping[str, str]
    mlflow: str
    """The description of its run, of a search that has ended or stopped."""

    @property
    def everything(self) -> str:
        return "\n".join([self.report, self.live, self.terminal, json.dumps(dict(self.row)), self.mlflow])


def rewritten(folder: Path, events: Sequence[Event]) -> None:
    (folder / "journal.jsonl").unlink()
    with Journal(folder / "journal.jsonl") as journal:
        for event in events:
            journal.append(event)


def made(folder: Path, state: str) -> Search:
    story = {
        "switch": Story(trials=12),
        "budget": Story(trials=12),
        "confirming": Story(trials=12),
        "keep": Story(trials=12, gain=-1.0),
        "undecided": Story(trials=12, gain=0.1, scatter=0.05, seeds=2),
    }.get(state, Story(trials=12, finished=False))
    search = make_folder(folder, replace(story, failing=0, retried=0))
    events = read(folder / "journal.jsonl")[0]
    if state in RUNS:
        (folder / ".owner").write_text(f"{socket.gethostname()} pid {os.getpid()}\n")
    if state == "starting":
        events = [Phase("search", now())]
    elif state == "confirming":
        last = max(i for i, e in enumerate(events) if isinstance(e, Reported))
        events = [e for i, e in enumerate(events) if i < last]
        (folder / "best.yaml").unlink()
    elif state == "interrupted":
        events = [*events, Stopped("signal", "SIGTERM", now())]
    elif state == "failed":
        events = [*events, Stopped("failures", CAUSE, now())]
    elif state == "none":
        tried = [e for e in events if isinstance(e, Proposed)][:4]
        events = [Phase("search", 1.0), *tried]
        events += [Ended(e.trial, "failed", f"{CAUSE[10:]}", 2.0) for e in tried]
        events += [Phase("confirm", 3.0), Phase("done", 4.0)]
    elif state == "budget":
        events = [replace(e, reason=SPENT) if isinstance(e, Phase) and e.name == "confirm" else e for e in events]
        settings = folder / "search.yaml"
        settings.write_text(settings.read_text().replace("trials: 12", "trials: 24"))
    rewritten(folder, events)
    return search


def words(page: str) -> str:
    """What a page shows before its charts: scripts, styles and tags left out."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def seen(folder: Path, state: str) -> Seen:
    search = made(folder, state)
    material = gather(folder)
    page = Page(folder.parent, "")
    page.refresh()
    live = words(" ".join(page.state(folder.name)["parts"].values()))
    answer = CliRunner().invoke(app, ["list", "--json", "--results", str(folder.parent)])
    (row,) = json.loads(answer.stdout)
    shown = CliRunner().invoke(app, ["show", folder.name, "--results", str(folder.parent)]).stdout
    updates: dict[int, Update] = {}
    trials = Trials(material.rungs)
    for event in material.events:
        trials.fold(event, updates)
    tags = dict(updates[PARENT].tags)
    mlflow = ""
    if not material.standing.running:
        mlflow = f"{tracked(material.standing, material.verdict)}: "
        mlflow += describe(search, material.verdict, [], "", material.standing)
    terminal = f"{answer.stdout}\n{shown}"
    if material.done and material.verdict is not None:
        terminal += f"verdict: {summary.said(material.verdict)}"
    return Seen(material, words(build.html(find(material))), live, terminal, row, tags, mlflow)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seen]:
    known: dict[str, Seen] = {}

    def of(state: str) -> Seen:
        if state not in known:
            known[state] = seen(tmp_path_factory.mktemp(state) / "results" / "s", state)
        return known[state]

    return of


@pytest.mark.parametrize(
    ("state", "shown", "verdict", "begins", "phase", "run"),
    [
        ("starting", "starting", "", "starting", "search", ""),
        ("searching", "searching", "", "searching: ", "search", ""),
        ("confirming", "confirming", "", "confirming: ", "confirm", ""),
        ("interrupted", "interrupted", "", "interrupted: ", "search", "interrupted: **s**: interrupted: SIGTERM."),
        ("failed", "failed", "", "stopped: ", "search", f"failed: **s**: stopped itself: {CAUSE}."),
        ("budget", "done", "switch", f"finished: 12 of 24 trials over, as {SPENT}", "done", "done: **s**: switch to"),
        ("switch", "done", "switch", "finished", "done", "done: **s**: switch to the new config"),
        ("keep", "done", "keep", "finished", "done", "done: **s**: keep your config"),
        ("undecided", "done", "undecided", "finished", "done", "done: **s**: undecided, so keep your config"),
        ("none", "done", "", "finished: 4 of ", "done", "failed: **s**: no trial has a value."),
    ],
)
def test_all_that_shows_a_state_says_the_same(
    states: Callable[[str], Seen], state: str, shown: str, verdict: str, begins: str, phase: str, run: str
) -> None:
    found = states(state)
    said = status(found.material)
    assert said.startswith(begins)
    assert (found.row["state"], found.row["verdict"]) == (shown, verdict)
    assert said in found.report and said in found.live and said in found.terminal
    headline = find(found.material).story.headline
    assert headline in found.report and headline in found.terminal
    assert headline in found.live or shown in RUNS  # there the page has numbers that change, and no story
    assert found.tags["phase"] == phase and found.mlflow.startswith(run)
    assert found.tags.get("spent") == (SPENT if state == "budget" else None)


@pytest.mark.parametrize("state", [*sorted(RUNS), *sorted(STOPPED), *sorted(DONE)])
def test_no_sentence_is_false(states: Callable[[str], Seen], state: str) -> None:
    text = states(state).everything
    false = {sentence for sentence, true in SENTENCES.items() if state not in true and re.search(sentence, text)}
    assert not false, [re.search(f".{{0,80}}{one}.{{0,80}}", text) for one in false]


def test_every_sentence_of_the_checklist_is_said(states: Callable[[str], Seen]) -> None:
    texts = {state: states(state).everything for state in {*RUNS, *STOPPED, *DONE}}
    for sentence, true in SENTENCES.items():
        assert not true or any(re.search(sentence, texts[state]) for state in true), sentence


def test_what_is_only_planned_is_nowhere(tmp_path: Path) -> None:
    page = Page(tmp_path, "")
    page.refresh()
    assert "No search yet" in " ".join(page.state("")["parts"].values())
    assert "no search in " in CliRunner().invoke(app, ["list", "--results", str(tmp_path)]).stdout


def test_the_terminal_says_which_budget_is_spent(states: Callable[[str], Seen]) -> None:
    material = states("budget").material
    outlook = ProgressEstimate(material.records, material.model.objective, material.unit, 0, 24)
    told = [line(event, outlook) for event in material.events]
    assert f"-- confirming on fresh seeds ({SPENT})" in told


def test_the_list_fits_eighty_columns_in_every_state(states: Callable[[str], Seen]) -> None:
    rows = [listing.row(states(state).material) for state in (*RUNS, *STOPPED, *DONE)]
    console = Console(width=80, file=io.StringIO())
    console.print(listing.table(rows))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == len(rows) + 1 and max(map(len, lines)) <= 80


def test_a_tag_of_mlflow_does_not_say_stopped_of_a_search_that_went_on() -> None:
    updates: dict[int, Update] = {}
    trials = Trials()
    for event in (Phase("search", 1.0), Stopped("failures", "why", 2.0), Phase("search", 3.0)):
        trials.fold(event, updates)
    assert updates[PARENT].tags == {"phase": "search", "stopped": "went on"}
