"""A command's ends without the command: what is heard of what it prints, and of how it ends."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from trainables.own import process
from trainables.own.process import Ends, Output, Process, pair

GONE = 2**22 + 1  # no system numbers its processes so high


class Gone(Process):
    """Its processes have just ended by themselves."""

    def pids(self) -> list[int]:
        return [GONE]


@dataclass
class Command:
    """The other side of a process: what the command prints into, and what its supervisor is asked through."""

    running: Process
    control: socket.socket
    supervisor: socket.socket
    out: int
    err: int
    heard: list[str]

    def hang_up(self) -> None:
        """It has printed all that it will."""
        os.close(self.out)
        os.close(self.err)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """A command that runs; whoever asks for it ends it."""
    output = Output(tmp_path)
    with ExitStack() as stack:
        stack.callback(output.close)

        def make(kind: type[Process] = Process, grace: float = 0.0, rest: bytes = b"") -> Command:
            mine, supervisor = socket.socketpair()
            stack.callback(supervisor.close)
            (out, prints), (err, complains) = os.pipe(), os.pipe()
            heard: list[str] = []
            running = kind(Ends(mine, out, err, GONE, grace, (rest, b"")), output, heard.append)
            return Command(running, mine, supervisor, prints, complains, heard)

        yield make


def test_a_last_line_without_an_end_is_heard_and_a_long_one_comes_in_parts(
    tmp_path: Path, command: Callable[..., Command]
) -> None:
    one, long = command(rest=b"epoch "), "x" * 9000
    os.write(one.out, f"1\n10%\r20%\r\n{long}".encode())
    os.write(one.err, "Error: \N{SNOWMAN} \n\n".encode() + b"\xff no end")
    one.hang_up()
    one.supervisor.send(b"3\n")
    assert one.running.code == 3
    assert one.heard == ["epoch 1", "20%", long[:4000], long[:4000], long[:1000]]
    assert list(one.running.errors) == ["Error: \N{SNOWMAN} ", "", "\N{REPLACEMENT CHARACTER} no end"]
    one.running.end()
    lines = (tmp_path / "output.txt").read_bytes().decode().split("\n")
    assert sorted(lines) == sorted(["", "epoch 1", "10%\r20%", *one.heard[2:], *one.running.errors])


@pytest.mark.parametrize("unread", [b"", b"end\n"])
def test_a_supervisor_that_was_killed_counts_as_killed(unread: bytes, command: Callable[..., Command]) -> None:
    """Also where it had not yet taken in what it was told: the connection is then reset."""
    one = command()
    assert one.running.code is None
    one.control.send(unread)
    one.supervisor.close()
    one.hang_up()
    assert one.running.code == 137
    one.running.end()


def test_one_that_outlives_its_grace_is_killed_by_hanging_up(command: Callable[..., Command]) -> None:
    one = command(grace=-20.0)  # it is over at once
    asked: list[bytes] = []

    def supervise() -> None:
        while asked[-1:] != [b""]:
            asked.append(one.supervisor.recv(100))
        one.hang_up()
        one.supervisor.send(b"-9\n")

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    one.running.end()
    supervisor.join()
    assert asked == [b"end\n", b""] and one.running.code == -9


def test_processes_that_can_t_be_ended_are_said(
    command: Callable[..., Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that waits for a disk that never answers."""
    one = command(Gone)
    with monkeypatch.context() as patch:
        patch.setattr(process, "_AFTER_GRACE", 0.0)
        with pytest.raises(RuntimeError, match=f"the command's processes can't be ended: .{GONE}."):
            one.running.end()
    one.supervisor.send(b"0\n")  # it has answered
    one.hang_up()
    one.running.end()
    assert one.running.code == 0


def test_what_has_ended_by_itself_stands_still(
    command: Callable[..., Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        sent.append((pid, number))
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    one = command(Gone)
    os.write(one.out, b"epoch 1\nepo")
    for _ in range(2):
        one.running.stop()
    assert sent == [(GONE, signal.SIGSTOP)]  # once: nothing moves
    assert one.running.given().rests == (b"epo", b"") and one.heard == ["epoch 1"]
    for _ in range(2):
        one.running.go_on()
    assert sent[1:] == [(GONE, signal.SIGCONT)]
    one.supervisor.send(b"0\n")
    one.running.end()
    one.hang_up()


def test_no_end_of_a_control_is_left_open_where_a_command_can_t_be_started() -> None:
    with pair() as (mine, given):
        given.send(b"0\n")
    assert mine.recv(10) == b"0\n" and given.fileno() == -1
    mine.close()
    with pytest.raises(FileNotFoundError), pair() as (mine, given):
        raise FileNotFoundError
    assert mine.fileno() == given.fileno() == -1
