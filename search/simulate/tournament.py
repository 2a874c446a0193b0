"""Policies side by side: every one on every task at every seed, from the same recorded curves."""

import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from typing import Protocol

from search.simulate.clock import Handover, Policy, simulate
from search.simulate.ours import Halving, RungPolicy, whole
from search.simulate.sources import Kind, make_source
from search.simulate.table import Table

Rows = Mapping[int, int]
"""Trial -> row of the table, filled while the search goes on."""


class Contender(Protocol):
    """A policy that can be started on any table. Must be picklable, for work in several processes."""

    @property
    def name(self) -> str:
        """Short, unique."""

    def start(self, table: Table, seed: int, task: int) -> tuple[Policy, Rows]:
        """A fresh search; equal arguments give the same one. `task`: a number that tells tasks apart."""


AUTO = Halving()


@dataclass(frozen=True)
class Ours:
    """The service: a stopping rule (None: none) and a sampler."""

    halving: Halving | None = AUTO
    sampler: Kind = "random"
    trials: int | None = None
    label: str | None = None

    @property
    def name(self) -> str:
        """What it is, unless it was given a label."""
        if self.label is not None:
            return self.label
        if self.halving is None:
            return f"none {self.sampler}"
        first = "auto" if self.halving.first_rung is None else self.halving.first_rung
        return f"{self.halving.mode} η{self.halving.reduction} g{first} {self.sampler}"

    def start(self, table: Table, seed: int, task: int) -> tuple[Policy, Rows]:
        """A search that begins with the table's baseline, if it has one."""
        bracket = whole(table) if self.halving is None else self.halving.bracket(table)
        source, rows = make_source(table, self.sampler, seed, task, bracket.rule.rungs)
        first = 0 if table.baseline is not None else 1
        return RungPolicy(bracket, source, self.trials, first), rows.of


@dataclass(frozen=True)
class Game:
    """One simulated search."""

    policy: str
    group: str  # the task's benchmark
    task: str
    seed: int
    newest: tuple[float, ...]  # regret at each mark, by the way in which the config to hand over is chosen
    furthest: tuple[float, ...]
    trials: int

    def regrets(self, handover: Handover) -> tuple[float, ...]:
        """The regret at each mark."""
        return self.newest if handover == "newest" else self.furthest


def play(contender: Contender, table: Table, seed: int, workers: int, marks: Sequence[int]) -> Game:
    """Run one search to the last of `marks` (steps over all trials). Nothing to hand over yet counts as regret 1."""
    policy, rows = contender.start(table, seed, zlib.crc32(table.name.encode()))
    evaluations = [mark // table.every for mark in marks]
    run = simulate(policy, workers, evaluations[-1], evaluations, table.every)

    def regret(trial: int | None) -> float:
        return 1.0 if trial is None else float(table.regrets[rows[trial]])

    newest = tuple(regret(choice.newest) for choice in run.chosen)
    furthest = tuple(regret(choice.furthest) for choice in run.chosen)
    return Game(contender.name, table.group, table.name, seed, newest, furthest, run.trials)


def play_all(
    contenders: Sequence[Contender],
    tables: Sequence[Table],
    seeds: Sequence[int],
    workers: int,
    marks: Sequence[int],
    jobs: int = 1,
    skip: Container[tuple[str, str, int]] = (),
) -> Iterator[Game]:
    """Every contender on every table at every seed, seed by seed, so that an interrupted run compares alike.

    `jobs`: processes at work; games come in a fixed order, whatever their number. `skip`: (policy, task, seed) that are
    known already.
    """
    asked = [
        (contender, table, seed)
        for seed, table, contender in product(seeds, tables, contenders)
        if (contender.name, table.name, seed) not in skip
    ]
    if jobs == 1:
        for contender, table, seed in asked:
            yield play(contender, table, seed, workers, marks)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), _prepare, (tuple(contenders), tuple(tables))) as pool:
        keys = [(contenders.index(c), tables.index(t), seed, workers, tuple(marks)) for c, t, seed in asked]
        yield from pool.map(_play, keys, chunksize=4)


_stage: tuple[Sequence[Contender], Sequence[Table]] = ((), ())


def _prepare(contenders: Sequence[Contender], tables: Sequence[Table]) -> None:
    global _stage  # what a process of the pool needs for all its games
    _stage = contenders, tables


def _play(key: tuple[int, int, int, int, Sequence[int]]) -> Game:
    contender, table, seed, workers, marks = key
    return play(_stage[0][contender], _stage[1][table], seed, workers, marks)
