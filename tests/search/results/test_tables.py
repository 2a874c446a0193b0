"""The tables of a search as spreadsheets read them."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_search import records_of, trial

from search.history.events import Ended
from search.results.tables import FORMULA, cell, from_cell, write_tables


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
