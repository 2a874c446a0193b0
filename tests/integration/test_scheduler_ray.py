"""Our scheduler and Ray's own ones in real searches of a toy that trains by counting."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray import cloudpickle, tune
from ray.tune.search import Searcher
from rung_history import Record, Start, replay

from search.execution.ray_scheduler import RungScheduler
from search.execution.ray_schedulers import make_scheduler
from search.history.events import Paused, Promoted
from search.stopping.bracket import Bracket, Report
from search.stopping.hyperband import Hyperband
from search.stopping.kind import Lengths, StoppingKind
from search.stopping.median import Median
from search.stopping.none import NoStopping
from search.stopping.pbt import Pbt
from search.stopping.rungs import Mode, Rule
from spaces.domain import Categorical, Float
from trainables.run import DIVERGED, OBJECTIVE, STEP, TRAINED

pytestmark = pytest.mark.integration

Decision = tuple[type[Paused | Promoted], int, int]

RUNGS = (1, 3, 9, 27)
HORIZON = RUNGS[-1]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    settings = {
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_prestart_worker_first_driver": "0",
    }
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import a test
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


class Toy(tune.Trainable):  # type: ignore[misc]
    """Trial n scores n at every step; its weights are the list of the steps that it was trained for."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config_ = new_config
        self.trained = list(range(1, 1 + new_config.get("from", 0)))
        return True

    def step(self) -> dict[str, Any]:
        self.trained.append(len(self.trained) + 1)
        time.sleep(self.config_["values"].get("sleep", 0))
        step, number = len(self.trained), self.config_["trial"]
        flag = Path(self.config_["folder"], f"failed{number}")
        if step == self.config_["values"].get("fail_at") and (
            self.config_["values"].get("always") or not flag.exists()
        ):
            flag.touch()
            raise RuntimeError("meant to fail")
        report = {
            STEP: step,
            TRAINED: step,
            OBJECTIVE: float(self.config_["values"].get("score", number)),
            "trained": self.trained,
            "pid": os.getpid(),
            "done": step >= HORIZON,
        }
        if step == self.config_["values"].get("diverge_at"):
            report |= {DIVERGED: "meant to", OBJECTIVE: 1e9, "done": True}
        return report

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "state.json").write_text(json.dumps(self.trained))

    def load_checkpoint(self, checkpoint: str) -> None:
        self.trained = json.loads(Path(checkpoint, "state.json").read_text())


class Feeder(Searcher):  # type: ignore[misc]
    """Gives trials by number: late for our scheduler, at once for Ray's groups of trials."""

    def __init__(self, folder: Path, values: list[dict[str, Any]], ours: Callable[[], RungScheduler] | None) -> None:
        super().__init__(metric=OBJECTIVE, mode="min")
        self.folder, self.values, self.ours = folder, values, ours
        self.given = 0
        self.asked = 0

    def suggest(self, trial_id: str) -> Any:  # noqa: ARG002
        self.asked += 1
        if self.ours is not None:
            scheduler = self.ours()
            if (number := scheduler.next_resumable()) is not None:
                at = scheduler.bracket.reached[number]
                done = scheduler.bracket.rule.rungs[at - 1] if at else 0
                return {"trial": number, "values": self.values[number], "folder": str(self.folder), "from": done}
            if scheduler.finished():
                return Searcher.FINISHED
            if self.given == len(self.values) or not scheduler.room():
                return None
        elif self.given == len(self.values):
            return Searcher.FINISHED
        self.given += 1
        return {"trial": self.given - 1, "values": self.values[self.given - 1], "folder": str(self.folder)}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None: ...

    def save(self, checkpoint_path: str) -> None: ...

    def restore(self, checkpoint_path: str) -> None: ...


def fit(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheduler: Any,
    feeder: Feeder,
    workers: int,
    stop: dict[str, int] | None = None,
    callbacks: Sequence[tune.Callback] = (),
    pending: int | None = None,
) -> tune.ResultGrid:
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", str(pending or workers))
    trainable = tune.with_resources(Toy, {"cpu": 2 // workers})
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(scheduler=scheduler, search_alg=feeder, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            name="toy",
            storage_path=str(folder),
            stop=stop,
            verbose=0,
            callbacks=list(callbacks),
        ),
    ).fit()


class Retries(tune.Callback):  # type: ignore[misc]
    """Hands failed trials in again, as the engine does."""

    def __init__(self, search: "Ours", most: int) -> None:
        self.search, self.most, self.failures = search, most, Counter[int]()

    def on_trial_error(self, iteration: int, trials: Any, trial: Any) -> None:  # noqa: ARG002
        number = trial.config["trial"]
        self.failures[number] += 1
        self.search.scheduler.lost(number, again=self.failures[number] <= self.most)


class Ours:
    """A search with our scheduler, and what it did."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        values: list[dict[str, Any]],
        workers: int,
        mode: Mode = "promote",
        failures: int = 0,
        history: Sequence[Record] = (),
        given: int = 0,
    ) -> None:
        self.decisions: list[Decision] = []

        def hear(event: Paused | Promoted) -> None:
            self.decisions.append((type(event), event.trial, event.step))

        self.feeder = Feeder(folder, values, lambda: self.scheduler)
        self.feeder.given = given
        bracket = Bracket(Rule(mode, RUNGS, 3, "min", 1e9))
        replay(bracket, history)
        self.scheduler = RungScheduler(bracket, lambda: workers, lambda: self.feeder.given == len(values), hear)
        grid = fit(folder, monkeypatch, self.scheduler, self.feeder, workers, callbacks=[Retries(self, failures)])
        self.results = {result.config["trial"]: result for result in grid}  # the last one of a trial that was retried
        self.rungs = [len(rung.ranked) for rung in self.scheduler.bracket.rungs]
        self.kinds = Counter(kind for kind, *_ in self.decisions)
        for result in self.results.values():  # every pause went through a checkpoint, and nothing was trained twice
            if result.metrics and "trained" in result.metrics:
                assert result.metrics["trained"] == list(range(1, result.metrics[STEP] + 1))

    def pids(self) -> set[int]:
        return {r.metrics["pid"] for r in self.results.values() if r.metrics and "pid" in r.metrics}


@pytest.mark.parametrize("workers", [1, 2])
def test_promotion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    search = Ours(tmp_path, monkeypatch, [{"sleep": 0.02}] * 27, workers)
    assert search.rungs[0] == 27 and search.scheduler.finished()
    assert search.results[0].metrics[STEP] == HORIZON
    if workers == 1:
        assert search.rungs == [27, 9, 3, 1]
        assert search.kinds == {Paused: 39, Promoted: 13} and len(search.scheduler.bracket.waiting) == 26
    assert len(search.pids()) == workers  # actors are reused throughout


def simulated(scores: list[float]) -> tuple[list[Decision], list[int]]:
    """The decisions of promotion ASHA with one worker, without Ray, and the trials that wait at its end."""
    decisions: list[Decision] = []
    bracket, new = Bracket(Rule("promote", RUNGS, 3, "min", 1e9)), 0
    while True:
        number = next(bracket.promotions(), None)
        if number is None and new < len(scores):
            number, new = new, new + 1
        elif number is None and (number := bracket.closing()) is None:
            return decisions, sorted(bracket.waiting)
        if number in bracket.waiting:
            decisions.append((Promoted, number, RUNGS[bracket.waiting[number]]))
        bracket.start(number)
        step = RUNGS[bracket.reached[number]]
        if bracket.report(Report(number, step, scores[number])) == "pause":
            decisions.append((Paused, number, step))


def test_one_worker_decides_as_the_pure_rules_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [float(score) for score in np.random.default_rng(5).permutation(20)]
    search = Ours(tmp_path, monkeypatch, [{"score": score} for score in scores], 1)
    assert (search.decisions, sorted(search.scheduler.bracket.waiting)) == simulated(scores)


def test_a_search_taken_up_in_a_new_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history: list[Record] = [record for n in range(6) for record in (Start(n), Report(n, 1, float(n)))]
    history += [Start(0), Start(6)]  # 0 was promoted and 6 had begun; 1 is promotable
    search = Ours(tmp_path, monkeypatch, [{}] * 9, 2, history=history, given=7)
    assert search.rungs[0] == 9 and search.rungs[3] == 1 and search.scheduler.finished()
    assert search.results[0].metrics[STEP] == HORIZON and search.results[1].metrics[STEP] >= 3
    assert not {3, 4, 5} & set(search.results)  # nobody promotes them, so Ray never hears of them
    assert sorted(search.scheduler.bracket.waiting) == [n for n in range(9) if not search.scheduler.bracket.final(n)]


def test_a_small_search_hands_over_a_trained_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = Ours(tmp_path, monkeypatch, [{}] * 2, 2)
    assert search.rungs == [2, 1, 1, 1]


def test_failures_are_retried_from_the_checkpoint_and_free_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: list[dict[str, Any]] = [{} for _ in range(9)]
    values[0] = {"fail_at": 2}  # once, after its promotion: goes on from the checkpoint at 1
    values[1] = {"fail_at": 1, "always": True}
    values[2] = {"diverge_at": 1}
    search = Ours(tmp_path, monkeypatch, values, 2, failures=1)
    assert search.results[0].metrics["trained"] == list(range(1, HORIZON + 1))
    assert search.results[1].error is not None
    assert search.scheduler.bracket.diverged == {2}
    assert search.scheduler.bracket.final(1)
    assert search.rungs[0] == 8 and search.scheduler.finished()


def test_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = Ours(tmp_path, monkeypatch, [{}] * 6, 1, mode="stop")
    assert search.rungs == [6, 1, 1, 1]
    assert not search.kinds and [search.results[n].metrics[STEP] for n in range(6)] == [HORIZON, *[1] * 5]
    assert len(search.pids()) == 1


PEERS: list[StoppingKind] = [
    NoStopping(kind="none"),
    Hyperband(kind="hyperband", reduction=3),
    Median(kind="median", grace=2),
    Pbt(kind="pbt", perturb_every=3, quantile=0.5),
]


@pytest.mark.parametrize("stopping", PEERS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize("diverge", [pytest.param(False, marks=pytest.mark.slow), True])
def test_peers_run_to_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopping: StoppingKind, diverge: bool
) -> None:
    knobs = {"lr": Float(1e-4, 1e-1, log=True), "kind": Categorical(("a", "b"))}
    scheduler = make_scheduler(stopping, Lengths(HORIZON, 1, "step"), "min", knobs, 0)
    values: list[dict[str, Any]] = [{"lr": 1e-2, "kind": "a", "width": n} for n in range(6)]
    if diverge:
        values[1]["diverge_at"] = 12
        values[4]["diverge_at"] = 2
    feeder = Feeder(tmp_path, values, None)
    pending = len(values) if stopping.groups_trials else None
    grid = fit(tmp_path, monkeypatch, scheduler, feeder, 2, stop={STEP: HORIZON}, pending=pending)
    assert len(grid) == 6 and not grid.errors
    steps = {r.config["trial"]: r.metrics[STEP] for r in grid}
    assert set(steps) == set(range(6))
    assert max(steps.values()) == HORIZON
    if isinstance(stopping, NoStopping):
        assert sum(s == HORIZON for s in steps.values()) == (4 if diverge else 6)
    if isinstance(stopping, Pbt):
        now = {r.config["trial"]: r.config["values"] for r in grid}
        assert any(now[trial] != values[trial] for trial in now)
        assert all(1e-4 <= each["lr"] <= 1e-1 and each["width"] in range(6) for each in now.values())


@pytest.mark.slow
def test_hyperband_outlives_a_trial_that_diverges_in_a_late_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler(PEERS[1], Lengths(HORIZON, 1, "step"), "min", {}, 0)
    values: list[dict[str, Any]] = [{} for _ in range(22)]  # the third bracket holds 10 to 21, and keeps 10 to 13 at 3
    values[13] = {"diverge_at": 6, "sleep": 0.6}  # while the other three wait for it at 9
    grid = fit(tmp_path, monkeypatch, scheduler, Feeder(tmp_path, values, None), 2, pending=22)
    assert len(grid) == 22
    assert {r.config["trial"]: r.metrics[STEP] for r in grid}[10] == HORIZON
