"""The main charts as PNG files, for papers and for MLflow: the page's colours on white ground."""

import io
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from search.report.data import robust_range
from search.report.findings import Findings
from search.report.palette import LIGHT
from trainables.run import OBJECTIVE

DPI = 160
COLUMNS = 3  # of the schedule's small multiples
KNOBS = 12  # that the importance shows


def draw(found: Findings) -> Iterator[tuple[str, bytes]]:
    """(file name, PNG) of each figure that the search has something to show in."""
    if found.course.ends:
        yield "best_so_far.png", _png(_best(found))
        yield "curves.png", _png(_curves(found))
    if any(not course.constant for course in found.schedules.courses):
        yield "schedule.png", _png(_schedule(found))
    if found.importance is not None:
        yield "importance.png", _png(_importance(found))


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    FigureCanvasAgg(figure)  # the figure's own canvas from here on: no window, no state shared with pyplot
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _blank(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor=LIGHT.ground)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color=LIGHT.grid, linewidth=0.8)
        ax.set_axisbelow(True)
        ax.tick_params(labelsize=8, colors=LIGHT.muted)
    return figure, list(axes.flat)


def _finish(found: Findings, ax: Axes, along: str) -> None:
    """Name the axes, of the objective and `along` what, and the lines."""
    objective = found.material.model.objective
    unit = "" if objective.unit == objective.metric else f" ({objective.unit})"
    ax.set_ylabel(objective.metric + unit, fontsize=9)
    ends = robust_range(found.material)
    if ends is not None:
        ax.set_ylim(*ends)
    ax.set_xlabel(along, fontsize=9)
    ax.legend(frameon=False, fontsize=8)


def _best(found: Findings) -> Figure:
    figure, (ax,) = _blank(6.4, 3.8)
    course = found.course
    ax.scatter(
        [p.steps for p in course.ends], [p.value for p in course.ends], s=12, color=LIGHT.stopped, label="a trial's end"
    )
    if course.best:
        steps = [*(p.steps for p in course.best), course.steps]
        values = [*(p.value for p in course.best), course.best[-1].value]
        ax.step(steps, values, where="post", color=LIGHT.new, linewidth=2, label="best trained in full")
    if course.baseline is not None:
        ax.axhline(course.baseline, color=LIGHT.documented, linestyle="--", linewidth=1.6, label="documented")
    _finish(found, ax, f"{found.material.unit}s trained by all trials")
    return figure


def _curves(found: Findings) -> Figure:
    material = found.material
    figure, (ax,) = _blank(6.4, 3.8)
    verdict = material.verdict
    marked = {material.records.baseline.number} if material.records.baseline is not None else set[int]()
    if verdict is not None:
        marked.add(verdict.winner.trial)
    groups = (("stopped", LIGHT.stopped), ("diverged", LIGHT.diverged), ("", LIGHT.other))
    named = {status for status, _ in groups}
    for status, colour in groups:
        lines = [
            [(float(r.step), r.metrics[OBJECTIVE]) for r in t.reports]
            for t in material.trials
            if t.reports and t.number not in marked and (t.status == status or (not status and t.status not in named))
        ]
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=0.8, label=status or "trained on"))
    for number in sorted(marked):
        trial = material.records.trials[number]
        name, colour = ("documented", LIGHT.documented) if trial.baseline else (f"trial {number} (new)", LIGHT.new)
        steps, values = [r.step for r in trial.reports], [r.metrics[OBJECTIVE] for r in trial.reports]
        ax.plot(steps, values, color=colour, linewidth=2.2, label=name)
    for rung in material.rungs[:-1]:
        ax.axvline(rung, color=LIGHT.muted, linewidth=0.8, linestyle=":")
    ax.set_xlim(material.records.begins, material.horizon)
    _finish(found, ax, f"{material.unit} (dotted: rungs)")
    return figure


def _schedule(found: Findings) -> Figure:
    moving = [course for course in found.schedules.courses if not course.constant]
    columns = min(COLUMNS, len(moving))
    rows = -(-len(moving) // columns)
    figure, axes = _blank(3.0 * columns + 0.6, 2.1 * rows + 0.4, rows, columns)
    steps = [*found.schedules.steps, found.material.horizon]
    for ax, course in zip(axes, moving, strict=False):
        _held(ax, steps, course.documented, LIGHT.documented, "documented", "--")
        _held(ax, steps, course.new, LIGHT.new, "new", "-")
        if course.seen_new:
            ax.plot(*zip(*course.seen_new, strict=True), "o", markersize=3, color=LIGHT.new)
        ax.set_title(course.name, fontsize=9, loc="left")
        ax.set_xlabel(found.material.unit, fontsize=8)
        if course.logarithmic:
            ax.set_yscale("log")
    for ax in axes[len(moving) :]:
        ax.set_visible(False)
    axes[0].legend(frameon=False, fontsize=7)
    return figure


def _held(ax: Axes, steps: Sequence[int], values: Sequence[float] | None, colour: str, name: str, style: str) -> None:
    if values is not None:
        ax.step(steps, [*values, values[-1]], where="post", color=colour, linestyle=style, linewidth=1.8, label=name)


def _importance(found: Findings) -> Figure:
    known = found.importance
    assert known is not None, "asked for only where there is one"
    knobs = list(known.knobs[:KNOBS])[::-1]
    figure, axes = _blank(7.2, 0.28 * len(knobs) + 1.2, 1, 2)
    shares, drops = known.ped_anova[: len(knobs)][::-1], known.permutation[: len(knobs)][::-1]
    for ax, values, name, colour in (
        (axes[0], shares, "PED-ANOVA (share)", LIGHT.new),
        (axes[1], drops, "permutation (share of variance)", LIGHT.confirm),
    ):
        ax.barh(knobs, values, color=colour, height=0.62)
        ax.set_xlabel(name, fontsize=8)
    axes[1].set_yticklabels([])
    level = known.level
    figure.suptitle(f"{len(level.trials)} trials at {found.material.unit} {level.step}", fontsize=9)
    return figure
