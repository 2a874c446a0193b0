"""The numbers on a report's page are those of the tables beside it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_text import data_of, numbers, text_of, words

from search.history.events import Ended, Reported
from search.history.journal import Journal
from search.report.build import write
from search.report.findings import Findings, find
from search.report.material import gather
from search.results.ablation import Setting
from search.results.explain import explaining
from spaces import strict_yaml
from tests.search.report.conftest import copied


def test_every_curve_is_the_one_in_the_history(finished: Path) -> None:
    told = data_of(text_of(finished))
    history = pd.read_parquet(finished / "history.parquet")
    starts, steps, values = (numbers(told["curves"][key]) for key in ("starts", "steps", "values"))
    assert len(values) == len(history) and told["curves"]["stride"] == 1
    for index, number in enumerate(told["trials"]["number"]):
        own = history[history.trial == number]
        part = slice(starts[index], starts[index + 1])
        assert (steps[part] * told["curves"]["every"]).tolist() == own.step.tolist()
        assert values[part].tolist() == own.objective.astype("float32").tolist()


def test_every_trial_is_the_one_in_the_table(finished: Path) -> None:
    told = data_of(text_of(finished))
    table = pd.read_csv(finished / "trials.csv")
    for column in ("number", "kind", "origin", "status", "steps", "seed"):
        assert told["trials"][column] == table[column].tolist()
    assert [v for v in told["trials"]["objective"] if v is not None] == table.objective.dropna().tolist()
    for knob, values in zip(told["knobs"], told["trials"]["knobs"], strict=True):
        expected = table[knob["path"]].tolist()
        assert [np.nan if v is None else v for v in values] == pytest.approx(expected, rel=1e-7, nan_ok=True)


def test_best_so_far_is_the_running_best_of_what_was_trained_in_full(finished: Path) -> None:
    told = data_of(text_of(finished))
    history = pd.read_parquet(finished / "history.parquet")
    own = history[history.kind == "search"].sort_values("at", kind="stable")
    trained = own.groupby("trial").step.diff().fillna(own.step).cumsum()
    full = own[(own.step == own.step.max()) & (own.objective < 1.0)]
    best = full.objective.cummin()
    improved = full[best.diff().fillna(-1) < 0]
    course = told["course"]["best"]
    assert course["value"] == improved.objective.tolist() and course["trial"] == improved.trial.tolist()
    assert course["steps"] == trained[improved.index].tolist()
    assert told["course"]["whole"]["steps"] == own.groupby("trial").step.max().sum()
    assert told["course"]["baseline"] == own[own.trial == 0].objective.iloc[-1]


def test_the_changes_lead_from_the_documented_config_to_the_new_one(finished: Path, found: Findings) -> None:
    assert found.way is not None and found.material.verdict is not None
    changed = {change.path: (change.documented, change.new) for change in found.changes if change.differs}
    told = {path: (before, after) for row in found.way.rows for path, before, after in row.knobs if row.acts}
    assert told == changed
    shares = [row.share for row in found.way.rows if row.share is not None]
    assert sum(shares) == pytest.approx(1)
    section = words(text_of(finished).partition('id="ablation"')[2].partition("</section>")[0])
    assert all(path in section.replace(" ", "") for path in told) and "learnt from the search's trials" in section


def explained(finished: Path, found: Findings, folder: Path, gain: float) -> Path:
    """A copy of the folder in which each config on the way to the winner gains so much on every fresh seed."""
    material = found.material
    copied(finished, folder, 10**6)
    setting = Setting(material.space, material.base, material.model, material.horizon, material.rungs)
    runs = explaining(material.records, setting, material.confirm.most, 0.0)
    verdict = material.verdict
    assert verdict is not None and verdict.baseline is not None and runs
    with Journal(folder / "journal.jsonl") as journal:
        for run in runs:
            value = verdict.baseline.by_seed[run.seed] - gain
            journal.append(run)
            journal.append(Reported(run.trial, material.horizon, {"objective": value}, 1.0, 0.0))
            journal.append(Ended(run.trial, "completed", "", 0.0))
    return folder


def test_what_each_change_brings_on_fresh_seeds_stands_beside_what_was_predicted(
    finished: Path, found: Findings, tmp_path: Path
) -> None:
    folder, verdict = explained(finished, found, tmp_path / "s", 0.01), found.material.verdict
    assert verdict is not None and verdict.baseline is not None
    way = find(gather(folder)).way
    assert way is not None and found.way is not None and found.way.confirmed is None
    assert way.confirmed is not None and way.confirmed.mean == pytest.approx(verdict.baseline.estimate.mean)
    brought = [row.brought.mean for row in way.rows if row.brought is not None]
    assert brought[:2] == pytest.approx([0.01, 0.0]) and len(brought) == len(way.rows)
    assert verdict.gain is not None and sum(brought) == pytest.approx(verdict.gain.mean)
    text = words(write(folder).read_text(encoding="utf-8"))
    assert "brings there" in text and "share of the predicted gain" in text and not way.needed
    settings = strict_yaml.load(folder / "search.yaml")
    settings["confirm"] |= {"explain": True, "parsimony": 0.1}
    (folder / "search.yaml").write_text(strict_yaml.dumps(settings), encoding="utf-8")
    assert "The new config has all 7 changes: without the last" in words(write(folder).read_text(encoding="utf-8"))


def test_where_a_part_of_the_changes_is_handed_over_the_page_tells_its_own_numbers(
    finished: Path, found: Findings, tmp_path: Path
) -> None:
    gain = found.material.verdict.gain if found.material.verdict is not None else None
    assert gain is not None
    folder = explained(finished, found, tmp_path / "s", 0.95 * gain.mean)
    settings = strict_yaml.load(folder / "search.yaml")
    settings["confirm"] |= {"explain": True, "parsimony": 0.1}
    (folder / "search.yaml").write_text(strict_yaml.dumps(settings), encoding="utf-8")
    told = find(gather(folder))
    verdict = told.material.verdict
    assert verdict is not None and verdict.gain is not None and verdict.winner.part == (1, 7)
    assert verdict.gain.mean == pytest.approx(0.95 * gain.mean) and verdict.whole_gain == gain
    assert sum(change.differs for change in told.changes) == 1 and told.way is not None and told.way.kept == 1
    text = words(write(folder).read_text(encoding="utf-8"))
    assert "It has 1 of the 7 changes of trial" in text and "The new config has 1 of the 7 changes" in text
    assert f"New ({verdict.winner.name})" in text


def test_scores_at_each_rung_are_those_of_the_history(finished: Path, found: Findings) -> None:
    told = data_of(text_of(finished))["levels"]["all"]
    history = pd.read_parquet(finished / "history.parquet")
    own = history[history.kind == "search"]
    assert [one["step"] for one in told] == [20, 60, 160]
    for one in told:
        there = own[own.step == one["step"]].set_index("trial").objective
        known = {n: v for n, v in zip(one["trials"], one["values"], strict=True) if n in there.index}
        assert known == there.to_dict()
        rest = set(one["trials"]) - set(known)
        assert all(found.material.records.trials[number].status == "diverged" for number in rest)


def test_the_verdict_says_what_the_fresh_seeds_say(finished: Path) -> None:
    text = words(text_of(finished))
    history = pd.read_parquet(finished / "history.parquet")
    runs = pd.read_csv(finished / "trials.csv").query("kind == 'confirm'").set_index("number")
    final = history[history.kind == "confirm"].groupby("trial").objective.last()
    means = final.groupby(runs.origin).mean()
    (other,) = set(means.index) - {"trial 0"}
    base, new = means["trial 0"], means[other]
    said = re.search(r"scores ([\d.]+) PER where the documented one scores ([\d.]+): ([\d.]+)% lower", text)
    assert said is not None and len(said[1]) >= 5
    assert float(said[1]) == pytest.approx(new, abs=6e-5 if len(said[1]) > 5 else 6e-4)
    assert float(said[2]) == pytest.approx(base, abs=6e-5 if len(said[2]) > 5 else 6e-4)
    assert float(said[3]) == pytest.approx(100 * (base - new) / base, abs=0.06 if "." in said[3] else 0.6)
    gains = final[runs.origin == "trial 0"].to_numpy() - final[runs.origin == other].to_numpy()
    said = re.search(r"the gain is ([\d.]+) PER", text)
    assert said is not None and float(said[1]) == pytest.approx(gains.mean(), abs=6e-4)


def test_costs_are_those_of_the_history(finished: Path) -> None:
    text = words(text_of(finished))
    table = pd.read_csv(finished / "trials.csv")
    for kind in ("search", "confirm"):
        assert f"{table[table.kind == kind].steps.sum():,} steps" in text
    assert "GPU none" in text


def test_the_schedule_is_what_the_model_says_of_both_configs(finished: Path, found: Findings) -> None:
    told = {one["name"]: one for one in data_of(text_of(finished))["schedule"]["courses"]}
    assert set(told) == {"alpha", "lr", "lr_day"}
    model = found.material.model
    best = strict_yaml.load(finished / "best.yaml")["config"]
    for key, native in (("documented", found.material.base), ("new", best)):
        config = model.parse(native, "test")
        for name, one in told.items():
            assert numbers(one[key]).tolist() == [model.knobs(config, step)[name] for step in range(160)]
    assert "weight_decay" in words(text_of(finished))  # constant: in the table
