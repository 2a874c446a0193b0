"""The forest in a whole search: learned from rungs on Ray, and nothing but the journal decides what it proposes."""

from pathlib import Path

import pytest

from search.app.stages import _past
from search.history.events import Proposed
from search.history.journal import read
from search.history.records import Records
from search.sampling.proposer import Proposer
from search.sampling.trial_history import Problem, Sampling, Scoring
from search.spec.plan import make_plan
from search.spec.resolve import resolve
from tests.integration.conftest import run

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CHANGES = ["sampler.kind=forest", "budget.trials=18", "confirm.seeds=0"]


def test_each_proposal_follows_from_the_journal_before_it(project: Path, environment: dict[str, str]) -> None:
    words = [word for change in CHANGES for word in ("--set", change)]
    code, output = run("search.run", ["search.yaml", "--name", "s", *words], project, environment)
    assert code == 0, output
    search = resolve(project / "search.yaml", CHANGES)
    events = read(project / "results/s/journal.jsonl")[0]
    modelled = 0
    for at, event in enumerate(events):
        if not isinstance(event, Proposed):
            continue
        known = Records(events[:at])
        rebuilt = Proposer(
            Problem(search.name, search.space, search.base, search.horizon, make_plan(search).rungs),
            Sampling("forest", 0),
            Scoring(search.model.objective.mode, search.model.objective.worst),
            None,
            [_past(trial, search) for trial in known.of_kind("search")],
        )
        assert rebuilt.propose(event.trial) == event.values
        assert rebuilt.origin(event.trial) == event.origin == ("forest" if event.trial else "baseline")
        modelled += sum(bool(trial.reports) for trial in known.of_kind("search")) >= 10
    assert modelled >= 4
