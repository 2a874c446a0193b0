"""Who has a search that is kept in an object store: one driver at a time, and another one when it is gone.

Stores have no locks. The driver writes its name into an object and again every few seconds; whoever finds it fresh is
refused, whoever finds it silent for long enough takes over. Each driver gets a number above those before it, which
its part of the journal bears: what one that is taken over still writes, unaware of it, is passed over by the reader.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from spaces.problems import BadInput
from trainables.objects import Prefix

LEASE, CLAIM = "lease.json", "claim"
RENEW_SECONDS = 10.0
EXPIRE_SECONDS = 45.0  # of silence, after which its owner is taken for lost: some renewals may fail
RELEASE_TRIES = 2
SETTLE_SECONDS = 1.0  # two that come at once: the later one's name stays

Say = Callable[[str], None]
Rest = Callable[[float], None]


@dataclass(frozen=True)
class Owner:
    """What the object says."""

    epoch: int
    """The number of this driver among all that the search has had, from 1."""
    id: str
    host: str
    boot: str
    """Of the machine: two may have the same name."""
    pid: int
    began: float
    """When the process did, in unix seconds of its machine: numbers of processes are given away again."""
    beat: int = 0
    """How often it has been written anew."""
    released: bool = False

    def __str__(self) -> str:
        return f"{self.host} pid {self.pid}"

    def gone(self, here: "Owner") -> bool:
        """Whether it has ended in order, or was a process of the machine of `here` that is no more."""
        return self.released or (self._near(here) and not _lives(self.pid, self.began))

    def lives(self, here: "Owner") -> bool:
        """Whether it is a process of the machine of `here`, and there."""
        return not self.released and self._near(here) and _lives(self.pid, self.began)

    def _near(self, other: "Owner") -> bool:
        return (self.host, self.boot) == (other.host, other.boot)


class Displaced(BaseException):
    """Another driver has taken this search over. No Exception: Ray would take that for a trial's own."""


class Lease:
    """The hold that this process has on the search in `store`."""

    def __init__(self, store: Prefix, rest: Rest = time.sleep, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._rest, self._clock = store, rest, clock
        self._owner = _myself()
        self._sure = 0.0  # when it was last known to be ours
        self._lock = threading.Lock()
        self._over = threading.Event()

    @property
    def epoch(self) -> int:
        """The number of this driver."""
        return self._owner.epoch

    @property
    def id(self) -> str:
        """Hexadecimal digits, no other driver's."""
        return self._owner.id

    def take(self, least: int, say: Say) -> None:
        """Become the owner, with a number of at least `least`. Raises BadInput while another process is.

        The owner of a machine that was lost can't say so: it is waited for until it has been silent for long enough.
        """
        before = self._await_silence(say)
        self._owner = replace(self._owner, epoch=max(least, before.epoch + 1 if before is not None else 1))
        self._write()
        self._rest(SETTLE_SECONDS)
        now = self._read()
        if now is None or now.id != self._owner.id:
            raise self._refusal(now)
        self._sure = self._clock()
        threading.Thread(target=self._renew, daemon=True, name="lease").start()

    def check(self) -> None:
        """Raise Displaced where another driver has taken over. Asks the store only where that could have happened."""
        with self._lock:
            if self._clock() - self._sure > EXPIRE_SECONDS / 2:
                self._again()

    def release(self, keep: bool) -> None:
        """Leave the search to others; `keep` says that it has begun, and its drivers are to be counted on. Raises
        OSError where the store is away.
        """
        self._over.set()
        self._store = replace(self._store, tries=RELEASE_TRIES)
        with self._lock:
            now = self._read()
            if now is None or now.id != self._owner.id:
                return
            if keep:
                self._owner = replace(self._owner, released=True)
                self._write()
            else:
                self._store.delete(LEASE)

    def _await_silence(self, say: Say) -> Owner | None:
        first, since = self._read(), self._clock()
        if first is None or first.gone(self._owner):
            return first
        if first.lives(self._owner):
            raise self._refusal(first)
        silent = self._silence()
        if silent < EXPIRE_SECONDS:
            said = f"{first} had this search {silent:.0f} s ago"
            say(f"{said}: waiting until nothing was heard from it for {EXPIRE_SECONDS:g} s")
        while silent + self._clock() - since < EXPIRE_SECONDS:
            self._rest(RENEW_SECONDS / 5)
            now = self._read()
            if now is None or now.released:
                return now
            if now != first:
                raise self._refusal(now)
        return first

    def _silence(self) -> float:
        """Seconds since the owner wrote, by the store's own clock."""
        claim = f"{CLAIM}-{self._owner.id}"
        self._store.put(claim, b"-")
        now, then = self._store.modified(claim), self._store.modified(LEASE)
        self._store.delete(claim)
        return max(0.0, now - then) if now is not None and then is not None else 0.0

    def _renew(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            with self._lock:
                if self._over.is_set():
                    return
                try:
                    self._again()
                except Displaced:
                    return  # the driver hears of it before it writes the next time

    def _again(self) -> None:
        now = self._read()
        if now is not None and now.id != self._owner.id:
            self._sure = -EXPIRE_SECONDS
            raise Displaced(f"{now} has taken this search over, as nothing was heard from here for long")
        self._owner = replace(self._owner, beat=self._owner.beat + 1)
        began = self._clock()
        self._write()
        self._sure = began

    def _read(self) -> Owner | None:
        content = self._store.get(LEASE)
        if content is None:
            return None
        try:
            return Owner(**json.loads(content))
        except (TypeError, ValueError) as error:
            raise BadInput.of(
                f"{self._store / LEASE}", "says nothing of use; delete it if nobody has the search"
            ) from error

    def _write(self) -> None:
        self._store.put(LEASE, json.dumps(asdict(self._owner)).encode())

    def _refusal(self, owner: Owner | None) -> BadInput:
        who = str(owner) if owner is not None else "another process"
        return BadInput.of(str(self._store), f"{who} is running this search; wait for it or stop it")


def _myself() -> Owner:
    me = psutil.Process()
    boot = Path("/proc/sys/kernel/random/boot_id")
    return Owner(
        epoch=0,
        id=secrets.token_hex(8),
        host=socket.gethostname(),
        boot=boot.read_text(encoding="ascii").strip() if boot.exists() else "",
        pid=os.getpid(),
        began=me.create_time(),
    )


def _lives(pid: int, began: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - began) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
