"""A small search on disk, and events of searches, for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.history.events import Ended, Event, Proposed, Reported, Status, TrialKind
from search.history.records import Records
from search.spec.resolve import resolve
from search.spec.search import Search

BASE = """\
# my config
prefix_length: 30
epochs: 18  # long enough

lr: 1e-3   # learning rate
batch_size: 256
weight_decay: 1e-5
tcn_channels: [4]
my_note: kept  # read by a script of mine
"""

SEARCH = """\
model: early_inference
base: base.yaml
data: {generate: {samples: 20, seed: 0, n_points: 10}}
knobs: [lr, batch_size, warmup_epochs]
space:
  warmup_epochs: {int: [0, 3]}
budget: {trials: 9, steps: 18 epochs, evaluate_every: 1 epoch}
"""


def write_search(folder: Path, extra: str = "", base: str = BASE) -> Path:
    """The search's YAML in `folder`, with its base file beside it."""
    (folder / "base.yaml").write_text(base, encoding="utf-8")
    path = folder / "search.yaml"
    path.write_text(SEARCH + extra, encoding="utf-8")
    return path


def small_search(folder: Path, *overrides: str, extra: str = "") -> Search:
    """The search, resolved, with `--set` overrides and more lines of YAML."""
    return resolve(write_search(folder, extra), overrides)


def proposed(
    number: int,
    values: Mapping[str, Any] | None = None,
    *,
    origin: str = "tpe",
    kind: TrialKind = "search",
    seed: int = 0,
    at: float = 0.0,
) -> Proposed:
    return Proposed(number, {"lr": 1e-3 * (number + 1)} if values is None else values, seed, kind, origin, at)


def reported(number: int, step: int, objective: float, at: float = 0.0, seconds: float = 1.0) -> Reported:
    return Reported(number, step, {"objective": objective, "loss": 2 * objective}, seconds, at)


def trial(
    number: int,
    objective: float | None,
    step: int = 18,
    status: Status = "completed",
    values: Mapping[str, Any] | None = None,
    origin: str = "tpe",
    kind: TrialKind = "search",
    seed: int = 0,
) -> list[Event]:
    """A whole trial: proposed, reported once unless its objective is None, and ended."""
    events: list[Event] = [proposed(number, values, origin=origin, kind=kind, seed=seed)]
    if objective is not None:
        events.append(reported(number, step, objective))
    return [*events, Ended(number, status, "", 0.0)]


def records_of(*trials: list[Event]) -> Records:
    return Records(event for events in trials for event in events)
