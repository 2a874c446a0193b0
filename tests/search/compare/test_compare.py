"""Searches side by side: what belongs together, and what is said of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_searches import BASELINE, FakeRuns, a_search, run, seeded, sources, write

from search.compare import configs
from search.compare.groups import Group, apart, grouped, tables
from search.compare.page import compare
from search.compare.results import Course, cost, course, mean, outcome
from search.compare.sources import Source, tracked
from search.history.events import Phase
from search.report.anytime import anytime
from search.results.procedure import Estimate
from trainables.run import Objective


def test_searches_that_differ_in_their_seed_only_are_one_group(tmp_path: Path) -> None:
    same = seeded(tmp_path, "tpe", [0.40, 0.42, 0.38])
    other = write(tmp_path, "random", a_search(0.45), "sampler.kind=random")
    longer = write(tmp_path, "longer", a_search(0.45), "budget.trials=12")
    found = grouped(sources(same[2], other, same[0], longer, same[1]))
    named = [("tpe-0 … tpe-2", (0, 1, 2)), ("random", (0,)), ("longer", (0,))]
    assert [(group.name, group.seeds) for group in found] == named
    assert len(tables(found)) == 1


def test_the_same_seed_twice_is_no_repetition(tmp_path: Path) -> None:
    one, two = write(tmp_path, "a-one", a_search(0.4)), write(tmp_path, "a-two", a_search(0.3))
    found = grouped(sources(one, two))
    assert [(group.name, len(group.members)) for group in found] == [("a-one", 1), ("a-two", 1)]


@pytest.mark.parametrize(
    ("overrides", "data", "said"),
    [
        (["budget.steps=9 epochs"], "d1", "length: 9 epochs, there 18 epochs"),
        ([], "d2", "the data differ"),
    ],
)
def test_what_can_not_be_compared_stands_apart_and_is_said(
    tmp_path: Path, overrides: list[str], data: str, said: str
) -> None:
    one = write(tmp_path, "one", a_search(0.4))
    two = write(tmp_path, "two", a_search(0.3), *overrides, data=data)
    found = compare(sources(one, two))
    assert [len(each.table.sources) for each in found.tables] == [1, 1]
    assert found.notes == (f"Values of two can't be compared with those of one: {said}.",)
    assert all(not each.gaps for each in found.tables)


def test_a_held_key_that_changes_what_is_judged_is_a_warning(tmp_path: Path) -> None:
    one = write(tmp_path, "one", a_search(0.4))
    two = write(tmp_path, "two", a_search(0.3))
    text = (two / "search.yaml").read_text(encoding="utf-8")
    assert "prefix_length: 30" in text
    (two / "search.yaml").write_text(text.replace("prefix_length: 30", "prefix_length: 15"), encoding="utf-8")
    (each,) = compare(sources(one, two)).tables
    assert len(each.warnings) == 1
    assert each.warnings[0].startswith("prefix_length differs (30 in one, 15 in two): ")


def test_outcomes_and_their_means(tmp_path: Path) -> None:
    winners = [0.40, 0.42, 0.44]
    (each,) = compare(sources(*seeded(tmp_path, "tpe", winners))).tables
    (found,) = each.found
    assert [one.confirmed for one in found.outcomes] == [Estimate.of([w + 0.01, w - 0.01]) for w in winners]
    assert found.confirmed == Estimate.of([one.confirmed.mean for one in found.outcomes if one.confirmed])
    assert found.gain is not None and found.gain.mean == pytest.approx(0.08)
    assert [one.best for one in found.outcomes] == pytest.approx([0.35, 0.37, 0.39])
    assert found.decisions == {"switch": 3}
    assert each.story.headline == "Every seed agrees: switch"


@pytest.mark.parametrize(
    ("winners", "headline"),
    [
        ([0.44, 0.45, 0.445], "Every seed agrees: switch"),
        ([0.501, 0.502, 0.5], "Every seed agrees: keep your config"),
        ([0.2, 0.501], "The seeds do not agree"),
    ],
)
def test_whether_seeds_agree(tmp_path: Path, winners: list[float], headline: str) -> None:
    (each,) = compare(sources(*seeded(tmp_path, "tpe", winners))).tables
    assert each.story.headline == headline


def test_common_fresh_seeds_are_a_warning(tmp_path: Path) -> None:
    (each,) = compare(sources(*seeded(tmp_path, "tpe", [0.4, 0.41]))).tables
    assert [said.partition(":")[0] for said in each.warnings] == [
        "The searches of tpe-0 … tpe-1 share fresh seeds (2), and with them trainings of the documented config"
    ]
    far = [
        write(tmp_path, f"far-{seed}", a_search(0.4, seed=seed), f"sampler.seed={seed}", "sampler.kind=random")
        for seed in (0, 3)
    ]
    (each,) = compare(sources(*far)).tables
    assert each.warnings == ()


def test_an_unconfirmed_search_has_no_mean_to_compare(tmp_path: Path) -> None:
    events = [event for event in a_search(0.4) if getattr(event, "trial", 0) < 3 and event != Phase("confirm", 50.0)]
    found = outcome(sources(write(tmp_path, "one", events))[0])
    assert (found.confirmed, found.gain) == (None, None)
    assert found.best == pytest.approx(0.35)  # its own value is shown, as such
    assert found.verdict is not None and found.verdict.decision == "unconfirmed"


def test_groups_are_compared_seed_by_seed(tmp_path: Path) -> None:
    tpe = seeded(tmp_path, "tpe", [0.40, 0.45, 0.42])
    random = seeded(tmp_path, "random", [0.46, 0.50, 0.48], "sampler.kind=random")
    (each,) = compare(sources(*tpe, *random)).tables
    (gap,) = each.gaps
    assert (gap.reference, gap.other) == ("tpe-0 … tpe-2", "random-0 … random-2")
    expected = Estimate.of([0.40 - 0.46, 0.45 - 0.50, 0.42 - 0.48])
    assert (gap.gain.mean, gap.gain.low, gap.gain.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert each.story.headline == "tpe-0 … tpe-2 beats the others"


def test_one_search_each_decides_nothing_about_the_way_of_searching(tmp_path: Path) -> None:
    tpe, random = (
        write(tmp_path, "tpe", a_search(0.40)),
        write(tmp_path, "random", a_search(0.45), "sampler.kind=random"),
    )
    (each,) = compare(sources(tpe, random)).tables
    assert each.gaps == ()
    assert each.story.headline == "Best config: tpe"
    assert "two seeds" in each.story.reason


curves = st.dictionaries(st.integers(1, 60), st.floats(0, 1), min_size=1, max_size=8)


def falling(points: Mapping[int, float]) -> Course:
    """The course of a search that meets these values at these steps."""
    steps: list[int] = []
    values: list[float] = []
    for step in sorted(points):
        if not values or points[step] < values[-1]:
            steps.append(step)
            values.append(points[step])
    return Course(tuple(steps), tuple(values), 70)


@given(st.lists(curves, min_size=1, max_size=4), st.integers(0, 80))
def test_the_mean_course_is_the_mean_at_every_step(given_curves: Sequence[Mapping[int, float]], step: int) -> None:
    courses = [falling(each) for each in given_curves]
    found = mean(courses)
    assert found is not None
    here = [each.at(step) for each in courses]
    line = Course(found.steps, tuple(value.mean for value in found.values), found.end)
    if any(value is None for value in here):
        assert line.at(step) is None
        return
    known = [value for value in here if value is not None]
    assert line.at(step) == pytest.approx(Estimate.of(known).mean)


def test_only_fully_trained_trials_count_in_the_course(tmp_path: Path) -> None:
    (source,) = sources(write(tmp_path, "one", a_search(0.4)))
    found = course(source)
    # the baseline's 18 epochs, with none of the others begun; then 6 and 12 of the winner; 6 of the stopped one
    assert (found.steps, found.values, found.end) == ((18, 36), (0.5, pytest.approx(0.35)), 42)
    assert mean([found, Course((), (), 5)]) is None


def test_costs(tmp_path: Path) -> None:
    (source,) = sources(write(tmp_path, "one", a_search(0.4, gpu="H200"), "resources.gpu=0.5"))
    found = cost(source)
    assert (found.trials, found.completed, found.stopped, found.diverged, found.failed) == (3, 2, 1, 0, 0)
    assert (found.search_steps, found.confirm_steps, found.full_steps) == (42, 72, 54)
    assert (found.training, found.clock) == (18.0, 32.0 - 10.0 + 62.0 - 50.0)
    assert (found.gpu_hours, found.gpus) == (pytest.approx(10 * 0.5 / 3600), ("H200",))


def test_configs_side_by_side_mark_what_differs_from_the_documented(tmp_path: Path) -> None:
    one = write(tmp_path, "one", a_search(0.4))
    changed = {**BASELINE, "lr": 2e-3}
    two = write(
        tmp_path, "two", a_search(0.41, values=changed), "knobs=[lr, batch_size]", "space={}", "sampler.kind=random"
    )
    (table,) = tables(grouped(sources(one, two)))
    grid = configs.best_configs(table)
    assert grid.columns == ("documented", "one, seed 0: trial 1", "two, seed 0: trial 1")
    rows = {row.path: [(cell.text, cell.marked) for cell in row.cells] for row in grid.rows}
    assert rows["lr"] == [("0.001", False), ("0.005", True), ("0.002", True)]
    assert rows["batch_size"] == [("256", False), ("32", True), ("256", False)]
    assert {row.path for row in grid.rows[:3]} == {"lr", "batch_size", "warmup_epochs"}  # the searched ones first
    same = {row.path for row in grid.rows if not row.differs}
    assert "prefix_length" in same and "lr" not in same
    spaces = {row.path: [(cell.text, cell.marked) for cell in row.cells] for row in configs.spaces(table).rows}
    assert spaces["warmup_epochs"][0] == ("int [0, 3]", False)
    assert spaces["warmup_epochs"][1][0].startswith("held at ") and spaces["warmup_epochs"][1][1]
    assert not spaces["lr"][1][1]
    settings = {row.path: [cell.text for cell in row.cells] for row in configs.settings(table).rows}
    assert settings == {"sampler.kind": ["forest", "random"]}


def test_a_knob_that_is_not_active_says_so(tmp_path: Path) -> None:
    values = {"lr": 5e-3, "batch_size": 32}
    (source, _) = sources(
        write(tmp_path, "one", a_search(0.4, values=values)), write(tmp_path, "two", a_search(0.4), "sampler.seed=1")
    )
    (table,) = tables(grouped([source]))
    rows = {row.path: [(cell.text, cell.marked) for cell in row.cells] for row in configs.best_configs(table).rows}
    assert rows["warmup_epochs"][1] == ("not active", True)


# -- the same search from MLflow


def told(source: Source) -> tuple[object, ...]:
    """All that a comparison takes from a search."""
    material = source.material
    verdict, best = material.verdict, anytime(material)
    assert verdict is not None
    took = replace(cost(source), clock=0.0)  # MLflow does not know of breaks
    values = {number: (t.values, t.status, t.step, t.objective) for number, t in material.records.trials.items()}
    return material.name, material.digest, verdict, best.best, best.steps, took, values, material.done, material.space


def test_a_search_read_from_mlflow_is_the_search_in_its_folder(tmp_path: Path) -> None:
    diverged = [
        *a_search(0.4, gpu="H200")[:-1],
        *run(7, {1: 0.8, 2: 3.0}, "diverged", values={"lr": 9.0, "batch_size": 64, "warmup_epochs": 2}, at=71.0),
        *run(8, {1: 0.8, 4: 0.3}, "completed", values={"lr": 0.01, "batch_size": 64, "warmup_epochs": 2}, at=75.0),
        Phase("done", 90.0),
    ]
    folders = [write(tmp_path, "one", diverged), write(tmp_path, "two", a_search(0.5), "sampler.seed=1")]
    found, notes = tracked(FakeRuns(*folders), "MLflow experiment e")
    assert notes == []
    assert [told(source) for source in found] == [told(source) for source in sources(*folders)]
    assert all(source.tracked and source.where == "MLflow experiment e" for source in found)


def test_a_tracked_search_without_its_settings_is_left_out_and_named(tmp_path: Path) -> None:
    folder = write(tmp_path, "one", a_search(0.4))
    runs = FakeRuns(folder)
    (folder / "search.yaml").unlink()
    found, notes = tracked(runs, "e")
    assert found == []
    assert len(notes) == 1 and notes[0].startswith("one in e is left out")


def own(name: str, function: str = "t:train", code: str = "c1") -> Any:
    """A search of training code of the user's own, from a YAML of this name."""
    settings = {
        "trainable": {"function": function, "length": "epochs"},
        "data_digest": code,
        "settings": {"model": name},
    }
    model = SimpleNamespace(name=name, objective=Objective("val_loss", "min", 1.0, "nats"))
    material = SimpleNamespace(model=model, settings=settings, horizon=9, unit="epoch")
    source: Any = SimpleNamespace(name=name, where=f"results/{name}", material=material)
    return Group(name, (source,))


def test_searches_of_one_training_are_compared_whatever_their_yaml_is_called() -> None:
    assert len(tables([own("a"), own("b")])) == 1
    apart_by = [(own("b", code="c2"), "the code differs"), (own("b", "t:other"), "model: t:other, there t:train")]
    for other, said in apart_by:
        found = tables([own("a"), other])
        assert list(apart(found)) == [f"Values of b can't be compared with those of a: {said}."]
