import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_search import small_search, write_search

from search.app.run_metadata import introduce
from search.common.store_uri import identity
from search.common.timeouts import within
from search.history.events import Phase, Proposed, Reported
from search.persistence import lease, local_copy
from search.persistence.folder import JOURNAL, opened
from search.persistence.lease import LEASE
from search.persistence.local_copy import check_note, held, remember_runs
from search.persistence.object_store_journal import journal, parts
from search.run import main
from search.spec.plan import make_plan
from search.spec.storage import Home, explained, has_credentials, located, override, parsed, trouble
from search.tracking.run_ids import RunIds
from search.tracking.updates import PARENT
from spaces.problems import BadInput
from tests.trainables.flat_store import Flat, flat_store
from trainables import checkpoints
from trainables.layout import checkpoint_folder
from trainables.objects import Prefix
from trainables.run import Prepared

ROOT = "s3://bucket/team"
STORE = Prefix(f"{ROOT}/s")
PREPARED = Prepared(Path("/nowhere"), "d" * 64, "20 curves")
BEGUN = [Phase("search", 1.0), Proposed(0, {"lr": 1e-3}, 0, "search", "baseline", 1.0)]


# -- what the setting may say


def test_a_path_is_a_folder_and_a_uri_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert parsed("/nfs/x", "") == Path("/nfs/x")
    assert parsed("~/x", "") == Path("/home/me/x")
    assert parsed("s3://bucket/a/b?region=r", "") == Prefix("s3://bucket/a/b?region=r")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ftp://host/x", "ftp:// can't be used; give s3://BUCKET/PREFIX, or a folder"),
        ("file:///nfs/x", "file:// can't be used"),
        ("s3:///x", "names no bucket"),
        ("s3://", "names no bucket"),
        ("s3://bucket/a#b", "names no bucket"),
        ("s3://bucket/a?regoin=x", "?regoin= is not known; did you mean 'region'"),
        ("s3://key:canary@bucket/a", "carries credentials"),
        ("s3://bucket/a?secret_key=canary", "carries credentials"),
        ("  ", "is empty"),
    ],
)
def test_what_can_t_be_a_storage_is_refused_with_what_to_do(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        small_search(tmp_path, override(text))
    (problem,) = caught.value.problems
    assert problem.where == f"{tmp_path / 'search.yaml'} storage" and told in problem.what
    assert "canary" not in str(problem)


def test_where_a_search_is_kept() -> None:
    results = Path("results")
    assert located(None, Path("r"), "s") == Home(Path("r/s"))
    assert located("/nfs/x", results, "s") == Home(Path("/nfs/x/s"))
    assert located("/nfs/x", Path("/nfs/x"), "s") == Home(Path("/nfs/x/s"))
    assert located(ROOT, Path("r"), "s") == Home(Path("r/s"), STORE)
    with pytest.raises(BadInput, match=r"--results: r, but storage says /nfs/x: a search is kept in one"):
        located("/nfs/x", Path("r"), "s")


def test_the_place_is_not_what_makes_a_search(tmp_path: Path) -> None:
    assert small_search(tmp_path).digest == small_search(tmp_path, override(ROOT)).digest


def test_a_plan_asks_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_search(tmp_path)
    assert main([str(path), "--plan", "--storage", "s3://bucket/x?endpoint_override=127.0.0.1:1&scheme=http"]) == 0
    assert "trials of early_inference" in capsys.readouterr().out


# -- what a store answers


@pytest.mark.parametrize(
    ("answer", "environment", "told"),
    [
        ("NO_SUCH_BUCKET during PutObject operation: x", {}, "there is no bucket bucket at Amazon S3; create it"),
        (
            "ACCESS_DENIED during PutObject operation: No response body.",
            {"HOME": "/nowhere"},
            "no credentials: set AWS_",
        ),
        ("ACCESS_DENIED during PutObject operation: x", {"AWS_ACCESS_KEY_ID": "a"}, "access is refused; objects must"),
        ("INVALID_ACCESS_KEY_ID during X: y", {"AWS_ACCESS_KEY_ID": "a"}, "access is refused"),
        ("SIGNATURE_DOES_NOT_MATCH during X: y", {"AWS_ACCESS_KEY_ID": "a"}, "access is refused"),
        ("UNKNOWN (HTTP status 403) during X: y", {"AWS_ACCESS_KEY_ID": "a"}, "access is refused"),
        ("UNKNOWN (HTTP status 301) PERMANENT_REDIRECT", {}, "is in another region: set AWS_REGION"),
        ("NETWORK_CONNECTION during X: curlCode: 7", {}, "Amazon S3 can't be reached: NETWORK_CONNECTION during X: "),
        ("no answer within 8 s", {"AWS_ENDPOINT_URL": "http://me:canary@h:9"}, "http://***@h:9 can't be reached: no"),
        (
            "RESOURCE_NOT_FOUND during X",
            {"AWS_PROFILE": "a", "AWS_ENDPOINT_URL": "http://h"},
            "what answers at http://h",
        ),
        ("INTERNAL_FAILURE", {"AWS_PROFILE": "a"}, "can't be used: INTERNAL_FAILURE"),
        ("INTERNAL_FAILURE", {"HOME": "/nowhere"}, "no credentials"),
    ],
)
def test_each_answer_says_what_to_do(answer: str, environment: dict[str, str], told: str) -> None:
    text = explained(STORE, answer, environment)
    assert text.startswith(told) or told in text
    assert "canary" not in text


def test_credentials_are_looked_for_where_amazon_s_own_tools_do(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert not has_credentials(home)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        assert has_credentials({**home, name: "x"})
    (tmp_path / "keys").touch()
    assert has_credentials({**home, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys")})
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").touch()
    assert has_credentials(home)


def test_a_store_that_keeps_one_waiting_is_given_up() -> None:
    waits = os.pipe()
    assert within(0.05, lambda: str(os.read(waits[0], 1))) == "no answer within 0.05 s"
    assert within(5, lambda: "quick") == "quick" and within(5, lambda: None) is None
    os.write(waits[1], b"x")
    for end in waits[1:]:
        os.close(end)


# -- a folder as the copy of a store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flat]:
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("search.spec.storage.filesystem", lambda *_, **__: made)
    with flat_store() as made:
        yield made


def silent(text: str) -> None: ...


def visit(place: Path, home: Home, *events: Phase | Proposed | Reported) -> list[object]:
    """One sitting, on the machine that has the folder `home.path`; what was known at its beginning."""
    search = small_search(place)
    with held(home, silent) as mirror, opened(home.path, search, make_plan(search), PREPARED, silent, mirror) as folder:
        for event in events:
            folder.ledger.emit(event)
        return list(folder.history)


def test_the_check_leaves_nothing_behind(store: Flat) -> None:
    assert trouble(STORE) is None and store.content == {}
    store.fails = 1
    assert trouble(STORE) == "SLOW_DOWN during X: y" and store.content == {}


def test_a_folder_that_is_gone_or_behind_is_made_from_the_store(store: Flat, tmp_path: Path) -> None:
    first, second = (Home(tmp_path / name / "s", STORE) for name in ("a", "b"))
    assert visit(tmp_path, first, *BEGUN) == []
    assert visit(tmp_path, second, Phase("search", 2.0)) == BEGUN
    whole = [*BEGUN, Phase("search", 2.0)]
    assert visit(tmp_path, first) == whole  # behind
    assert visit(tmp_path, Home(tmp_path / "c" / "s", STORE)) == whole
    contents = {(tmp_path / name / "s" / JOURNAL).read_bytes() for name in "abc"}
    assert contents == {journal(STORE, parts(STORE))} | {(tmp_path / "b" / "s" / JOURNAL).read_bytes()}
    assert {part.epoch for part in parts(STORE)} == {1, 2}


def test_a_record_that_only_the_store_has_counts(store: Flat, tmp_path: Path) -> None:
    """The driver was killed between the store and its own disk; or a power cut took the end of its own file."""
    home = Home(tmp_path / "r" / "s", STORE)
    visit(tmp_path, home, *BEGUN)
    path = home.path / JOURNAL
    data = path.read_bytes()
    for cut in (len(data) - 1, len(data) - 30, data.index(b"\n") + 1, 0):
        path.write_bytes(data[:cut])
        assert visit(tmp_path, home) == BEGUN
        assert path.read_bytes() == data


def test_a_folder_with_another_story_is_refused_and_left_alone(store: Flat, tmp_path: Path) -> None:
    here, there = (Home(tmp_path / name / "s", STORE) for name in ("here", "there"))
    visit(tmp_path, here, *BEGUN)
    visit(tmp_path, Home(there.path), Phase("search", 7.0))  # begun without the store
    before = {path: path.read_bytes() for path in there.path.iterdir() if path.is_file()}
    with pytest.raises(BadInput, match=r"its journal is not that of s3://bucket/team/s; move the folder away"):
        visit(tmp_path, there)
    assert {path: path.read_bytes() for path in there.path.iterdir() if path.is_file()} == before
    assert visit(tmp_path, here) == BEGUN  # nobody has it


def test_a_copy_does_not_go_on_alone(store: Flat, tmp_path: Path) -> None:
    home = Home(tmp_path / "r" / "s", STORE)
    visit(tmp_path, home, *BEGUN)
    with pytest.raises(BadInput, match=r"copy of a search that is kept in s3://bucket/team; go on with --storage s3:"):
        visit(tmp_path, Home(home.path))
    check_note(tmp_path / "another")


def test_damage_in_the_store_is_named_and_the_folder_left_alone(store: Flat, tmp_path: Path) -> None:
    home = Home(tmp_path / "r" / "s", STORE)
    visit(tmp_path, home, *BEGUN)
    (name,) = [name for name in store.content if "/journal/" in name]
    data = store.content[name][0]
    store.content[name] = (b"0" * 8 + data[8:], 0.0)
    elsewhere = Home(tmp_path / "q" / "s", STORE)
    with pytest.raises(BadInput, match=r"s3://bucket/team/s/journal line 1: the record is damaged"):
        visit(tmp_path, elsewhere)
    assert not elsewhere.path.exists()


def test_a_search_that_is_refused_leaves_no_owner_behind(store: Flat, tmp_path: Path) -> None:
    with pytest.raises(BadInput), held(Home(tmp_path / "s", STORE), silent):
        raise BadInput.of("x", "y")
    assert store.content == {}
    visit(tmp_path, Home(tmp_path / "s", STORE), *BEGUN)
    content = STORE.get(LEASE)
    assert content is not None and b'"released": true' in content


def test_a_driver_that_is_taken_over_ends_and_its_last_words_count_for_nothing(
    store: Flat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, home = small_search(tmp_path), Home(tmp_path / "a" / "s", STORE)
    with (
        pytest.raises(BadInput, match=r"pid \d+ has taken this search over, as nothing was heard from here for long"),
        held(home, silent) as mirror,
        opened(home.path, search, make_plan(search), PREPARED, silent, mirror) as folder,
    ):
        folder.ledger.emit(BEGUN[0])
        content = json.loads(STORE.get(LEASE) or b"")
        STORE.put(
            LEASE, json.dumps({**content, "id": "ab", "host": "elsewhere", "epoch": 2, "released": True}).encode()
        )
        monkeypatch.setattr(lease, "EXPIRE_SECONDS", 0.0)  # it was suspended for longer
        folder.ledger.emit(BEGUN[1])
    assert visit(tmp_path, Home(tmp_path / "b" / "s", STORE)) == BEGUN[:1]
    assert visit(tmp_path, home) == BEGUN[:1]


def test_a_changed_search_is_refused_by_what_the_store_knows(store: Flat, tmp_path: Path) -> None:
    visit(tmp_path, Home(tmp_path / "a" / "s", STORE), *BEGUN)
    changed = small_search(tmp_path, "sampler.seed=1")
    home = Home(tmp_path / "b" / "s", STORE)
    with (
        pytest.raises(BadInput, match=r"settings\.sampler\.seed: 0 -> 1"),
        held(home, silent) as mirror,
        opened(home.path, changed, make_plan(changed), PREPARED, silent, mirror),
    ):
        pass


def test_checkpoints_in_the_store_are_held_against_its_journal(store: Flat, tmp_path: Path) -> None:
    place = checkpoint_folder("/nowhere", 0, STORE)
    reported = [Reported(0, step, {"objective": 1.0}, 0.1, 1.0) for step in (1, 2)]
    for step in (1, 2, 3):
        checkpoints.write(place, step, {"step": step})
    visit(tmp_path, Home(tmp_path / "a" / "s", STORE), *BEGUN, *reported)
    visit(tmp_path, Home(tmp_path / "b" / "s", STORE))
    assert checkpoints.steps(place) == [3, 2]  # one ahead: its report is on the way
    checkpoints.write(place, 9, {"step": 9})
    visit(tmp_path, Home(tmp_path / "c" / "s", STORE))
    assert checkpoints.steps(place) == [3]  # beyond what the journal can have lost; cheap, so it is done again
    for path in [path for path in store.content if "/checkpoints/" in path]:
        del store.content[path]
    slow = Reported(0, 3, {"objective": 1.0}, 100.0, 1.0)
    visit(tmp_path, Home(tmp_path / "c" / "s", STORE), slow)
    store.content["bucket/team/s/trials/t0000/log.txt"] = (b"", 0.0)
    with pytest.raises(BadInput, match=r"s3://bucket/team/s/trials/t0000: 100 s of training are recorded"):
        visit(tmp_path, Home(tmp_path / "d" / "s", STORE))


def test_the_search_that_a_new_one_starts_from_is_brought_along(store: Flat, tmp_path: Path) -> None:
    visit(tmp_path, Home(tmp_path / "a" / "s", STORE), *BEGUN)
    forked = small_search(tmp_path, "warm_start={search: s}")
    home = Home(tmp_path / "b" / "new", STORE.beside("new"))
    local_copy.bring_source(home, forked)
    assert (tmp_path / "b" / "s" / JOURNAL).read_bytes() == journal(STORE, parts(STORE))
    assert (tmp_path / "b" / "s" / "search.yaml").exists()
    local_copy.bring_source(home, forked)  # once more changes nothing
    local_copy.bring_source(Home(tmp_path / "c" / "new"), forked)  # without a store the source is here, or nowhere
    assert not (tmp_path / "c").exists()


def runs_of(place: Path, home: Home, database: str, *events: Phase | Proposed) -> RunIds:
    """What a tracker of the search on this machine would know as it starts."""
    search = small_search(place, f"tracking.uri={database}")
    with held(home, silent) as mirror, opened(home.path, search, make_plan(search), PREPARED, silent, mirror) as folder:
        info = introduce(search, PREPARED, folder, make_plan(search), 1)
        assert mirror is not None
        remember_runs(mirror, folder.records.trials, info)
        for event in events:
            folder.ledger.emit(event)
    known = RunIds(home.path / "tracking.jsonl", identity(info.uri, info.experiment))
    known.close()
    return known


def test_a_search_that_goes_on_elsewhere_looks_for_its_runs_before_it_makes_them(store: Flat, tmp_path: Path) -> None:
    server = "http://127.0.0.1:9"
    first = runs_of(tmp_path, Home(tmp_path / "a" / "s", STORE), server, *BEGUN)
    assert first.doubtful == set() and not first.described
    second = runs_of(tmp_path, Home(tmp_path / "b" / "s", STORE), server)
    assert second.uid == first.uid and second.doubtful == {PARENT, 0} and second.described
    again = runs_of(tmp_path, Home(tmp_path / "a" / "s", STORE), server)
    assert again.uid == first.uid and again.doubtful == set()  # this machine knows what it has made
    gone = runs_of(tmp_path, Home(tmp_path / "c" / "s", STORE), f"sqlite:///{tmp_path}/gone.db")
    assert gone.doubtful == set() and not gone.described  # with the machine its database was lost: all is sent anew
