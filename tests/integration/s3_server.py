"""A real S3-compatible server on loopback, in a process of its own, which counts what it is asked."""

import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BUCKET = "searches"
KEYS = {"AWS_ACCESS_KEY_ID": "key-of-the-tests", "AWS_SECRET_ACCESS_KEY": "canary-secret-6f5e4d3c2b1a"}
_ASKED = re.compile(r'"(?:\x1b\[[0-9;]*m)*([A-Z]+) (/\S*)')


@dataclass
class Server:
    """moto, as `moto_server` starts it. What it holds is lost when it is ended, not while it is suspended."""

    log: Path
    port: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs."""
        return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_EC2_METADATA_DISABLED": "true"}

    def start(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", self.port))
            self.port = int(probe.getsockname()[1])
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                env={**os.environ, **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < until and self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def asked(self) -> list[tuple[str, str]]:
        """(method, path) of each request until now."""
        return [(found[1], found[2]) for found in _ASKED.finditer(self.log.read_text(errors="replace"))]

    def count(self, since: int = 0) -> Counter[str]:
        """Requests by method, from the one with the number `since` on."""
        return Counter(method for method, _ in self.asked()[since:])


@contextmanager
def s3_server(folder: Path, **settings: str) -> Iterator[Server]:
    """A server with an empty bucket; its log lies in `folder`."""
    from pyarrow import fs

    server = Server(folder / "s3.txt", settings=settings)
    server.start()
    try:
        at = {"endpoint_override": f"127.0.0.1:{server.port}", "scheme": "http", "region": "us-east-1"}
        keys = {"access_key": KEYS["AWS_ACCESS_KEY_ID"], "secret_key": KEYS["AWS_SECRET_ACCESS_KEY"]}
        fs.S3FileSystem(**at, **keys, allow_bucket_creation=True).create_dir(BUCKET)
        yield server
    finally:
        server.end()
