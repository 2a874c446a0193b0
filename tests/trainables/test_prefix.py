"""Shared prefixes in a worker: what it keeps, how it starts from what another trial has kept, what it does without."""

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_bridge import config, job, numbers, worker

from tests.trainables.flat_store import URI, flat_store
from trainables import checkpoints
from trainables.layout import trial_folder
from trainables.objects import Prefix
from trainables.prefix import GONE, KEPT, PREFIX, REPLAYED, Fork, Order, address, drop, environment, place_of, stored
from trainables.run import SECONDS, STEP
from trainables.tune import Bridge

KEEP = Order(keep={2: ("calm", "acted"), 4: ("whole", "whole acted")}, room=10**6)


def lent(number: int, order: Order, **values: Any) -> dict[str, Any]:
    return {**config(number, **values), PREFIX: order.as_config()}


def forked(reports: list[dict[str, Any]], step: int = 2) -> Order:
    return Order(Fork("calm", step, 0, tuple(numbers(report) for report in reports[:step])))


@pytest.fixture
def first(tmp_path: Path) -> list[dict[str, Any]]:
    """The reports of a trial that keeps its state at step 2."""
    bridge = worker(lent(0, KEEP, lr=0.01), job(tmp_path))
    return [bridge.step() for _ in range(4)]


def told(bridge: Bridge, count: int) -> list[dict[str, Any]]:
    return [bridge.step() for _ in range(count)]


def test_a_trial_starts_where_another_was_and_trains_the_rest_to_the_same_numbers(
    first: list[dict[str, Any]], tmp_path: Path
) -> None:
    (kept,) = first[1][KEPT]
    assert (kept["key"], kept["step"]) == ("calm", 2) and kept["seen"] is not None
    assert stored(tmp_path) == {address("calm", environment()): kept["size"]}
    (whole,) = first[3][KEPT]
    assert (whole["key"], whole["address"], whole["size"]) == ("whole", "", 0)
    bridge = worker(lent(1, forked(first), lr=0.01), job(tmp_path))
    reports = told(bridge, 4)
    assert [numbers(report) for report in reports] == [numbers(report) for report in first]
    assert [report.get(REPLAYED) for report in reports] == [{"trial": 0, "step": 2}] * 2 + [None] * 2
    assert [report[SECONDS] == 0 for report in reports] == [True, True, False, False]
    assert [report["done"] for report in reports] == [False, False, False, True]


def test_the_store_may_be_an_object_store(tmp_path: Path) -> None:
    with flat_store():
        its = replace(job(tmp_path / "one machine"), storage=URI)
        first = told(worker(lent(0, KEEP, lr=0.01), its), 4)
        where = address("calm", environment())
        assert list(stored(Prefix(URI))) == [where] and not (tmp_path / "one machine" / "prefixes").exists()
        other = replace(its, folder=str(tmp_path / "another"))
        reports = told(worker(lent(1, forked(first), lr=0.01), other), 4)
        assert [numbers(report) for report in reports] == [numbers(report) for report in first]
        assert REPLAYED in reports[1] and REPLAYED not in reports[2]
        drop(Prefix(URI), where)
        assert stored(Prefix(URI)) == {}
        gc.collect()


def test_a_whole_training_is_told_without_any(first: list[dict[str, Any]], tmp_path: Path) -> None:
    fork = Fork("whole", 4, 0, tuple(numbers(report) for report in first), stored=False)
    reports = told(worker(lent(1, Order(fork), lr=0.01), job(tmp_path)), 4)
    assert [numbers(report) for report in reports] == [numbers(report) for report in first]
    assert reports[-1]["done"] and all(report[SECONDS] == 0 for report in reports)


@pytest.mark.parametrize("harm", ["deleted", "damaged", "of another machine"])
def test_what_is_gone_is_trained(harm: str, first: list[dict[str, Any]], tmp_path: Path) -> None:
    where = address("calm", environment())
    place = place_of(tmp_path, where)
    assert isinstance(place, Path)
    match harm:
        case "deleted":
            drop(tmp_path, where)
            assert not place.exists()
        case "damaged":
            (file,) = place.iterdir()
            file.write_bytes(file.read_bytes()[:-1] + b"?")
        case _:
            place.rename(place.with_name(address("calm", {**environment(), "threads": 64})))
    reports = told(worker(lent(1, forked(first), lr=0.01), job(tmp_path)), 4)
    assert [numbers(report) for report in reports] == [numbers(report) for report in first]
    assert reports[0][GONE] == {"key": "calm", "address": where}
    assert all(REPLAYED not in report for report in reports)


def test_a_pause_among_copied_reports_repeats_none(first: list[dict[str, Any]], tmp_path: Path) -> None:
    paused = worker(lent(1, forked(first), lr=0.01), job(tmp_path))
    paused.step()
    (tmp_path / "note").mkdir()
    paused.save_checkpoint(str(tmp_path / "note"))
    assert checkpoints.steps(trial_folder(tmp_path, 1) / "checkpoints") == []  # what it starts from is kept already
    resumed = worker(lent(1, forked(first), lr=0.01), job(tmp_path))
    resumed.load_checkpoint(str(tmp_path / "note"))
    assert [numbers(report) for report in told(resumed, 3)] == [numbers(report) for report in first[1:]]


def test_its_own_checkpoint_comes_first(first: list[dict[str, Any]], tmp_path: Path) -> None:
    told(worker(lent(1, forked(first), lr=0.01), job(tmp_path)), 3)
    again = worker(lent(1, forked(first), lr=0.01), job(tmp_path))
    assert again.step()[STEP] == 3
    assert numbers(again.step()) == numbers(first[3])


def test_a_state_without_room_is_not_kept(tmp_path: Path) -> None:
    bridge = worker(lent(0, Order(keep={2: ("calm", "acted")}, room=100), lr=0.01), job(tmp_path))
    assert all(KEPT not in report for report in told(bridge, 3))
    assert stored(tmp_path) == {}


def test_the_last_state_before_the_plateau_is_acted_upon_is_kept(tmp_path: Path) -> None:
    order = Order(last_calm={step: f"calm at {step}" for step in range(1, 4)}, room=10**6)
    acts = {"lr": 0.05, "warmup_epochs": 0, "scheduler_patience": 0, "weight_decay": 0.01}
    bridge = worker(lent(0, order, **acts), job(tmp_path))
    reports = told(bridge, 4)
    rates = [report["metrics"]["lr"] for report in reports]
    kept = [each for report in reports for each in report.get(KEPT, ())]
    acted = next((at for at, rate in enumerate(rates) if rate < rates[0]), len(rates))
    assert 1 < acted < 4
    assert [(each["key"], each["step"], each["seen"]) for each in kept] == [(f"calm at {acted - 1}", acted - 1, 0)]
