"""When only the trials at work can still change: nothing else is promoted after that, however they end."""

import random

from hypothesis import given
from hypothesis import strategies as st

from search.stopping.bracket import Bracket, Report, due
from search.stopping.rungs import Rule

RUNGS = (1, 3, 9)


class Play:
    """A search of so many trials on some workers; what each report says is drawn."""

    def __init__(self, trials: int, workers: int, seed: int, exempt: bool, late: float) -> None:
        self.drawn = random.Random(seed)  # noqa: S311
        first = {trial: RUNGS[1] if self.drawn.random() < late else 0 for trial in range(trials)}
        rule = Rule("promote", RUNGS, 3, "min", 0.8)
        self.bracket = Bracket(rule, exempt=lambda trial: exempt and trial == 0, settled=first.__getitem__)
        self.new, self.workers = list(range(trials)), workers
        self.steps: dict[int, int] = {}  # of the trials at work
        self.undecided: frozenset[int] | None = None  # once no other one can change any more
        self.proven = 0

    def fill(self) -> None:
        while len(self.steps) < self.workers:
            alone = not self.steps and not self.new
            trial = next(iter(due(self.bracket, self.steps, alone)), None)
            if trial is None and not self.new:
                return
            trial = self.new.pop(0) if trial is None else trial
            assert self.undecided is None or trial in self.undecided
            waited = self.bracket.waiting.get(trial)
            self.bracket.start(trial)
            self.steps[trial] = RUNGS[waited] if waited is not None else 0

    def report(self) -> None:
        trial = self.drawn.choice(list(self.steps))
        self.steps[trial] += 1
        fate = self.drawn.choices(("running", "ended", "diverged"), (20, 1, 1))[0]
        told = self.bracket.report(Report(trial, self.steps[trial], self.drawn.random(), fate))  # type: ignore[arg-type]
        if self.drawn.random() < 0.02:
            self.bracket.leave(trial)  # it failed for good
        elif told == "continue":
            return
        del self.steps[trial]

    def run(self) -> None:
        self.fill()
        while self.steps:
            self.report()
            self.fill()
            idle = not self.new and next(iter(due(self.bracket, self.steps, not self.steps)), None) is None
            if idle and self.bracket.at_their_end(self.steps) and self.undecided is None:
                self.undecided = frozenset(self.steps)
                self.proven += bool(self.steps)


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 10**6), st.booleans(), st.sampled_from((0.0, 0.3)))
def test_no_other_trial_is_promoted(trials: int, workers: int, seed: int, exempt: bool, late: float) -> None:
    """What is started after that is asserted at each start."""
    Play(trials, workers, seed, exempt, late).run()


def test_it_is_seen_while_trials_still_train() -> None:
    plays = [Play(27, 8, seed, exempt=False, late=0.0) for seed in range(20)]
    for play in plays:
        play.run()
    assert sum(play.proven for play in plays) > 10
