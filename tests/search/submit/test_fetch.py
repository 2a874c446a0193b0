"""Results brought here: by a small job on the head, or from an object store."""

import io
import runpy
import shlex
import sys
import tarfile
import zipfile
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from flat_store import flat_store

from search.submit import fetch as fetching
from search.submit import handout
from search.submit.fetch import fetch, fetch_stored, unpack
from search.submit.head import Job, Order
from spaces.problems import BadInput

JOB = Job("", "PENDING", None, None, None, None, "", None, None)
STORAGE = "s3://bucket/team"


@dataclass
class OneMachine:
    """A head that runs what it is sent in this process; its jobs pass through the given states."""

    states: list[str] = field(default_factory=lambda: ["PENDING", "RUNNING", "SUCCEEDED"])
    printed: str = ""
    done: list[str] = field(default_factory=list)

    def submit(self, job_id: str, order: Order) -> None:
        with zipfile.ZipFile(order.runtime_env["working_dir"]) as archive:
            (script,) = archive.namelist()
            assert archive.read(script) == Path(handout.__file__).read_bytes()
        command, python, *words = shlex.split(order.entrypoint)
        assert (command, python, words[0]) == ("exec", "python3", script)
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
            patch.setattr(sys, "argv", words)
            runpy.run_path(handout.__file__, run_name="__main__")
        self.printed = printed.getvalue()
        self.done.append(f"submit {job_id}")

    def job(self, job_id: str) -> Job | None:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return replace(JOB, id=job_id, status=state) if state else None

    def logs(self, job_id: str) -> str:
        self.done.append(f"logs {job_id}")
        return f"2026-01-01 INFO job_manager.py: Runtime env is setting up.\n{self.printed}"

    def forget(self, job_id: str) -> None:
        self.done.append(f"forget {job_id}")

    def stop(self, job_id: str) -> bool:
        self.done.append(f"stop {job_id}")
        return True


@pytest.fixture
def head() -> OneMachine:
    return OneMachine()


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """A search's folder, as it is on the cluster."""
    folder = tmp_path / "my searches" / "s"
    (folder / "native").mkdir(parents=True)
    for name in ("best.yaml", "native/base.yaml", "journal.jsonl"):
        (folder / name).write_text(f"of {name}")
    return folder


def held(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_what_a_search_hands_over_is_brought_by_a_job_that_is_forgotten(
    head: OneMachine, search: Path, tmp_path: Path
) -> None:
    rests: list[float] = []
    files = fetch(head, str(search), tmp_path / "got", rests.append)
    assert held(tmp_path / "got") == {"best.yaml": "of best.yaml", "native/base.yaml": "of native/base.yaml"}
    assert sorted(files) == [tmp_path / "got" / "best.yaml", tmp_path / "got" / "native" / "base.yaml"]
    whats, (job_id, *others) = zip(*(each.split() for each in head.done), strict=True)
    assert whats == ("submit", "logs", "forget") and set(others) == {job_id} and len(rests) == 2


@pytest.mark.parametrize(
    ("folder", "states", "said"),
    [
        ("nowhere", ["SUCCEEDED"], r"nowhere: there is no folder .*nowhere \(on the head of the cluster\)"),
        ("my searches", ["SUCCEEDED"], "my searches holds nothing that a search hands over"),
        ("my searches/s", [""], "s: did not arrive whole; try again. The cluster said: nothing"),  # the head began anew
    ],
)
def test_a_result_that_is_not_there_leaves_nothing_here(
    head: OneMachine, search: Path, tmp_path: Path, folder: str, states: list[str], said: str
) -> None:
    head.states = states
    with pytest.raises(BadInput, match=said):
        fetch(head, str(search.parents[1] / folder), tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_cluster_that_runs_no_job_is_given_up_and_the_job_with_it(
    head: OneMachine, search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head.states, rests = ["PENDING"], list[float]()
    monkeypatch.setattr(fetching, "time", SimpleNamespace(monotonic=lambda: 50 * sum(rests)))
    with pytest.raises(BadInput, match="did not hand it out within 300 s; is it overloaded"):
        fetch(head, str(search), tmp_path / "got", rests.append)
    assert [each.split()[0] for each in head.done] == ["submit", "stop"]


def test_an_archive_that_would_fill_the_disk_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, target = bytes(1_000_000), io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        header = tarfile.TarInfo("best.yaml")
        header.size = len(content)
        archive.addfile(header, io.BytesIO(content))
    assert [file.read_bytes() for file in unpack(target.getvalue(), tmp_path / "whole")] == [content]
    monkeypatch.setattr(fetching, "ROOM", 10_000)
    with pytest.raises(BadInput, match="would expand to more than is plausible"):
        unpack(target.getvalue(), tmp_path / "got")
    assert held(tmp_path / "got") == {}


def test_what_a_search_hands_over_is_read_from_its_store(tmp_path: Path) -> None:
    with flat_store() as store:
        for name in ("best.yaml", "native/base.yaml", "journal.jsonl", "trials/t0000/log.txt", "native/../../../out"):
            store.content[f"bucket/team/s/{name}"] = (name.encode(), 1.0)
        store.content["bucket/team/s2/best.yaml"] = (b"another's", 1.0)
        files = fetch_stored(STORAGE, "s", tmp_path / "a" / "got")
    assert held(tmp_path) == {"a/got/best.yaml": "best.yaml", "a/got/native/base.yaml": "native/base.yaml"}
    assert sorted(files) == [tmp_path / "a" / "got" / "best.yaml", tmp_path / "a" / "got" / "native" / "base.yaml"]


def test_a_place_that_is_no_folder_is_not_the_stores_fault(tmp_path: Path) -> None:
    (tmp_path / "got").write_text("mine")
    with flat_store() as store, pytest.raises(BadInput, match="got: what was fetched can't be written here"):
        store.content["bucket/team/s/best.yaml"] = (b"", 1.0)
        fetch_stored(STORAGE, "s", tmp_path / "got")
    assert (tmp_path / "got").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("NO_SUCH_BUCKET during ListObjectsV2", "s3://bucket/team/s: there is no bucket bucket"),
        ("ACCESS_DENIED during ListObjectsV2", "s3://bucket/team/s: access is refused"),
        (None, "holds nothing that a search hands over; is it the --storage it was begun with"),
    ],
)
def test_a_store_without_the_result_is_asked_once_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str | None, said: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    with flat_store() as store, pytest.raises(BadInput, match=said):
        store.fails, store.error = (9, OSError(f"When listing: AWS Error {error}: no")) if error else (0, store.error)
        store.content["bucket/team/s/journal.jsonl"] = (b"", 1.0)
        fetch_stored(STORAGE, "s", tmp_path / "got")
    assert store.asked.total() == 1 and not (tmp_path / "got").exists()
