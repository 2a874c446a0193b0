"""The report as a whole, from folders of searches that never ran (`benchmarks/report_folder.py`)."""

import base64
import gzip
import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from small_search import write_search

from benchmarks.report_folder import Story, make_folder
from search.history.events import Ended, Phase, Reported
from search.history.journal import Journal, read
from search.history.records import Records
from search.persistence.folder import opened
from search.report.__main__ import main
from search.report.build import SECTIONS, write
from search.report.findings import Findings, find
from search.report.material import gather
from search.results.ablation import Setting
from search.results.explain import explaining
from search.results.verdict import judge
from search.spec.plan import make_plan
from spaces import strict_yaml
from spaces.problems import BadInput

NASTY = "<script>alert(1)</script>"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "results" / "made"
    make_folder(folder)
    write(folder)
    return folder


@pytest.fixture(scope="module")
def found(finished: Path) -> Findings:
    return find(gather(finished))


def text_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(text: str) -> dict[str, Any]:
    match = re.search(r'<script id="report-data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert match is not None
    told: dict[str, Any] = json.loads(match[1])
    return told


def numbers(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bytes"]), dtype=f"<{packed['kind']}")


def words(text: str) -> str:
    """What stands on the page, without markup, scripts and styles."""
    bare = re.sub(r"<(script|style).*?</\1>", " ", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", bare)))


class Tags(HTMLParser):
    """Every tag with its attributes, and whether each that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "br", "wbr", "path"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop() == tag


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    assert not parser.open
    return parser.seen


# The numbers on the page are those of the tables beside it.


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


# What it is made of.


def test_every_section_is_there_in_order_and_labelled(finished: Path) -> None:
    seen = tags(text_of(finished))
    sections = [attrs for tag, attrs in seen if tag == "section"]
    assert [attrs["id"] for attrs in sections] == [
        id_ for id_, _ in SECTIONS if id_ != "stages"
    ]  # nothing is shared here
    ids = [attrs["id"] for _, attrs in seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(attrs["aria-labelledby"] in ids for attrs in sections)
    links = [str(attrs["href"])[1:] for tag, attrs in seen if tag == "a"]
    assert set(links) <= set(ids) and links[0] == "content"
    text = text_of(finished)
    assert text.count("<caption") == len([tag for tag, _ in seen if tag == "table"])


def test_it_asks_nothing_of_a_network(finished: Path) -> None:
    for tag, attrs in tags(text_of(finished)):
        assert tag not in {"iframe", "img", "object", "embed", "base", "form"} or attrs.get("id") == "filter"
        for name in ("src", "href", "action", "srcset", "data"):
            assert str(attrs.get(name, "#")).startswith(("#", "data:,"))
    assert "@import" not in text_of(finished).split("</style>")[0]
    packed = re.search(r'<script id="plotly" type="application/gzip">([^<]*)</script>', text_of(finished))
    assert packed is not None and b"plotly.js v" in gzip.decompress(base64.b64decode(packed[1]))


def test_it_is_small_enough_for_a_mail(finished: Path) -> None:
    assert (finished / "report.html").stat().st_size < 1_000_000


def test_the_figures_are_pictures_with_something_on_them(finished: Path) -> None:
    names = sorted(path.name for path in (finished / "figures").iterdir())
    assert names == ["best_so_far.png", "curves.png", "importance.png", "schedule.png"]
    for name in names:
        picture = imread(finished / "figures" / name)
        assert picture.shape[0] > 300 and picture.shape[1] > 600
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50


def test_equal_folders_give_equal_reports_and_leave_no_litter(finished: Path) -> None:
    before = {p: p.read_bytes() for p in (finished / "report.html", *(finished / "figures").iterdir())}
    there = set(finished.rglob("*"))
    assert main([str(finished)]) == 0
    assert {p: p.read_bytes() for p in before} == before
    assert set(finished.rglob("*")) == there


def test_no_path_of_this_machine_is_on_the_page(finished: Path) -> None:
    assert str(finished) not in text_of(finished) and str(ROOT) not in text_of(finished)
    assert "python -m trainables.train results/made/best.yaml" in words(text_of(finished))


def test_failures_stand_there_by_cause_with_a_traceback(finished: Path) -> None:
    text = words(text_of(finished))
    assert "RuntimeError: out of memory, 100 MiB asked" in text or "RuntimeError: out of memory, 101 MiB asked" in text
    assert "train_loss is nan" in text and "tried again" in text and "Traceback" in text


def test_the_diff_leads_from_the_users_file_to_the_winners(found: Findings) -> None:
    assert [file.name for file in found.diffs] == ["rnn_args_diphone_sagemaker.yaml"]
    config = ROOT / "configs" / "diphone_rnn" / "rnn_args_diphone_sagemaker.yaml"
    original = config.read_text(encoding="utf-8").splitlines()
    (file,) = found.diffs
    gone, new = ([line.text for line in file.lines if line.kind == kind] for kind in ("gone", "new"))
    assert "alpha_schedule_step_interval: 3   # documented: 3000" in gone
    assert [line for line in gone if line in original]  # what the user wrote, to the letter
    winner = (found.material.folder / "native" / file.name).read_text(encoding="utf-8").splitlines()
    assert set(new) <= set(winner) and len(new) == sum(change.differs for change in found.changes)


# At every moment of a search's life.


def copied(folder: Path, to: Path, events: int) -> Path:
    """The folder as it was after so many events, before anything was handed over."""
    to.mkdir(parents=True)
    for name in ("search.yaml", "plan.json"):
        shutil.copy(folder / name, to / name)
    with Journal(to / "journal.jsonl") as journal:
        for event in read(folder / "journal.jsonl")[0][:events]:
            journal.append(event)
    return to


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_a_report_can_be_made_at_any_moment(finished: Path, tmp_path: Path, share: float) -> None:
    count = len(read(finished / "journal.jsonl")[0])
    folder = copied(finished, tmp_path / "s", round(share * count))
    text = words(write(folder).read_text(encoding="utf-8"))
    assert "Go on with the search" in text and "interrupted" in text
    assert "Switch to the new config" not in text
    assert all(f'id="{id_}"' in text_of(folder) for id_, _ in SECTIONS if id_ not in {"stages", "ablation"})


def test_a_torn_last_line_is_passed_over(finished: Path, tmp_path: Path) -> None:
    folder = copied(finished, tmp_path / "s", 50)
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b'0badc0de {"event":"Repo')
    assert write(folder).exists()


def test_a_search_that_another_process_owns_is_reported_on(tmp_path: Path) -> None:
    from small_search import small_search

    search = small_search(tmp_path)
    from benchmarks.report_folder import PREPARED

    path = tmp_path / "results" / "s"
    with opened(path, search, make_plan(search), PREPARED, print) as folder:
        folder.ledger.emit(Phase("search", 1.0))
        assert write(path).exists()


def test_a_gain_that_may_be_luck_leaves_it_undecided_and_says_how_many_seeds_it_takes(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    make_folder(folder, Story(gain=0.5, scatter=0.01, seeds=4))
    told = find(gather(folder)).story
    assert (told.headline, told.tone) == (
        "Undecided: keep your config for now",
        "open",
    ) and "may be the luck of the seeds" in told.reason
    (step,) = [step for step in told.steps if "seeds would decide it" in step.what]
    assert 5 <= int(step.command.removeprefix("--set confirm.seeds=")) <= 40
    assert not [step for step in told.steps if "trainables.train" in step.command]


def test_where_the_documented_config_is_best_there_is_nothing_to_change(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    make_folder(folder, Story(gain=-1.0, seeds=3))
    told = find(gather(folder))
    assert told.story.headline == "Keep your config" and "no config that was found beats" in told.story.sentence
    assert not told.diffs and not [change for change in told.changes if change.differs]
    assert "Nothing to change: the documented config is the best one." in words(write(folder).read_text())


def test_a_gain_beyond_doubt_says_switch_and_what_to_type(found: Findings) -> None:
    assert (found.story.headline, found.story.tone) == ("Switch to the new config", "switch")
    assert found.story.steps[0].command == "python -m trainables.train results/made/best.yaml"


def test_a_search_whose_trials_all_failed_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "s"
    make_folder(folder, Story(trials=4, diverging=0, failing=3, retried=0, finished=False))
    kept = [e for e in read(folder / "journal.jsonl")[0] if not isinstance(e, Reported)]
    (folder / "journal.jsonl").unlink()
    with Journal(folder / "journal.jsonl") as journal:
        for event in [*kept, Phase("done", 1.8e9)]:
            journal.append(event)
    text = words(write(folder).read_text(encoding="utf-8"))
    assert "No trial" in text and "out of memory" in text
    assert judge(Records(kept), gather(folder).model.objective) is None


# What others wrote is text and nothing else.


def nasty(folder: Path) -> Path:
    """A finished search with markup wherever a config, a user or a failure can put it."""
    make_folder(folder, Story(trials=12, seeds=2))
    settings = strict_yaml.load(folder / "search.yaml")
    settings["name"] = f"n{NASTY}"
    settings["space"][NASTY] = {"choice": [NASTY, "b"], "why": NASTY, "documented": "b"}
    settings["base"][NASTY] = "b"
    (folder / "search.yaml").write_text("# hash: abc\n" + strict_yaml.dumps(settings), encoding="utf-8")
    lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "journal.jsonl").unlink()
    events = []
    for line in lines:
        fields = json.loads(line.split(" ", 1)[1])
        del fields["n"]  # as earlier versions wrote it
        if "values" in fields:
            fields["values"][NASTY] = NASTY if fields["trial"] % 2 else "b"
        for key in ("reason", "detail", "host"):
            if fields.get(key):
                fields[key] = f"{NASTY}\u2028<!-- {fields[key]}"
        events.append(fields)
    import zlib

    with (folder / "journal.jsonl").open("wb") as file:
        for fields in events:
            body = json.dumps(fields, separators=(",", ":")).encode()
            file.write(b"%08x %s\n" % (zlib.crc32(body), body))
    for path in (folder / "native").iterdir():
        path.write_text(path.read_text(encoding="utf-8") + f"\n# {NASTY}\n", encoding="utf-8")
    return folder


def test_markup_from_a_config_stays_text(tmp_path: Path) -> None:
    folder = nasty(tmp_path / "results" / "s")
    text = write(folder).read_text(encoding="utf-8")
    scripts = [attrs for tag, attrs in tags(text) if tag == "script"]
    assert len(scripts) == 3  # data, Plotly, ours
    assert NASTY not in text and NASTY in words(text) and NASTY in json.dumps(data_of(text))
    data = text.split("report-data")[1].split("</script>")[0]
    assert "<!--" not in data and "\u2028" not in data


# The command.


def test_neither_ray_nor_mlflow_nor_torch_is_imported(finished: Path) -> None:
    code = (
        "import sys, search.report.__main__; from search.report.build import write; "
        f"write(__import__('pathlib').Path({str(finished)!r}));"
        "print(sorted({'ray', 'mlflow', 'torch', 'matplotlib.pyplot', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_no_search_is_refused_in_one_line_and_the_others_are_done(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nowhere"), str(tmp_path), str(finished)]) == 2
    out, err = capsys.readouterr()
    assert err.count("error: ") == 2 and "no such folder" in err and "results/demo" in err
    assert f"report   {finished / 'report.html'}" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("search.yaml", "- 1\n", "no search"),
        ("search.yaml", "name: x\nsettings: {model: tts}\n", "base, space, horizon, every is missing"),
        ("plan.json", "{", "delete it"),
        ("journal.jsonl", "00000000 {}\n00000000 {}\n", "damaged"),
    ],
)
def test_damaged_files_are_named(finished: Path, tmp_path: Path, name: str, content: str, said: str) -> None:
    folder = copied(finished, tmp_path / "s", 10)
    (folder / name).write_text(content)
    with pytest.raises(BadInput, match=said) as caught:
        write(folder)
    assert name in str(caught.value) and not (folder / "report.html").exists()


def test_a_config_that_the_model_refuses_now_leaves_the_rest_of_the_report(finished: Path, tmp_path: Path) -> None:
    folder = copied(finished, tmp_path / "s", 400)
    settings = strict_yaml.load(folder / "search.yaml")
    settings["base"]["lr_max"] = "fast"
    (folder / "search.yaml").write_text(strict_yaml.dumps(settings), encoding="utf-8")
    text = words(write(folder).read_text(encoding="utf-8"))
    assert "diphone_rnn refuses the recorded config" in text and "lr_max" in text


def test_the_default_early_inference_search_has_a_report_before_anything_ran(tmp_path: Path) -> None:
    from search.spec.resolve import resolve

    search = resolve(write_search(tmp_path))
    folder = tmp_path / "results" / "s"
    folder.mkdir(parents=True)
    (folder / "search.yaml").write_text(search.to_yaml("d" * 64), encoding="utf-8")
    Journal(folder / "journal.jsonl").close()
    text = words(write(folder).read_text(encoding="utf-8"))
    assert "No trial has a value yet" in text
    assert [path.name for path in (folder / "figures").iterdir()] == ["schedule.png"]  # known before anything runs
