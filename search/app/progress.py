"""What a person sees while the search runs: a live panel on a terminal, one plain line per event elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.app.invocation import Detail
from search.common.clock import now
from search.common.quantities import decimals
from search.history.events import Ended, Event, Listener, Phase, Retried, StartReady, WarmStarted
from search.report.progress import ProgressEstimate, knobs_of, line, name_of, span


def plain(outlook: ProgressEstimate, write: Callable[[str], None]) -> Listener:
    """Writes one line per event, if it has one."""

    def show(event: Event) -> None:
        outlook.note(event)
        text = line(event, outlook)
        if text is not None:
            write(text)

    return show


@contextmanager
def panel(outlook: ProgressEstimate, console: Console) -> Iterator[Listener]:
    """A live panel: running trials, best against the baseline, trials over and units trained of those planned, time.
    Above it a line is left for what should stay on screen."""

    def show(event: Event) -> None:
        outlook.note(event)
        text = line(event, outlook)
        if text is not None and isinstance(event, Ended | Retried | Phase | WarmStarted | StartReady):
            console.print(text, highlight=False, markup=False)

    with Live(console=console, get_renderable=lambda: _rendered(outlook), refresh_per_second=2, transient=True):
        yield show


def _rendered(outlook: ProgressEstimate) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("running", outlook.unit, outlook.objective.metric):
        table.add_column(Text(column))  # Text: nothing in a name is markup
    for trial in outlook.records.at_work():
        value = "–" if trial.objective is None else decimals(trial.objective)
        table.add_row(Text(name_of(trial)), str(trial.step), value)
    if not table.rows:
        table.add_row("starting workers …")
    at = now()
    trained, left, best = outlook.trained, outlook.left(at), outlook.best
    share = Table.grid(padding=(0, 1))
    share.add_row(
        ProgressBar(total=max(outlook.planned, 1), completed=min(trained, outlook.planned), width=20),
        Text(
            f"{trained} of about {outlook.planned} {outlook.unit}s, {span(outlook.elapsed(at))}"
            + (f", about {span(left)} left" if left is not None else "")
        ),
    )
    values = f"best {outlook.value(best)}   baseline {outlook.documented}"
    knobs = [_line(f"{name_of(best)}: {knobs_of(best)}")] if best is not None and best.values else []
    return Group(table, _line(values), *knobs, _line(outlook.counts), share)


def _line(text: str) -> Text:
    """One line, cut at the terminal's width."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def view(outlook: ProgressEstimate, console: Console, detail: Detail = "normal") -> AbstractContextManager[Listener]:
    """What shows each event that the records have taken in: the panel on a terminal, plain lines otherwise and where
    all is to be told."""
    if console.is_terminal and detail == "normal":
        return panel(outlook, console)

    def write(text: str) -> None:  # not through rich, which costs the driver 40 us a line: each evaluation has one
        console.file.write(f"{text}\n")
        console.file.flush()

    silent = console.quiet or detail == "quiet"
    return nullcontext(plain(outlook, (lambda text: None) if silent else write))  # noqa: ARG005
