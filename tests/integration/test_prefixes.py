"""Shared prefixes in whole searches: the same numbers as without, through a kill and a store that is gone."""

import contextlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from search.history.events import Event, Forked, Kept, Reported
from search.history.journal import read
from search.history.records import Records
from spaces import strict_yaml
from tests.integration.conftest import run, start

pytestmark = pytest.mark.integration

Environment = dict[str, str]
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
@pytest.mark.parametrize("harm", ["kept", "deleted"])
def test_killed_in_the_middle_it_goes_on_to_the_same_numbers(
    harm: str, alone: Mapping[tuple[int, int], Mapping[str, float]], project: Path, environment: Environment
) -> None:
    command = ["search.yaml", "--name", harm]
    process = start("search.run", command, project, environment)
    journal = project / "results" / harm / "journal.jsonl"
    try:
        while process.poll() is None:
            events = events_of(project, harm) if journal.exists() else ()
            if any(isinstance(event, Forked) for event in events):
                break
            time.sleep(0.05)
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in children:  # Ray's own processes would end by themselves, here at once
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.communicate()
    if harm == "deleted":
        shutil.rmtree(project / "results" / harm / "prefixes")
    code, output = run("search.run", [*command, "--resume"], project, environment)
    assert code == 0, output
    assert numbers(events_of(project, harm)) == alone
