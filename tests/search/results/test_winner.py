"""The winner as something to take away, and what MLflow and a registry are told of it."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_searches import a_search
from small_search import small_search, write_search

from search import run
from search.app import finalize
from search.common.exit_codes import Exit
from search.history.records import Records
from search.persistence.standing import Standing
from search.results import winner
from search.results.verdict import judge
from spaces.domain import Categorical
from spaces.knob import Knob
from spaces.space import Space
from trainables.layout import trial_folder

VALUES = {"lr": 5e-3, "batch_size": 32, "warmup_epochs": 0}


@pytest.fixture
def records() -> Records:
    return Records(a_search(0.4, values=VALUES))


def checkpoint(folder: Path, number: int, step: int) -> Path:
    place = trial_folder(folder, number) / "checkpoints"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{step:09d}.pt").write_bytes(b"weights")
    return place / f"{step:09d}.pt"


def test_the_run_that_best_yaml_repeats(tmp_path: Path, records: Records) -> None:
    search = small_search(tmp_path)
    verdict = judge(records, search.model.objective)
    assert verdict is not None
    found = winner.run_of(records, verdict)
    assert found is not None
    assert (found.number, found.proposed.origin, found.proposed.seed) == (4, "trial 1", 1)
    assert winner.number_of(records, search.model.objective, search.settings.confirm) == 4
    assert winner.place(verdict) == "winner/trial-1-seed-1"


def test_only_the_last_checkpoint_of_that_very_run_is_the_winner(tmp_path: Path, records: Records) -> None:
    verdict = judge(records, small_search(tmp_path).model.objective)
    assert verdict is not None
    assert winner.weights(tmp_path, records, verdict) is None
    checkpoint(tmp_path, 1, 18)  # the search's own training of the same config, on another seed
    checkpoint(tmp_path, 4, 9)  # not its end
    assert winner.weights(tmp_path, records, verdict) is None
    kept = checkpoint(tmp_path, 4, 18)
    assert winner.weights(tmp_path, records, verdict) == kept
    (tmp_path / "best.yaml").touch()
    assert winner.parts(tmp_path, records, verdict) == [tmp_path / "best.yaml", kept]


def test_what_the_registry_is_told(tmp_path: Path, records: Records) -> None:
    search = small_search(tmp_path)
    verdict = judge(records, search.model.objective)
    assert verdict is not None
    told = winner.registration("fits", search, verdict, tmp_path / "000000018.pt", "winner/here")
    assert (told.name, told.folder) == ("fits", "winner/here")
    expected = {
        "search": "early_inference-search", "trial": 1, "seed": 1, "objective": "val_mae_prior_sd (min)",
        "value": pytest.approx(0.41), "verdict": "switch", "baseline": False, "weights": True,
    }  # fmt: skip
    assert expected.items() <= dict(told.tags).items()
    for text in ("seed 1: val_mae_prior_sd 0.41 prior sd", "`000000018.pt`", "Verdict: switch"):
        assert text in told.description
    gone = winner.registration("fits", search, verdict, None, "winner/here")
    assert "its weights are not kept" in gone.description and gone.tags["weights"] is False


def test_the_description_tells_what_changes_and_takes_no_markup(tmp_path: Path, records: Records) -> None:
    search = small_search(tmp_path)
    verdict = judge(records, search.model.objective)
    assert verdict is not None
    text = finalize.describe(
        search, verdict, [tmp_path / "report.html", tmp_path / "plan.json"], "winner/x", Standing("done")
    )
    assert text.startswith("**early_inference-search**: switch")
    assert "| lr | 0.001 | 0.005 |" in text and "| batch_size | 256 | 32 |" in text
    assert text.endswith("Among the artifacts: `report.html` (the whole story), `winner/x` (all one needs to use it).")
    odd, safe = "<img>|a\nb & c", "&lt;img>\\|a b &amp; c"
    search = replace(search, space=Space((Knob(odd, Categorical((odd, "x"))),)))
    verdict = replace(verdict, winner=replace(verdict.winner, values={odd: odd}))
    text = finalize.describe(search, verdict, [], "", Standing("done"))
    assert f"| {safe} | not active | {safe} |" in text
    assert (
        finalize.describe(search, None, [], "", Standing("done")) == "**early_inference-search**: no trial has a value."
    )


def test_a_report_that_fails_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from search.report import build as report

    def fails(folder: Path) -> Path:
        raise RuntimeError("can't draw https://me:hunter2@host/x\nmore")

    monkeypatch.setattr(report, "write", fails)
    said: list[str] = []
    assert finalize.write_report(tmp_path, said.append) is None
    assert said == ["warning: no report: can't draw https://***@host/x"]


@pytest.mark.parametrize("name", ["a/b", "models:x", "", " fits"])
def test_a_name_that_the_registry_would_refuse_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = [str(write_search(tmp_path)), "--results", str(tmp_path / "results"), "--register", name]
    assert run.main(words) == Exit.BAD_INPUT
    assert f"--register: {name!r} can't name a registered model" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_the_command_that_goes_on_registers_too(tmp_path: Path) -> None:
    options = run._options(["mine.yaml", "--register", "fits"])
    assert run._again(options).endswith("-m search.run mine.yaml --register fits --resume")
