"""What the faults are made with: a server of MLflow, a small disk, a clock that can be set, a lock on a store."""

import ctypes.util
import mmap
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.faults_arena import PATIENCE, UNIT, free_port

# A system clock that is ahead or behind by the seconds in a file, for one process and its children: what `date --set`
# does to all. Waits until an instant of that clock are turned into ones until the same instant of the true clock, by
# which the kernel goes.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EPOCH 1000000000  /* no monotonic clock has come so far: greater instants are of the system clock */

static volatile int64_t *shift;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *seen = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    if (seen != MAP_FAILED) shift = seen;
    close(file);
}

static const struct timespec *true_instant(const struct timespec *at, struct timespec *kept) {
    if (!at || !shift || at->tv_sec < EPOCH) return at;
    *kept = *at;
    kept->tv_sec -= *shift;
    return kept;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, at);
    if (!failed && shift && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += *shift;
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *at) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec kept;
    if (!real) real = (typeof(real))dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real) real = (typeof(real))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    return real(cond, mutex, true_instant(at, &kept));
}

long syscall(long number, ...) {
    static long (*real)(long, ...);
    struct timespec kept;
    va_list rest;
    va_start(rest, number);
    long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long);
    long d = va_arg(rest, long), e = va_arg(rest, long), f = va_arg(rest, long);
    va_end(rest);
    if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_futex && (b & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET)
        d = (long)true_instant((const struct timespec *)d, &kept);
    return real(number, a, b, c, d, e, f);
}
"""


class Server:
    """`mlflow server` on loopback, on a SQLite file."""

    def __init__(self, folder: Path, unit: str) -> None:
        self.port, self.folder, self._unit = free_port(), folder, unit
        self.uri, self.database = f"http://127.0.0.1:{self.port}", folder / "server.db"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "server.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **own, f"{UNIT}_SERVER": self._unit},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no server: {(self.folder / 'server.txt').read_text()[-2000:]}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=1).close()  # noqa: S310 - our own loopback
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Kill -9 of its whole group."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def serving(folder: Path, unit: str) -> Iterator[Server]:
    """A server that is not started yet, and is gone at the end."""
    server = Server(folder, unit)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Nobody else can read or write the SQLite file."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=PATIENCE)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield
        holder.execute("ROLLBACK")


def no_small_disk() -> str | None:
    """Why this machine can't give a small disk, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "mounting a small disk takes root on Linux"
    with tempfile.TemporaryDirectory() as place:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False)  # noqa: S607
        if mounted.returncode:
            return "this machine mounts no tmpfs"
        subprocess.run(["umount", place], check=True)  # noqa: S607
    return None


@contextmanager
def small_disk(place: Path, mb: int) -> Iterator[None]:
    """A disk of so many MB at `place`."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mb}m", "tmpfs", str(place)], check=True)  # noqa: S607
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607


@contextmanager
def full(place: Path) -> Iterator[None]:
    """The disk at `place` has no byte left until the end of the block; what others free is taken, too."""
    filler = place / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue
        yield
    finally:
        filler.unlink()


GROUPS = {Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes", Path("/sys/fs/cgroup"): "memory.max"}
"""Where the kernel keeps groups of processes with a memory limit, old and new kind, and the limit's name."""


def no_memory_limit() -> str | None:
    """Why the kernel can't be made to kill one process for its memory here, or None."""
    try:
        with memory_limited(None):
            return None
    except OSError as error:
        return f"no group of processes with a memory limit can be made: {error}"


@contextmanager
def memory_limited(pid: int | None) -> Iterator[None]:
    """The process may take no more than 1 MiB beyond what it has: the kernel kills it at its next larger allocation."""
    parent, limit = next(((folder, name) for folder, name in GROUPS.items() if folder.exists()), (Path("/none"), ""))
    group = parent / f"faults-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text(str(1 << 20))
        if pid is not None:
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        end = time.monotonic() + 30
        while group.exists():  # a killed process is in it until its parent has asked for it
            try:
                group.rmdir()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)


def no_shim() -> str | None:
    """Why this machine can't set a clock back for one search alone, or None."""
    if sys.platform != "linux":
        return "LD_PRELOAD is Linux"
    return None if shutil.which("cc") else "it takes a C compiler (cc)"


class Clock:
    """The system clock as a search sees it."""

    def __init__(self, folder: Path) -> None:
        self._state, library = folder / "clock", folder / "clock.so"
        self._state.write_bytes(struct.pack("q", 0))
        (folder / "clock.c").write_text(SHIM)
        libraries = ["-ldl"] if ctypes.util.find_library("dl") else []
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, folder / "clock.c", *libraries], check=True)  # noqa: S607
        self.variables = {"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(self._state)}

    def jump(self, seconds: int) -> None:
        """The clock is `seconds` ahead of the true one from now on."""
        with self._state.open("r+b") as file, mmap.mmap(file.fileno(), 8) as seen:
            seen[:8] = struct.pack("q", seconds)
