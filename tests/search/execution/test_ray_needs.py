import errno
import resource
from pathlib import Path

import pytest

from search.execution import ray_needs
from search.execution.ray_needs import ADDRESSES, SESSION_BYTES, SHORT, SOCKET_BYTES
from spaces.problems import BadInput

NONE = resource.RLIM_INFINITY
LONG = "/" + "a" * 60


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.setenv(name, "")


def test_a_long_tmpdir_is_not_for_rays_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", LONG)
    said: list[str] = []
    ray_needs.keep_sockets_short(said.append)
    assert ray_needs.os.environ["RAY_TMPDIR"] == SHORT
    (line,) = said
    assert line.startswith("TMPDIR is 61 bytes long")
    ray_needs.keep_sockets_short(said.append)
    assert said == [line]


def test_the_limit_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    room = SOCKET_BYTES - SESSION_BYTES
    monkeypatch.setenv("RAY_TMPDIR", "/" + "a" * (room - 1))
    ray_needs.keep_sockets_short(pytest.fail)
    monkeypatch.setenv("RAY_TMPDIR", "/" + "a" * room)
    with pytest.raises(BadInput, match=f"RAY_TMPDIR: {room + 1} bytes long.*set RAY_TMPDIR to a shorter folder"):
        ray_needs.keep_sockets_short(pytest.fail)


def test_no_short_folder_to_write_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", LONG)
    monkeypatch.setattr(ray_needs, "SHORT", str(tmp_path / "missing"))
    with pytest.raises(BadInput, match="TMPDIR: 61 bytes long"):
        ray_needs.keep_sockets_short(pytest.fail)


@pytest.mark.parametrize(
    ("limits", "lifted"),
    [
        ((ADDRESSES, ADDRESSES), None),
        ((1, ADDRESSES), ADDRESSES),
        ((1, resource.RLIM_INFINITY), resource.RLIM_INFINITY),
    ],
)
def test_a_limit_that_may_be_lifted_is(
    limits: tuple[int, int], lifted: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: done.append(pair))
    ray_needs.check_address_space()
    assert done == ([] if lifted is None else [(lifted, lifted)])


def test_a_limit_that_may_not_be_lifted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**30, 2**31))
    with pytest.raises(BadInput, match=r"ulimit -v: addresses are limited to 2\.0 GiB.*resources\.memory"):
        ray_needs.check_address_space()


def test_what_to_do_where_ray_did_not_start() -> None:
    assert "RAY_TMPDIR" in ray_needs.remedy(PermissionError(errno.EACCES, "no"))
    assert ray_needs.remedy(RuntimeError("slow")) == "the same command tries again"
