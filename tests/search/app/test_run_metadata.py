"""What MLflow is told of a search at its start."""

from pathlib import Path

import pytest

from search.app.run_metadata import still_knobs
from search.spec.resolve import resolve

CONFIGS = Path(__file__).parents[3] / "configs"


@pytest.mark.parametrize(
    ("model", "moves", "still"),
    [
        ("early_inference", {"lr"}, {"weight_decay", "grad_clip_norm"}),
        ("diphone_rnn", {"alpha"}, set()),
        ("sequence_generator", {"lr"}, set()),
    ],
)
def test_only_knobs_that_move_in_some_config_are_metrics(model: str, moves: set[str], still: set[str]) -> None:
    search = resolve(CONFIGS / model / "demo.yaml")
    found = set(still_knobs(search))
    config = search.model.parse(search.base, "base")
    named = set(search.model.knobs(config, 0))
    assert still <= found <= named
    assert moves <= named - found
