"""The bridge with an object store: a trial goes on wherever its next worker is."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_bridge import config, job, numbers, worker

from tests.trainables.flat_store import URI, Flat, flat_store
from trainables import checkpoints, storage
from trainables.early_inference.run import EarlyInferenceRun
from trainables.layout import OWNER, checkpoint_folder, trial_folder
from trainables.objects import Prefix
from trainables.storage import Unseen, download

SHOWN = 3


@pytest.fixture
def store() -> Iterator[Flat]:
    with flat_store() as made:
        yield made


def stored(folder: Path, **more: Any) -> Any:
    return replace(job(folder), storage=URI, **more)


def test_a_trial_goes_on_on_another_machine_from_what_the_store_holds(store: Flat, tmp_path: Path) -> None:
    whole = worker(config(lr=0.01), job(tmp_path / "whole"))
    expected = [numbers(whole.step()) for _ in range(4)]
    for after in (1, 2, 3):
        machine = tmp_path / f"machine{after}"
        fresh = worker(config(lr=0.01), stored(machine))
        if after > 1:
            assert numbers(fresh.step()) == expected[after - 2]  # its report, in case that it was lost
        assert numbers(fresh.step()) == expected[after - 1]
        assert not (trial_folder(machine, 0) / "checkpoints").exists()
        assert checkpoints.steps(checkpoint_folder(machine, 0, Prefix(URI)))[0] == after
        gc.collect()


def test_a_store_that_is_away_holds_a_trial_up_and_no_more(store: Flat, tmp_path: Path) -> None:
    whole = worker(config(lr=0.01), job(tmp_path / "whole"))
    expected = [numbers(whole.step()) for _ in range(2)]
    first = worker(config(lr=0.01), stored(tmp_path / "a"))
    store.fails = 3
    assert numbers(first.step()) == expected[0]
    store.fails = 3
    fresh = worker(config(lr=0.01), stored(tmp_path / "b"))  # it does not begin anew
    fresh.step()
    assert numbers(fresh.step()) == expected[1]
    for machine in "ab":
        log = (trial_folder(tmp_path / machine, 0) / "log.txt").read_text()
        assert log.count("can't be used now (SLOW_DOWN") == log.count("answers again: going on") == 1


def test_what_is_shown_of_a_winner_comes_from_where_it_was_trained(
    store: Flat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = worker(config(seed=SHOWN, lr=0.01), stored(tmp_path / "there", shown=SHOWN))

    def drawn(self: Any, place: Path) -> None:
        (place / "deep").mkdir()
        (place / "deep" / "picture.png").write_bytes(b"picture")

    monkeypatch.setattr(EarlyInferenceRun, "artifacts", drawn)
    for _ in range(4):
        run.step()
    download(Prefix(URI), "trials/t0000/artifacts", tmp_path / "here")
    assert (trial_folder(tmp_path / "here", 0) / "artifacts" / "deep" / "picture.png").read_bytes() == b"picture"
    download(Prefix(URI), "trials/t0000/checkpoints", tmp_path / "here")
    found = checkpoints.newest(trial_folder(tmp_path / "here", 0) / "checkpoints", "cpu")
    assert found is not None and found[0] == 4


def test_nothing_is_downloaded_to_elsewhere(store: Flat, tmp_path: Path) -> None:
    Prefix(URI).put("trials/../../../out.txt", b"x")
    Prefix(URI).put("trials/in.txt", b"x")
    download(Prefix(URI), "trials", tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["in.txt"]


def test_a_worker_that_sees_another_folder_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "LATE_SECONDS", 0.0)
    with pytest.raises(Unseen, match="does not see"):
        worker(config(lr=0.01), replace(job(tmp_path), owner="head pid 1\n"))
    assert not (tmp_path / "trials").exists()
    (tmp_path / OWNER).write_text("head pid 1\n")
    assert worker(config(lr=0.01), replace(job(tmp_path), owner="head pid 1\n")).step()
