import json
import os
import socket
from pathlib import Path

import pytest
from filelock import FileLock
from small_search import small_search

from search.history.events import Event, Phase
from search.history.journal import read
from search.persistence.folder import JOURNAL, check_name, opened
from search.spec.plan import make_plan
from spaces import strict_yaml
from spaces.problems import BadInput
from trainables.run import Prepared

PREPARED = Prepared(Path("/nowhere"), "d" * 64, "20 curves")


def silent(text: str) -> None: ...


def visit(
    place: Path, path: Path, *overrides: str, events: tuple[Event, ...] = (), data: Prepared = PREPARED
) -> list[Event]:
    """Open the search of `place` in the folder `path`, add events; returns what was there before."""
    search = small_search(place, *overrides)
    with opened(path, search, make_plan(search), data, silent) as folder:
        for event in events:
            folder.ledger.emit(event)
        return list(folder.history)


def refusal(place: Path, path: Path, *overrides: str, data: Prepared = PREPARED) -> str:
    before = {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}
    with pytest.raises(BadInput) as caught:
        visit(place, path, *overrides, data=data)
    after = {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}
    assert after == before
    (problem,) = caught.value.problems
    assert problem.where in {str(path), str(path / "search.yaml")}
    return problem.what


def test_a_new_folder_holds_the_resolved_search_and_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "results" / "s"
    assert visit(tmp_path, path) == []
    search = small_search(tmp_path)
    kept = strict_yaml.load(path / "search.yaml")
    assert kept["data_digest"] == "d" * 64 and kept["base"] == search.base and kept["horizon"] == 18
    assert search.digest in (path / "search.yaml").read_text().splitlines()[0]
    assert json.loads((path / "plan.json").read_text())["rungs"] == [1, 3, 9, 18]
    assert (path / JOURNAL).read_bytes() == b""


def test_events_are_there_again_and_a_torn_record_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    visit(tmp_path, path, events=(Phase("search", 1.0), Phase("confirm", 2.0)))
    whole = (path / JOURNAL).read_bytes()
    (path / JOURNAL).write_bytes(whole + whole[:20])
    assert visit(tmp_path, path, events=(Phase("done", 3.0),)) == [Phase("search", 1.0), Phase("confirm", 2.0)]
    assert read(path / JOURNAL)[0] == [Phase("search", 1.0), Phase("confirm", 2.0), Phase("done", 3.0)]


def test_replay_reads_on_from_an_event(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    with opened(tmp_path / "s", search, make_plan(search), PREPARED, silent) as folder:
        folder.ledger.emit(Phase("search", 1.0))
        folder.ledger.emit(Phase("confirm", 2.0))
        assert list(folder.replay(1)) == [Phase("confirm", 2.0)]
        assert folder.records.phase == "confirm"


def test_listeners_hear_of_events_that_are_kept_and_folded_already(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    heard = []
    with opened(tmp_path / "s", search, make_plan(search), PREPARED, silent) as folder:
        folder.ledger.listen(lambda event: heard.append((event, len(list(folder.replay(0))), folder.records.phase)))
        folder.ledger.emit(Phase("confirm", 2.0))
    assert heard == [(Phase("confirm", 2.0), 1, "confirm")]


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    visit(tmp_path, tmp_path / "s")
    check_name(tmp_path / "s", resume=True)
    check_name(tmp_path / "s", resume=False)  # the same command again goes on


def test_a_search_that_was_killed_as_it_began_may_begin_again(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".owner").write_text("somewhere pid 1\n")
    (tmp_path / "s" / ".lock").touch()
    check_name(tmp_path / "s", resume=False)
    assert visit(tmp_path, tmp_path / "s") == []


def test_a_name_of_nothing_can_not_be_resumed(tmp_path: Path) -> None:
    check_name(tmp_path / "s", resume=False)
    (tmp_path / "empty").mkdir()
    check_name(tmp_path / "empty", resume=False)
    for name in ("s", "empty"):
        with pytest.raises(BadInput, match=f"{name}: there is no search to resume"):
            check_name(tmp_path / name, resume=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("…")
    with pytest.raises(BadInput, match="something else than a search"):
        check_name(tmp_path / "mine", resume=False)


@pytest.mark.parametrize("path", ["file", "file/s"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_file_where_the_folder_should_be(tmp_path: Path, path: str, resume: bool) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file: is a file, where a folder is needed"):
        check_name(tmp_path / path, resume)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("sampler.seed=1", "settings.sampler.seed: 0 -> 1"),
        ("early_stopping.reduction=2", "settings.early_stopping.reduction: 3 -> 2"),
        ("budget.steps=9", "horizon: 18 -> 9"),
        ("budget.evaluate_every=3", "every: 1 -> 3"),
        ("data.generate.seed=1", "data.generate.seed: 0 -> 1"),
        ("space.lr={float: [1e-3, 1e-2]}", "space.lr.float: [1e-4, 0.01] -> [0.001, 0.01]"),
    ],
)
def test_a_changed_search_is_refused_with_what_differs(tmp_path: Path, override: str, told: str) -> None:
    path = tmp_path / "s"
    stopping = "early_stopping={kind: asha, first_rung: 3}"
    visit(tmp_path, path, stopping, events=(Phase("search", 1.0),))
    what = refusal(tmp_path, path, stopping, override)
    assert "not the search that the folder holds" in what and told in what


def test_changed_data_and_a_changed_base_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    visit(tmp_path, path, events=(Phase("search", 1.0),))
    what = refusal(tmp_path, path, data=Prepared(Path("/nowhere"), "e" * 64, ""))
    assert "data_digest: 'dddd" in what and "-> 'eeee" in what
    assert "base.lr" in refusal(tmp_path, path, "knobs=[batch_size, warmup_epochs]", "space.lr=0.1")


def test_only_some_of_many_differences_are_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    visit(tmp_path, path, "knobs=null", events=(Phase("search", 1.0),))
    what = refusal(tmp_path, path)
    assert what.endswith("; …") and len(what) < 2000


def test_a_budget_may_grow_and_resources_may_change(tmp_path: Path) -> None:
    path = tmp_path / "s"
    visit(tmp_path, path, events=(Phase("search", 1.0),))
    grown = ("budget.trials=20", "budget.wall=2h", "confirm.seeds=5", "resources.cpu=2", "max_failures=0")
    assert visit(tmp_path, path, *grown) == [Phase("search", 1.0)]
    assert strict_yaml.load(path / "search.yaml")["budget"]["trials"] == 20
    assert json.loads((path / "plan.json").read_text())["trials"] == 20


def test_a_search_that_never_began_may_still_change(tmp_path: Path) -> None:
    visit(tmp_path, tmp_path / "s")
    assert visit(tmp_path, tmp_path / "s", "sampler.seed=5") == []


def test_a_second_owner_is_refused_with_host_and_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "s"
    search = small_search(tmp_path)
    with opened(path, search, make_plan(search), PREPARED, silent):
        what = refusal(tmp_path, path)
    assert f"{socket.gethostname()} pid {os.getpid()} is running this search" in what
    assert visit(tmp_path, path) == []  # free again


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nothing can be written here .*--results"):
        visit(tmp_path, Path("/proc/nowhere/s"))


def test_an_owner_without_a_name_is_an_owner(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.mkdir()
    with FileLock(path / ".lock"):
        assert "another process is running this search" in refusal(tmp_path, path)


def test_a_damaged_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    visit(tmp_path, path, events=(Phase("search", 1.0), Phase("confirm", 1.0)))
    data = (path / JOURNAL).read_bytes()
    (path / JOURNAL).write_bytes(b"0" * 8 + data[8:])
    with pytest.raises(BadInput, match=r"journal.jsonl line 1: the record is damaged"):
        visit(tmp_path, path)


def test_an_older_copy_of_the_journal_is_refused_until_it_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "s"
    visit(tmp_path, path, events=(Phase("search", 1.0), Phase("confirm", 1.0)))
    data = (path / JOURNAL).read_bytes()
    for kept in (0, 1):
        (path / JOURNAL).write_bytes(b"".join(data.splitlines(keepends=True)[:kept]))
        with pytest.raises(BadInput, match=rf"ends at record {kept}, but this search has written 2: it is an older"):
            visit(tmp_path, path)
    (path / ".journal.jsonl.head").unlink()
    assert visit(tmp_path, path) == [Phase("search", 1.0)]


@pytest.mark.parametrize("text", ["", "- 1\n", "words\n"])
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s"
    visit(tmp_path, path, events=(Phase("search", 1.0),))
    (path / "search.yaml").write_text(text)
    assert "is not what this search has written there" in refusal(tmp_path, path)
