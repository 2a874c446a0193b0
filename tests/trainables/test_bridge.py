"""The bridge to Ray, without a cluster: what a worker does with its trials."""

import errno
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spaces.problems import BadInput
from trainables import checkpoints, storage
from trainables.early_inference.run import EarlyInferenceRun
from trainables.guard import HANG, SIGNATURE
from trainables.job import Job
from trainables.layout import OutOfMemory, trial_folder
from trainables.own.declaration import Declaration
from trainables.own.declare import from_declaration
from trainables.run import DIVERGED, ENDED, METRICS, OBJECTIVE, PACE, STEP, WARNING, UserCodeError
from trainables.tune import Bridge

BASE = {
    "prefix_length": 30,
    "epochs": 4,
    "tcn_channels": [4],
    "tcn_kernel_size": 3,
    "mlp_hidden_dims": [4],
    "batch_size": 16,
    "warmup_epochs": 1,
}


def job(folder: Path, saving: float = 1e9, exchange: bool = False, **limits: Any) -> Job:
    data = {"generate": {"samples": 40, "n_points": 10}}
    return Job("early_inference", BASE, data, 1, 4, str(folder), saving=saving, exchange=exchange, **limits)


def worker(config: dict[str, Any], its_job: Job) -> Bridge:
    bridge = Bridge.__new__(Bridge)  # Ray's own constructor wants a cluster
    bridge.setup(config, its_job)
    return bridge


def config(number: int = 0, seed: int = 0, **values: Any) -> dict[str, Any]:
    return {"trial": number, "values": values, "seed": seed}


def numbers(report: dict[str, Any]) -> dict[str, Any]:
    """What has to be equal: everything but the seconds."""
    return {STEP: report[STEP], OBJECTIVE: report[OBJECTIVE], METRICS: report[METRICS]}


@pytest.fixture
def whole(tmp_path: Path) -> list[dict[str, Any]]:
    """An undisturbed trial's reports."""
    bridge = worker(config(lr=0.01), job(tmp_path / "whole"))
    return [numbers(bridge.step()) for _ in range(4)]


def test_a_trial_reports_each_evaluation_and_ends_at_the_horizon(tmp_path: Path) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path))
    reports = [bridge.step() for _ in range(4)]
    assert [report[STEP] for report in reports] == [1, 2, 3, 4]
    assert [report["done"] for report in reports] == [False, False, False, True]
    assert all(report[METRICS]["val_mae_prior_sd"] == report[OBJECTIVE] for report in reports)
    log = (trial_folder(tmp_path, 0) / "log.txt").read_text()
    assert "seed 0, {'lr': 0.01}" in log and log.count("val_mae_prior_sd") == 4


@pytest.mark.parametrize("known", [True, False])
def test_relative_paths_start_where_the_search_was_started(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, trial = tmp_path / "started", tmp_path / "trial"
    trial.mkdir()
    started.mkdir()
    monkeypatch.chdir(trial)
    its = replace(job(tmp_path / "s"), data={"data_dir": "none"}, here=str(started) if known else str(tmp_path / "no"))
    with pytest.raises(BadInput) as error:
        worker(config(), its)
    assert str(started if known else trial) in str(error.value)
    assert Path.cwd() == (started if known else trial)


READS = """\
from pathlib import Path

def train(run):
    for epoch in range(run.resume() or 0, run.config.epochs):
        loss = float(Path("data/loss.txt").read_text())
        run.report(epoch + 1, state=lambda: int(Path("data/state.txt").read_text()), loss=loss / (epoch + 1))
"""


def test_code_of_the_users_own_reads_from_where_the_search_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    started, code = tmp_path / "started", tmp_path / "code"
    (started / "data").mkdir(parents=True)
    (started / "data" / "loss.txt").write_text("2.0")
    (started / "data" / "state.txt").write_text("1")
    code.mkdir()
    (code / "train.py").write_text(READS)
    declared = {"function": "train:train", "length": "epochs", "settles": 0, "objective": {"loss": "min", "worst": 9.0}}
    model = from_declaration(Declaration.model_validate(declared), code / "mine.yaml", ("mine.yaml", None))
    known = model.reference.model_dump(mode="json")
    its = Job(model.name, {"epochs": 2}, {}, 1, 2, str(tmp_path / "s"), trainable=known, here=str(started))
    bridge = worker(config(), its)
    assert bridge.step()[OBJECTIVE] == 2.0
    bridge.cleanup()
    assert worker(config(), its).step()[STEP] == 1  # saved, or trained anew
    assert not list(started.glob("*.*"))


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_worker_loses_nothing_that_was_saved(after: int, whole: list[dict[str, Any]], tmp_path: Path) -> None:
    killed = worker(config(lr=0.01), job(tmp_path))
    for _ in range(after):
        killed.step()
    fresh = worker(config(lr=0.01), job(tmp_path))
    repeated = fresh.step()
    assert numbers(repeated) == whole[after - 1]  # it may not have arrived; the driver drops one that it knows
    assert [numbers(fresh.step()) for _ in range(after, 4)] == whole[after:]


def test_a_resumed_trial_does_not_repeat_the_report_it_paused_at(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    paused = worker(config(lr=0.01), job(tmp_path))
    paused.step()
    paused.step()
    (tmp_path / "note").mkdir()
    paused.save_checkpoint(str(tmp_path / "note"))
    resumed = worker(config(lr=0.01), job(tmp_path))
    resumed.load_checkpoint(str(tmp_path / "note"))
    assert numbers(resumed.step()) == whole[2]


def test_quick_evaluations_share_a_checkpoint_but_a_pause_always_writes_one(tmp_path: Path) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path, saving=1e-9))
    bridge.step()
    folder = trial_folder(tmp_path, 0) / "checkpoints"
    assert checkpoints.newest(folder, "cpu") is None
    (tmp_path / "note").mkdir()
    bridge.save_checkpoint(str(tmp_path / "note"))
    found = checkpoints.newest(folder, "cpu")
    assert found is not None and found[0] == 1


def test_a_worker_takes_up_another_trial_as_if_it_were_new(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    bridge = worker(config(7, seed=3, batch_size=8), job(tmp_path))
    bridge.step()
    assert bridge.reset_config(config(lr=0.01)) is True
    assert [numbers(bridge.step()) for _ in range(4)] == whole
    assert (trial_folder(tmp_path, 7) / "log.txt").read_text().count("step 1:") == 1


def test_states_are_exchanged_for_population_based_training(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    donor = worker(config(0, lr=0.01), job(tmp_path, exchange=True))
    donor.step()
    donor.step()
    (tmp_path / "note").mkdir()
    donor.save_checkpoint(str(tmp_path / "note"))
    taker = worker(config(1, seed=0, lr=0.01), job(tmp_path, exchange=True))
    taker.step()
    taker.load_checkpoint(str(tmp_path / "note"))
    assert numbers(taker.step()) == whole[2]


def test_a_diverging_trial_scores_the_worst_value_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path))
    bridge.step()
    monkeypatch.setattr(EarlyInferenceRun, "evaluate", lambda _: {"val_mae_prior_sd": float("nan")})
    report = bridge.step()
    assert report["done"] and report[STEP] == 2
    assert report[OBJECTIVE] == pytest.approx(0.866, abs=1e-3) and report[METRICS] == {}
    assert "val_mae_prior_sd" in report[DIVERGED] and "step 2" in report[DIVERGED]


def test_running_out_of_memory_is_told_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path))

    def has_pending_work(self: Any, until: int) -> None:
        raise MemoryError

    monkeypatch.setattr(EarlyInferenceRun, "train", has_pending_work)
    with pytest.raises(OutOfMemory, match=r"out of memory: lower the batch size"):
        bridge.step()


def test_a_worker_signs_its_trial_and_leaves_it_in_order(tmp_path: Path) -> None:
    bridge = worker(config(), job(tmp_path, timeout=60.0, memory=2**36))
    bridge.step()
    folder = trial_folder(tmp_path, 0)
    assert (folder / SIGNATURE).exists()
    bridge.reset_config(config(1))
    assert not (folder / SIGNATURE).exists() and (trial_folder(tmp_path, 1) / SIGNATURE).exists()
    assert not (folder / HANG).exists()


def test_a_full_disk_holds_a_trial_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: list[dict[str, Any]]
) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path))
    write, refusals = checkpoints.write, iter([True, True])

    def full(folder: Path, step: int, state: dict[str, Any]) -> Path:
        if next(refusals, False):
            raise OSError(errno.ENOSPC, "no space")
        return write(folder, step, state)

    monkeypatch.setattr(checkpoints, "write", full)
    monkeypatch.setattr(storage, "RETRY_SECONDS", 0.0)
    assert [numbers(bridge.step()) for _ in range(4)] == whole
    assert checkpoints.steps(trial_folder(tmp_path, 0) / "checkpoints") == [4, 3]
    assert "the disk is full" in (trial_folder(tmp_path, 0) / "log.txt").read_text()


def test_a_failure_is_written_to_the_trials_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path))

    def broken(self: Any, until: int) -> None:
        raise RuntimeError("the cable is loose")

    monkeypatch.setattr(EarlyInferenceRun, "train", broken)
    with pytest.raises(RuntimeError):
        bridge.step()
    log = (trial_folder(tmp_path, 0) / "log.txt").read_text()
    assert "failed after step 0" in log and "the cable is loose" in log


def test_cleaning_up_ends_every_process_the_trial_has_started(tmp_path: Path) -> None:
    script = f"""
import subprocess, sys
from tests.trainables.test_bridge import config, job, worker
from pathlib import Path
bridge = worker(config(lr=0.01), job(Path({str(tmp_path)!r})))
nested = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", nested])
import psutil, time
from multiprocessing import resource_tracker
resource_tracker.ensure_running()  # it removes shared memory that nobody has removed
while not psutil.Process(child.pid).children(): time.sleep(0.01)
grandchild = psutil.Process(child.pid).children()[0]
bridge.cleanup()
gone, alive = psutil.wait_procs([grandchild], timeout=5)
print("left:", [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], child.wait(5))
print([child.status() for child in psutil.Process().children()])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    left, others = done.stdout.splitlines()
    assert left == "left: [] -9" and others == "['sleeping']", done.stdout + done.stderr


def test_a_checkpoint_of_another_trial_is_refused_and_the_trial_goes_on_from_what_is_its_own(
    whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    one, two = worker(config(0, lr=0.01), job(tmp_path)), worker(config(1, lr=0.02), job(tmp_path))
    for _ in range(2):
        one.step()
        two.step()
    mine, theirs = (trial_folder(tmp_path, number) / "checkpoints" for number in (0, 1))
    kept = (mine / "000000001.pt").read_bytes()
    (mine / "000000002.pt").write_bytes((theirs / "000000002.pt").read_bytes())
    again = worker(config(0, lr=0.01), job(tmp_path))
    report = again.step()
    assert report[WARNING] == "trial 0: its checkpoint of step 2 is not used: it is that of trial 1, not of trial 0"
    assert [numbers(report), *(numbers(again.step()) for _ in range(3))] == whole
    for name in ("000000004.pt", "000000003.pt"):  # an older one under another name
        (mine / name).write_bytes(kept)
    last = worker(config(0, lr=0.01), job(tmp_path))
    report = last.step()
    assert "checkpoint of step 3 is not used: it is that of step 1, not of step 3" in report[WARNING]
    assert [numbers(report), *(numbers(last.step()) for _ in range(3))] == whole  # from the start


@pytest.mark.parametrize("other", [config(0, seed=1, lr=0.01), config(0, lr=0.02)])
def test_a_checkpoint_of_another_seed_or_config_is_refused(other: dict[str, Any], tmp_path: Path) -> None:
    worker(config(0, lr=0.01), job(tmp_path)).step()
    assert "is not used: it is that of " in worker(other, job(tmp_path)).step()[WARNING]


def test_a_checkpoint_of_an_earlier_version_and_one_of_other_code_are_gone_on_from(
    whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    worker(config(lr=0.01), job(tmp_path)).step()
    folder = trial_folder(tmp_path, 0) / "checkpoints"
    found = checkpoints.newest(folder, "cpu")
    assert found is not None and found[1]["machine"]["torch"] == torch.__version__
    step, state = found
    checkpoints.write(folder, step, {key: state[key] for key in ("run", "report")})
    unsigned = worker(config(lr=0.01), job(tmp_path))
    assert WARNING not in unsigned.step()
    checkpoints.write(folder, step, {**state, "of": {**state["of"], "code": "before"}})
    changed = worker(config(lr=0.01), job(tmp_path))
    assert "that other code of its model has written" in changed.step()[WARNING]
    assert numbers(changed.step()) == whole[1]


@pytest.mark.parametrize("make", [np.float64, np.float32, torch.tensor, lambda x: torch.tensor([[x]]), np.array])
def test_a_metric_may_be_a_tensor_or_a_numpy_scalar(
    make: Callable[[float], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path))
    monkeypatch.setattr(EarlyInferenceRun, "evaluate", lambda _: {"val_mae_prior_sd": make(0.5), "n": np.int64(3)})
    report = bridge.step()
    assert report[METRICS]["val_mae_prior_sd"] == report[OBJECTIVE] == 0.5
    assert {type(value) for value in report[METRICS].values()} <= {float, int}


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"val_mae_prior_sd": 0.5, "curve": np.zeros(3)}, r"metric 'curve' is a ndarray of shape \(3,\), not a number"),
        ({"val_mae_prior_sd": "0.5"}, "metric 'val_mae_prior_sd' is a str, not a number"),
        ({"val_mae_prior_sd": None}, "metric 'val_mae_prior_sd' is a NoneType"),
        ({"val_mae": 0.5}, "objective 'val_mae_prior_sd' is not reported; the metrics that are: .*val_mae"),
    ],
)
def test_what_is_reported_wrongly_is_told_by_name(
    metrics: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path))
    monkeypatch.setattr(EarlyInferenceRun, "evaluate", lambda _: metrics)
    with pytest.raises(UserCodeError, match=said):
        bridge.step()


def test_a_training_that_does_not_advance_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path))
    bridge.step()
    monkeypatch.setattr(EarlyInferenceRun, "train", lambda *_: {})
    with pytest.raises(UserCodeError, match=r"train\(2\) was called at step 1 and left the run at step 1"):
        bridge.step()


def test_a_training_that_ends_by_itself_where_it_was_evaluated_last_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = worker(config(lr=0.01), job(tmp_path, further=(PACE,)))
    first = bridge.step()
    monkeypatch.setattr(EarlyInferenceRun, "train", lambda *_: {})
    monkeypatch.setattr(EarlyInferenceRun, "ended", "no gain in 3 epochs")
    last = bridge.step()
    assert last["done"] and last[ENDED] == "no gain in 3 epochs"
    assert (last[STEP], last[METRICS][PACE]) == (first[STEP], first[METRICS][PACE])
