"""The Pareto front that a search with several objectives hands over."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest
from small_search import proposed, records_of, small_search

from search.history.events import Ended, Event, Reported, Status
from search.history.records import Records
from search.results.confirm import due
from search.results.pareto_export import front, front_table, shown, write_front
from search.results.shortlist import candidates
from search.spec.config import Confirm
from search.spec.search import Search
from spaces import strict_yaml
from trainables.run import Prepared

PREPARED = Prepared(Path("/nowhere"), "d" * 64, "20 curves")


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return small_search(tmp_path, "objectives=[{val_mae_prior_sd: min}, {seconds_per_step: min}]")


def run(
    number: int,
    objective: float,
    pace: float | None,
    step: int = 18,
    status: Status = "completed",
    origin: str = "tpe",
    kind: Literal["search", "confirm"] = "search",
    seed: int = 0,
    values: Mapping[str, float] | None = None,
) -> list[Event]:
    metrics = {"objective": objective} | ({} if pace is None else {"seconds_per_step": pace})
    return [
        proposed(number, values, origin=origin, kind=kind, seed=seed),
        Reported(number, step, metrics, 1.0, 0.0),
        Ended(number, status, "", 0.0),
    ]


def finished() -> Records:
    return records_of(
        run(0, 0.5, 5.0, origin="baseline"),
        run(1, 0.4, 6.0),
        run(2, 0.6, 2.0),
        run(3, 0.55, 5.5),  # behind the baseline in both
        run(4, 0.1, 0.1, step=6, status="stopped"),  # not trained in full
        run(5, 0.9, None, status="diverged"),
        run(6, 0.4, 6.0, values={"lr": 2e-3}),  # trial 1's config once more
        run(7, 0.45, 7.0, origin="trial 1", kind="confirm", seed=1),
        run(8, 0.35, 5.0, origin="trial 1", kind="confirm", seed=2),
    )


def test_the_front_holds_what_nothing_fully_trained_beats(search: Search) -> None:
    members = front(search, finished())
    assert [member.trial.number for member in members] == [1, 0, 2]
    assert members[0].values == {"val_mae_prior_sd": 0.4, "seconds_per_step": 6.0}
    assert members[0].confirmed == {"val_mae_prior_sd": pytest.approx(0.4), "seconds_per_step": 6.0}
    assert members[1].confirmed == {}
    assert front(search, Records()) == []


def test_each_member_can_be_trained_again(search: Search, tmp_path: Path) -> None:
    (tmp_path / "pareto").mkdir()
    (tmp_path / "pareto/t0099.yaml").write_text("of an earlier sitting")
    write_front(tmp_path, search, PREPARED, front(search, finished()))
    table = pd.read_csv(tmp_path / "pareto.csv")
    assert table.trial.tolist() == [1, 0, 2] and table.baseline.tolist() == [False, True, False]
    assert table["seconds_per_step"].tolist() == [6.0, 5.0, 2.0]
    assert math.isnan(table["seconds_per_step (fresh seeds)"][1])
    assert sorted(file.name for file in (tmp_path / "pareto").iterdir()) == ["t0000.yaml", "t0001.yaml", "t0002.yaml"]
    content = strict_yaml.load(tmp_path / "pareto/t0002.yaml")
    assert content["config"]["lr"] == 3e-3 and content["seed"] == 0 and content["steps"] == 18
    assert content["provenance"]["objectives"] == {"val_mae_prior_sd": 0.6, "seconds_per_step": 2.0}


def test_the_front_on_the_screen_says_what_rests_on_one_seed(search: Search) -> None:
    table = shown(search, front(search, finished()))
    assert [column.header for column in table.columns] == [
        "config",
        "val_mae_prior_sd (min)",
        "seconds_per_step (min)",
    ]
    assert list(zip(*(column.cells for column in table.columns), strict=True)) == [
        ("trial 1", "0.4", "6"),  # the means over its fresh seeds
        ("documented baseline, one seed", "0.5", "5"),
        ("trial 2, one seed", "0.6", "2"),
    ]


def test_no_cell_is_run_by_a_spreadsheet(search: Search) -> None:
    records = records_of(run(0, 0.5, 5.0, origin="baseline", values={"lr": "=1+1"}))  # type: ignore[dict-item]
    assert front_table(front(search, records), ["lr"])["lr"].tolist() == ["'=1+1"]


def test_confirmed_are_the_best_by_the_first_objective_and_the_ends_of_the_front(search: Search) -> None:
    objective = search.model.objective
    crowd = [run(n, 0.40 + 0.01 * n, 9.0 - n) for n in range(1, 8)]
    records = records_of(run(0, 0.9, 9.9, origin="baseline"), *crowd)
    assert [t.number for t in candidates(records, objective, 3)] == [1, 2, 3]
    assert [t.number for t in candidates(records, objective, 2, search.further)] == [1, 7]
    runs = due(records, objective, Confirm(top=2, seeds=1), 5, 0.0, search.further)
    assert [each.origin for each in runs] == ["trial 0", "trial 1", "trial 7"]
