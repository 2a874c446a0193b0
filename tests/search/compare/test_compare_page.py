"""The page that compares searches and the command that makes it: what they say and what is refused."""

import io
import json
import re
from pathlib import Path

import pytest
from made_searches import a_search, run, seeded, sources, write
from rich.console import Console

from search.compare.__main__ import main
from search.compare.page import compare, html
from search.compare.text import screens
from search.history.events import Event, Phase

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
