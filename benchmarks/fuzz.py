"""Hostile input: valid files of every format, changed at random, given to what a person's command does with them.

    python benchmarks/fuzz.py --seconds 20              # per format
    python benchmarks/fuzz.py --only "search YAML,npz" --seed 7

Prints per format how many inputs were tried, which exit codes they had, how many ended in a traceback, the slowest and
the most memory. Exit code 1 where one ended in a traceback, took more than 10 s or 1 GiB, or had an exit code that is
none of 0, 2, 3, 75 and 130. What failed is kept in --keep.
"""

import argparse
import contextlib
import gzip
import io
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.fuzz_formats import FORMATS, Format
from spaces.problems import BadInput

SLOW, LARGE, BYTES = 10.0, 1 << 30, 1 << 20
CODES = {0, 2, 3, 75, 130}
TOKENS = (
    b"0", b"-1", b"1e308", b"1e999", b"-1e-320", b"nan", b".nan", b"inf", b"9" * 400, b"null", b"true", b"''", b"[]",
    b"{}", b"{a: 1}", b"[[[[", b"]", b"}", b":", b"&a [*a]", b"*a", b"&a", b"<<: ", b"!!binary aGk=", b"!!set {a}",
    b"!!python/object:os.system x", b"2020-01-01", b"0x7f", b"1_000", b"\0", b"\xff\xfe", b"\xed\xa0\x80",
    "\u202e\u2028é".encode(), b"\r\n", b"\t", b"#", b"%YAML 1.2\n---\n", b"---\n", b"../../etc/passwd", b"/dev/zero",
    b"A" * 5000, b"[" * 2000, b"{a: " * 900, b"- " * 1500, b"\\u0000", b'"', b"'", b"1e1000000000",
    b"99999999999 epochs",
    b"1 epoch", b"auto", b"1e-300s", b"yes", b"~", b"__class__", b"\x00" * 64, b"\x7f\xff\xff\xff", b"\xff" * 8,
)  # fmt: skip


@dataclass
class Tally:
    """What became of one format's inputs."""

    tried: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    tracebacks: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    most: int = 0  # bytes

    def failed(self) -> bool:
        """Whether the target is missed."""
        return bool(self.tracebacks) or self.slowest > SLOW or self.most > LARGE or not set(self.codes) <= CODES


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """One of `seeds` after some changes: bits, bytes, tokens, cut, repeated and exchanged parts."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(min(len(data), rng.choice((64, 512, BYTES))) + 1)  # headers as often as what follows
        end = min(len(data), at + rng.choice((1, 1, 4, 16, 200)))
        match rng.randrange(9):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                data[at:end] = rng.randbytes(end - at)
            case 2:
                del data[at:end]
            case 3:
                del data[at:]
            case 4:
                data[at:at] = data[at:end] * rng.choice((1, 2, 50))
            case 5 | 6:
                data[at:at] = rng.choice(TOKENS)
            case 7:
                data[at:end] = rng.choice(TOKENS)
            case _:
                words = bytes(data).split()
                if words:
                    data = bytearray(bytes(data).replace(rng.choice(words), rng.choice(TOKENS), 1))
    return bytes(data[:BYTES])


def remade(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A mutated input; of a compressed archive, half of the time what is inside is changed."""
    packed = [seed for seed in seeds if seed.startswith(b"\x1f\x8b")]
    if packed and rng.random() < 0.5:
        return gzip.compress(mutated(rng, [gzip.decompress(seed) for seed in packed]))[:BYTES]
    return mutated(rng, seeds)


def work(format_: Format, folder: Path, pipe: Connection) -> None:
    """The child: use each input that comes, and tell (exit code or None, traceback, seconds, peak bytes)."""
    os.environ["SCHEDULE_SEARCH_CACHE"] = str(folder / "cache")
    os.chdir(folder)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    target = folder / format_.file
    before = _peak()
    while True:
        target.write_bytes(pipe.recv_bytes())
        start = time.monotonic()
        code, said = _outcome(format_, folder)
        pipe.send((code, said, time.monotonic() - start, max(0, _peak() - before)))


def _outcome(format_: Format, folder: Path) -> tuple[int | None, str]:
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return format_.use(folder), ""
    except BadInput as error:
        return 2, str(error)
    except SystemExit as error:
        return (error.code if isinstance(error.code, int) else 1), ""
    except BaseException:
        return None, traceback.format_exc()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Child:
    """A process that uses inputs of one format; made anew when it dies or hangs."""

    def __init__(self, format_: Format, folder: Path) -> None:
        self._format, self._folder = format_, folder
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=work, args=(self._format, self._folder, other), daemon=True)
        self._process.start()
        other.close()

    def use(self, content: bytes) -> tuple[int | None, str, float, int]:
        """What `work` tells of the input."""
        start = time.monotonic()
        try:
            self._pipe.send_bytes(content)
            if self._pipe.poll(2 * SLOW):
                found: tuple[int | None, str, float, int] = self._pipe.recv()
                if found[3] > LARGE:  # the peak never falls: the next input would be blamed too
                    self.close()
                    self._start()
                return found
            said = ""
        except (EOFError, BrokenPipeError, ConnectionResetError):
            said = "the process died"
        self.close()
        self._start()
        return None if said else 0, said, time.monotonic() - start, 0

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def fuzz(format_: Format, seconds: float, seed: int, keep: Path) -> Tally:
    """Try inputs of a format for so long."""
    rng, tally = random.Random(f"{seed} {format_.name}"), Tally()  # noqa: S311 - not for secrets
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        seeds = format_.make(folder)
        child = Child(format_, folder)
        code, said, _, _ = child.use(seeds[0])
        assert code == 0, f"{format_.name}: the valid file is not taken: {code} {said}"
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            content = remade(rng, seeds)
            code, said, took, peak = child.use(content)
            tally.tried += 1
            tally.slowest, tally.most = max(tally.slowest, took), max(tally.most, peak)
            if code is not None:
                tally.codes[code] += 1
            else:
                tally.tracebacks[_place(said)] += 1
            new = code is None and tally.tracebacks[_place(said)] == 1
            if new or took > SLOW or peak > LARGE or (code is not None and code not in CODES):
                _keep(keep, format_, tally.tried, content, said or f"code {code}, {took:.1f} s, {peak >> 20} MiB")
        child.close()
    return tally


def _place(said: str) -> str:
    """Where a traceback ends, and in what: equal ones are counted together."""
    lines = said.strip().splitlines()
    ours = [line.strip() for line in lines if line.strip().startswith("File ") and "site-packages" not in line]
    return f"{lines[-1][:90]} at {ours[-1].split(', ')[1:] if ours else ''}"


def _keep(keep: Path, format_: Format, number: int, content: bytes, said: str) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    stem = f"{format_.name.replace(' ', '_')}-{number}"
    (keep / f"{stem}{Path(format_.file).suffix}").write_bytes(content)
    (keep / f"{stem}.txt").write_text(said, encoding="utf-8")


def main() -> int:
    """Run the fuzzer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="per format")
    parser.add_argument("--only", default="", help="formats by name, separated by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("results") / "fuzz", help="where failing inputs are kept")
    options = parser.parse_args()
    chosen = [each for each in FORMATS if not options.only or each.name in options.only.split(",")]
    print(f"{'format':<17}{'tried':>7}{'tracebacks':>12}{'slowest':>10}{'memory':>10}  exit codes")
    missed = False
    for each in chosen:
        tally = fuzz(each, options.seconds, options.seed, options.keep.absolute())
        missed = missed or tally.failed()
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(tally.codes.items()))
        told = f"{tally.slowest:>8.2f} s{tally.most >> 20:>6} MiB  {codes}"
        print(f"{each.name:<17}{tally.tried:>7}{sum(tally.tracebacks.values()):>12}{told}", flush=True)
        for place, count in tally.tracebacks.most_common(5):
            print(f"    {count} x {place}", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
