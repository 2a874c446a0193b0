"""Nodes of one Ray cluster that see different files, as machines do: each in a mount namespace of its own."""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

PATIENCE = 120.0


def missing() -> str | None:
    """Why no such nodes can be made here, if so."""
    words = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except OSError as error:
        return f"unshare: {error}"
    return None if done.returncode == 0 else f"no mount namespaces: {done.stderr.strip()}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Machines:
    """A head, and as many nodes as are added, with one CPU each."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="mac"))  # short: sockets lie in it
        self._environment = {**environment, "RAY_TMPDIR": str(self.place)}
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self._started: list[subprocess.Popen[bytes]] = []
        own = ["--head", f"--port={port}", "--include-dashboard=false"]
        try:
            self._start([*own, f"--ray-client-server-port={free_port()}"])
            self._wait(1)
        except BaseException:
            self.end()
            raise

    def add(self, hides: Sequence[Path] = (), variables: Mapping[str, str] | None = None) -> None:
        """One more node; in place of the folders `hides` it has empty ones of its own, and `variables` beside the
        environment."""
        self._start([f"--address={self.address}"], hides, variables)
        self._wait(len(self._started))

    def end(self) -> None:
        mine = [process for process in psutil.process_iter() if self._is_mine(process)]
        for process in mine:
            process.kill()
        psutil.wait_procs(mine, timeout=20)
        while self._started:
            self._started.pop().wait()
        shutil.rmtree(self.place, ignore_errors=True)

    def _start(
        self, words: Sequence[str], hides: Sequence[Path] = (), variables: Mapping[str, str] | None = None
    ) -> None:
        agent = f"--dashboard-agent-listen-port={free_port()}"
        rest = ["--num-cpus=1", f"--temp-dir={self.place}/{len(self._started)}", "--disable-usage-stats", "--block"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, agent, *rest]
        mounts = "".join(f"mount -t tmpfs none '{folder}' && " for folder in hides)
        with (self.place / "nodes.txt").open("ab") as output:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", f'{mounts}exec "$@"', "sh", *command],
                env={**self._environment, **(variables or {})},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        """Until it has happened."""
        until = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < until, f"no {what}: {(self.place / 'nodes.txt').read_text()}"
            time.sleep(0.5)

    def _wait(self, nodes: int) -> None:
        self.wait(lambda: self._alive() >= nodes, f"{nodes} nodes")

    def _alive(self) -> int:
        """Asked from a process of its own: a driver in this one would stay joined."""
        code = f"import ray; ray.init('{self.address}', log_to_driver=False, logging_level=50); "
        code += "print(sum(n['Alive'] for n in ray.nodes()))"
        words = [sys.executable, "-c", code]
        try:
            done = subprocess.run(words, env=self._environment, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:  # a busy machine
            return 0
        return int(done.stdout.strip() or 0) if done.returncode == 0 else 0

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return process.pid != psutil.Process().pid and process.environ().get("RAY_TMPDIR") == str(self.place)
        except (psutil.Error, OSError):
            return False
