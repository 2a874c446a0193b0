from pathlib import Path

from small_search import proposed, records_of, trial

from search.history.events import Phase
from search.results.summary import state
from trainables.run import Objective

PLACE = Path("results/s")


def test_what_is_told_of_a_search_that_is_taken_up_again() -> None:
    done = [*trial(0, 0.5), *trial(1, 0.4, step=3, status="stopped")]
    told = state(PLACE, records_of(done, [proposed(2)]), "epoch", 9)
    assert told == "going on with results/s: 2 of 9 trials over, 21 epochs trained"
    confirming = [*done, *trial(2, 0.4, kind="confirm"), proposed(3, kind="confirm")]
    told = state(PLACE, records_of(confirming), "epoch", 2)
    assert told == "going on with results/s: 2 of 2 trials over, 21 epochs trained; 1 of 2 confirmation runs"
    explaining = [*confirming, *trial(4, 0.4, kind="explain"), proposed(5, kind="explain")]
    told = state(PLACE, records_of(explaining), "epoch", 2)
    assert told.endswith("; 1 of 2 confirmation runs; 1 of 2 explaining runs")


def test_a_finished_search_goes_on_only_with_a_larger_budget() -> None:
    records = records_of([*trial(0, 0.5), *trial(1, 0.5, kind="confirm"), Phase("done", 1.0)])
    assert "finished" in state(PLACE, records, "epoch", 1)
    assert state(PLACE, records, "epoch", 4).startswith("going on with results/s: 1 of 4 trials over")


def test_a_metric_that_is_its_own_unit_is_named_once() -> None:
    assert Objective("val_loss", "min", 1.0, "val_loss").measured == "val_loss"
    assert Objective("val_per", "min", 1.0, "PER").measured == "val_per in PER"
