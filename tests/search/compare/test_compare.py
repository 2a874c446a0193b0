"""Searches side by side: what belongs together, what is said of it, and what is refused."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_searches import BASELINE, FakeRuns, a_search, run, seeded, sources, write
from rich.console import Console

from search.compare import configs
from search.compare.__main__ import main
from search.compare.groups import grouped, tables
from search.compare.page import compare, html
from search.compare.results import Course, cost, course, mean, outcome
from search.compare.sources import Source, tracked
from search.compare.text import screens
from search.history.events import Event, Phase
from search.report.anytime import anytime
from search.results.procedure import Estimate


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
    ("winners", "base", "headline"),
    [
        ([0.44, 0.45, 0.445], 0.5, "Every seed agrees: switch"),
        ([0.501, 0.502, 0.5], 0.5, "Every seed agrees: keep your config"),
        ([0.2, 0.501], 0.5, "The seeds do not agree"),
    ],
)
def test_whether_seeds_agree(tmp_path: Path, winners: list[float], base: float, headline: str) -> None:
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


# -- the page


def test_nothing_from_a_config_becomes_markup(tmp_path: Path) -> None:
    bad = "</script><img src=x onerror=alert(1)>"
    folders = seeded(tmp_path, "tpe", [0.40, 0.42])
    for folder in folders:
        path = folder / "search.yaml"
        quoted = json.dumps(bad)
        text = path.read_text(encoding="utf-8").replace("my_note: kept", f"my_note: {quoted}\n  {quoted}: {quoted}")
        assert bad in text
        path.write_text(text, encoding="utf-8")
    sibling = write(tmp_path, "other", a_search(0.3), "sampler.kind=random")
    page = html(compare(sources(*folders, sibling), [bad]), f"python {bad}")
    assert "<img" not in page
    assert page.count("&lt;img") >= 4


def test_the_page_stands_alone_and_holds_every_number(tmp_path: Path) -> None:
    found = compare(sources(*seeded(tmp_path, "tpe", [0.40, 0.42])))
    page = html(found, "python -m search.compare a b")
    own = page.replace(re.search(r'<script id="plotly" [^>]*>([^<]*)</script>', page)[1], "")  # type: ignore[index]
    assert len(own) < 200_000
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", own)
    data = json.loads(re.search(r'<script id="report-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    (group,) = data["compared"][0]["groups"]
    assert [member["confirmed"]["mean"] for member in group["members"]] == pytest.approx([0.40, 0.42])
    assert [member["steps"] for member in group["members"]] == [[18, 36], [18, 36]]
    assert group["mean"]["steps"] == [18, 36]
    assert [value["mean"] for value in group["mean"]["values"]] == pytest.approx([0.5, 0.36])
    for text in ("0.41", "Every seed agrees: switch", "python -m search.compare a b", "warmup_epochs"):
        assert text in own


def test_no_secret_is_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, "hunter2")
    uri = "tracking: {uri: 'https://me:hunter2@host/x'}\n"
    warm = "warm_start: {experiment: e, uri: 'postgresql://me:hunter2@db/mlflow'}\n"
    folders = seeded(tmp_path, "tpe", [0.40, 0.42], extra=uri + warm)
    for folder in folders:
        assert "hunter2" not in (folder / "search.yaml").read_text(encoding="utf-8")
        path = folder / "search.yaml"
        secrets = "my_note: https://me:hunter2@host/x\n  hub_api_key: hunter2\n  wandb: {token: hunter2}"
        path.write_text(path.read_text(encoding="utf-8").replace("my_note: kept", secrets), encoding="utf-8")
    page = html(compare(sources(*folders)), "python")
    assert "hub_api_key" in page and "wandb.token" in page
    assert "hunter2" not in page


# -- the command


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_writes_the_page_and_shows_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = seeded(tmp_path, "tpe", [0.40, 0.42])
    code, out, err = said(capsys, one, two)
    assert (code, err) == (0, "")
    assert (tmp_path / "compare.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    for text in ("tpe-0", "tpe-1", " mean ", "2 switch", "compare.html", "Every seed agrees"):
        assert text in out
    assert said(capsys, one, two, "--out", tmp_path / "new" / "page.html")[0] == 0
    assert (tmp_path / "new" / "page.html").exists()
    assert str(tmp_path) not in (tmp_path / "compare.html").read_text(encoding="utf-8")


def test_bad_input_is_told_all_at_once_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, _ = seeded(tmp_path / "results", "tpe", [0.40, 0.42])
    (tmp_path / "empty").mkdir()
    code, _, err = said(capsys, one, one, tmp_path / "empty", tmp_path / "results", tmp_path / "results" / "tpe-2")
    assert code == 2
    lines = err.splitlines()
    assert len(lines) == 4
    assert "is given twice" in lines[0]
    assert "holds no journal.jsonl" in lines[1]
    assert "holds no search itself, but tpe-0, tpe-1" in lines[2]
    assert "did you mean 'tpe-" in lines[3]
    assert not (tmp_path / "results" / "compare.html").exists()


@pytest.mark.parametrize(
    ("words", "text"), [([], "no search is given"), (["tpe-0"], "only tpe-0 is given; name another one")]
)
def test_a_comparison_takes_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    seeded(tmp_path, "tpe", [0.40])
    code, _, err = said(capsys, *(tmp_path / word for word in words))
    assert code == 2 and text in err


def test_an_experiment_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"sqlite:///{tmp_path}/none.db"
    code, _, err = said(capsys, "--mlflow", "fits", "--uri", uri)
    assert code == 2 and "none.db does not exist" in err
    assert not (tmp_path / "none.db").exists()
    code, _, err = said(capsys, "--mlflow", "fits", "--uri", "http://me:hunter2@127.0.0.1:9")
    assert code == 2 and "can't be read" in err and "hunter2" not in err


def test_a_search_that_runs_is_compared_as_far_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = [Phase("search", 10.0), *run(0, {6: 0.9}, "stopped", origin="baseline", at=10.0)[:3]]
    early, done = write(tmp_path, "early", events), write(tmp_path, "done", a_search(0.4))
    code, out, _ = said(capsys, early, done)
    assert code == 0 and "early" in out
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "interrupted" in page


def test_of_several_paths_what_holds_no_search_is_passed_over_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = seeded(tmp_path, "tpe", [0.40, 0.42])
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "mlartifacts").mkdir()
    code, out, _ = said(capsys, one, two, tmp_path / "mlflow.db", tmp_path / "mlartifacts")
    assert code == 0 and "mlflow.db" in out and "passed over" in out


def test_one_search_of_a_table_is_not_called_seeds_that_agree(tmp_path: Path) -> None:
    (each,) = compare(sources(write(tmp_path, "lone", a_search(0.40)))).tables
    assert each.story.headline == "lone: switch" and "seed agrees" not in each.story.headline


def test_no_header_is_cut_at_80_columns(tmp_path: Path) -> None:
    found = compare(sources(*seeded(tmp_path, "quite-a-long-name-for-a-search", [0.40, 0.42])))
    (each,) = found.tables
    console = Console(width=80, file=io.StringIO(), record=True)
    for screen in screens(each.table, each.found, each.costs, each.gaps):
        console.print(screen)
    text = console.export_text()
    assert all(word in text for word in ("verdict", "winner", "documented", "gain", "trained", "training time"))
