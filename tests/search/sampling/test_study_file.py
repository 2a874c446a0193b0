"""What Optuna is told of trials, and the study's file: one history, however often it was cut off."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from proposing import BASE, MIXED, loss, proposer, stored

from search.history.events import FINAL, Status
from search.sampling.proposer import Proposer
from search.sampling.samplers import BEST, WINDOW, Standing, rank
from search.sampling.study import Appended
from search.sampling.trial_history import PastTrial, Scoring


def test_each_status_in_the_study(tmp_path: Path) -> None:
    search = proposer(tmp_path, "random")
    for number in range(8):
        search.propose(number)
        for step in (1, 3):
            search.report(number, step, 1.0 / step + number)
    search.tell(0, "completed", 0.25)
    search.tell(1, "stopped", reason="rung 3")
    search.tell(2, "diverged", math.nan, reason="loss is nan at step 4")
    search.tell(3, "failed", reason="RuntimeError")
    search.tell(4, "completed", math.inf)
    search.pause(5)
    search.pause(6)
    search.resume(6)
    done, stopped, diverged, failed, infinite, paused, resumed, running = stored(tmp_path)
    assert (done.state, done.value, done.intermediate_values) == (TrialState.COMPLETE, 0.25, {1: 1.0, 3: 1 / 3})
    assert (stopped.state, stopped.value) == (TrialState.PRUNED, 1 + 1 / 3)
    assert (diverged.state, diverged.value) == (TrialState.COMPLETE, 9.0)
    assert diverged.constraints == infinite.constraints == {"diverged": 1.0}
    assert (failed.state, failed.value) == (TrialState.FAIL, None)
    assert (infinite.state, infinite.value) == (TrialState.COMPLETE, 9.0)
    assert [t.state for t in (paused, resumed, running)] == [TrialState.RUNNING] * 3
    assert [t.user_attrs["status"] for t in (paused, resumed, running)] == ["paused", "running", "running"]
    expected = {"trial": 2, "origin": "random", "status": "diverged", "reason": "loss is nan at step 4", "seed": 0}
    assert diverged.user_attrs == expected
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    assert optuna.load_study(study_name="search", storage=storage).best_trial.user_attrs["trial"] == 0


def test_an_end_is_final(tmp_path: Path) -> None:
    search = proposer(tmp_path)
    search.propose(0)
    with pytest.raises(ValueError, match="can't end as paused"):
        search.tell(0, "paused")
    search.tell(0, "failed")
    with pytest.raises(ValueError, match="trial 0 is over: failed"):
        search.tell(0, "completed", 1.0)


def test_a_trial_that_a_larger_budget_promotes_is_open_again(tmp_path: Path) -> None:
    search = proposer(tmp_path)
    for number in (0, 1):
        search.propose(number)
        search.report(number, 1, 0.5)
        search.tell(number, "stopped", reason="not promoted from 1")
    search.resume(0)  # it waited at a rung
    search.report(1, 2, 0.4)  # it was cut off
    search.report(0, 2, 0.3)
    search.tell(0, "completed", 0.3)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    done, running = optuna.load_study(study_name="search", storage=storage).trials
    assert (done.state, done.value) == (TrialState.COMPLETE, 0.3)
    assert running.state == TrialState.RUNNING and running.intermediate_values == {1: 0.5, 2: 0.4}
    assert search.file_error is None


def test_non_finite_reports_count_as_the_worst(tmp_path: Path) -> None:
    search = proposer(tmp_path)
    search.propose(0)
    search.report(0, 1, math.nan)
    search.report(0, 2, math.inf)
    search.tell(0, "stopped")
    (trial,) = stored(tmp_path)
    assert trial.intermediate_values == {1: 9.0, 2: 9.0}
    assert trial.value == 9.0


@pytest.mark.parametrize("mode", ["min", "max"])
def test_tpe_ranks_diverged_trials_behind_stopped_ones(tmp_path: Path, mode: Any) -> None:
    worst = 9.0 if mode == "min" else -9.0
    search = proposer(tmp_path, scoring=Scoring(mode, worst))
    for number in range(4):
        search.propose(number)
        search.report(number, 1 + number % 2, 0.1 * number)
    search.tell(0, "diverged")
    search.tell(1, "stopped")
    search.tell(2, "stopped")
    search.tell(3, "completed", 0.3)
    study = optuna.load_study(
        study_name="search", storage=JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    )
    direction = study.direction
    ours = [t.number for t in sorted(study.trials, key=lambda trial: rank(trial, direction))]
    assert ours == [3, 1, 2, 0]
    for count in range(5):  # the same order as TPE's own
        below, _ = optuna.samplers._tpe.sampler._split_trials(study, study.trials, count)
        assert {t.number for t in below} == set(ours[:count])


def test_the_window_keeps_the_best_the_newest_and_the_running() -> None:
    def trial(number: int, state: TrialState, value: float | None) -> FrozenTrial:
        made = optuna.trial.create_trial(state=state, value=value)
        made.number = number
        return made

    def standing(trials: Sequence[FrozenTrial]) -> Standing:
        found = Standing(StudyDirection.MAXIMIZE)
        for each in trials:
            found.put(trial(each.number, TrialState.RUNNING, None))
            found.put(each)
        return found

    trials = [trial(n, TrialState.COMPLETE, float((n * 7919) % 2003)) for n in range(900)]
    trials += [trial(900, TrialState.FAIL, None), trial(901, TrialState.RUNNING, None)]
    kept = standing(trials).window()
    numbers = [t.number for t in kept]
    assert numbers == sorted(numbers)
    assert len(kept) == WINDOW + 1
    assert {t.number for t in sorted(trials[:900], key=lambda t: -(t.value or 0))[:BEST]} <= set(numbers)
    assert set(range(900 - WINDOW + BEST, 900)) | {901} <= set(numbers)
    assert 900 not in numbers
    assert [t.number for t in standing(trials[:WINDOW]).window()] == list(range(WINDOW))


def test_another_process_reads_the_same_study(tmp_path: Path) -> None:
    search = proposer(tmp_path, "random")
    for number in range(3):
        search.propose(number)
        search.report(number, 1, number + 0.5)
    search.tell(1, "completed", 0.5)
    code = (
        "import optuna, json\n"
        "from optuna.storages import JournalStorage\n"
        "from optuna.storages.journal import JournalFileBackend\n"
        f"storage = JournalStorage(JournalFileBackend({str(tmp_path / 'study.journal')!r}))\n"
        "study = optuna.load_study(study_name='search', storage=storage)\n"
        "print(json.dumps([[t.state.name, t.value, t.params, t.user_attrs] for t in study.trials]))\n"
    )
    read = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert read == [[t.state.name, t.value, t.params, t.user_attrs] for t in stored(tmp_path)]
    assert [state for state, *_ in read] == ["RUNNING", "COMPLETE", "RUNNING"]


STATUSES: tuple[Status, ...] = ("completed", "stopped", "completed", "diverged", "failed", "stopped", "completed")
Act = tuple[Any, ...]


def acts(trials: int) -> list[Act]:
    """A history with three trials at once that end out of order, with pauses and every status."""
    out: list[Act] = []
    for number in range(trials):
        out.append(("propose", number))
        out.append(("report", number, 1))
        if number % 3 == 1:
            out.append(("pause", number))
        if number >= 3:
            old = number - (3 if number % 2 else 2)
            if ("tell", old) not in out:
                out += [("resume", old), ("report", old, 3)] if ("pause", old) in out else []
                out.append(("tell", old))
    return out


def play(search: Proposer, script: Sequence[Act], past: dict[int, PastTrial]) -> list[Any]:
    """Perform the acts; what was proposed is returned, what happened is kept in `past`."""
    proposals = []
    for act, number, *rest in script:
        if act == "propose":
            values = search.propose(number)
            proposals.append(values)
            if values is not None:
                past[number] = PastTrial(number, values, "running", search.origin(number))
        elif number not in past:
            continue
        elif act == "report":
            value = loss(past[number].values) + 1 / rest[0]
            search.report(number, rest[0], value)
            past[number] = replace(past[number], reports=(*past[number].reports, (rest[0], value)))
        elif act == "pause":
            search.pause(number)
            past[number] = replace(past[number], status="paused")
        elif act == "resume":
            search.resume(number)
            past[number] = replace(past[number], status="running")
        else:
            status, value = STATUSES[number % 7], loss(past[number].values)
            search.tell(number, status, value, "because")
            past[number] = replace(past[number], status=status, value=value, reason="because")
    return proposals


def comparable(trials: Sequence[FrozenTrial]) -> list[Any]:
    return [(t.state, t.values, t.params, t.user_attrs, t.system_attrs, t.intermediate_values) for t in trials]


@pytest.mark.parametrize("kind", ["forest", "tpe", "random", "grid"])
def test_a_rebuilt_search_goes_on_as_the_undisturbed_one(tmp_path: Path, kind: str) -> None:
    script = acts(20)
    base = {**BASE, "lr": 5.0} if kind == "random" else BASE  # once with a baseline that the study does not know
    whole = proposer(tmp_path, kind, base=base)
    past: dict[int, PastTrial] = {}
    cuts: list[tuple[int, dict[int, PastTrial]]] = []
    proposed: list[Any] = []
    for act in script:
        cuts.append((len(proposed), dict(past)))
        proposed += play(whole, [act], past)
    final = stored(tmp_path)
    for cut, (before, known) in enumerate(cuts):
        if cut % 3:  # of every kind of act
            continue
        to_the_end = cut % 12 == 0
        resumed = proposer(tmp_path, kind, base=base, past=list(reversed(known.values())))
        rest = play(resumed, script[cut:] if to_the_end else script[cut : cut + 10], known)
        assert rest == proposed[before : before + len(rest)], f"cut at {cut}: {script[cut]}"
        assert resumed.file_error is None
        if to_the_end:
            assert comparable(stored(tmp_path)) == comparable(final)


def test_a_journal_round_trip_of_values_changes_nothing(tmp_path: Path) -> None:
    past: dict[int, PastTrial] = {}
    script = acts(16)
    expected = play(proposer(tmp_path), script, past)
    again = [replace(t, values=json.loads(json.dumps(dict(t.values), sort_keys=True))) for t in past.values()]
    assert proposer(tmp_path, past=again).propose(16) == proposer(tmp_path, past=list(past.values())).propose(16)
    assert len(expected) == 16


def test_past_values_outside_a_changed_space_are_skipped_and_counted(tmp_path: Path) -> None:
    past = [
        PastTrial(0, MIXED.baseline(BASE), "completed", "baseline", value=1.0),
        PastTrial(1, {**MIXED.baseline(BASE), "lr": 0.5}, "completed", "tpe", value=2.0),
        PastTrial(2, {"lr": 1e-3}, "running", "tpe"),  # knobs that were not searched then
    ]
    search = proposer(tmp_path, past=past)
    assert list(search.outside) == [1, 2]
    assert [t.user_attrs["trial"] for t in stored(tmp_path)] == [0]
    search.report(2, 1, 0.5)
    search.tell(2, "completed", 0.5)
    assert search.propose(3) is not None


def test_a_killed_writers_lock_and_torn_line_do_not_matter(tmp_path: Path) -> None:
    past: dict[int, PastTrial] = {}
    play(proposer(tmp_path), acts(4), past)
    file = tmp_path / "study.journal"
    file.write_bytes(file.read_bytes() + b'{"op_code": 5, "wor')
    (tmp_path / "study.journal.lock").touch()
    search = proposer(tmp_path, past=list(past.values()))
    assert search.propose(4) is not None
    assert len(stored(tmp_path)) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.journal"]


def test_a_file_that_cannot_be_written_does_not_stop_the_search_and_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Appended, logs: list[dict[str, Any]]) -> None:
        raise OSError(28, "No space left on device")

    search = proposer(tmp_path)
    search.propose(0)
    with monkeypatch.context() as patched:
        patched.setattr(Appended, "append_logs", full)
        search.report(0, 1, 0.5)
        assert search.propose(1) is not None
    assert "No space left" in (search.file_error or "")
    search.report(1, 1, 0.25)
    search.tell(0, "completed", 0.5)
    assert search.file_error is None
    assert [t.state.name for t in stored(tmp_path)] == ["COMPLETE", "RUNNING"]
    assert stored(tmp_path)[1].intermediate_values == {1: 0.25}


def test_every_final_status_is_covered() -> None:
    assert set(STATUSES) == FINAL
