"""What to do after a search, and what weakens its verdict."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from search.report.anytime import Anytime
from search.report.changes import Change
from search.report.material import Material
from search.report.shown import count, share
from search.results.verdict import TELLING, Verdict
from search.simulate.advice import Advice
from search.simulate.fairness import RungCheck

ADVISED_SEEDS = 5
"""An interval of fewer rests on little."""
CUT = 0.5
"""From this chance on that a rung would stop the best trial, the reader is told at the top."""
LATE = 0.7
"""A best config among the last 30% of the proposals says that the search had not levelled off."""


@dataclass(frozen=True)
class Step:
    """Something to do: why, and what to type (empty where there is nothing to type)."""

    what: str
    command: str = ""
    note: str = ""


def place(material: Material) -> str:
    """The folder as people type it from the project's root; nothing of the machine's own paths."""
    return f"{material.folder.parent.name}/{material.folder.name}" if material.folder.parent.name else material.name


def doubts(
    verdict: Verdict | None, checks: Sequence[RungCheck], material: Material, advice: Advice | None
) -> Iterator[str]:
    """What weakens the verdict, weightiest first."""
    if verdict is None or material.standing.state == "failed":
        return
    gain, unit = verdict.gain, material.unit
    if gain is not None and gain.low is not None and gain.n < ADVISED_SEEDS:
        yield f"Only {count(gain.n, 'fresh seed')}: the interval rests on little."
    if gain is not None and gain.low is not None and gain.high is not None and 0 < gain.low < gain.mean / 4:
        yield "The gain's interval nearly reaches zero."
    if advice is not None and advice.had is not None:
        if not advice.safe:  # what to do instead is among the next steps
            lost = share(1 - advice.had.kept)
            yield f"Early stopping from {unit} {advice.had.first_rung} on loses the winner in {lost} of replays."
        return
    for check in checks[:-1]:  # too few trained in full for replays
        if check.cut_best is not None and check.cut_best >= CUT:
            known = f" (rank correlation {check.correlation:.2f})" if check.correlation is not None else ""
            yield (
                f"The rung at {unit} {check.step} says little about the end{known}: of {check.compared} trials trained "
                "to the end the best would often have been stopped there. Next time start the rungs later "
                "(early_stopping.first_rung)."
            )
            break


def next_steps(
    material: Material, verdict: Verdict | None, course: Anytime, changes: Sequence[Change], advice: Advice | None
) -> Iterator[Step]:
    """What to do next, in order. `advice`: what the curves say about the first rung, if anything."""
    where = place(material)
    yield from _state_steps(material, where)
    if verdict is None:
        return
    if material.best and verdict.winner is not verdict.baseline and verdict.to_switch:
        seed = material.best.get("seed")
        yield Step(
            "Train the new config:" if verdict.decision == "switch" else "Train the best config so far:",
            shlex.join(["python", "-m", "trainables.train", f"{where}/best.yaml"]),
            f"Repeats the run of seed {seed} to the last digit. Your own file with the new values: {where}/native.",
        )
    if verdict.decision == "undecided" and material.done:
        yield from _more_seeds(material, verdict)
    if verdict.decision == "unconfirmed" and material.done:
        yield Step(
            "Train the best configs on fresh seeds: the search's command again, with",
            "--set confirm.seeds=auto",
        )
    edges = [change for change in changes if change.edge]
    if edges and verdict.decision != "unconfirmed":
        names = ", ".join(f"{change.path} = {change.new}" for change in edges[:4])
        at_end = "lies at an end of its domain" if len(edges) == 1 else "lie at ends of their domains"
        yield Step(
            f"Search on in a wider space, if values beyond make sense: {names} {at_end}. Widen it there, and add",
            "--fork NAME",
            "to the search's command: it takes all trials along.",
        )
    if material.done and len(course.best) > 1 and course.best[-1].trial >= LATE * len(material.trials):
        yield Step(
            "Search on: the best config came late, so more trials may find a better one. The same command with",
            f"--set budget.trials={2 * material.asked}",
        )
    if advice is not None and advice.instead:
        yield Step(f"Next time: {advice.text}.")
    if verdict.decision == "keep" and verdict.winner is verdict.baseline:
        yield Step("Nothing to change. Search other knobs, or a wider space, if you expect more.")


def _more_seeds(material: Material, verdict: Verdict) -> Iterator[Step]:
    """How an undecided verdict may be decided, where its gains say so."""
    key = "confirm.seeds" if material.confirm.most is None else "confirm.max"
    again = "The search's command again, with"
    note = "Trained seeds count again. Confirmed in two goes, a search is wrong in up to 4.2% of cases, not 2.5%."
    if verdict.needed is not None:
        what = f"About {verdict.needed} seeds would decide it in 3 of 4 cases. {again}"
        yield Step(what, f"--set {key}={verdict.needed}", note)
    elif verdict.gain is None or verdict.gain.n < TELLING:
        seeds = count(0 if verdict.gain is None else verdict.gain.n, "seed")
        yield Step(f"{seeds} can't tell how much trainings scatter. {again}", "--set confirm.seeds=auto")


def _state_steps(material: Material, where: str) -> Iterator[Step]:
    """What the state of the search asks for, whatever its numbers say."""
    match material.standing.state:
        case "starting" | "searching" | "confirming":
            yield Step(
                "The search runs. Make this page again for newer values:",
                shlex.join(["python", "-m", "search.report", where]),
            )
        case "interrupted":
            yield Step("Go on with the search: type its command again, and it continues where it is.")
        case "failed":
            yield Step(
                "Mend the cause (a setting on the command line may be it), then type the search's command again: it "
                "continues where it is. After a change of your own code or of what is searched add --fork NAME: a new "
                "search takes the trials along."
            )
        case "done":
            pass
