"""A sitting at a search from its beginning to what it hands over; its stages and the tracker are stand-ins."""

import io
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from small_search import proposed, small_search, trial

from search.app import finalize, session
from search.app.context import RunContext
from search.app.invocation import Invocation
from search.app.relaunch import Relaunched
from search.common.exit_codes import Exit
from search.history.events import Ended, Event, Phase, Reported, Stopped, WarmStarted
from search.history.journal import read
from search.persistence.folder import opened
from search.persistence.object_store_journal import Mirror
from search.spec.plan import Plan, make_plan
from search.spec.search import Search
from search.spec.start import StartPoint
from search.tracking.types import SearchStatus, Summary
from tests.trainables.flat_store import URI, flat_store
from trainables.objects import Prefix
from trainables.run import Prepared

PREPARED = Prepared(Path("/nowhere"), "d" * 64, "20 curves")
BASE = {"lr": 1e-3, "batch_size": 256, "warmup_epochs": 0}
SEARCHED = [*trial(0, 0.5, origin="baseline", values=BASE), *trial(1, 0.3, values={**BASE, "lr": 5e-3})]
CONFIRMED = [
    event
    for number, seed in ((2, 1), (4, 2))
    for of, values, value in ((0, BASE, 0.5), (1, {**BASE, "lr": 5e-3}, 0.3))
    for event in trial(number + of, value, kind="confirm", origin=f"trial {of}", seed=seed, values=values)
]
WARM = WarmStarted("tcn-2", [], [], 0, "", 0.0)


@dataclass
class Sitting:
    """What a search meets: its two stages, its cluster and its tracker."""

    asked: Invocation
    screen: io.StringIO
    search: Callable[[RunContext], None]
    confirm: Callable[[RunContext], None]
    left: Relaunched = field(default_factory=Relaunched)
    own: bool = True
    trouble: str | None = None
    answer: str = ""
    version: str = ""
    restarts: list[str] = field(default_factory=list)
    connected: list[Any] = field(default_factory=list)
    tracker: list[Any] = field(default_factory=list)
    """Whether it was started, and what it was told at the end."""

    @property
    def path(self) -> Path:
        return self.asked.path

    def run(self) -> int:
        return session.run(self.asked)

    def said(self) -> str:
        return self.screen.getvalue()

    def journal(self) -> list[Event]:
        return read(self.path / "journal.jsonl")[0]

    def phases(self) -> list[tuple[str, str]]:
        """Of the sitting as a whole: the phase or what it stopped for, and the reason."""
        told = [e for e in self.journal() if isinstance(e, Phase | Stopped)]
        return [(e.name if isinstance(e, Phase) else e.kind, e.reason) for e in told]

    def status(self) -> SearchStatus:
        found = self.tracker[-1]
        assert isinstance(found, tuple) and isinstance(found[0], SearchStatus)
        return found[0]


def plays(*events: Event) -> Callable[[RunContext], None]:
    def stage(context: RunContext) -> None:
        for event in events:
            context.folder.ledger.emit(event)

    return stage


def calls(reason: str, kind: Any, *events: Event) -> Callable[[RunContext], None]:
    def stage(context: RunContext) -> None:
        plays(*events)(context)
        context.halt.call(reason, kind)

    return stage


def reported(folder: Path, _: object) -> Path:
    (folder / "report.html").write_text("as told in tests of its own")
    return folder / "report.html"


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return small_search(tmp_path_factory.mktemp("s"), "confirm={top: 1, seeds: 2}", "budget.trials=2")


@pytest.fixture(scope="module")
def plan(search: Search) -> Plan:
    return make_plan(search)


@pytest.fixture
def sitting(search: Search, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sitting:
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    path = tmp_path / "results" / "s"
    asked = Invocation(search, plan, PREPARED, path, None, "the command", console, "quiet")
    made = Sitting(asked, screen, plays(*SEARCHED), plays(*CONFIRMED))

    @contextmanager
    def connected(*given: object) -> Iterator[Any]:
        made.connected.append(given)
        restart = lambda: made.restarts.append("anew")  # noqa: E731
        yield SimpleNamespace(workers=2, own=made.own, gpu=0.0, room=lambda: 2, say=print, restart=restart)

    class Tracker:
        def __init__(self, *_: object) -> None: ...

        def start(self) -> str | None:
            made.tracker.append("started")
            return made.trouble

        def finish(self, status: SearchStatus, timeout: float) -> Summary:
            made.tracker.append((status, timeout))
            return Summary(0, 0, True, 0, None, made.answer, made.version)

    for name, value in {
        "connected": connected,
        "check_nodes": lambda *_: None,
        "Sender": Tracker,
        "run_search": lambda context: made.search(context),
        "run_confirmation": lambda context: made.confirm(context),
    }.items():
        monkeypatch.setattr(session, name, value)
    monkeypatch.setattr(session.relaunch, "taken", lambda: made.left)
    monkeypatch.setattr(finalize, "write_report", reported)
    return made


def test_search_confirm_hand_over(sitting: Sitting) -> None:
    sitting.asked = replace(sitting.asked, warm=WARM)
    sitting.trouble, sitting.answer = "tracking: it does not answer", "tracking: 3 events wait"
    assert sitting.run() == Exit.DONE
    assert sitting.journal()[0] == WARM and sitting.phases() == [("confirm", ""), ("done", "")]
    told = sitting.said()
    assert "warning: tracking: it does not answer\n" in told and "\ntracking: 3 events wait\n" in told
    assert "verdict: switch to the new config" in told and f"best config   {sitting.path / 'best.yaml'}" in told
    assert sitting.tracker[0] == "started" and sitting.status().status == "done"

    assert sitting.run() == Exit.DONE  # again: no Ray is begun for it
    assert len(sitting.connected) == 1 and len(sitting.journal()) == 21
    assert f"{sitting.path} holds this search, finished; a new one takes another --name" in sitting.said()


def test_what_idle_workers_began_and_the_confirmation_does_not_need_ends_before_it(sitting: Sitting) -> None:
    early = [proposed(number, kind="confirm", origin=f"trial {number - 8}", seed=1) for number in (8, 9, 10)]
    sitting.search = plays(Phase("search", 0.0), *SEARCHED, *early)
    assert sitting.run() == Exit.DONE
    told = [e for e in sitting.journal() if isinstance(e, Phase) or (isinstance(e, Ended) and e.trial >= 8)]
    assert [e.trial if isinstance(e, Ended) else e.name for e in told] == ["search", 10, "confirm", "done"]


def test_remarks_on_the_trials_are_for_a_search_that_is_over(sitting: Sitting) -> None:
    same = [*SEARCHED[:3], *trial(1, 0.4, values=BASE)]
    sitting.search = calls("SIGHUP", "signal", *same)
    sitting.run()
    assert "repeat the config" not in sitting.said()
    sitting.search = plays()
    sitting.run()
    assert "1 of 2 trials repeat the config of an earlier one\n" in sitting.said()


def test_after_a_clock_that_was_set_back_the_stages_are_run_again_with_fresh_processes(sitting: Sitting) -> None:
    names = list[str]()

    def first(context: RunContext) -> None:
        names.append(context.name)
        if len(names) == 1:
            calls("the system's clock was set back by 60 s", "clock", *SEARCHED[:2])(context)
        else:
            plays(*SEARCHED[2:])(context)

    sitting.search = first
    assert sitting.run() == Exit.DONE
    assert sitting.restarts == ["anew"] and len({*names}) == 2  # else the workers would be taken for those before
    why = "the system's clock was set back by 60 s"
    assert f"{why}: Ray's processes are started anew, trials go on from their checkpoints\n" in sitting.said()
    assert sitting.phases() == [("clock", why), ("confirm", ""), ("done", "")]


@pytest.mark.parametrize("own", [True, False])
def test_only_processes_that_are_its_own_suffer_from_a_clock_set_back(sitting: Sitting, own: bool) -> None:
    checked = list[Any]()
    sitting.own, sitting.search = own, lambda context: checked.append(context.set_back)
    sitting.run()
    assert isinstance(checked[0], session.SetBack) is own and checked[0]() is None


@pytest.mark.parametrize(
    ("error", "stopped", "told"),
    [
        (RuntimeError("Ray is odd"), ("error", "Ray is odd"), ("failed", 5)),
        (KeyboardInterrupt(), ("signal", "KeyboardInterrupt"), ("interrupted", 0.5)),
    ],
)
def test_what_breaks_a_sitting_is_in_the_journal_and_told_to_the_tracker(
    sitting: Sitting, error: BaseException, stopped: tuple[str, str], told: tuple[str, float]
) -> None:
    def breaks(_: RunContext) -> None:
        raise error

    sitting.search = breaks
    with pytest.raises(type(error)):
        sitting.run()
    ((kind, reason),) = sitting.phases()
    assert kind == stopped[0] and stopped[1] in reason
    assert sitting.tracker[-1] == (SearchStatus(told[0]), told[1])  # type: ignore[arg-type]
    sitting.search = plays(*SEARCHED)
    assert sitting.run() == Exit.DONE


@pytest.mark.parametrize("ends", ["error", "halt"])
@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (
            lambda path: (path / "journal.jsonl").unlink(),
            "journal.jsonl was deleted or replaced while the search ran: it is written again, complete; go on with: ",
        ),
        (
            lambda path: path.rename(path.with_name("moved")),
            "was moved, renamed or deleted while the search ran: move it back; if it was deleted, nothing is left of "
            "it and the search begins anew; go on with: ",
        ),
    ],
)
def test_without_its_folder_a_search_ends_and_says_how_to_go_on(
    sitting: Sitting, lost: Callable[[Path], object], told: str, ends: str
) -> None:
    def search(context: RunContext) -> None:
        plays(*SEARCHED)(context)
        lost(sitting.path)
        if ends == "error":
            raise OSError("No such file")
        context.halt.call(context.trouble() or "", "folder")

    sitting.search = search
    assert sitting.run() == Exit.TRY_AGAIN
    assert told + "the command\n" in sitting.said() and sitting.status() == SearchStatus("interrupted")
    assert not (sitting.path / "best.yaml").exists()
    moved = sitting.path.with_name("moved")
    if moved.exists():
        moved.rename(sitting.path)
    assert sitting.journal()[:6] == SEARCHED


def test_code_of_the_users_own_goes_on_where_it_was_started(
    sitting: Sitting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / name for name in ("one", "two", "three")]
    ran_in: list[str] = []

    def interrupted(context: RunContext) -> None:
        ran_in.append(context.job().here)
        context.halt.call("SIGINT", "signal")

    sitting.search = interrupted
    sitting.asked = replace(
        sitting.asked, search=replace(sitting.asked.search, outside={"folder": "f", "relative": ".", "code": {}})
    )
    for place in places:
        place.mkdir()
        monkeypatch.chdir(place)
        if place == places[2]:
            places[0].rmdir()
        assert sitting.run() == Exit.INTERRUPTED
    assert ran_in == [str(places[0]), str(places[0]), str(places[2])]
    assert f"trials run in {places[0]}, where the search was started\n" in sitting.said()
    gone = f"warning: {places[0]}, where the search was started, is not here: trials run in {places[2]}, where relative"
    assert gone in sitting.said()


def test_a_process_that_follows_one_that_was_to_end_hands_over_what_there_is(sitting: Sitting) -> None:
    with opened(sitting.path, sitting.asked.search, sitting.asked.plan, PREPARED, print) as folder:
        for event in SEARCHED[:3]:
            folder.ledger.emit(event)
    sitting.left = Relaunched(0, 1, 2, "SIGTERM")
    assert sitting.run() == Exit.INTERRUPTED
    assert sitting.connected == [] and "started" not in sitting.tracker
    assert sitting.phases() == [("signal", "SIGTERM")] and sitting.status().status == "interrupted"
    assert f"interrupted (SIGTERM); so far: {sitting.path / 'trials.csv'}\ngo on with: the command" in sitting.said()


def test_a_signal_ends_the_search_in_order_and_it_is_not_confirmed(sitting: Sitting) -> None:
    def search(context: RunContext) -> None:
        plays(*SEARCHED)(context)
        signal.raise_signal(signal.SIGTERM)

    sitting.search = search
    assert sitting.run() == Exit.INTERRUPTED
    assert sitting.phases() == [("signal", "SIGTERM")] and sitting.status().version is None
    assert "stopping: trials keep their last evaluation; again to stop at once" in sitting.said()
    assert (sitting.path / "trials.csv").exists() and "report" not in sitting.said()


def test_what_stops_itself_says_so_and_how_to_go_on(sitting: Sitting) -> None:
    sitting.search = calls("3 trials alike: no such file", "failures", *SEARCHED)
    assert sitting.run() == Exit.NO_TRIAL
    told = f"stopped: 3 trials alike: no such file\nlogs: {sitting.path / 'trials'}; so far: "
    assert f"{told}{sitting.path / 'trials.csv'}\nwhen the cause is mended, go on with: the command" in sitting.said()
    assert f"report        {sitting.path / 'report.html'}" in sitting.said()


def test_a_spent_budget_ends_the_search_and_not_the_confirmation(sitting: Sitting) -> None:
    halts = list[Any]()
    sitting.search = calls("budget.wall 60 s is spent", "budget", *SEARCHED)
    sitting.confirm = lambda context: halts.append(context.halt.reason)
    assert sitting.run() == Exit.DONE and halts == [None]
    assert sitting.phases() == [("confirm", "budget.wall 60 s is spent"), ("done", "")]


def test_a_final_winner_is_registered(sitting: Sitting) -> None:
    sitting.asked, sitting.version = replace(sitting.asked, register="curves"), "4"
    assert sitting.run() == Exit.DONE
    version = sitting.status().version
    assert version is not None and (version.name, version.folder) == ("curves", "winner/trial-1-seed-1")
    assert "registered    curves version 4" in sitting.said()


def test_several_objectives_and_a_winner_that_nothing_explains(sitting: Sitting, tmp_path: Path) -> None:
    several = ("objectives=[{val_mae_prior_sd: min}, {val_nll: min}]", "confirm={top: 1, seeds: 2, explain: true}")
    search = small_search(tmp_path, *several, "budget.trials=2")
    sitting.asked = replace(sitting.asked, search=search, plan=make_plan(search))

    def scored(event: Event) -> Event:
        """The better in one, the worse in the other."""
        if not isinstance(event, Reported):
            return event
        return replace(event, metrics={**event.metrics, "val_nll": -event.metrics["objective"]})

    sitting.search, sitting.confirm = plays(*map(scored, SEARCHED)), plays(*map(scored, CONFIRMED))
    assert sitting.run() == Exit.DONE
    front = (sitting.path / "pareto.csv").read_text().splitlines()
    assert len(front) == 3 and "val_nll" in front[0]
    assert {sitting.path / "pareto.csv", sitting.path / "pareto"} <= {*sitting.status().artifacts}
    assert "confirm.explain trained nothing: fewer than 8 trials have values" in sitting.said()


def test_a_search_in_a_store_brings_its_winner_here_and_its_report_there(sitting: Sitting, tmp_path: Path) -> None:
    given = tmp_path / "mine.pt"
    given.write_bytes(b"state")
    search = replace(sitting.asked.search, start=StartPoint(3, "epoch 3 of mine.pt", given))
    with flat_store() as held:
        store = Prefix(URI)
        lease: Any = SimpleNamespace(epoch=1, id="0a", check=lambda: None)
        sitting.asked = replace(sitting.asked, search=search, mirror=Mirror(store, lease))
        weights, state, other = "trials/t0003/checkpoints/000000018.pt", "start/given/000000003.pt", "trials/t0002/x"
        for name in (weights, state, other):
            store.put(name, name.encode())
        assert sitting.run() == Exit.DONE
        for name in (weights, state):
            assert (sitting.path / name).read_bytes() == name.encode()
        assert not (sitting.path / other).exists()
        kept = {path.removeprefix("bucket/team/s/") for path in held.content}
    assert {"search.yaml", "best.yaml", "trials.csv", "report.html"} <= kept
    assert "journal.jsonl" not in kept and any(name.startswith("journal/00001-0a/") for name in kept)
    assert f"kept in       {URI}\n" in sitting.said()
    assert f"of checkpoints in {URI}/trials, of " in sitting.said()
