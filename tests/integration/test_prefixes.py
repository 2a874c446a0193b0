"""Shared prefixes in whole searches: the same numbers as without, through a kill and a store that is gone."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import psutil
import pytest

from search.history.events import Event, Forked, Kept, Reported, Retried, Started
from search.history.journal import parse, read
from search.history.records import Records
from search.persistence.object_store_journal import journal, parts
from spaces import strict_yaml
from tests.integration.conftest import run, start
from tests.integration.real_nodes import happened, nodes, wait_until
from tests.integration.s3_server import BUCKET, Server
from tests.trainables.own.own_project import FITS
from trainables import prefix
from trainables.objects import Prefix

pytestmark = pytest.mark.integration

Environment = dict[str, str]
Journal = Callable[[], Sequence[Event]]
PHASE = {"teacher_forcing_start": 0.6, "teacher_forcing_end": 0.5, "weight_decay": 0.01, "noise_level": 0.05}
PHASE |= {"clip_grad_norm": 1.0, "alpha": 0.7, "max_lag": 5, "start_lr": 1e-2, "min_lr": 5e-3, "lr_schedule": "linear"}
BASE = {"hidden_size": 4, "num_layers": 1, "batch_size": 8, "no_cuda": True}
SEARCH = {
    "model": "sequence_generator",
    "base": "base.yaml",
    "data": {"generate": {"simulations": 12, "grid": 16, "frames": 24}},
    "knobs": ["plan.phase_4.alpha", "plan.phase_5.alpha"],
    "space": {"plan.phase_4.alpha": {"float": [0.0, 1.0]}, "plan.phase_5.alpha": {"choice": [0.2, 0.9]}},
    "budget": {"trials": 4, "steps": 20, "evaluate_every": 2},
    "early_stopping": {"kind": "none"},
    "sampler": {"kind": "random"},
    "confirm": {"top": 1, "seeds": 1},
    "resources": {"max_concurrent": 1},
}
COMMON = 12  # the last epoch before phase 4
STEPPED = FITS.replace("PACE", "0.3").replace("RATE", '(epoch >= int(config["drop_at"]))')
COMMANDS = """\
trainable:
  command: python fit.py {config} {seed} {dir} {resume}
  metrics: {jsonl: log}
  length: epochs
  objective: {val_loss: min, worst: 1.0}
  checkpoint: epoch_{step}.json
  resume: "{checkpoint}"
  schedules:
    lr: {torch: {base: lr, chain: [{MultiStepLR: {milestones: [drop_at], gamma: gamma}}]}}
base: config.yaml
space: {gamma: {float: [0.1, 1.0]}}
budget: {trials: 4, steps: 8 epochs, evaluate_every: 1 epoch}
early_stopping: {kind: none}
sampler: {kind: random}
resources: {cpu: 1, gpu: 0, max_concurrent: 1}
confirm: {top: 1, seeds: 1}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prefixes")
    phases = [{**PHASE, "epochs": f"{4 * i + 1}-{4 * i + 4}"} for i in range(5)]
    (folder / "base.yaml").write_text(strict_yaml.dumps({**BASE, "phases": phases}), encoding="utf-8")
    (folder / "search.yaml").write_text(strict_yaml.dumps(SEARCH), encoding="utf-8")
    return folder


def events_of(project: Path, name: str) -> tuple[Event, ...]:
    return tuple(read(project / "results" / name / "journal.jsonl")[0])


def numbers(events: tuple[Event, ...]) -> Mapping[tuple[int, int], Mapping[str, float]]:
    """What each trial reported at each step."""
    return {(event.trial, event.step): event.metrics for event in events if isinstance(event, Reported)}


@pytest.fixture(scope="module")
def alone(project: Path, environment: Environment) -> Mapping[tuple[int, int], Mapping[str, float]]:
    code, output = run("search.run", ["search.yaml", "--name", "alone", "--set", "share=off"], project, environment)
    assert code == 0, output
    events = events_of(project, "alone")
    assert not any(isinstance(event, Forked | Kept) for event in events)
    assert not (project / "results/alone/prefixes").exists()
    return numbers(events)


@pytest.mark.slow
def test_a_search_that_shares_comes_to_the_same_numbers_for_less(
    alone: Mapping[tuple[int, int], Mapping[str, float]], project: Path, environment: Environment
) -> None:
    code, output = run("search.run", ["search.yaml", "--name", "shared"], project, environment)
    assert code == 0, output
    assert "sharing: on (share: auto)" in output and "replayed from trial" in output
    events = events_of(project, "shared")
    assert numbers(events) == alone
    records = Records(events)
    assert records.search_steps + records.replayed_steps == 4 * 20
    assert records.replayed_steps == 3 * COMMON
    kept = [event for event in events if isinstance(event, Kept) and event.address]
    assert [(event.trial, event.step) for event in kept] == [(0, COMMON)]
    forked = {event.trial for event in events if isinstance(event, Forked)}
    assert not forked & {trial.number for trial in records.of_kind("confirm")}
    report = (project / "results/shared/report.html").read_text(encoding="utf-8")
    assert "replayed" in report


@pytest.mark.slow
def test_trials_that_start_at_a_step_share_what_follows(project: Path, environment: Environment) -> None:
    late = ["search.yaml", "--set", "start={train_to: 8}", "--set", "budget.steps=12"]  # up to 20
    code, output = run("search.run", [*late, "--name", "start_alone", "--set", "share=off"], project, environment)
    assert code == 0, output
    code, output = run("search.run", [*late, "--name", "start_shared"], project, environment)
    assert code == 0 and "sharing: on (share: auto)" in output, output
    events = events_of(project, "start_shared")
    assert numbers(events) == numbers(events_of(project, "start_alone"))
    assert min(step for _, step in numbers(events)) == 10
    records = Records(events)
    assert records.replayed_steps == 3 * (COMMON - 8)
    assert records.search_steps + records.replayed_steps == 4 * (20 - 8)
    assert [(event.trial, event.step) for event in records.kept if event.address] == [(0, COMMON)]
    history = pd.read_parquet(project / "results/start_shared/history.parquet")
    assert history[history.replayed].groupby("trial").step.max().tolist() == [COMMON] * 3
    assert "replayed" in (project / "results/start_shared/report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_command_goes_on_from_a_checkpoint_that_it_wrote_by_hand(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "fit.py").write_text(STEPPED)
    (tmp_path / "config.yaml").write_text("lr: 0.5\ngamma: 0.5\ndrop_at: 6\nepochs: 8\n")
    (tmp_path / "mine").mkdir()
    subprocess.run([sys.executable, "fit.py", "config.yaml", "0", "mine"], cwd=tmp_path, check=True)
    by_hand = [json.loads(line)["val_loss"] for line in (tmp_path / "mine/log").read_text().splitlines()]
    (tmp_path / "search.yaml").write_text(COMMANDS.replace(", steps: 8 epochs", ""))
    start_at = ["--set", "start={checkpoint: mine/epoch_03.json, step: 3}"]
    code, output = run("search.run", ["search.yaml", "--name", "on", *start_at], tmp_path, environment)
    assert code == 0 and "with the command's own" in output, output
    found = numbers(events_of(tmp_path, "on"))
    assert [found[0, step]["val_loss"] for step in range(4, 9)] == by_hand[3:]
    assert all(step > 3 for _, step in found)


@pytest.mark.slow
def test_commands_share_where_their_checkpoints_bear_their_step(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "fit.py").write_text(STEPPED)
    (tmp_path / "config.yaml").write_text("lr: 0.5\ngamma: 0.5\ndrop_at: 6\nepochs: 8\n")
    (tmp_path / "search.yaml").write_text(COMMANDS)
    found = {}
    for share in ("off", "auto"):
        command = ["search.yaml", "--name", share, "--set", f"share={share}"]
        code, output = run("search.run", command, tmp_path, environment)
        assert code == 0, output
        found[share] = events_of(tmp_path, share)
    assert "sharing: on (share: auto)" in output
    assert numbers(found["auto"]) == numbers(found["off"])
    records = Records(found["auto"])
    assert records.replayed_steps > 0
    assert records.search_steps + records.replayed_steps == Records(found["off"]).search_steps


def killed_when_one_has_forked(command: list[str], folder: Path, environment: Environment, told: Journal) -> None:
    """Start a search and kill -9 all of it as soon as a trial has started from another one's state."""
    process = start("search.run", command, folder, environment)
    try:
        while process.poll() is None and not any(isinstance(event, Forked) for event in told()):
            time.sleep(0.05)
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in children:  # Ray's own processes would end by themselves, here at once
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["kept", "deleted"])
def test_killed_in_the_middle_it_goes_on_to_the_same_numbers(
    harm: str, alone: Mapping[tuple[int, int], Mapping[str, float]], project: Path, environment: Environment
) -> None:
    command = ["search.yaml", "--name", harm]
    killed_when_one_has_forked(command, project, environment, lambda: happened(project, harm))
    if harm == "deleted":
        shutil.rmtree(project / "results" / harm / "prefixes")
    code, output = run("search.run", [*command, "--resume"], project, environment)
    assert code == 0, output
    assert numbers(events_of(project, harm)) == alone


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kept_in_a_store_it_goes_on_elsewhere_when_its_machine_is_lost(
    alone: Mapping[tuple[int, int], Mapping[str, float]], project: Path, s3: Server, environment: Environment
) -> None:
    user = {**environment, **s3.environment}
    store = Prefix(f"s3://{BUCKET}/team/stored")
    command = ["search.yaml", "--name", "stored", "--storage", f"s3://{BUCKET}/team"]

    def told() -> tuple[Event, ...]:
        return tuple(parse(journal(store, parts(store)), "the store")[0])

    killed_when_one_has_forked(command, project, user, told)
    shutil.rmtree(project / "results/stored")
    assert prefix.stored(store)
    code, output = run("search.run", command, project, user)
    assert code == 0 and "going on with" in output, output
    assert numbers(told()) == alone
    assert Records(told()).replayed_steps == 3 * COMMON


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_that_is_lost_under_a_trial_loses_no_prefix(
    alone: Mapping[tuple[int, int], Mapping[str, float]], project: Path, environment: Environment
) -> None:
    with nodes(project) as cluster:
        cluster.add(num_cpus=0)
        for _ in range(2):
            cluster.add()
        command = ["search.yaml", "--name", "node", "--address", cluster.address]
        with start("search.run", command, project, environment) as process:
            wait_until(lambda: any(isinstance(event, Forked) for event in happened(project, "node")), "a fork")
            began = [event for event in happened(project, "node") if isinstance(event, Started)]
            cluster.kill(began[-1].node)
            output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    events = events_of(project, "node")
    assert numbers(events) == alone
    assert any(isinstance(event, Retried) and "node was lost" in event.reason for event in events)
    assert Records(events).replayed_steps == 3 * COMMON
