"""The tables of a search as spreadsheets read them."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_search import proposed, records_of, reported, trial

from search.history.events import Ended, Forked
from search.results.tables import FORMULA, cell, from_cell, history_table, trials_table, write_tables


@given(st.text())
def test_no_cell_is_a_formula_and_none_is_lost(text: str) -> None:
    assert not cell(text).startswith(FORMULA)
    if not text.startswith("'"):
        assert from_cell(cell(text)) == text


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)"])
def test_no_reason_and_no_choice_is_run_by_a_spreadsheet(tmp_path: Path, text: str) -> None:
    events = trial(0, 0.5, values={"kind": text, "lr": -0.5})
    events[-1] = Ended(0, "failed", text, 0.0)
    write_tables(tmp_path, records_of(events), ["kind", "lr"])
    (row,) = pd.read_csv(tmp_path / "trials.csv").to_dict("records")
    assert row["reason"] == row["kind"] == f"'{text}" and row["lr"] == -0.5


def test_copied_evaluations_are_marked_and_nothing_is_where_there_are_none() -> None:
    records = records_of([proposed(0), reported(0, 1, 0.5), reported(0, 2, 0.4)])
    assert "replayed" not in trials_table(records, []) and "replayed" not in history_table(records)
    for event in (proposed(1), Forked(1, 0, 1, 0.0), reported(1, 1, 0.5), reported(1, 2, 0.3)):
        records.apply(event)
    assert trials_table(records, [])["replayed"].tolist() == [0, 1]
    assert history_table(records)["replayed"].tolist() == [False, False, True, False]
