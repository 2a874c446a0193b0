"""Finished searches replayed: which of their trials can be, and what follows for the first rung."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from small_search import proposed, small_search

from search.history.events import Ended, Event, Reported, Status
from search.history.journal import Journal
from search.history.records import Records
from search.results.tables import write_tables
from search.simulate.__main__ import main
from search.simulate.advice import Replay, advise, choices, noise, replay
from search.simulate.fairness import first_rung_advice
from search.simulate.recorded import read_search
from spaces.problems import BadInput

HORIZON = 18


def trial(number: int, curve: Sequence[float], status: Status, lr: float) -> list[Event]:
    """A trial with these evaluations, every epoch; the last one is the worst value where it diverged."""
    values = {"lr": lr, "batch_size": 256, "warmup_epochs": number % 4}
    events: list[Event] = [proposed(number, values, origin="baseline" if number == 0 else "random")]
    for step, objective in enumerate(curve, 1):
        diverged = status == "diverged" and step == len(curve)
        events.append(Reported(number, step, {"objective": objective}, 1.0, 0.0, "diverged" if diverged else "running"))
    return [*events, Ended(number, status, "", 0.0)]


def at_once(values: Mapping[str, float]) -> int:
    return 0


def history(full: int, stopped: int = 0) -> list[Event]:
    """Trials that run to the end, better and better by number, one that diverges, and some that are stopped at 2."""
    events: list[Event] = []
    for number in range(full):
        curve = [1.0 - 0.05 * number + 1.0 / step for step in range(1, HORIZON + 1)]
        events += trial(number, curve, "completed", 1e-3 * (1 + number))
    events += trial(full, [0.9, 0.8, 99.0], "diverged", 9.5e-3)
    for number in range(full + 1, full + 1 + stopped):
        events += trial(number, [3.0, 2.0], "stopped", 5e-4)
    return events


def write(folder: Path, events: Sequence[Event], tmp_path: Path, *overrides: str) -> Path:
    """The folder of a search with this history."""
    search = small_search(tmp_path, *overrides)
    folder.mkdir()
    (folder / "search.yaml").write_text(search.to_yaml("d" * 64))
    (folder / "plan.json").write_text(json.dumps({"unit": "epoch", "rungs": [2, 6, 18]}))
    with Journal(folder / "journal.jsonl") as file:
        for event in events:
            file.append(event)
    write_tables(folder, Records(events), [knob.path for knob in search.space.knobs])
    return folder


def test_the_trials_with_whole_curves_become_a_table(tmp_path: Path) -> None:
    found = read_search(write(tmp_path / "s", history(9, stopped=5), tmp_path))
    table = found.table
    assert found.trials == 15 and len(table.values) == 10 and table.baseline == 0
    assert table.horizon == HORIZON and table.every == 1 and table.unit_name == "epoch"
    assert table.seen[3, 0] == pytest.approx(1.85) and table.true[3] == pytest.approx(0.85 + 1 / 18)
    assert np.isfinite(table.seen[9, :2]).all() and np.isnan(table.seen[9, 2:]).all()
    assert table.values[4] == {"lr": 5e-3, "batch_size": 256, "warmup_epochs": 0}
    assert ((table.unit >= 0) & (table.unit <= 1)).all() and len(set(table.unit[:, 0])) == 10


def test_the_tables_of_a_search_tell_the_same_as_its_journal(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", history(9, stopped=5), tmp_path)
    journaled = read_search(folder)
    (folder / "journal.jsonl").unlink()
    tabled = read_search(folder)
    assert tabled.table.values == journaled.table.values and tabled.trials == journaled.trials
    assert np.array_equal(tabled.table.seen, journaled.table.seen, equal_nan=True)
    assert tabled.advice == journaled.advice and tabled.table.baseline == journaled.table.baseline


def test_an_objective_to_be_maximised_is_turned_over(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", history(9), tmp_path)
    text = (folder / "search.yaml").read_text()
    (folder / "search.yaml").write_text(text.replace("(min)", "(max)"))
    table = read_search(folder).table
    assert table.seen[3, 0] == pytest.approx(-1.85)
    assert table.regrets[0] == 0.0, "the first one is the largest"


def test_with_too_few_whole_curves_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "s", history(4, stopped=9), tmp_path)
    with pytest.raises(BadInput, match=r"5 of its 14 trials have a whole curve, and 8 are needed.*control: 0.25"):
        read_search(folder)
    assert main([str(folder), "--out", str(tmp_path / "out")]) == 2
    other = write(tmp_path / "t", history(1, stopped=3), tmp_path)
    assert main([str(other), "--out", str(tmp_path / "out")]) == 2
    assert "kind: none" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["trials.csv", "history.parquet"])
def test_a_folder_that_lacks_what_is_needed_is_refused(tmp_path: Path, missing: str) -> None:
    folder = write(tmp_path / "s", history(9), tmp_path)
    (folder / "journal.jsonl").unlink()
    (folder / missing).unlink()
    with pytest.raises(BadInput, match=missing):
        read_search(folder)
    (folder / "search.yaml").write_text("name: s\n")
    with pytest.raises(BadInput, match="does not describe a search: settings"):
        read_search(folder)


def test_the_command_replays_a_search_and_advises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "s", history(12, stopped=3), tmp_path)
    words = ["--first-rungs", "1,2", "--samplers", "random,tpe,forest", "--seeds", "2", "--workers", "2"]
    assert main([str(folder), *words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "13 of 16 trials have a whole curve and can be replayed" in said
    assert "on your history, first rung" in said and "promote η3 g2 forest" in said
    assert (tmp_path / "out" / "regret.png").exists()


# Advice.


def crossing(n: int, cross: int, evaluations: int = HORIZON) -> np.ndarray:
    """Curves whose order is turned over at evaluation `cross`: what leads before is worst from there on."""
    rank = np.arange(n, dtype=float)[:, None]
    before = np.arange(1, evaluations + 1)[None, :] < cross
    return np.where(before, n - rank, rank)


def test_a_first_rung_before_the_curves_cross_loses_the_winner_and_one_after_keeps_it() -> None:
    early, late, full = replay(crossing(27, 5), [2, 6, HORIZON], 3, 1)
    assert early.kept < 0.2 and late.kept > 0.95 and full.kept == 1.0
    assert early.steps < late.steps < full.steps == 27 * HORIZON


def test_a_config_that_is_compared_only_after_the_curves_have_crossed_is_kept() -> None:
    """A first rung at which most configs are still in warmup: the winner passes it unjudged."""
    together = replay(crossing(27, 5), [2], 3, 1)[0]
    settled = replay(crossing(27, 5), [2], 3, 1, settled=[6, *[0] * 26])[0]
    assert together.kept < 0.2 and settled.kept > 0.6 and settled.steps > together.steps
    known = Records(history(9))
    late = first_rung_advice(known, (2, 6, 18), 3, "min", 1, lambda values: 18 if values["lr"] > 0 else 0)
    assert late is not None and late != first_rung_advice(known, (2, 6, 18), 3, "min", 1, at_once)


def test_steps_count_training_not_evaluations() -> None:
    once = replay(crossing(9, 3), [6], 3, 1)
    tenfold = replay(crossing(9, 3), [60], 3, 10)
    assert tenfold[0].steps == 10 * once[0].steps and tenfold[0].kept == once[0].kept


def test_the_baseline_runs_in_full_and_is_no_winner() -> None:
    curves = np.vstack([np.full(HORIZON, -5.0), crossing(27, 5)])
    without = replay(crossing(27, 5), [6], 3, 1)[0]
    found = replay(curves, [6], 3, 1, baseline=0)[0]
    assert found.kept > 0.9, "though the baseline is best of all"
    assert HORIZON < found.steps - without.steps + 2 * HORIZON < 4 * HORIZON


def test_diverged_trials_are_never_kept() -> None:
    curves = crossing(27, 1)
    curves[0, 3:] = np.nan  # would have been the best
    assert replay(curves, [1], 3, 1)[0].kept > 0.95


def test_the_noise_of_an_evaluation_is_read_off_the_ends_of_curves() -> None:
    rng = np.random.default_rng(0)
    noisy = rng.random((400, 1)) + 1 / np.arange(1, 19) + 0.03 * rng.standard_normal((400, 18))
    noisy[:20, 5:] = np.nan
    assert noise(noisy) == pytest.approx(0.03 * 2**0.5, rel=0.15)
    assert noise(crossing(9, 4)) == 0.0 and noise(np.ones((3, 1))) == 0.0


def test_configs_that_differ_by_less_than_the_noise_are_equals() -> None:
    """All configs are the same in truth, so that which one wins is luck."""
    curves = 1.0 + 0.1 * np.random.default_rng(1).standard_normal((12, HORIZON))
    exact = curves.copy()
    exact[:, -2] = exact[:, -1]  # looks as if there were no noise
    assert replay(curves, [2], 3, 1)[0].kept > replay(exact, [2], 3, 1)[0].kept + 0.1


def test_advice_names_the_cheapest_first_rung_that_is_safe() -> None:
    tried = [Replay(1, 0.3, 100), Replay(2, 0.6, 150), Replay(6, 0.96, 180), Replay(9, 0.99, 300)]
    assert advise(tried, 2, 18).text == (
        "on your history, first rung 6 instead of 2 would have kept the winner in 96% of replays (2: 60%) at 1.2× "
        "the steps"
    )
    assert "first rung 6 kept the winner in 96% of replays; no other is cheaper" in advise(tried, 6, 18).text
    assert "first rung 6 instead of 9" in advise(tried, 9, 18).text and "0.6× the steps" in advise(tried, 9, 18).text
    assert "first rung 2 instead of 1" in advise(tried[:2], 1, 18).text, (
        "none is safe: the one that keeps it most often"
    )
    assert "no other keeps it more often" in advise(tried[:2], 2, 18).text
    full = [*tried, Replay(18, 1.0, 600)]
    assert (
        "first rung 6 would have kept the winner in 96% of replays at 0.3× the steps of training"
        in advise(full, 18, 18).text
    )
    assert "keep kind none" in advise([Replay(1, 0.3, 100), Replay(18, 1.0, 600)], 18, 18).text


def test_first_rungs_to_try_lie_on_the_grid_below_the_horizon() -> None:
    assert choices(18, 1, 2) == sorted(set(choices(18, 1, 2))) and choices(18, 1, 2)[-1] == 17
    assert all(rung % 100 == 0 and 0 < rung < 2000 for rung in choices(2000, 100, 300))
    assert 300 in choices(2000, 100, 300) and choices(2, 1, 1) == [1] and choices(50, 1, 50)[-1] == 49


def test_advice_from_records_needs_eight_whole_curves() -> None:
    assert first_rung_advice(Records(history(6)), (2, 6, 18), 3, "min", 1, at_once) is None
    said = first_rung_advice(Records(history(9)), (2, 6, 18), 3, "min", 1, at_once)
    assert said is not None and said.text.startswith("on your history, first rung ")
    whole = first_rung_advice(Records(history(9)), (18,), 3, "min", 1, at_once)
    assert whole is not None and "the steps of training everything in full" in whole.text
