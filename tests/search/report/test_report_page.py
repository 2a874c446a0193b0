"""What a report is made of, from folders of searches that never ran (`benchmarks/report_folder.py`)."""

import base64
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from matplotlib.image import imread
from report_text import data_of, tags, text_of, words

from benchmarks.report_folder import Story, make_folder
from search.report.__main__ import main
from search.report.build import SECTIONS, write
from search.report.findings import Findings
from spaces import strict_yaml

NASTY = "<script>alert(1)</script>"
ROOT = Path(__file__).resolve().parents[3]


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


def test_neither_ray_nor_mlflow_nor_torch_is_imported(finished: Path) -> None:
    code = (
        "import sys, search.report.__main__; from search.report.build import write; "
        f"write(__import__('pathlib').Path({str(finished)!r}));"
        "print(sorted({'ray', 'mlflow', 'torch', 'matplotlib.pyplot', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
