"""The report at every moment of a search's life, and of folders that are damaged or hold no search."""

from pathlib import Path

import pytest
from report_text import text_of, words
from small_search import write_search

from benchmarks.report_folder import Story, make_folder
from search.history.events import Phase, Reported
from search.history.journal import Journal, read
from search.history.records import Records
from search.persistence.folder import opened
from search.report.__main__ import main
from search.report.build import SECTIONS, write
from search.report.findings import Findings, find
from search.report.material import gather
from search.results.verdict import judge
from search.spec.plan import make_plan
from spaces import strict_yaml
from spaces.problems import BadInput
from tests.search.report.conftest import copied


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


def test_of_code_without_declared_schedules_nothing_is_said_to_stay_constant(tmp_path: Path) -> None:
    from search.spec.resolve import resolve

    (tmp_path / "train.py").write_text("def train(run): ...\n")
    (tmp_path / "mine.yaml").write_text(
        "trainable: {function: 'train:train', length: epochs, objective: {val_loss: min, worst: 3}, settles: 0}\n"
        "arguments: {lr: 0.01, epochs: 6}\nspace: {lr: {float: [1e-3, 1e-1]}}\n"
        "budget: {trials: 4, steps: 6 epochs, evaluate_every: 1 epoch}\n"
    )
    (folder := tmp_path / "results" / "mine").mkdir(parents=True)
    (folder / "search.yaml").write_text(resolve(tmp_path / "mine.yaml").to_yaml("d" * 64), encoding="utf-8")
    Journal(folder / "journal.jsonl").close()
    text = words(write(folder).read_text(encoding="utf-8"))
    assert "No schedule is declared: what moves during training is known to the code alone." in text
    assert "in either config" not in text
