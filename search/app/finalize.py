"""The end of a sitting: the verdict, the files that carry it, the report, and all of it in MLflow."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from search.app.invocation import Invocation
from search.common.exit_codes import Exit
from search.common.store_uri import mask, resolve_uri, ui_command
from search.execution.admission import Halt
from search.history.records import Records
from search.persistence.folder import Folder
from search.persistence.standing import Standing, standing
from search.results import export, pareto_export, summary, winner
from search.results.ablation import Setting
from search.results.explain import unexplained
from search.results.parsimony import conclude
from search.results.verdict import Verdict
from search.spec.effect import changed
from search.spec.search import Search
from search.tracking.sender import Sender
from search.tracking.types import SearchStatus
from spaces.paths import with_values
from spaces.problems import cause
from spaces.values import NOT_ACTIVE, short
from trainables.own.model import OwnModel
from trainables.own.observed import compare
from trainables.storage import when_there_is_room

TRACKING_SECONDS = 30.0  # how long the end of a search waits for the tracker,
TRACKING_PACE = 5e6  # with a second more for so many bytes of artifacts
_FILES = ("search.yaml", "plan.json", "trials.csv", "best.yaml", "pareto.csv", "pareto", "report.html", "figures")
"""What MLflow keeps of a search's folder."""

Say = Callable[[str], None]


def hand_over(asked: Invocation, folder: Folder, tracker: Sender, halt: Halt) -> int:
    """Write and show what has come of the search so far; returns the exit code."""
    search, say = asked.search, asked.say
    path, records = folder.path, folder.records
    verdict = conclude(records, search.model.objective, search.settings.confirm)
    final = None if halt.resumable else verdict  # MLflow keeps every value that it was ever given
    if verdict is not None:
        when_there_is_room(lambda: export.write_best(path, search, asked.prepared, verdict, records), say)
    members = pareto_export.front(search, records) if search.further else []
    if members:
        when_there_is_room(lambda: pareto_export.write_front(path, search, asked.prepared, members), say)
    shown = when_there_is_room(lambda: export.write_artifacts(path, records, final), say) if final is not None else None
    report = None if halt.kind == "signal" else write_report(path, say)  # whoever interrupts doesn't want to wait
    told = _told(asked, records, verdict, halt, shown)
    tracked = tracker.finish(told, TRACKING_SECONDS + _bytes([*told.artifacts, *told.winner]) / TRACKING_PACE)
    if tracked.message:
        say(tracked.message)
    if halt.kind == "signal":
        say(f"interrupted ({halt.reason}); so far: {path / 'trials.csv'}\ngo on with: {asked.again}")
        return Exit.INTERRUPTED
    if report is not None and (verdict is None or halt.kind == "failures"):
        say(f"{'report':<14}{report}")
    if halt.kind == "failures":
        say(f"stopped: {halt.reason}\nlogs: {path / 'trials'}; so far: {path / 'trials.csv'}")
        own = "your code or " if search.trainable is not None else ""
        say(f"when the cause is mended, go on with: {asked.again}")
        say(f"if that changes {own}what is searched, with --fork NAME in place of --resume: its trials are taken along")
        return Exit.NO_TRIAL
    if verdict is None:
        reasons = sorted({trial.reason for trial in records.of_kind("search") if trial.reason})
        say(f"no trial succeeded. {'; '.join(reasons[:3])}\nlogs: {path / 'trials'}")
        return Exit.NO_TRIAL
    tables = [*summary.tables(search, verdict, records), *([pareto_export.shown(search, members)] if members else [])]
    for table in tables:
        asked.console.print(table)
    say(f"verdict: {summary.said(verdict)}")
    for line in [*_unexplained(asked, records, verdict), *observed(search, records)]:
        say(line)
    look = ui_command(resolve_uri(search.settings.tracking.uri, path.parent))
    kept = not verdict.to_switch
    for what, where in summary.pointers(path, look, shown, bool(members), report, kept):
        say(f"{what:<14}{where}")
    if tracked.version:
        say(f"{'registered':<14}{asked.register} version {tracked.version}")
    return Exit.DONE


def _unexplained(asked: Invocation, records: Records, verdict: Verdict) -> list[str]:
    """That the user asked for what each change brings, and nothing could be trained."""
    search = asked.search
    setting = Setting(search.space, search.base, search.model, search.horizon, asked.plan.rungs)
    why = unexplained(records, setting, verdict) if search.settings.confirm.explain else None
    return [] if why is None else [f"confirm.explain trained nothing: {why}"]


def observed(search: Search, records: Records) -> list[str]:
    """Whether what the user declares, schedules and the worst value, is what the documented config reported."""
    baseline = records.trials.get(0)
    if not isinstance(search.model, OwnModel) or baseline is None:
        return []
    run, goal = records.longest(0, "trial 0"), search.model.objective
    reports = [(report.step, report.metrics) for report in run.reports]
    found = compare(search.model, with_values(search.base, baseline.values), reports)
    said = [f"{'warning: ' if each.parting else ''}{each.told(search.model.unit)}" for each in found]
    ended = run.objective if run.status == "completed" else None
    if ended is not None and goal.score(ended) > goal.score(goal.worst):
        what = f"trainable.objective.worst is {goal.worst:g}; the documented config ends at {ended:.4g}, which is worse"
        said.append(
            f"warning: {what}: give what guessing scores, for at first rungs take all such trials for equally bad"
        )
    return said


def write_report(folder: Path, say: Say) -> Path | None:
    """`report.html` and `figures/`; None, and a warning, where they can't be made: the search is worth more."""
    try:
        from search.report import build  # lazy: it takes a while to import, and only the end has a use for it

        return build.write(folder)
    except Exception as error:  # whatever it is
        say(f"warning: no report: {mask(cause(error))}")
        return None


def _told(asked: Invocation, records: Records, verdict: Verdict | None, halt: Halt, shown: Path | None) -> SearchStatus:
    """What MLflow is told. Weights and a registered version only of a final winner."""
    search, path, register = asked.search, asked.path, asked.register
    final = None if halt.resumable else verdict
    kept = [path / name for name in _FILES if (path / name).exists()]
    saved = winner.weights(path, records, final) if final is not None else None
    place = winner.place(final) if final is not None else ""
    version = winner.registration(register, search, final, saved, place) if register and final is not None else None
    stands = standing(path, records)
    return SearchStatus(
        tracked(stands, verdict),
        note=describe(search, verdict, kept, place, stands),
        metrics=summary.measures(final),
        at=max((trial.ended_at for trial in records.trials.values() if trial.ended_at is not None), default=None),
        tags={"verdict": final.decision, "winner": final.winner.trial} if final is not None else {},
        artifacts=[*kept, shown] if shown is not None else kept,
        folder=place,
        winner=winner.parts(path, records, final) if final is not None else [],
        version=version,
    )


def tracked(stands: Standing, verdict: Verdict | None) -> Literal["done", "interrupted", "failed"]:
    """What MLflow's status of the search's run is made from: a search without a trial that succeeded has failed there,
    too, where the status is all that the list of runs shows."""
    if stands.state == "done":
        return "done" if verdict is not None else "failed"
    return "failed" if stands.state == "failed" else "interrupted"


def describe(search: Search, verdict: Verdict | None, kept: Sequence[Path], place: str, stands: Standing) -> str:
    """The description of the search's run, in Markdown: how it `stands`, the verdict, what it changes, and where to
    look on."""
    why = f": {stands.cause}" if stands.cause else ""
    ahead = {"failed": f"stopped itself{why}. So far: ", "interrupted": f"interrupted{why}. So far: "}
    text = [summary.note(search, verdict, ahead.get(stands.state, ""))]
    base = verdict.baseline if verdict is not None else None
    if verdict is not None and base is not None and base is not verdict.winner:
        before, after = base.values, verdict.winner.values
        rows = [
            f"| {_cell(path)} | {_cell(before.get(path, NOT_ACTIVE))} | {_cell(after.get(path, NOT_ACTIVE))} |"
            for path in [knob.path for knob in search.space.knobs]
            if changed(search.model, search.base, before, after, path, search.horizon)
        ]
        text += ["\n".join(["| knob | documented | best |", "|---|---|---|", *rows])]
    told = {"report.html": "the whole story", "figures": "its main pictures", "best.yaml": "the config"}
    look = [f"`{path.name}` ({told[path.name]})" for path in kept if path.name in told]
    look += [f"`{place}` (all one needs to use it)"] if place else []
    if look:
        text += [f"Among the artifacts: {', '.join(look)}."]
    return "\n\n".join(text)


def _cell(value: object) -> str:
    """A value in a table of Markdown, none of it taken for markup."""
    said = short(value)
    for odd, safe in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("\n", " ")):
        said = said.replace(odd, safe)
    return said


def _bytes(paths: Sequence[Path]) -> int:
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())
