from collections.abc import Iterator

import pytest

from tests.trainables.flat_store import URI, Flat, flat_store
from trainables import objects
from trainables.objects import Prefix, brief, endpoint_of, until_it_answers


@pytest.fixture
def store() -> Iterator[Flat]:
    with flat_store() as made:
        yield made


def test_a_prefix_is_a_folder_whose_query_stays_at_its_end() -> None:
    base = Prefix("s3://bucket/a/?endpoint_override=http://h:9")
    below = base / "t0/x"
    assert below.uri == "s3://bucket/a/t0/x?endpoint_override=http://h:9"
    assert (below.path, str(below), below.name) == ("bucket/a/t0/x", "s3://bucket/a/t0/x", "x")
    assert below.beside("y").uri == "s3://bucket/a/t0/y?endpoint_override=http://h:9"
    assert (Prefix("s3://bucket") / "s").path == "bucket/s"


def test_objects_are_written_found_listed_and_deleted(store: Flat) -> None:
    place = Prefix(URI)
    assert place.get("a") is None and place.sizes() == {} and place.modified("a") is None
    place.put("a", b"one")
    store.now = 7.0
    place.put("a", b"four")
    place.put("t/b", b"")
    assert place.get("a") == b"four" and place.modified("a") == 7.0
    assert place.sizes() == {"a": 4} and place.sizes(recursive=True) == {"a": 4, "t/b": 0}
    place.delete("a")
    place.delete("a")  # gone already
    place.clear("t")
    place.clear("t")
    assert store.content == {}


def test_each_answer_takes_one_request_of_ours(store: Flat) -> None:
    place = Prefix(URI)
    for act in (lambda: place.put("a", b"x"), lambda: place.get("a"), place.sizes, lambda: place.delete("a")):
        before = store.asked.total()
        act()
        assert store.asked.total() == before + 1


def test_a_store_that_is_away_is_waited_for_and_that_is_said_once(store: Flat) -> None:
    said: list[str] = []
    place = Prefix(URI, said.append)
    store.fails = 3
    place.put("a", b"x")
    assert place.get("a") == b"x"
    assert said == [
        f"{URI} can't be used now (SLOW_DOWN during X: y): waiting for it; nothing is lost",
        f"{URI} answers again: going on",
    ]


def test_an_outage_is_no_missing_object(store: Flat) -> None:
    place = Prefix(URI)
    place.put("a", b"x")
    store.fails = 4
    assert place.get("a") == b"x"
    store.fails = 4
    assert place.sizes() == {"a": 1}


def test_with_a_number_of_tries_the_error_comes_through(store: Flat) -> None:
    store.fails = 2
    with pytest.raises(OSError, match="SLOW_DOWN"):
        Prefix(URI, tries=2).get("a")
    assert store.asked["get"] == 2


def test_the_waits_grow_to_half_a_minute() -> None:
    waits: list[float] = []
    answers = iter([OSError("x")] * 8)

    def question() -> str:
        for error in answers:
            raise error
        return "here"

    assert until_it_answers(question, "there", lambda _: None, rest=waits.append) == "here"
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (
            "When reading information for key 'a' in bucket 'b': AWS Error NETWORK_CONNECTION during HeadObject "
            "operation: curlCode: 7, Could not connect to server; Details: Failed to connect to 127.0.0.1 port 1",
            "NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Could not connect to server",
        ),
        ("no reason\nand more", "no reason"),
        ("", "OSError"),
    ],
)
def test_an_error_is_told_in_a_line(text: str, short: str) -> None:
    assert brief(OSError(text)) == short


def test_the_endpoint_is_that_of_the_environment() -> None:
    assert endpoint_of({}) == ""
    assert endpoint_of({"AWS_ENDPOINT_URL": "http://a:1"}) == "http://a:1"
    assert endpoint_of({"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_S3": "http://b:2"}) == "http://b:2"


@pytest.mark.parametrize(
    ("query", "environment", "expected"),
    [
        ("", {}, ("", "https", "")),
        ("", {"AWS_ENDPOINT_URL": "http://a:1/"}, ("a:1", "http", "us-east-1")),
        ("", {"AWS_ENDPOINT_URL": "https://a", "AWS_REGION": "eu-1"}, ("a", "https", "eu-1")),
        ("endpoint_override=http%3A%2F%2Fb%3A2&region=r", {"AWS_ENDPOINT_URL": "https://a"}, ("b:2", "http", "r")),
        ("endpoint_override=b:2&scheme=http", {}, ("b:2", "http", "us-east-1")),
    ],
)
def test_where_s3_is_comes_from_the_uri_then_from_the_environment(
    query: str, environment: dict[str, str], expected: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    options = objects.filesystem.__wrapped__("s3", query).__reduce__()[1][0]
    endpoint, scheme, region = expected
    assert (options["endpoint_override"], options["scheme"]) == (endpoint, scheme)
    assert not region or options["region"] == region
    assert options["access_key"] is options["secret_key"] is None  # from each process's own environment
