from pathlib import Path
from typing import Any

import pytest
from made_searches import a_search
from rich.table import Table
from small_search import proposed, records_of, reported, small_search, trial

from search.common.commands import python
from search.history.events import Ended, Forked, Phase
from search.history.records import Records
from search.results.summary import pointers, remarks, state, tables
from search.results.verdict import judge
from search.sampling.grid import combinations
from trainables.own.model import COMMAND
from trainables.run import Objective

PLACE = Path("results/s")


def test_what_is_told_of_a_search_that_is_taken_up_again() -> None:
    done = [*trial(0, 0.5), *trial(1, 0.4, step=3, status="stopped")]
    told = state(PLACE, records_of(done, [proposed(2)]), "epoch", 9, finished=False)
    assert told == "going on with results/s: 2 of 9 trials over, 21 epochs trained"
    confirming = [*done, *trial(2, 0.4, kind="confirm"), proposed(3, kind="confirm")]
    told = state(PLACE, records_of(confirming), "epoch", 2, finished=False)
    assert told == "going on with results/s: 2 of 2 trials over, 21 epochs trained; 1 of 2 confirmation runs"
    explaining = [*confirming, *trial(4, 0.4, kind="explain"), proposed(5, kind="explain")]
    told = state(PLACE, records_of(explaining), "epoch", 2, finished=False)
    assert told.endswith("; 1 of 2 confirmation runs; 1 of 2 explaining runs")


def test_a_finished_search_goes_on_where_more_is_asked_of_it() -> None:
    records = records_of([*trial(0, 0.5), *trial(1, 0.5, kind="confirm"), Phase("done", 1.0)])
    assert "finished" in state(PLACE, records, "epoch", 1, finished=True)
    told = state(PLACE, records, "epoch", 1, finished=False)  # more seeds
    assert told == "going on with results/s: 1 of 1 trials over, 18 epochs trained; 1 of 1 confirmation runs"


def test_a_metric_that_is_its_own_unit_is_named_once() -> None:
    assert Objective("val_loss", "min", 1.0, "val_loss").measured == "val_loss"
    assert Objective("val_per", "min", 1.0, "PER").measured == "val_per in PER"


def rows(table: Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.cells for column in table.columns), strict=True))


@pytest.mark.parametrize("winner", [0.4, 0.6])
def test_what_changes_is_shown_where_another_config_than_the_baseline_wins(winner: float, tmp_path: Path) -> None:
    search = small_search(tmp_path)
    records = Records(a_search(winner, values={"lr": 5e-3, "batch_size": 256}))
    verdict = judge(records, search.model.objective)
    assert verdict is not None
    scores, *more = tables(search, verdict, records)
    assert scores.title == f"{search.model.objective.measured}, 2 seeds, 18 epochs each"
    best = [("trial 1", f"{winner:.4f}"), ("documented baseline", "0.5000")]
    assert [row[:2] for row in rows(scores)] == (best if winner < 0.5 else best[::-1])
    changes = [("lr", "0.001", "0.005"), ("warmup_epochs", "1", "not active")]
    assert [rows(table) for table in more] == ([changes] if winner < 0.5 else [])


def test_trainings_that_end_by_themselves_are_no_longer_than_they_were(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    early = [each for n, step in enumerate((18, 7), 2) for each in trial(n, 0.4, step=step, seed=n, kind="confirm")]
    records = records_of(trial(0, 0.5), early)
    verdict = judge(records, search.model.objective)
    assert verdict is not None
    assert str(next(tables(search, verdict, records)).title).endswith(", up to 18 epochs each")


def test_a_finished_search_says_what_its_trials_had_in_common(tmp_path: Path) -> None:
    search = small_search(tmp_path, "knobs=[warmup_epochs]", "budget.trials=9")
    values = [{"warmup_epochs": n} for n in (5, 0, 1, 2, 3)]  # the baseline's lies outside the range that is searched
    whole = [trial(n, 0.5, values=each) for n, each in enumerate(values)]
    assert list(remarks(search, records_of(*whole[:4]))) == []
    assert list(remarks(search, records_of(*whole))) == ["all 5 configs of the space are tried"]
    copy = [proposed(5, values[0]), Forked(5, 0, 18, 0.0), reported(5, 18, 0.5), Ended(5, "completed", "", 0.0)]
    part = [proposed(6, values[1]), Forked(6, 1, 9, 0.0), reported(6, 9, 0.5), reported(6, 18, 0.5)]
    assert list(remarks(search, records_of(*whole, copy, part))) == [
        "all 5 configs of the space are tried",
        "99 epochs trained, 27 (21%) replayed from other trials",
        "1 of 7 trials changed what never acted: each is the same training as another",
        "2 of 7 trials repeat the config of an earlier one",
    ]
    asked = [trial(n, 0.5, values=values[n % 5]) for n in range(9)]
    assert list(remarks(search, records_of(*asked))) == ["4 of 9 trials repeat the config of an earlier one"]


def test_a_grid_that_is_used_up_is_called_so(tmp_path: Path) -> None:
    search = small_search(
        tmp_path, "sampler={kind: grid, points: 2}", "knobs=[lr]", "space={}", "budget={total_steps: 180, steps: 18}"
    )
    grid = combinations(search.space, search.base, 2)
    tried = [trial(n, 0.5, values=each) for n, each in enumerate([search.space.baseline(search.base), *grid])]
    assert list(remarks(search, records_of(*tried))) == [f"all {len(tried)} configs of the grid are tried"]


def test_where_things_are_and_what_to_type_next(tmp_path: Path) -> None:
    found = dict(pointers(tmp_path, "http://host:5000"))
    assert list(found) == ["best config", "train it", "all trials", "look at them"]
    assert found["train it"].endswith(f"-m trainables.train {tmp_path / 'best.yaml'}")
    assert found["look at them"] == "http://host:5000"
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / COMMAND).write_text("python mine.py --lr 0.1\n")
    found = dict(
        pointers(
            tmp_path,
            "mlflow ui --backend-store-uri 'sqlite:///a b.db'",
            artifacts=tmp_path / "artifacts",
            pareto=True,
            report=tmp_path / "report.html",
            kept=True,
        )
    )
    assert found == {
        "report": str(tmp_path / "report.html"),
        "your config": f"{tmp_path / 'native'}, unchanged   (the whole of it: {tmp_path / 'best.yaml'})",
        "train it": "python mine.py --lr 0.1",
        "its artifacts": str(tmp_path / "artifacts"),
        "the front": f"{tmp_path / 'pareto.csv'}   (each config: {tmp_path / 'pareto'})",
        "all trials": str(tmp_path / "trials.csv"),
        "look at them": python("mlflow", ["ui", "--backend-store-uri", "sqlite:///a b.db"]),
    }
