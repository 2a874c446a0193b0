"""A sampler on its own, in a space with every kind of knob."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from search.sampling.proposer import Proposer
from search.sampling.trial_history import PastTrial, Problem, Sampling, Scoring
from spaces.domain import Categorical, Float, Int, contains
from spaces.knob import Condition, Knob
from spaces.space import Space

MIN = Scoring("min", worst=9.0)
MIXED = Space(
    (
        Knob("lr", Float(1e-5, 1e-1, log=True)),
        Knob("alpha", Float(0.0, 1.0, step=0.1)),
        Knob("width", Int(8, 512, log=True)),
        Knob("layers", Int(2, 10, step=2)),
        Knob("kind", Categorical(("none", "step", "cosine"))),
        Knob("steps", Categorical(((10, 20), (5,), None)), when=(Condition("kind", ("step",)),)),
        Knob("period", Float(1.0, 9.0), when=(Condition("kind", ("cosine",)),)),
        Knob("decay", Float(0.1, 0.9), when=(Condition("kind", ("cosine",)), Condition("flag", (True,)))),
        Knob("flag", Categorical((True, False))),
    )
)
BASE: dict[str, Any] = {
    "lr": 1e-3,
    "alpha": 0.5,
    "width": 64,
    "layers": 4,
    "kind": "step",
    "steps": [10, 20],
    "period": 3.0,
    "decay": 0.5,
    "flag": False,
    "units": 3,
}
SMALL = Space((Knob("flag", Categorical((True, False))), Knob("layers", Int(2, 4, step=2))))


def proposer(
    folder: Path,
    kind: str = "tpe",
    space: Space = MIXED,
    base: Mapping[str, Any] = BASE,
    scoring: Scoring = MIN,
    seed: int = 0,
    past: Sequence[PastTrial] = (),
    points: int = 3,
) -> Proposer:
    return Proposer(
        Problem("search", space, base), Sampling(kind, seed, points), scoring, folder / "study.journal", past
    )


def stored(folder: Path) -> list[FrozenTrial]:
    """The trials of the study file, read by Optuna alone."""
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    return optuna.load_study(study_name="search", storage=storage).trials


def loss(values: Mapping[str, Any]) -> float:
    """Smooth in every knob, so that learning pays."""
    total: float = (math.log10(values["lr"]) + 3) ** 2 + 4 * (values["alpha"] - 0.3) ** 2
    total += {"none": 2.0, "step": 1.0, "cosine": 0.0}[values["kind"]]
    return total + abs(float(values.get("period", 4.0)) - 4.0) / 4


def assert_inside(space: Space, base: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    assert list(values) == [knob.path for knob in space.active(values, base)]
    for knob in space.knobs:
        if knob.path in values:
            assert contains(knob.domain, values[knob.path]), (knob, values[knob.path])
            assert_plain(values[knob.path])
            match knob.domain:
                case Float():
                    assert type(values[knob.path]) is float
                case Int():
                    assert type(values[knob.path]) is int


def assert_plain(value: Any) -> None:
    """No numpy type, no tuple: what JSON gives back is what was written, type by type."""
    assert type(value) in (bool, int, float, str, list, type(None))
    assert repr(json.loads(json.dumps(value))) == repr(value)
