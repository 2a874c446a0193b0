import random
import re
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from small_search import proposed, reported, trial

from search.app.progress import panel, plain, view
from search.common.clock import now
from search.history.events import (
    Changed,
    Ended,
    Event,
    Forked,
    Paused,
    Phase,
    Promoted,
    Proposed,
    Reported,
    Retried,
    Started,
    StartReady,
    WarmStarted,
)
from search.history.records import Records
from search.report.progress import ProgressEstimate
from trainables.run import Objective

MAE = Objective("mae", "min", 1.0, "prior sd")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def outlook(*events: Event, planned: int = 100, objective: Objective = MAE, trials: int = 24) -> ProgressEstimate:
    return ProgressEstimate(Records(events), objective, "epoch", planned, trials)


def lines(*events: Event, objective: Objective = MAE) -> list[str]:
    """What is written for the events, one by one as they happen."""
    known = Records()
    written: list[str] = []
    shown = plain(ProgressEstimate(known, objective, "epoch", 100, 24), written.append)
    for event in events:
        known.apply(event)
        shown(event)
    return written


def terminal() -> Console:
    return Console(force_terminal=True, file=StringIO(), width=80, height=30, color_system=None, legacy_windows=False)


def output(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return ESCAPES.sub("", console.file.getvalue())


def rendered(seen: ProgressEstimate) -> str:
    """The panel as it stands on a terminal of 80 columns."""
    console = terminal()
    with panel(seen, console) as shown:
        shown(Phase("search", now()))
    return output(console)


# Plain lines.


def test_one_line_per_event_worth_telling() -> None:
    written = lines(
        Phase("search", 0.0),
        proposed(0, origin="baseline"),
        Started(0, "h", 1, "", 0.0),
        reported(0, 3, 0.51234567, seconds=2.34),
        Paused(0, 3, 0.0),
        Promoted(0, 3, 0.0),
        Changed(0, {"lr": 0.1}, 0.0),
        Retried(0, "worker died", 0.0),
        reported(0, 18, 0.4),
        Ended(0, "completed", "", 0.0),
        Phase("confirm", 0.0),
        *trial(1, 0.3, kind="confirm", origin="trial 0", seed=7, status="failed"),
        Phase("done", 0.0),
    )
    assert written == [
        "-- searching",
        "trial 0 (baseline): epoch 3, mae 0.5123 (2.3 s)",
        "trial 0 (baseline): waits at epoch 3",
        "trial 0 (baseline): goes on from epoch 3",
        "trial 0 (baseline): takes on {'lr': 0.1}",
        "trial 0 (baseline): failed, starts again from the beginning: worker died",
        "trial 0 (baseline): epoch 18, mae 0.4000 (1.0 s)",
        "trial 0 (baseline): completed at epoch 18, mae 0.4000, the best so far",
        "-- confirming on fresh seeds",
        "trial 0, seed 7: epoch 18, mae 0.3000 (1.0 s)",
        "trial 0, seed 7: failed at epoch 18",
        "-- done",
    ]


def test_an_end_gives_its_reason() -> None:
    assert lines(proposed(4), Ended(4, "diverged", "loss is nan at step 2", 0.0)) == [
        "trial 4: diverged at epoch 0: loss is nan at step 2"
    ]


@pytest.mark.parametrize(
    ("seed", "trained", "objective", "told"),
    [
        (None, 0, None, "start: net.pt, state 0123456789abcdef"),
        (None, 0, 0.25, "start: net.pt, mae 0.2500 there, state 0123456789abcdef"),
        (7, 4, 0.5, "start of seed 7: net.pt, mae 0.5000 there, state 0123456789abcdef (4 epochs trained, 2.3 s)"),
    ],
)
def test_what_trials_start_from_is_told(seed: int | None, trained: int, objective: float | None, told: str) -> None:
    ready = StartReady(seed, 4, "0123456789abcdef" * 4, "net.pt", trained, 2.34, objective, 0.0)
    assert lines(ready) == [told]


def test_what_is_taken_over_is_told() -> None:
    warm = WarmStarted("results/x", (), (), 3, "trial 1: another length", 0.0)
    told = "0 of 3 trials of results/x taken over as observations; 3 not, such as trial 1: another length"
    assert lines(warm) == [f"warning: warm start: {told}"]


def test_an_evaluation_that_was_copied_has_cost_nothing() -> None:
    forked = [*trial(0, 0.5), proposed(1), Forked(1, 0, 6, 0.0)]
    assert lines(*forked, reported(1, 6, 0.5), reported(1, 9, 0.4))[-2:] == [
        "trial 1: epoch 6, mae 0.5000 (replayed from trial 0)",
        "trial 1: epoch 9, mae 0.4000 (1.0 s)",
    ]
    free = lines(proposed(0), reported(0, 3, 0.5), Retried(0, "its machine is gone", 0.0, step=3, free=True))
    assert free[-1] == "trial 0: interrupted, starts again from its checkpoint at epoch 3: its machine is gone"


def test_off_a_terminal_lines_are_plain_long_and_without_markup() -> None:
    console = Console(file=StringIO(), width=40)
    values = {"[bold]x": 1.0, "[/red]": 2.0, "https://example.org/" + "a" * 60: 3.0}
    known = Records([proposed(0)])
    with view(ProgressEstimate(known, MAE, "epoch", 10, 24), console) as shown:
        shown(Changed(0, values, 0.0))
    assert output(console) == f"trial 0: takes on {values}\n"


# The numbers behind the panel.


def test_the_baseline_is_compared_with_what_the_best_trial_had_at_its_step() -> None:
    early = [proposed(0, origin="baseline"), reported(0, 3, 0.5), proposed(1)]
    assert outlook(*early).documented == "0.5000 at epoch 3"
    assert outlook(*early, reported(1, 3, 0.45)).documented == "0.5000 at epoch 3"
    further = outlook(*early, reported(1, 3, 0.45), reported(1, 9, 0.3))
    assert further.documented == "0.5000 at epoch 3 (the best there: 0.4500)"
    assert outlook(*early, reported(1, 9, 0.3)).documented == "0.5000 at epoch 3"
    assert outlook().documented == "–"


def test_trained_units_and_time_left() -> None:
    seen = outlook(proposed(0), reported(0, 20, 0.5), planned=100)

    def comes(event: Event) -> None:
        seen.records.apply(event)
        seen.note(event)

    assert seen.trained == 20 and seen.left(0.0) is None and seen.elapsed(0.0) == 0
    comes(Phase("search", 1000.0))
    comes(proposed(1, at=1030.0))
    comes(reported(1, 10, 0.5, at=1060.0))
    assert seen.trained == 30 and seen.left(1060.0) is None  # the minute before it was Ray's start
    comes(reported(1, 20, 0.5, at=1065.0))
    assert seen.left(1065.0) == pytest.approx(5.0 / 10 * 60)
    comes(Phase("confirm", 1070.0))
    assert seen.left(1075.0) == pytest.approx(30.0 - 10.0) and seen.elapsed(1075.0) == 75.0
    comes(Phase("confirm", 2000.0))  # taken up again: an earlier sitting's pace says nothing about this one's
    assert seen.left(2000.0) is None and seen.elapsed(2001.0) == 1.0
    comes(reported(0, 200, 0.5, at=2010.0))
    comes(proposed(2))
    comes(reported(2, 1, 0.5, at=2020.0))
    assert seen.left(2020.0) == 0


def test_best_is_the_best_of_those_trained_furthest() -> None:
    events = [
        *trial(0, 0.5, origin="baseline"),
        *trial(1, 0.4),
        *trial(2, 0.01, step=6, status="stopped"),
        *trial(3, 0.0, status="diverged"),
        *trial(4, 0.4),
        *trial(5, 0.001, kind="confirm", origin="trial 1"),
    ]
    best = outlook(*events).best
    assert best is not None and best.number == 1
    highest = outlook(*events, objective=Objective("accuracy", "max", 0.0, "share")).best
    assert highest is not None and highest.number == 0
    assert outlook().best is None and outlook(proposed(0)).best is None


# The panel.


def test_the_panel_shows_what_runs_the_best_and_the_baseline() -> None:
    running: list[Event] = [proposed(2), Started(2, "h", 1, "", 0.0), reported(2, 4, 0.45678)]
    fresh: list[Event] = [proposed(3), Started(3, "h", 1, "", 0.0)]
    text = rendered(outlook(*trial(0, 0.5, origin="baseline"), *trial(1, 0.4), *running, *fresh, planned=400))
    assert "-- searching" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["running", "epoch", "mae"] in rows
    assert ["trial", "2", "4", "0.4568"] in rows and ["trial", "3", "0", "–"] in rows
    assert "best 0.4000 at epoch 18   baseline 0.5000 at epoch 18" in text
    assert "trial 1: lr 0.002" in text and "2 of 24 trials over" in text
    assert re.search(r"━ +40 of about 400 epochs, 0 s\n", text)
    assert not any(row[:2] == ["trial", "1"] for row in rows)  # over


def test_the_panel_of_a_search_that_has_just_begun() -> None:
    text = rendered(outlook(planned=0))
    assert "best –   baseline –" in text and "0 of about 0 epochs" in text


def test_the_panel_counts_what_went_wrong_and_the_confirmations_once_they_begin() -> None:
    seen = outlook(
        *trial(0, 0.5), *trial(1, 0.4, status="failed"), proposed(2), Retried(2, "worker died", 0.0), trials=3
    )
    assert seen.counts == "2 of 3 trials over, 1 failed, 1 started again"
    for event in (*trial(3, 0.5, kind="confirm", origin="trial 0"), proposed(4, kind="confirm", origin="trial 0")):
        seen.records.apply(event)
    assert "and 1 of 2 confirmations over" in seen.counts


def test_the_panel_fits_80_columns_and_more_epochs_than_planned() -> None:
    events = [event for n in range(12) for event in (proposed(n), Started(n, "h" * 90, 1, "g" * 90, 0.0))]
    text = rendered(outlook(*events, reported(0, 10**7, 0.5), planned=50))
    assert max(map(len, text.splitlines())) <= 80
    assert "10000000 of about 50 epochs" in text


def test_lines_above_the_panel_are_ends_retries_and_phases() -> None:
    console = terminal()
    known = Records()
    with panel(ProgressEstimate(known, MAE, "epoch", 10, 24), console) as shown:
        for event in (*trial(0, 0.5), Retried(0, "worker died", 0.0), Paused(0, 18, 0.0)):
            known.apply(event)
            shown(event)
    text = output(console)
    assert "trial 0: completed at epoch 18, mae 0.5000, the best so far" in text and "worker died" in text
    assert "waits at" not in text and "(1.0 s)" not in text


def test_names_and_reasons_are_no_markup() -> None:
    """A knob named like a tag must neither vanish, nor style the rest, nor end the search with an error."""
    console = Console(force_terminal=True, file=StringIO(), width=80, height=30, color_system="standard")
    odd = Objective("[bold]mae", "min", 1.0, "x")
    trials = [proposed(0, {"[bold]x": 1.0}), proposed(1, kind="confirm", origin="[/red]")]
    known = Records([*trials, *(Started(n, "h", 1, "", 0.0) for n in (0, 1))])
    with panel(ProgressEstimate(known, odd, "[blue]epoch", 10, 24), console) as shown:
        for event in (Retried(0, "no knob '[bold]x' [/nope]", 0.0), Ended(0, "failed", "[red]bad[/red]", 0.0)):
            shown(event)
    text = output(console)
    assert "no knob '[bold]x' [/nope]" in text and "[red]bad[/red]" in text
    panel_at_the_end = text[text.rindex("running") :]
    assert "[bold]mae" in panel_at_the_end and panel_at_the_end.count("[blue]epoch") == 2
    assert "[/red], seed 0" in panel_at_the_end


def test_a_terminal_gets_the_panel() -> None:
    on_terminal, elsewhere, verbose = terminal(), Console(file=StringIO()), terminal()
    for console, detail in ((on_terminal, "normal"), (elsewhere, "normal"), (verbose, "verbose")):
        with view(outlook(), console, detail) as shown:
            shown(Phase("search", 0.0))
    assert "starting workers" in output(on_terminal)
    assert output(elsewhere) == output(verbose) == "-- searching\n"
    for console in (terminal(), Console(file=StringIO())):
        with view(outlook(), console, "quiet") as shown:
            shown(Phase("search", 0.0))
        assert isinstance(console.file, StringIO) and console.file.getvalue() == ""


@given(rng=st.randoms(use_true_random=False))
def test_the_best_that_is_followed_is_the_one_that_all_trials_would_name(rng: random.Random) -> None:
    """Told event by event and asked now and then, as against one that has to look at all trials."""
    events: list[Event] = [Proposed(n, {}, 0, "search" if n < 5 else "confirm", "random", 0.0) for n in range(6)]
    steps, left = [0] * 6, set(range(6))
    while left:
        number = rng.choice(sorted(left))
        if rng.random() < 0.2:
            left.remove(number)
            events.append(Ended(number, rng.choice(["diverged", "failed", "completed", "stopped"]), "", 0.0))
        else:
            steps[number] += 1
            events.append(Reported(number, steps[number], {"objective": rng.choice([0.1, 0.2, 0.3])}, 1.0, 0.0))
    told = outlook()
    for count, event in enumerate(events, 1):
        told.records.apply(event)
        told.note(event)
        if rng.random() < 0.5:
            whole = outlook(*events[:count]).best
            assert (told.best and told.best.number) == (whole and whole.number)
