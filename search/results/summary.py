"""The end of a search in words and tables: on the screen, and as the note of its run in MLflow."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from search.common.commands import python
from search.common.quantities import decimals
from search.history.records import Records
from search.results.verdict import Verdict
from search.sampling.codec import text_of
from search.sampling.grid import config_count
from search.spec.effect import changed
from search.spec.search import Search
from spaces.values import NOT_ACTIVE, short
from trainables.own.model import COMMAND

_ADVICE = {
    "switch": "switch to the new config",
    "keep": "keep your config",
    "undecided": "undecided, so keep your config for now",
    "unconfirmed": "not confirmed",
}


def said(verdict: Verdict) -> str:
    """The verdict as one sentence. The winner is named where another config has the better mean, but not surely."""
    other = verdict.decision == "switch" and verdict.whole is None and verdict.winner is not verdict.ranking[0]
    which = f", {verdict.winner.name}, the best of those that are surely better" if other else ""
    return f"{_ADVICE[verdict.decision]}{which} – {verdict.why}"


def tables(search: Search, verdict: Verdict, records: Records) -> Iterator[Table]:
    """The confirmed configs, best first; then what the winner changes in the baseline, if anything."""
    objective = search.model.objective
    counts = {candidate.estimate.n for candidate in verdict.ranking}
    seeds, uneven = max(counts), len(counts) > 1
    spent = f"{'up to ' * uneven}{seeds} seed{'s' * (seeds != 1)}, "
    spent += f"{'' if records.full(search.horizon) else 'up to '}{search.length} {search.model.unit}s each"
    spent += f" from {search.model.unit} {search.begins} on" if search.begins else ""
    numbers = [Column(name, justify="right") for name in ("mean", "95% interval")]
    scores = Table("config", *numbers, title=f"{objective.measured}, {spent}", title_justify="left")
    for candidate in verdict.ranking:
        estimate = candidate.estimate
        low, high = estimate.low, estimate.high
        interval = "–" if low is None or high is None else f"{decimals(low)} to {decimals(high)}"
        best = "bold" if candidate is verdict.winner else ""
        scores.add_row(candidate.name, decimals(estimate.mean), interval, style=best)
    yield scores
    if verdict.baseline is None or verdict.winner is verdict.baseline:
        return
    changes = Table("knob", "baseline", "best", title="what changes", title_justify="left")
    before, after = verdict.baseline.values, verdict.winner.values
    for knob in [knob.path for knob in search.space.knobs]:
        if changed(search.model, search.base, before, after, knob, search.horizon):
            changes.add_row(escape(knob), _value(before, knob), _value(after, knob))
    yield changes


def state(folder: Path, records: Records, unit: str, asked: int | None, finished: bool) -> str:
    """What a search that is taken up again has done so far, as one line. `asked`: trials that it may have, if said;
    `finished`: nothing is left of what is asked for."""
    trials, confirming = records.of_kind("search"), records.of_kind("confirm")
    if finished:
        return f"{folder} holds this search, finished; a new one takes another --name"
    of = len(trials) if asked is None else asked
    parts = [f"{sum(t.over for t in trials)} of {of} trials over, {records.search_steps} {unit}s trained"]
    if confirming:
        parts.append(f"{sum(t.over for t in confirming)} of {len(confirming)} confirmation runs")
    if explaining := records.of_kind("explain"):
        parts.append(f"{sum(t.over for t in explaining)} of {len(explaining)} explaining runs")
    return f"going on with {folder}: {'; '.join(parts)}"


def remarks(search: Search, records: Records) -> Iterator[str]:
    """What the trials of a finished search say about its space, for people: that it is used up, that configs repeat."""
    trials, asked = records.of_kind("search"), search.settings.budget.trials
    sampler = search.settings.sampler
    configs = config_count(search.space, search.base, sampler.kind, sampler.points)
    different = len({text_of(trial.proposed.values) for trial in trials})
    if configs is not None and different >= configs and (asked is None or len(trials) < asked):
        yield f"all {different} configs of the {'grid' if sampler.kind == 'grid' else 'space'} are tried"
    if records.replayed_steps:
        trained, copied = records.search_steps, records.replayed_steps
        share = copied / (trained + copied)
        yield f"{trained} {search.model.unit}s trained, {copied} ({share:.0%}) replayed from other trials"
    same = [trial for trial in trials if trial.over and trial.copied]
    if same:
        yield f"{len(same)} of {len(trials)} trials changed what never acted: each is the same training as another"
    if different < len(trials):
        yield f"{len(trials) - different} of {len(trials)} trials repeat the config of an earlier one"


def pointers(
    folder: Path,
    look: str,
    artifacts: Path | None = None,
    pareto: bool = False,
    report: Path | None = None,
    kept: bool = False,
) -> Iterator[tuple[str, str]]:
    """Where things are and what to type next, as (what, where). `look` shows the runs in MLflow; `kept`: the verdict is
    to keep the user's own config."""
    if report is not None:
        yield "report", str(report)
    if kept:
        yield "your config", f"{folder / 'native'}, unchanged   (the whole of it: {folder / 'best.yaml'})"
    else:
        yield "best config", f"{folder / 'best.yaml'}   (your own file: {folder / 'native'})"
    own = folder / "native" / COMMAND
    typed = own.read_text(encoding="utf-8").strip() if own.is_file() else ""
    yield "train it", typed or python("trainables.train", [str(folder / "best.yaml")])
    if artifacts is not None:
        yield "its artifacts", str(artifacts)
    if pareto:
        yield "the front", f"{folder / 'pareto.csv'}   (each config: {folder / 'pareto'})"
    yield "all trials", str(folder / "trials.csv")
    words = shlex.split(look)
    yield "look at them", python(words[0], words[1:]) if words[0] == "mlflow" else look


def note(search: Search, verdict: Verdict | None, ahead: str = "") -> str:
    """The verdict in Markdown, for the search's run; `ahead`: what is to be known before it."""
    if verdict is None:
        return f"**{search.name}**: {ahead}no trial has a value."
    lines = [
        f"**{search.name}**: {ahead}{said(verdict)}",
        "",
        f"| config | {search.model.objective.metric} |",
        "|---|---|",
    ]
    lines += [f"| {candidate.name} | {candidate.estimate} |" for candidate in verdict.ranking]
    return "\n".join(lines)


def measures(verdict: Verdict | None) -> Mapping[str, float]:
    """The verdict's numbers, as metrics of the search's run."""
    if verdict is None:
        return {}
    found = {"confirmed_mean": verdict.winner.estimate.mean}
    if verdict.baseline is not None:
        found["baseline_mean"] = verdict.baseline.estimate.mean
    if verdict.gain is not None:
        found["gain"] = verdict.gain.mean
    return found


def _value(values: Mapping[str, Any], knob: str) -> str:
    if knob not in values:
        return NOT_ACTIVE
    return escape(short(values[knob]))
