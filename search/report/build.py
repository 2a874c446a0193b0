"""From a search's folder to `report.html` and `figures/`."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from search.report import data, evidence, figures, words
from search.report.findings import Findings, find
from search.report.material import gather
from search.report.page import page, static, templates
from search.report.shown import moment
from spaces import strict_yaml
from trainables.files import write_bytes

REPORT = "report.html"
FIGURES = "figures"
SCRIPTS = ("filter.js", "course.js", "knobs.js", "table.js", "report.js")

SECTIONS = (
    ("verdict", "Verdict"),
    ("best-so-far", "Best so far"),
    ("curves", "Curves"),
    ("schedule", "Schedule"),
    ("parallel", "Parallel"),
    ("slices", "Knobs"),
    ("importance", "Importance"),
    ("ablation", "Changes"),
    ("rungs", "Rungs"),
    ("timeline", "Workers"),
    ("stages", "Shared"),
    ("failures", "Failures"),
    ("diff", "Diff"),
    ("trials", "Trials"),
    ("provenance", "Provenance"),
)


def write(folder: Path) -> Path:
    """Make `report.html` and `figures/*.png` in a search's folder from what lies there; returns the page's path.

    Takes no lock, so it also reports on a search that is still running. Equal folders give equal pages. Raises BadInput
    where the folder holds no search or a damaged one.
    """
    found = find(gather(folder))
    place = folder / FIGURES
    place.mkdir(exist_ok=True)
    for name, content in figures.draw(found):
        write_bytes(place / name, content)
    write_bytes(folder / REPORT, html(found).encode())
    return folder / REPORT


def html(found: Findings) -> str:
    """The whole page."""
    material = found.material
    knobs = material.space.knobs
    axes, sliced, pairs = data.main_knobs(knobs, found.importance, material.records.trials, found.level)
    used = data.usage_data(found.lanes, material.records.trials)
    more = {"sliced": sliced, "pairs": pairs, "usage": data.usage_figures(used)}
    body = templates().get_template("report.html").render(**_context(found), **more)
    every = list(material.records.trials.values())
    verdict, objective = material.verdict, material.model.objective
    content = {
        "unit": material.unit,
        "horizon": material.horizon,
        "rungs": list(material.rungs),
        "objective": {"metric": objective.metric, "mode": objective.mode, "unit": objective.unit},
        "range": data.robust_range(material),
        "winner": verdict.winner.trial if verdict is not None and verdict.winner is not verdict.baseline else None,
        "baseline": material.records.baseline.number if material.records.baseline is not None else None,
        "knobs": data.knob_columns(knobs),
        "axes": axes,
        "sliced": sliced,
        "pairs": pairs,
        "trials": data.trial_columns(every, knobs),
        "curves": data.curves(every, material.rungs, material.every),
        "course": data.course_data(found.course),
        "schedule": data.schedule_data(found.schedules),
        "levels": data.level_data(found.levels, found.level),
        "importance": data.importance_data(found.importance),
        "timeline": data.timeline_data(found.lanes, material.records.trials),
        "usage": used,
    }
    scripts = [static(name) for name in SCRIPTS]
    return page(f"{material.name}: {found.story.headline}", Markup(body), content, scripts)  # noqa: S704 - rendered


def _context(found: Findings) -> dict[str, Any]:
    material, verdict = found.material, found.material.verdict
    objective = material.model.objective
    absent = {name for name, part in (("stages", found.shared), ("ablation", found.way)) if part is None}
    return {
        **vars(found),
        "name": material.name,
        "model": material.model.name,
        "metric": objective.metric,
        "unit": material.unit,
        "unit_of_objective": objective.unit,
        "horizon": material.horizon,
        "state": material.standing.state,
        "contents": [each for each in SECTIONS if each[0] not in absent],
        "scores": evidence.scores(verdict) if verdict is not None else None,
        "evidence_note": words.evidence_note(material),
        "gain": evidence.gain(verdict) if verdict is not None else None,
        "changed": [change for change in found.changes if change.differs],
        "moving": [course for course in found.schedules.courses if not course.constant],
        "seen": any(course.seen_new or course.seen_documented for course in found.schedules.courses),
        "fixed": words.constants(found),
        "schedule_trouble": found.schedules.trouble,
        "trusted": words.TRUSTED,
        "importance_note": words.importance_note(found),
        "way_note": words.way_note(found),
        "reduction": material.reduction,
        "rungs_note": "This search stops no trial at rungs of its own, so there is nothing to judge.",
        "advice": found.advice.text if found.advice else "",
        "diff_note": words.diff_note(found),
        "filter_example": words.filter_example(material),
        "provenance": words.provenance(material),
        "settings_text": strict_yaml.dumps(dict(material.settings)),
        "as_of": moment(material.last_at) if material.last_at is not None else "before its first event",
        **words.captions(found),
    }
