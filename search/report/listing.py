"""What is known of each search in a folder of results, for `list` and `show`."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from search.report import remarks
from search.report.findings import find
from search.report.material import JOURNAL, Material, gather
from search.report.shown import duration, number
from search.report.story import Story
from spaces.problems import BadInput, Problem


@dataclass(frozen=True)
class Row:
    """One search. Its fields are the keys of `--json`."""

    name: str
    folder: str
    model: str
    state: str
    cause: str
    """Why it stopped, where it is known."""
    verdict: str
    """`switch`, `keep`, `undecided`, `unconfirmed`; empty before the search is done, and without a trial
    that has a value."""
    gain: float | None
    """Mean paired gain over the baseline on fresh seeds, above zero is better."""
    gain_low: float | None
    gain_high: float | None
    objective: str
    trials_over: int
    trials_asked: int
    last_event: float | None
    """Unix seconds."""
    bytes: int
    notes: str
    """What the YAML says of it, and what was noted later; `trial_notes` by trial."""
    tags: dict[str, str]
    trial_notes: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON has it."""
        return asdict(self)


def rows(results: Path) -> tuple[list[Row], list[Problem]]:
    """The searches in `results`, newest last, and what is wrong with those that can't be read."""
    found: list[Row] = []
    damaged: list[Problem] = []
    for journal in sorted(results.glob(f"*/{JOURNAL}")):
        try:
            found.append(row(gather(journal.parent)))
        except BadInput as error:
            damaged += error.problems
    return sorted(found, key=lambda each: each.last_event or 0.0), damaged


def row(material: Material) -> Row:
    """What the list says of one search."""
    verdict = material.verdict
    gain = verdict.gain if verdict is not None else None
    return Row(
        name=material.folder.name,
        folder=str(material.folder),
        model=material.model.name,
        state=material.standing.state,
        cause=material.standing.cause,
        verdict=verdict.decision if verdict is not None and material.done else "",
        gain=gain.mean if gain is not None else None,
        gain_low=gain.low if gain is not None else None,
        gain_high=gain.high if gain is not None else None,
        objective=material.model.objective.metric,
        trials_over=sum(trial.over for trial in material.trials),
        trials_asked=material.asked,
        last_event=material.last_at,
        notes=remarks.of_search(material.folder, material.settings),
        tags=dict(material.settings.get("tags") or {}),
        trial_notes=remarks.of_trials(material.folder),
        bytes=sum(file.stat().st_size for file in material.folder.rglob("*") if file.is_file()),
    )


def table(found: list[Row]) -> Table:
    """The list on a screen of 80 columns."""
    numbers = [Column(name, justify="right") for name in ("gain", "trials", "age", "size")]
    shown = Table("search", "state", "verdict", *numbers, box=None, pad_edge=False)
    for each in found:
        gain = "–" if each.gain is None else number(each.gain, 3)
        age = "–" if each.last_event is None else duration(max(0.0, time.time() - each.last_event))
        trials = f"{each.trials_over}/{each.trials_asked}"
        shown.add_row(escape(each.name), each.state, each.verdict or "–", gain, trials, age, size(each.bytes))
    return shown


def shown(folder: Path) -> tuple[Row, Story]:
    """One search, with the first screen of its report."""
    material = gather(folder)
    return row(material), find(material).story


def lines(known: Row, told: Story) -> Iterator[str]:
    """One search in words."""
    yield f"{known.name}: {told.status}"
    if known.tags:
        yield ", ".join(f"{key}: {value}" for key, value in known.tags.items())
    if known.notes:
        yield f"note: {known.notes}"
    yield from (f"note on trial {number}: {text}" for number, text in known.trial_notes.items())
    yield told.headline
    yield told.sentence
    if told.reason:
        yield told.reason
    yield from (f"  but: {doubt}" for doubt in told.doubts)
    for step in told.steps:
        yield f"- {step.what}"
        if step.command:
            yield f"    {step.command}"
    if (report := Path(known.folder) / "report.html").exists():
        yield f"report: {report}"


def size(count: int) -> str:
    """Bytes for people."""
    value, unit = float(count), "B"
    for following in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, following
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
