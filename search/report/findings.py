"""All that a report says, computed from a search's folder; the page and the figures are two ways to show it."""

from dataclasses import dataclass
from typing import Any

from search.history.events import Ended, Proposed, Reported, Started
from search.history.records import Records
from search.report.ablation import Way, way_of
from search.report.anytime import Anytime, anytime
from search.report.causes import Cause, causes
from search.report.changes import Change, FileDiff, knob_changes, native_diffs
from search.report.importance import Importance, Level, importance, levels, telling
from search.report.material import Material
from search.report.schedules import Schedules, schedules, with_seen
from search.report.stages import SharedStages, shared_stages
from search.report.story import Story, tell
from search.report.timeline import Timeline, timeline
from search.simulate.advice import Advice
from search.simulate.fairness import RungCheck, first_rung_advice, rung_checks
from search.spec.settling import as_recorded
from spaces.paths import with_values

REPLAYED = 60


@dataclass(frozen=True)
class Findings:
    """Every part of the report, as values."""

    material: Material
    course: Anytime
    schedules: Schedules
    levels: tuple[Level, ...]
    level: Level | None
    """The one that importance and knobs are judged at."""
    importance: Importance | None
    checks: tuple[RungCheck, ...]
    advice: Advice | None
    lanes: Timeline
    shared: SharedStages | None
    causes: tuple[Cause, ...]
    changes: tuple[Change, ...]
    way: Way | None
    diffs: tuple[FileDiff, ...]
    story: Story


def find(material: Material) -> Findings:
    """Compute every part of the report."""
    verdict, trials = material.verdict, material.records.trials
    course, lanes = anytime(material), timeline(material.events)
    known = levels(material)
    level = telling(known)
    changes = knob_changes(material, verdict) if verdict is not None else ()
    mode = material.model.objective.mode
    several = len(material.rungs) > 1
    checks = rung_checks(material.records, material.rungs, material.reduction, mode) if several else ()
    advice = _advice(material) if several else None
    acting = [knob for knob in material.space.knobs if level is None or material.acts_by(knob.path, level.step)]
    return Findings(
        material=material,
        course=course,
        schedules=_schedules(material),
        levels=known,
        level=level,
        importance=importance(level, trials, acting, mode == "min"),
        checks=checks,
        advice=advice,
        lanes=lanes,
        shared=shared_stages(material.records),
        causes=causes(material.events),
        changes=changes,
        way=way_of(material),
        diffs=native_diffs(material, verdict) if verdict is not None else (),
        story=tell(material, course, lanes, changes, advice, checks),
    )


def _advice(material: Material) -> Advice | None:
    """What replays of complete curves say about the first rung: of REPLAYED trials at most, evenly chosen, as their
    cost grows with each."""
    records, mode = material.records, material.model.objective.mode
    complete = [t.number for t in material.trials if t.status in {"completed", "diverged"} and not t.baseline]
    if len(complete) > REPLAYED:
        kept = {complete[i * len(complete) // REPLAYED] for i in range(REPLAYED)}
        kept |= {records.baseline.number} if records.baseline is not None else set()
        known = (Proposed, Started, Reported, Ended)
        records = Records(e for e in material.events if isinstance(e, known) and e.trial in kept)
    settled = as_recorded(material.settings, str(material.folder))
    return first_rung_advice(records, material.rungs, material.reduction, mode, material.every, settled)


def _schedules(material: Material) -> Schedules:
    """Both schedules as planned, and as the confirmation runs (else the trials themselves) really had them."""
    verdict = material.verdict
    winner = verdict.winner if verdict is not None and verdict.winner is not verdict.baseline else None
    found = schedules(material, winner.values if winner is not None else None)
    baseline = material.records.baseline
    if baseline is not None:
        seen = _reports(material, baseline.number, baseline.name)
        found = with_seen(found, material.model, material.base, seen, new=False)
    if winner is not None:
        native = with_values(material.base, winner.values)
        found = with_seen(found, material.model, native, _reports(material, winner.trial, winner.origin), new=True)
    return found


def _reports(material: Material, number: int, origin: str) -> list[tuple[int, Any]]:
    """Evaluations of the config of trial `number`."""
    return [(report.step, report.metrics) for report in material.records.longest(number, origin).reports]
