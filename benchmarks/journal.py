"""What numbering and chaining the journal's records costs: microseconds a record beside a plain checksum's.

python benchmarks/journal.py
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from search.history.events import Reported
from search.history.journal import Journal, read

TARGET_US = 50.0


def plain(path: Path, events: Sequence[Reported]) -> None:
    """As `Journal`, each record with a checksum of its own, one sync at the end."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for event in events:
        fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
        record = {"event": type(event).__name__, **fields}
        body = json.dumps(record, separators=(",", ":"), allow_nan=False, default=dataclasses.asdict).encode()
        os.write(file, b"%08x %s\n" % (zlib.crc32(body), body))
    os.fsync(file)
    os.close(file)


def chained(path: Path, events: Sequence[Reported]) -> None:
    """By the journal itself."""
    with Journal(path) as journal:
        for event in events:
            journal.append(event)


def main() -> int:
    """Print both and their difference; exit code 1 where it misses the target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    metrics = {f"metric_{i}": 1.0 / (i + 3) for i in range(25)} | {"objective": 0.5}
    events = [Reported(i % 50, i, metrics, 1.5, 1.7e9 + i) for i in range(options.records)]
    taken: dict[str, list[float]] = {"plain": [], "chained": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(options.repeats):
            for name, write in (("plain", plain), ("chained", chained)):
                began = time.perf_counter()
                write(Path(folder) / f"{name}{repeat}", events)
                taken[name].append((time.perf_counter() - began) / options.records * 1e6)
        began = time.perf_counter()
        read(Path(folder) / "chained0")
        reading = (time.perf_counter() - began) / options.records * 1e6
    one, other = (statistics.median(taken[name]) for name in ("plain", "chained"))
    good = other - one <= TARGET_US
    print(f"a record of {len(metrics)} metrics: plain {one:.1f} us, chained {other:.1f} us, read {reading:.1f} us")
    print(f"the chain costs {other - one:.1f} us a record (target {TARGET_US:g})  {'ok' if good else 'TOO SLOW'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
