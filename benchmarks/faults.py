"""What a search loses when something breaks: `python benchmarks/faults.py`, about an hour on 2 cores; `--only NAME …`.

Each row is a real search of early_inference (9 small trials of up to 9 epochs on one worker, tracked in MLflow, two of
them confirmed on a fresh seed), disturbed in earnest: processes are killed, a server of MLflow is stopped and started,
disks fill up. Then the same command is given again until the search is over, and its account is compared with that of
an undisturbed one:

- lost: evaluations that the undisturbed search has and this one lacks;
- repeated: evaluations trained again although the journal had them; the one in flight when the fault struck (and the
  one in a file that the fault itself destroys) stands beside them, as no one could keep it;
- doubled: MLflow runs beyond one for the search and one per trial, and points that a run holds twice;
- zombies: MLflow runs left RUNNING, and processes left alive;
- equal: the same trials, values, statuses, objectives, decisions and best, bit for bit, here and in MLflow; and what
  people are to be told of the fault, exit code and line, was told.

Target: nothing lost, repeated, doubled or left, and equal, in every row. Exit code 1 where one misses it.
"""

import argparse
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.faults_account import Outcome
from benchmarks.faults_arena import SMALL, WHOLE, Arena, Size
from benchmarks.faults_model import Kind
from benchmarks.faults_rows import DRIVER_KILLED, FAULTS, Fault, Scene, trouble_of

MOMENTS, KILLS_PER_SEARCH = 20, 5
HEAD = f"{'fault':<48}{'lost':>6}{'repeated':>10}{'in flight':>11}{'doubled':>9}{'zombies':>9}{'equal':>7}"


@dataclass(frozen=True)
class Account:
    """One disturbed search against the undisturbed one."""

    lost: int
    repeated: int
    in_flight: int
    doubled: int
    zombies: int
    differences: tuple[str, ...]
    seconds: float
    sittings: int
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it meets the target."""
        return not (self.lost or self.repeated or self.doubled or self.zombies or self.differences)

    def __add__(self, other: "Account") -> "Account":
        return Account(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def line(self, what: str) -> str:
        """A row of the matrix, with what is wrong below it."""
        numbers = f"{self.lost:>6}{self.repeated:>10}{self.in_flight:>11}{self.doubled:>9}{self.zombies:>9}"
        verdict = "yes" if not self.differences else "NO"
        tail = f"  {'ok' if self.good else 'MISSED'}  {self.seconds:.0f} s, {self.sittings} sittings"
        rest = "".join(f"\n    {text}" for text in self.differences)
        return f"{what:<48}{numbers}{verdict:>7}{tail}{''.join(f'; {note}' for note in self.notes)}{rest}"


@dataclass
class Reference:
    """An undisturbed search."""

    arena: Arena
    outcome: Outcome
    seconds: float

    def late(self) -> str:
        """The mark of a trial, not the baseline, that trains longer than the others."""
        others = [row for row in self.outcome.trials if row[1] == "search" and row[2] != "baseline"]
        steps = max(int(str(row[5])) for row in others)
        return self.arena.mark_of(next(int(str(row[0])) for row in others if row[5] == steps))


class Matrix:
    """The rows and the undisturbed searches that they are compared with, made when first asked for."""

    def __init__(self, folder: Path, size: Size, hold: float = 1.0) -> None:
        """`hold`: the part of a fault's own length that it lasts."""
        self._folder, self._size, self._hold = folder, size, hold
        self._references: dict[Kind | None, Reference] = {}
        self._count = 0

    def reference(self, lasting: Kind | None = None) -> Reference:
        """The undisturbed search in which this trouble is lasting."""
        if lasting not in self._references:
            trouble = None
            if lasting is not None:
                trouble = trouble_of(lasting, (self.reference().late(),), once=False)
            arena = Arena(self._place(), self._size, trouble)
            began = time.monotonic()
            try:
                arena.finish()
            finally:
                arena.clear()
            self._references[lasting] = Reference(arena, arena.outcome(), time.monotonic() - began)
        return self._references[lasting]

    def play(self, fault: Fault, random: Random, kills: int = 1) -> Account:
        """A search with `fault` in it, so many times over; raises RuntimeError where it can't be brought to its end."""
        reference = self.reference(fault.lasting)
        arena = Arena(self._place(), fault.size(self._size, self._hold), settings=fault.settings)
        if fault.trouble is not None:
            marks = (self.reference().late(),) if fault.befalls == "one" else None
            arena.trouble = trouble_of(fault.trouble, marks, once=fault.lasting is None and fault.befalls == "one")
        scene = Scene(arena, random, reference.seconds, self._hold)
        began = time.monotonic()
        with scene.stack:
            try:
                for _ in range(kills):
                    fault.act(scene)
                    if arena.process is not None and arena.process.poll() == fault.code:
                        break
                if fault.code == 0:
                    arena.finish()
                return self._account(fault, scene, reference, time.monotonic() - began)
            finally:
                arena.clear()

    def moments(self, fault: Fault, random: Random, moments: int) -> Account:
        """Kills at so many moments, several in one search."""
        total: Account | None = None
        done = searches = 0
        while done < moments:
            one = self.play(fault, random, min(KILLS_PER_SEARCH, moments - done))
            done, searches = done + one.sittings - 1, searches + 1
            total = one if total is None else total + one
        assert total is not None
        return total + Account(0, 0, 0, 0, 0, (), 0, 0, (f"{done} kills in {searches} searches",))

    def _account(self, fault: Fault, scene: Scene, reference: Reference, seconds: float) -> Account:
        arena = scene.arena
        left = arena.left()
        found = arena.outcome()
        again, in_flight = arena.repeated()
        free = arena.hits + fault.tries
        again, in_flight = again + max(0, in_flight - free), min(in_flight, free)
        taken = min(again, fault.destroys)
        told = next((line for line in arena.output.splitlines() if fault.says in line), "")
        untold = [] if told or not fault.says else [f"people are not told {fault.says!r}"]
        if fault.says and told:
            scene.notes.append(f'"{told[:100]}"')
        lost = 0 if fault.code else len(set(reference.outcome.evaluations) - set(found.evaluations))
        return Account(
            lost=lost,
            repeated=again - taken,
            in_flight=in_flight + taken,
            doubled=found.doubled,
            zombies=len(left) + found.open_runs,
            differences=(*self._differences(fault, found, reference), *untold),
            seconds=seconds,
            sittings=arena.sittings,
            notes=(*scene.notes, *(f"left alive: {command}" for command in left)),
        )

    def _differences(self, fault: Fault, found: Outcome, reference: Reference) -> list[str]:
        if fault.code:
            return []
        told = found.differences(reference.outcome)
        return told if fault.exact else [each for each in told if each.startswith("decisions")]

    def _place(self) -> Path:
        self._count += 1
        return self._folder / f"{self._count:03d}"


def row(matrix: Matrix, fault: Fault, repeats: int, moments: int) -> bool:
    """Print one row, or more for `repeats`; whether all of them meet the target."""
    missing = fault.missing()
    if missing:
        print(f"{fault.what:<48}  skipped: {missing}", flush=True)
        return True
    good = True
    for repeat in range(repeats):
        random = Random(zlib.crc32(f"{fault.name} {repeat}".encode()))  # noqa: S311 - moments, not secrets
        try:
            many = fault.name == DRIVER_KILLED
            found = matrix.moments(fault, random, moments) if many else matrix.play(fault, random)
        except RuntimeError as error:
            print(f"{fault.what:<48}  MISSED: {error}", flush=True)
            good = False
            continue
        print(found.line(fault.what), flush=True)
        good = good and found.good
    return good


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the matrix."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog=f"names: {[f.name for f in FAULTS]}")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[fault.name for fault in FAULTS])
    parser.add_argument("--repeats", type=int, default=1, help="times that each row is played, at other moments")
    parser.add_argument("--moments", type=int, default=MOMENTS, help="moments at which the driver is killed")
    parser.add_argument("--small", action="store_true", help="searches of 4 trials, and faults a tenth as long")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the searches there to be looked at")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        os.environ.setdefault("SCHEDULE_SEARCH_CACHE", str(Path(scratch) / "cache"))
        size, hold = (SMALL, 0.1) if options.small else (WHOLE, 1.0)
        matrix = Matrix(options.keep or Path(scratch), size, hold)
        plain = matrix.reference()
        count = len(plain.outcome.evaluations)
        print(f"undisturbed: {len(plain.outcome.trials)} trials, {count} evaluations, {plain.seconds:.0f} s")
        print(HEAD, flush=True)
        chosen = [fault for fault in FAULTS if not options.only or fault.name in options.only]
        good = [row(matrix, fault, options.repeats, options.moments) for fault in chosen]
    print(f"{sum(good)} of {len(good)} rows meet the target")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
