"""Nodes that come and go while searches run: a real cluster of several nodes on this machine."""

import signal
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from benchmarks.trivial import Config, loss
from search.history.events import Ended, Event, Paused, Phase, Reported, Retried, Started
from search.history.records import Records
from tests.integration.conftest import run, start
from tests.integration.real_nodes import (
    LOG,
    growing,
    happened,
    nodes,
    seen_by_all,
    wait_until,
    write_client,
)

Kind = TypeVar("Kind")

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

TRIALS, STEPS, CONFIRMED = 18, 9, 4
WHOLE = "early_stopping={kind: none}"  # every trial in full: each evaluation is known beforehand


def of(kind: type[Kind], events: list[Event]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


def evaluations(folder: Path, name: str = "s") -> int:
    return len(of(Reported, happened(folder, name)))


def test_a_node_is_lost_and_another_joins(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = write_client(tmp_path / "client")
    with nodes(folder, PACE="0.3") as cluster:
        cluster.add(num_cpus=0)
        up = {cluster.add() for _ in range(3)}
        words = ["search.yaml", "--name", "s", "--address", cluster.address, "--set", "max_failures=0", "--set", WHOLE]
        with start("search.run", words, folder, {**environment, **seen_by_all(folder)}) as process:
            wait_until(lambda: evaluations(folder) >= 12, "twelve evaluations")
            began = of(Started, happened(folder, "s"))
            assert {event.node for event in began} == up
            lost = began[-1].node
            cluster.kill(lost)
            joined = cluster.add()
            output = process.communicate(timeout=200)[0]
    assert process.returncode == 0, output
    events = happened(folder, "s")
    records = Records(events)
    assert (records.proposed["search"], records.proposed["confirm"]) == (TRIALS, CONFIRMED)
    assert {trial.status for trial in records.trials.values()} == {"completed"}
    # The loss is nobody's failure: `max_failures: 0` allows none.
    retried = of(Retried, events)
    assert retried and all(event.free and "node was lost" in event.reason for event in retried)
    assert all(trial.failures == 0 for trial in records.trials.values())
    assert joined in {event.node for event in of(Started, events)}
    # No evaluation is lost, and none is trained twice but the one that the lost node was about.
    reported = Counter((event.trial, event.step) for event in of(Reported, events))
    assert reported == Counter((n, s) for n in range(TRIALS + CONFIRMED) for s in range(1, STEPS + 1))
    trained = Counter((folder / LOG).read_text().splitlines())
    assert sum(trained.values()) - len(reported) <= len(retried) == 1
    assert "nodes joined" in output and "lost" in output and "4 trials at once" in output


def test_two_searches_at_once_on_one_cluster_keep_to_themselves(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = write_client(tmp_path / "client")
    whose = {**environment, **seen_by_all(folder)}
    with nodes(folder, PACE="0.1") as cluster:
        for count in (0, 1, 1):
            cluster.add(num_cpus=count)
        words = ["search.yaml", "--address", cluster.address, "--set", "resources.max_concurrent=1"]
        a, b = [*words, "--name", "a", "--seed", "1"], [*words, "--name", "b", "--seed", "2"]
        with start("search.run", a, folder, whose) as one, start("search.run", b, folder, whose) as other:
            wait_until(lambda: min(evaluations(folder, "a"), evaluations(folder, "b")) >= 4, "both at work")
            one.send_signal(signal.SIGTERM)  # ends the workers of its own trials, and no others
            assert "go on with" in one.communicate(timeout=60)[0] and one.returncode == 130
            before = evaluations(folder, "b")
            code, output = run("search.run", a, folder, whose)
            assert code == 0, output
            output = other.communicate(timeout=200)[0]
            assert other.returncode == 0 and before < evaluations(folder, "b"), output
    values: dict[str, list[object]] = {}
    for name, seed in (("a", 1), ("b", 2)):
        events = happened(folder, name)
        records = Records(events)
        assert list(records.trials) == list(range(TRIALS + CONFIRMED)) and not of(Retried, events)
        assert {trial.proposed.seed for trial in records.of_kind("search")} == {seed}
        for trial in records.trials.values():
            assert trial.over and trial.status != "failed"
            knobs = Config(**trial.values)
            for report in trial.reports:
                assert report.metrics["loss"] == loss(knobs.alpha, knobs.beta, knobs.rate, report.step)
        assert at_once(events) == 1
        values[name] = [trial.values for trial in records.of_kind("search")[1:]]
    assert not any(one in values["b"] for one in values["a"])
    pids = {name: {event.pid for event in of(Started, happened(folder, name))} for name in "ab"}
    assert not pids["a"] & pids["b"]
    assert tracked(folder / "results" / "mlflow.db") == {"a": 1 + TRIALS + CONFIRMED, "b": 1 + TRIALS + CONFIRMED}


def test_a_cluster_that_adds_nodes_by_itself_is_asked_for_them(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = write_client(tmp_path / "client")
    with growing(folder, most=4, PACE="0.5") as address:
        words = ["search.yaml", "--name", "s", "--address", address, "--set", WHOLE, "--set", f"budget.trials={TRIALS}"]
        whose = {**environment, **seen_by_all(folder)}

        def answers() -> bool:
            code, said = run("search.run", words, folder, whose)
            assert code == 2
            return "no node has any CPU" in said

        wait_until(answers, "a head without CPUs")
        code, output = run("search.run", [*words, "--set", "resources.max_concurrent=3"], folder, whose)
    assert code == 0, output
    assert "no node is up that could hold a trial; the search waits for one" in output
    events = happened(folder, "s")
    assert evaluations(folder) == (TRIALS + CONFIRMED) * STEPS and not of(Retried, events)
    assert at_once(events) == 3 <= len({event.node for event in of(Started, events)})


def at_once(events: Sequence[Event]) -> int:
    """The most trials that ran at the same time. A trial is told to have begun at its first report; one that has made
    room for another is told of no more until it goes on, so its worker is free when that one has begun there."""
    running: dict[tuple[str, int], int] = {}  # by worker
    most = 0
    for event in events:
        match event:
            case Started():
                running[event.node, event.pid] = event.trial
            case Paused() | Ended():
                running = {worker: trial for worker, trial in running.items() if trial != event.trial}
            case Phase():
                running.clear()  # a new sitting
        most = max(most, len(running))
    return most


def tracked(database: Path) -> dict[str, int]:
    """Runs by search, as MLflow has them; none of them is left open."""
    query = (
        "select name.value, r.status from runs r"
        " left join tags parent on parent.run_uuid = r.run_uuid and parent.key = 'mlflow.parentRunId'"
        " join tags name on name.run_uuid = coalesce(parent.value, r.run_uuid) and name.key = 'search'"
    )
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store:
        rows = store.execute(query).fetchall()
    assert all(status != "RUNNING" for _, status in rows)
    return dict(Counter(name for name, _ in rows))
