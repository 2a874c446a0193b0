"""A search that explains its winner and hands over a part of its changes, on real Ray; cut off there and taken up."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from search import run
from search.history.events import Ended
from search.history.journal import Journal, read
from search.history.records import Records
from spaces import strict_yaml
from trainables import train

OWN = Path(__file__).parents[2] / "configs" / "own" / "model"
SEARCH = """\
model: faded/spec.py
data: {points: 64}
space:                     # without the documented rate, with which little is learnt in so few steps
  lr: {float: [0.08, 0.1]}
  warmup_steps: {int: [0, 2]}
  noise_steps: {int: [20, 30]}
knobs: [lr, warmup_steps, noise_steps]
budget: {trials: 8, steps: 40, evaluate_every: 10}
early_stopping: {kind: none}
sampler: {kind: random}
confirm: {top: 1, seeds: 4, explain: true, parsimony: 0.5}
check: null
"""


@pytest.mark.integration
@pytest.mark.slow
def test_the_winner_is_explained_and_a_part_of_it_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "cache"))
    shutil.copytree(OWN / "faded", tmp_path / "faded")
    (tmp_path / "s.yaml").write_text(SEARCH, encoding="utf-8")
    words = [str(tmp_path / "s.yaml"), "--results", str(tmp_path / "results"), "--name", "x"]
    folder = tmp_path / "results" / "x"
    assert run.main(words) == 0
    best, trials = strict_yaml.load(folder / "best.yaml"), pd.read_csv(folder / "trials.csv")
    explaining = trials[trials.kind == "explain"]
    assert len(explaining) == 2 * 4 and set(explaining.status) == {"completed"}
    provenance = best["provenance"]
    changes, by_seed = provenance["changes"], provenance["confirmed"]["by_seed"]
    assert changes["of"] == 3 and changes["kept"] < 3 and provenance["gain"]["low"] > 0
    whose = f"trial {provenance['trial']}, {changes['kept']} of 3 changes"
    runs = explaining[explaining.origin == whose]
    assert dict(zip(runs.seed, runs.objective, strict=True)) == by_seed
    assert list(folder.glob(f"trials/t{runs.number.min():04d}/checkpoints/*.pt"))  # of the run that best.yaml repeats
    assert "with" in provenance["why"] and "brings there" in (folder / "report.html").read_text(encoding="utf-8")
    assert train.main([str(folder / "best.yaml")]) == 0
    assert "equal to the last digit" in capsys.readouterr().out

    events = read(folder / "journal.jsonl")[0]
    known = Records(events).trials
    over = [i for i, e in enumerate(events) if isinstance(e, Ended) and known[e.trial].proposed.kind == "explain"]
    for name in ("journal.jsonl", ".journal.jsonl.head"):
        (folder / name).unlink()
    with Journal(folder / "journal.jsonl") as journal:
        for event in events[: over[2] + 1]:
            journal.append(event)
    assert run.main(words) == 0
    again = strict_yaml.load(folder / "best.yaml")
    assert {**again, "provenance": None} == {**best, "provenance": None}
    assert again["provenance"]["confirmed"] == provenance["confirmed"] and again["provenance"]["changes"] == changes
    assert pd.read_csv(folder / "trials.csv").drop(columns="seconds").equals(trials.drop(columns="seconds"))
