"""Keeps the stopped processes of paused commands in memory: `python -I -S keep.py NAME MOST BYTES SECONDS`.

One per node and search. It listens on the abstract socket NAME, starts commands for the workers (so that none ends with
the worker that asked for it), and holds the ends of their pipes while no worker has their trial: at most MOST of them,
with BYTES of memory together. It ends when no worker of the search has been there for SECONDS, and what it holds ends
with it, as `supervise.py` sees its socket close. Standard library only, and nothing of ours, so that it stays small.
"""

import array
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_TICK = 1.0
_FDS = 3


@dataclass
class Held:
    """A stopped command: its end of control, standard output and standard error, and what its trial knows of it."""

    key: str
    order: tuple[int, float, int]
    """Who is ended for another: the least trained, of these the worst, of these the one that has waited longest."""
    size: int
    note: Any
    fds: list[int]

    def close(self) -> None:
        """Let go of it: where nobody else has its pipes, it ends."""
        for fd in self.fds:
            os.close(fd)


class Keeper:
    """What is held, and the answers to the workers' requests."""

    def __init__(self, most: int, room: int) -> None:
        self._most, self._room = most, room
        self._held: dict[str, Held] = {}
        self._count = 0

    def answer(self, asked: dict[str, Any], fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        """The answer to one request, and the files that go with it."""
        match asked["ask"]:
            case "start":
                try:
                    return self._start(asked, fds), []
                finally:
                    for fd in fds:
                        os.close(fd)
            case "hold":
                return {"ended": self._hold(asked, fds)}, []
            case _:
                held = self._held.pop(asked["key"], None)
                if held is None or held.note["step"] != asked["step"] or held.note["gpus"] != asked["gpus"]:
                    if held is not None:
                        held.close()
                    return {"note": None}, []
                return {"note": held.note}, held.fds

    def _start(self, asked: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        control, out, err = fds
        words = [sys.executable, "-I", "-S", asked["supervisor"], str(control), *asked["words"]]
        try:
            child = subprocess.Popen(  # noqa: S603
                words,
                cwd=asked["folder"],
                env=asked["environment"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=[control],
                start_new_session=True,
            )
        except OSError as error:
            return {"error": str(error)}
        child.returncode = 0  # it is waited for in `serve`, with all the others
        return {"pid": child.pid}

    def _hold(self, asked: dict[str, Any], fds: list[int]) -> list[str]:
        """Hold one more; the keys of those that are ended for it, perhaps its own."""
        self._count += 1
        order = (int(asked["step"]), -float(asked["badness"]), self._count)
        if (earlier := self._held.pop(asked["key"], None)) is not None:
            earlier.close()
        self._held[asked["key"]] = Held(asked["key"], order, int(asked["size"]), asked["note"], fds)
        ended = []
        while len(self._held) > self._most or sum(held.size for held in self._held.values()) > self._room:
            least = min(self._held.values(), key=lambda held: held.order)
            ended.append(least.key)
            self._held.pop(least.key).close()
        return ended


def received(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """One message and the files that came with it; None at the connection's end."""
    head, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(_FDS * array.array("i").itemsize))
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if len(head) < 4:
        return None
    (length,) = struct.unpack("!I", head)
    body = b""
    while len(body) < length:
        part = connection.recv(length - len(body))
        if not part:
            for fd in fds:
                os.close(fd)
            return None
        body += part
    return json.loads(body), list(fds)


def send(connection: socket.socket, message: dict[str, Any], fds: list[int]) -> None:
    """Send one message, and files with it."""
    body = json.dumps(message).encode()
    head = struct.pack("!I", len(body))
    if fds:
        socket.send_fds(connection, [head], fds)
    else:
        connection.sendall(head)
    connection.sendall(body)


def serve(server: socket.socket, keeper: Keeper, seconds: float) -> None:
    """Answer until no worker has been there for so many seconds."""
    workers: list[socket.socket] = []
    lonely = time.monotonic()
    while workers or time.monotonic() - lonely < seconds:
        ready, _, _ = select.select([server, *workers], [], [], min(_TICK, seconds))
        for one in ready:
            if one is server:
                connection, _ = server.accept()
                if _is_mine(connection):
                    workers.append(connection)
            elif not _served(one, keeper):
                workers.remove(one)
                one.close()
                lonely = time.monotonic()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _served(connection: socket.socket, keeper: Keeper) -> bool:
    try:
        got = received(connection)
        if got is None:
            return False
        answer, fds = keeper.answer(*got)
        try:
            send(connection, answer, fds)
        finally:
            for fd in fds:
                os.close(fd)
    except OSError:
        return False  # the worker died meanwhile; what was on its way to it ends
    return True


def _is_mine(connection: socket.socket) -> bool:
    """Whether this user is at the other end: an abstract socket has no permissions."""
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.getuid():
        connection.close()
        return False
    return True


def main() -> int:
    """Listen, and go on in a process of its own; the first one returns when workers can connect."""
    server = socket.socket(socket.AF_UNIX)
    try:
        server.bind(f"\0{sys.argv[1]}")
    except OSError:
        return 0  # another worker's was quicker
    server.listen(64)
    if os.fork():
        return 0
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    serve(server, Keeper(int(sys.argv[2]), int(sys.argv[3])), float(sys.argv[4]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
