"""What to do after a search, and what weakens its verdict."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy import stats

from search.report.anytime import Anytime
from search.report.changes import Change
from search.report.material import Material
from search.report.shown import count, share
from search.results.confirm import LEVEL, Estimate, Verdict
from search.simulate.fairness import RungCheck

MOST_SEEDS = 40
"""More than so many are not advised: then the gain is too small to matter at this cost."""
FEWEST_SEEDS, ADVISED_SEEDS = 3, 5
"""From two seeds the scatter between seeds is a guess, and so is any number of seeds that it would take."""
CUT = 0.5
"""From this chance on that a rung stopped the best trial, the reader is told at the top."""
LATE = 0.7
"""A best config among the last 30% of the proposals says that the search had not levelled off."""

_INSTEAD = "instead of"
"""Advice on the first rung that says to change it."""


@dataclass(frozen=True)
class Step:
    """Something to do: why, and what to type (empty where there is nothing to type)."""

    what: str
    command: str = ""
    note: str = ""


def place(material: Material) -> str:
    """The folder as people type it from the project's root; nothing of the machine's own paths."""
    return f"{material.folder.parent.name}/{material.folder.name}" if material.folder.parent.name else material.name


def doubts(verdict: Verdict | None, checks: Sequence[RungCheck], material: Material) -> Iterator[str]:
    """What weakens the verdict, weightiest first."""
    if verdict is None or material.standing.state == "failed":
        return
    gain, unit = verdict.gain, material.unit
    if gain is not None and gain.low is not None and gain.n < ADVISED_SEEDS:
        yield f"Only {count(gain.n, 'fresh seed')}: the interval rests on little."
    if gain is not None and gain.low is not None and gain.high is not None and 0 < gain.low < gain.mean / 4:
        yield "The gain's interval nearly reaches zero."
    for check in checks[:-1]:
        if check.cut_best is not None and check.cut_best >= CUT:
            known = f" (rank correlation {check.correlation:.2f})" if check.correlation is not None else ""
            yield (
                f"The rung at {unit} {check.step} says little about the end{known}: it stopped the best trial with a "
                f"chance of {share(check.cut_best)}. Next time start the rungs later (early_stopping.first_rung)."
            )
            break
    if len(verdict.ranking) > 2 and verdict.decision == "switch":
        yield (
            f"The interval counts one comparison, but the best of {len(verdict.ranking) - 1} candidates was taken: a "
            "wrong switch is somewhat likelier than 2.5%."
        )


def next_steps(
    material: Material, verdict: Verdict | None, course: Anytime, changes: Sequence[Change], advice: str | None
) -> Iterator[Step]:
    """What to do next, in order. `advice`: what the curves say about the first rung, if anything."""
    where = place(material)
    yield from _state_steps(material, where)
    if verdict is None:
        return
    if material.best and verdict.winner is not verdict.baseline and verdict.decision != "keep":
        seed = material.best.get("seed")
        yield Step(
            "Train the new config:" if verdict.decision == "switch" else "Train the best config so far:",
            f"python -m trainables.train {where}/best.yaml",
            f"Repeats the run of seed {seed} to the last digit. Your own file with the new values: {where}/native.",
        )
    if verdict.decision == "keep" and verdict.winner is not verdict.baseline:
        yield from _more_seeds(verdict)
    if verdict.decision == "unconfirmed" and material.done:
        yield Step(
            "Train the best configs on fresh seeds: the search's command again, with",
            f"--set confirm.seeds={ADVISED_SEEDS}",
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
    if advice is not None and _INSTEAD in advice:
        yield Step(f"Next time: {advice}.")
    if verdict.decision == "keep" and verdict.winner is verdict.baseline:
        yield Step("Nothing to change. Search other knobs, or a wider space, if you expect more.")


def _more_seeds(verdict: Verdict) -> Iterator[Step]:
    if verdict.gain is not None and verdict.gain.n < FEWEST_SEEDS:
        yield Step(
            f"{count(verdict.gain.n, 'seed')} can't tell how much trainings scatter. The search's command again, with",
            f"--set confirm.seeds={ADVISED_SEEDS}",
        )
        return
    needed = seeds_needed(verdict.gain)
    if needed is None:
        yield Step("The best config found is no better on fresh seeds. Search other knobs, or a wider space.")
    elif needed > MOST_SEEDS:
        yield Step(f"It would take over {MOST_SEEDS} seeds to tell this gain from chance: it is too small to pay for.")
    else:
        yield Step(
            f"About {needed} seeds would decide it, if gain and scatter stay so. The search's command again, with",
            f"--set confirm.seeds={needed}",
        )


def seeds_needed(gain: Estimate | None) -> int | None:
    """The least number of seeds at which a gain with this mean and scatter has an interval above zero.

    The least n > 1 with t(n − 1) · s / √n < mean. None where the mean isn't above zero, or its scatter isn't known;
    MOST_SEEDS + 1 where more than that are needed.
    """
    if gain is None or gain.low is None or gain.mean <= 0:
        return None

    def quantile(n: int) -> float:
        return float(stats.t.ppf((1 + LEVEL) / 2, n - 1))

    scatter = (gain.mean - gain.low) * gain.n**0.5 / quantile(gain.n)
    fitting = (n for n in range(2, MOST_SEEDS + 1) if quantile(n) * scatter / n**0.5 < gain.mean)
    return next(fitting, MOST_SEEDS + 1)


def _state_steps(material: Material, where: str) -> Iterator[Step]:
    """What the state of the search asks for, whatever its numbers say."""
    match material.standing.state:
        case "starting" | "searching" | "confirming":
            yield Step("The search runs. Make this page again for newer values:", f"python -m search.report {where}")
        case "interrupted":
            yield Step("Go on with the search: type its command again, and it continues where it is.")
        case "failed":
            yield Step(
                "Mend the cause (a setting on the command line may be it), then type the search's command again: it "
                "continues where it is."
            )
        case "done":
            pass
