"""The sentences around the charts and tables: on what they rest, and how far they are to be trusted."""

from collections.abc import Mapping
from typing import Any

from search.report import data, remarks
from search.report.findings import Findings
from search.report.importance import LEAST
from search.report.material import Material
from search.report.next_steps import place
from search.report.shown import count, moment, number, share
from search.results.winner import run_of
from spaces.values import NOT_ACTIVE, show

TRUSTED = 0.1
"""A forest that predicts less of the variance than this has learnt nothing to speak of."""


def evidence_note(material: Material) -> str:
    """Which way is better, and on what the verdict's numbers stand."""
    verdict = material.verdict
    better = "lower" if material.model.objective.mode == "min" else "higher"
    if verdict is None or run_of(material.records, verdict) is None:
        return f"{better} is better; the search's own seed, not confirmed"
    length = "" if material.records.full(material.horizon) else "up to "
    length += count(material.horizon, material.unit)
    return f"{better} is better; {count(verdict.winner.estimate.n, 'fresh seed')}, {length} each"


def captions(found: Findings) -> dict[str, str]:
    """The line under each chart, by its name in the template."""
    return {
        "caption_best": _best(found),
        "caption_curves": _curves(found),
        "caption_parallel": _parallel(found),
        "caption_importance": _importance(found),
        "caption_timeline": _timeline(found),
    }


def _best(found: Findings) -> str:
    metric = found.material.model.objective.metric
    course = found.course
    seed = "its value on the search's seed" if not course.fresh else f"its mean on {count(course.fresh, 'fresh seed')}"
    base = seed if course.baseline is not None else "which has no value at full length yet"
    return (
        f"Step line: best {metric} among trials trained in full. Points: where each trial ended, at whatever length. "
        f"Dashed: the documented config, {base}."
    )


def _curves(found: Findings) -> str:
    objective = found.material.model.objective
    thinned = sum(len(t.reports) for t in found.material.records.trials.values()) > data.MOST
    rest = " Curves are thinned for drawing; history.parquet has every evaluation." if thinned else ""
    front = "Choose a trial in the table to bring its curve to the front."
    return f"{objective.measured}. {front}{rest}{_axis(found)}"


def _axis(found: Findings) -> str:
    begins, unit = found.material.records.begins, found.material.unit
    return f" The axis counts {unit}s from 0 of the whole training; trials start at {unit} {begins}." if begins else ""


def _parallel(found: Findings) -> str:
    knobs = len(found.material.space.knobs)
    which = f"The {data.AXES} most important of {knobs} knobs. " if knobs > data.AXES else ""
    return f"{which}The strongest lines are the best trials; a line breaks where a knob is inactive."


def _importance(found: Findings) -> str:
    level = found.level
    where = f"at {found.material.unit} {level.step}" if level is not None else ""
    return (
        f"Of the score {where}; what had diverged counts as worst. PED-ANOVA (Watanabe et al. 2023): for getting into "
        "the best quarter, as shares. Permutation (Breiman 2001): how much of the variance of the ranks the forest no "
        "longer predicts once this knob's values are shuffled."
    )


def _timeline(found: Findings) -> str:
    lanes = found.lanes
    idle = (
        f"Workers had nothing to do for {share(max(0.0, lanes.idle))} of the time. " if lanes.idle is not None else ""
    )
    down = f" Grey: the search was down ({count(len(lanes.gaps), 'interruption')})." if lanes.gaps else ""
    return f"{idle}Each bar is a trial's stay on a worker.{down}"


def importance_note(found: Findings) -> str:
    """On how many trials the importances rest, and whether they are to be believed."""
    known, level, unit = found.importance, found.level, found.material.unit
    if level is None:
        return f"No two trials have a score at the same rung yet; {LEAST} are needed to say which knobs matter."
    trials = count(len(level.trials), "trial")
    if known is None:
        return f"Too few to say which knobs matter: {trials} at {unit} {level.step}, and {LEAST} are needed."
    gone = f", {level.diverged} of them diverged" if level.diverged else ""
    late = [knob.path for knob in found.material.space.knobs if knob.path not in known.knobs]
    left = f" Left out, for most of their values act only later: {', '.join(late)}." if late else ""
    trust = "" if known.skill >= TRUSTED else ": too little to trust its order"
    return (
        f"From {trials} compared at {unit} {level.step} of {found.material.horizon}{gone}. The forest predicts "
        f"{share(max(0.0, known.skill))} of the variance of held-out trials' ranks{trust}.{left}"
    )


def way_note(found: Findings) -> str:
    """What the way to the winner rests on, and whether it is to be believed."""
    way, material = found.way, found.material
    if way is None:
        return ""
    trust = "" if way.skill >= TRUSTED else ": too little to trust its order"
    none = "" if way.rows[0].share is not None else " It predicts no gain of all changes together."
    return (
        "Predicted for a whole training by a forest that has learnt from the search's trials at all rungs; of held-out "
        f"trials' variance at equal {material.unit}s it predicts {share(max(0.0, way.skill))}{trust}.{none} From the "
        "documented config on, the change that promises most is made next (Fawcett & Hoos 2016, with a model's "
        "predictions as in Biedenkapp et al. 2017). So a change is judged on top of those above it."
    )


def diff_note(found: Findings) -> str:
    """Why there is no diff, where there is none."""
    verdict = found.material.verdict
    if verdict is not None and verdict.winner is verdict.baseline:
        return "Nothing to change: the documented config is the best one."
    return "The search has not written the winner's files yet."


def filter_example(material: Material) -> str:
    """A filter that fits this search: of its first numeric knob, else of its first one."""
    columns = data.knob_columns(material.space.knobs)
    for column in columns:
        if not column["choice"]:
            return f"{column['path']}>{column['ticks'][len(column['ticks']) // 2][1]}"
    return f"{columns[0]['path']}={columns[0]['ticks'][0][1]}" if columns else "#0"


def provenance(material: Material) -> list[tuple[str, str]]:
    """What the report was made from, and with what the search ran, as (what, value)."""
    told = material.best.get("provenance") or {}
    settings = material.settings.get("settings") or {}
    objective = material.model.objective
    hosts = sorted({start.host for t in material.records.trials.values() for start in t.starts})
    warm = material.records.warm
    last = f", the last at {moment(material.last_at)}" if material.last_at is not None else ""
    return [
        *remarks.told(material.folder, material.settings),
        ("search", f"{material.name}, hash {material.digest or 'unknown'}"),
        ("model", f"{material.model.name}; objective {objective.measured} ({objective.mode})"),
        ("sampler", _pairs(settings.get("sampler") or {})),
        ("early stopping", _pairs(settings.get("early_stopping") or {})),
        ("rungs", f"{', '.join(map(str, material.rungs))} {material.unit}s; evaluated every {material.every}"),
        ("data", str(material.settings.get("data_digest") or told.get("data") or "unknown")),
        *([("checked", _pairs(checked))] if (checked := material.settings.get("checked")) else []),
        ("starts from", f"{warm.source}: {count(len(warm.observations), 'observation')}" if warm else "nothing"),
        ("code", _code(told)),
        *([("schedule-search", str(told["schedule_search"]))] if "schedule_search" in told else []),
        ("python", str(told.get("python", "–"))),
        ("packages", _pairs(told.get("packages") or {}) or "–"),
        ("machines", ", ".join(hosts) or "–"),
        ("journal", f"{count(len(material.events), 'event')}{last}"),
        ("made again by", f"python -m search.report {place(material)}"),
    ]


def constants(found: Findings) -> list[tuple[str, str, str, bool]]:
    """Knobs that stay as they are over the training: name, documented, new, whether they differ."""
    known = {change.path: change for change in found.changes}

    def shown(values: tuple[float, ...] | None, told: str) -> str:
        """A knob's value; where it is not active, what the model takes in its place says nothing."""
        return NOT_ACTIVE if told == NOT_ACTIVE else number(values[0]) if values else "–"

    rows = []
    for course in [course for course in found.schedules.courses if course.constant]:
        change = known.get(course.name)
        old = shown(course.documented, change.documented if change else "")
        new = shown(course.new, change.new if change else "")
        rows.append((course.name, old, new, course.new is not None and course.documented != course.new))
    return rows


def _code(told: Mapping[str, Any]) -> str:
    """The commit that best.yaml names."""
    if not told:
        return "unknown until the search has handed over"
    return str(told.get("git_commit") or "no commit: the search was typed outside a git repository")


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value if isinstance(value, str) else show(value)}" for key, value in values.items())
