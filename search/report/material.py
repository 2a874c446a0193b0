"""What a search's folder holds, read once and without its lock: the report is made from this and from nothing else."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from search.history.events import Event, Phase
from search.history.journal import read
from search.history.records import Records, Trial
from search.persistence.standing import Standing, standing
from search.results.parsimony import conclude
from search.results.verdict import Verdict
from search.spec.config import Confirm
from spaces import strict_yaml
from spaces.problems import BadInput
from spaces.schema import parse
from spaces.space import Space, parse_space
from trainables.registry import model_of
from trainables.run import Model

JOURNAL = "journal.jsonl"
SETTINGS = "search.yaml"
PLAN = "plan.json"
_HASH = re.compile(r"hash: ([0-9a-f]+)")


@dataclass(frozen=True)
class Material:
    """One search as its folder tells it. Steps are in the model's unit, times in unix seconds."""

    folder: Path
    name: str
    digest: str
    """The search's own hash; empty in a folder of another version."""
    settings: Mapping[str, Any]
    """`search.yaml`."""
    model: Model[Any, Any]
    space: Space
    base: Mapping[str, Any]
    """The whole documented config, as the search resolved it."""
    horizon: int
    every: int
    rungs: tuple[int, ...]
    """Steps at which trials are compared; the last one is the horizon."""
    planned: Mapping[str, Any]
    """`plan.json`; empty without one."""
    events: tuple[Event, ...]
    records: Records
    standing: Standing
    verdict: Verdict | None
    confirm: Confirm
    """How the best configs are confirmed."""
    compared_at: int | None
    """The step at which an unconfirmed verdict compares the winner with the baseline; None where fresh seeds decide."""
    best: Mapping[str, Any]
    """`best.yaml`; empty until the search has handed over."""

    @property
    def unit(self) -> Literal["epoch", "step"]:
        """What a step is."""
        return self.model.unit

    @property
    def sign(self) -> int:
        """1 where lower is better, else −1: `sign · objective` is a score, lower is better."""
        return 1 if self.model.objective.mode == "min" else -1

    @property
    def done(self) -> bool:
        """Whether the search has ended."""
        return self.standing.state == "done"

    @property
    def reduction(self) -> int:
        """One in so many is promoted at a rung; 3 where the search stops nothing early."""
        stopping = self.settings.get("settings", {}).get("early_stopping", {})
        return int(stopping.get("reduction", 3))

    @property
    def asked(self) -> int:
        """How many trials the search means to run."""
        budget = self.settings.get("budget") or {}
        return int(budget.get("trials") or self.planned.get("trials") or len(self.trials))

    def acts_by(self, knob: str, step: int) -> bool:
        """Whether most configs that differ in the knob alone train unlike before `step`, as the plan found."""
        return int((self.planned.get("acting") or {}).get(knob, 0)) < step

    @property
    def trials(self) -> list[Trial]:
        """The search's own trials."""
        return self.records.of_kind("search")

    @property
    def last_at(self) -> float | None:
        """When the last thing happened that the journal knows of."""
        return max((event.at for event in self.events), default=None)


def gather(folder: Path, known: Sequence[Event] | None = None) -> Material:
    """Read the search in `folder`; `known` is what its journal holds, where that has been read already.

    Raises BadInput where there is none, or where its files are damaged.
    """
    if not (folder / JOURNAL).is_file() or not (folder / SETTINGS).is_file():
        where = "there is no such folder" if not folder.exists() else f"it holds no {JOURNAL} and {SETTINGS}"
        raise BadInput.of(str(folder), f"{where}; give the folder of a search, such as results/demo")
    text = strict_yaml.read_text(folder / SETTINGS)
    settings = strict_yaml.loads(text, str(folder / SETTINGS))
    _check(settings, folder / SETTINGS)
    model = model_of(settings["settings"]["model"], settings.get("reference"), f"{folder / SETTINGS} settings.model")
    found = _HASH.search(text.partition("\n")[0])
    events = tuple(read(folder / JOURNAL)[0] if known is None else known)
    records = Records(events)
    planned = _plan(folder / PLAN)
    horizon = int(settings["horizon"])
    best = folder / "best.yaml"
    confirm = parse(Confirm, settings.get("confirm") or {}, f"{folder / SETTINGS} confirm")
    judged = conclude(records, model.objective, confirm)
    verdict, compared_at = comparable(judged, records, model.objective.worst)
    return Material(
        folder=folder,
        name=str(settings.get("name") or folder.name),
        digest=found[1] if found else "",
        settings=settings,
        model=model,
        space=parse_space(settings["space"], str(folder / SETTINGS)),
        base=settings["base"],
        horizon=horizon,
        every=int(settings["every"]),
        rungs=tuple(planned.get("rungs") or (horizon,)),
        planned=planned,
        events=events,
        records=records,
        standing=standing(folder, records),
        verdict=verdict,
        confirm=confirm,
        compared_at=compared_at,
        best=strict_yaml.load(best) if best.is_file() else {},
    )


def _check(settings: Any, path: Path) -> None:
    if not isinstance(settings, dict):
        raise BadInput.of(str(path), "this is no search; restore the file from a backup")
    wanted = ("settings", "base", "space", "horizon", "every")
    missing = [key for key in wanted if key not in settings]
    if missing or "model" not in (settings.get("settings") or {}):
        what = ", ".join(missing) or "settings.model"
        raise BadInput.of(str(path), f"{what} is missing; restore the file from a backup")


def _plan(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        plan = json.loads(strict_yaml.read_text(path))
    except ValueError as error:
        raise BadInput.of(str(path), f"is damaged ({error}); delete it: the report does without it") from error
    return plan if isinstance(plan, dict) else {}


def value_at(trial: Trial, step: int, worst: float) -> float | None:
    """The trial's objective at `step`; None where it has none.

    A diverged trial keeps the worst value from there on, one that its own patience ended keeps its last. Nothing else
    is carried: trials are compared at equal steps only.
    """
    last: float | None = None
    outcome = "running"
    for report in trial.reports:
        if report.step > step:
            break
        last, outcome = report.metrics["objective"], report.outcome
        if report.step == step:
            return last
    if outcome == "diverged" or (trial.status == "diverged" and trial.step <= step):
        return worst if last is None or outcome != "diverged" else last
    return last if outcome == "ended" else None


def comparable(verdict: Verdict | None, records: Records, worst: float) -> tuple[Verdict | None, int | None]:
    """The verdict with values that may be compared, and their step.

    Without fresh seeds, winner and baseline are trials of the search that may have come unequally far: their values are
    taken at the largest step at which both have one. Without such a step the baseline is left out.
    """
    if verdict is None or verdict.decision != "unconfirmed" or verdict.gain is not None or verdict.baseline is None:
        return verdict, None
    if verdict.winner is verdict.baseline:
        return verdict, None
    both = [records.trials[candidate.trial] for candidate in (verdict.winner, verdict.baseline)]
    steps = sorted({report.step for trial in both for report in trial.reports}, reverse=True)
    for step in steps:
        new, old = (value_at(trial, step, worst) for trial in both)
        if new is not None and old is not None:
            winner = replace(verdict.winner, by_seed=dict.fromkeys(verdict.winner.by_seed, new))
            baseline = replace(verdict.baseline, by_seed=dict.fromkeys(verdict.baseline.by_seed, old))
            return replace(verdict, winner=winner, baseline=baseline, ranking=(winner, baseline)), step
    return replace(verdict, baseline=None, ranking=(verdict.winner,)), None


def sittings(events: Sequence[Event]) -> list[tuple[Phase, list[Event]]]:
    """The events by stretches of uninterrupted work, each opened by its phase.

    The search enters a phase anew whenever a process takes it up, so the same phase twice is an interruption between.
    """
    found: list[tuple[Phase, list[Event]]] = []
    for event in events:
        if isinstance(event, Phase):
            found.append((event, []))
        elif found:
            found[-1][1].append(event)
    return found
