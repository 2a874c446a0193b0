"""What sharing training prefixes saves, and what it costs: `python benchmarks/prefixes.py [--seeds 5] [--cases …]`.

Each case is a search over knobs that act late, on a network so small that epochs are counted, not timed. One worker
runs it with `share: off` and `share: on` for the same trained units, once per seed: how many trials come out, and how
good is the best one in full. Sampler, rungs, worker and what is lent are the service's own; Ray and MLflow are left
out, for they only take time. Then the cost where nothing is shared: the dry run, and what is decided per trial.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scipy import stats

from search.common.clock import now
from search.execution.admission import Halt
from search.execution.choose_stopping import make_bracket
from search.execution.engine import ResultListener
from search.execution.sharing import lending_of
from search.history.events import Ended, Event, Paused, Promoted, Proposed, Reported, Status
from search.history.journal import Journal
from search.history.ledger import Ledger
from search.history.records import Records
from search.persistence.folder import Folder
from search.sampling.proposer import Proposer
from search.sampling.trial_history import Problem, Sampling, Scoring
from search.spec.plan import make_plan
from search.spec.resolve import resolve
from search.spec.search import Search, adopted
from search.spec.sharing import decided
from search.stopping.bracket import Report
from search.stopping.rungs import Ruling
from spaces import strict_yaml
from trainables.job import Job
from trainables.prefix import PREFIX, stored
from trainables.run import OBJECTIVE, STEP, outcome_of
from trainables.tune import Bridge

PHASES = [
    {"epochs": "1-4", "start_lr": 1e-2, "min_lr": 5e-3, "lr_schedule": "one_cycle", "warmup_lr": 5e-3},
    {"epochs": "5-8", "start_lr": 5e-3, "min_lr": 2e-3, "lr_schedule": "linear"},
    {"epochs": "9-12", "start_lr": 2e-3, "min_lr": 1e-3, "lr_schedule": "linear"},
    {"epochs": "13-16", "start_lr": 1e-3, "min_lr": 5e-4, "lr_schedule": "linear"},
    {"epochs": "17-20", "start_lr": 5e-4, "min_lr": 5e-4, "lr_schedule": "constant"},
]
HELD = {"teacher_forcing_start": 0.6, "teacher_forcing_end": 0.5, "weight_decay": 0.01, "noise_level": 0.05}
HELD |= {"clip_grad_norm": 1.0, "alpha": 0.7, "max_lag": 10}
DAYS = {"model": {"n_input_features": 4, "n_units": 8, "n_layers": 1, "input_network": {"input_layer_sizes": [4]}}}
CURVES = {
    "tcn_channels": [4, 4],
    "mlp_hidden_dims": [4],
    "batch_size": 32,
    "warmup_epochs": 2,
    "lr": 0.03,
    "early_stopping_patience": 0,
}
SPEECH = {"size": "demo", "text_encoder_dim": 8, "text_encoder_layers": 1, "decoder_dim": 8, "decoder_layers": 1}


@dataclass(frozen=True)
class Case:
    """A search over late knobs."""

    model: str
    base: dict[str, Any]
    data: dict[str, Any]
    space: dict[str, Any]
    steps: int
    every: int
    rung: int
    trials: int
    """So many full trainings are what a side may train in all."""


CASES = {
    "sequence_generator, phases 4 and 5": Case(
        "sequence_generator",
        {"hidden_size": 4, "num_layers": 1, "batch_size": 8, "no_cuda": True}
        | {"phases": [{**HELD, **phase} for phase in PHASES]},
        {"simulations": 12, "grid": 16, "frames": 24},
        {
            "plan.phase_4.lr_start": {"float": [0.1, 1], "log": True},
            "plan.phase_4.alpha": {"float": [0, 1]},
            "plan.phase_4.noise_level": {"float": [0.05, 1]},
            "plan.phase_5.alpha": {"float": [0, 1]},
        },
        20,
        1,
        14,
        12,
    ),
    "tts, the level switch": Case(
        "tts",
        {
            "model": SPEECH,
            "data": {"batch_size": 4, "train_clips": 8, "mcd_sentences": 1},
            "training": {
                "epochs": 20,
                "optimization_level": "enhanced",
                "overrides": {"learning_rate": 1e-2},
                "level_switch": {"rule": "epoch", "epoch": 13, "level": "plateau_breaker", "learning_rate": 2e-3},
            },
        },
        {"sentences": 10},
        {
            "training.level_switch.epoch": {"int": [12, 17]},
            "training.level_switch.level": {"choice": ["enhanced", "plateau_breaker"]},
            "training.level_switch.learning_rate": {"float": [1e-4, 1e-2], "log": True},
        },
        20,
        1,
        15,
        12,
    ),
    "early_inference, the plateau": Case(
        "early_inference",
        {**CURVES, "epochs": 40, "device": "cpu"},
        {"samples": 100, "n_points": 12},
        {
            "scheduler_patience": {"int": [4, 16]},
            "scheduler_factor": {"float": [0.1, 0.8]},
            "scheduler_min_lr": {"float": [1e-6, 1e-3], "log": True},
        },
        40,
        1,
        20,
        8,
    ),
    "diphone_rnn, the end of α": Case(
        "diphone_rnn",
        {**DAYS, "num_training_batches": 120, "use_composite_loss": True, "use_alpha_schedule": True}
        | {"alpha_schedule_step_interval": 10, "alpha_schedule_step_size": 0.1, "alpha_schedule_end": 0.7}
        | {"lr_warmup_steps": 10, "lr_decay_steps": 120, "lr_warmup_steps_day": 10, "lr_decay_steps_day": 120}
        | {"early_stopping": False, "dataset": {"neural_dim": 4, "batch_size": 4, "days_per_batch": 2}},
        {"sentences": 28, "sessions": 2, "words_per_minute": 110},
        {"alpha_schedule_end": {"float": [0.6, 1.0]}},
        120,
        10,
        80,
        8,
    ),
}


@dataclass(frozen=True)
class Side:
    """What one search came to."""

    trials: int
    trained: int
    replayed: int
    best: float
    """The objective of the best trial that trained in full, lower is better."""
    held: int
    """Bytes that the store held at most."""
    ordering: float
    """Seconds in which it was decided what trials start from and keep."""


def main() -> None:
    """Print a line per case and kind of early stopping, and the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cases", default=",".join(name.split(",")[0] for name in CASES), help="models, with commas")
    parser.add_argument("--stopping", default="asha,none", help="default: asha,none")
    parser.add_argument("--cap", default="0.2 MB", help="resources.prefixes")
    options = parser.parse_args()
    chosen = {name: case for name, case in CASES.items() if case.model in options.cases.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        costs(chosen, Path(folder))
        for stopping in options.stopping.split(","):
            print(f"early_stopping: {stopping}; share off | on, means over {options.seeds} seeds", flush=True)
            for name, case in chosen.items():
                print(told(name, list(pairs(case, stopping, options.seeds, options.cap, Path(folder)))), flush=True)


def pairs(case: Case, stopping: str, seeds: int, cap: str, folder: Path) -> Iterator[tuple[Side, Side]]:
    """Both sides of each seed."""
    for seed in range(seeds):
        off, on = (
            searched(
                resolve(written(case, stopping, share, seed, cap, folder / f"{case.model}-{stopping}-{share}-{seed}"))
            )
            for share in ("off", "on")
        )
        yield off, on


def written(case: Case, stopping: str, share: str, seed: int, cap: str, folder: Path) -> Path:
    """The search's YAML and its base."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "base.yaml").write_text(strict_yaml.dumps(case.base), encoding="utf-8")
    early = {"kind": "none"} if stopping == "none" else {"kind": "asha", "first_rung": case.rung}
    search = {
        "model": case.model,
        "base": "base.yaml",
        "data": {"generate": case.data},
        "knobs": list(case.space),
        "space": case.space,
        "budget": {"steps": case.steps, "evaluate_every": case.every, "total_steps": case.trials * case.steps},
        "early_stopping": early,
        "sampler": {"seed": seed},
        "confirm": {"seeds": 0},
        "share": share,
        "resources": {"prefixes": cap},
    }
    path = folder / "search.yaml"
    path.write_text(strict_yaml.dumps(search), encoding="utf-8")
    return path


class Worker:
    """The only worker of a search, and its driver."""

    def __init__(self, search: Search, folder: Path) -> None:
        plan = make_plan(search)
        prepared = search.model.prepare(search.data, search.model.parse(search.base, "base"))
        self.search = search = adopted(search, prepared.keys)
        self._journal = Journal(folder / "journal.jsonl")
        self.ledger = Ledger(self._journal, Records())
        home = Folder(folder, (), self.ledger, "")
        self.lending = lending_of(search, plan.shared, home, prepared.digest)
        objective, sampler = search.model.objective, search.settings.sampler
        self._proposer = Proposer(
            Problem(search.name, search.space, search.base, search.horizon, plan.rungs, objective.metric),
            Sampling(sampler.kind, sampler.seed),
            Scoring(objective.mode, objective.worst),
            None,
        )
        self._bracket = make_bracket(search, plan, lambda number: self.ledger.records.trials[number].proposed.values)
        self._job = Job(
            search.model.name, search.base, search.data_dump, search.every, search.horizon, str(folder), threads=1
        )
        self._bridge: Bridge | None = None
        self._notes = folder / "note"
        self._notes.mkdir()
        self.ordering, self.held = 0.0, 0
        stage: Any = SimpleNamespace(ledger=self.ledger, halt=Halt(), lending=self.lending)
        self._names: dict[str, int] = {}
        self._listener = ResultListener(stage, self._names)
        self.ledger.listen(self._tell)
        if self.lending is not None:
            self.ledger.listen(self.lending)

    def run(self) -> None:
        """Propose, train, pause and promote until the budget is spent."""
        while not self._spent():
            number = None if self._bracket is None else next(self._bracket.promotions(), None)
            if number is None:
                number = len(self.ledger.records.trials)
                values = self._proposer.propose(number)
                if values is None:
                    break
                seed = self.search.settings.sampler.seed
                self.ledger.emit(Proposed(number, values, seed, "search", self._proposer.origin(number), now()))
            else:
                self.ledger.emit(Promoted(number, self.ledger.records.trials[number].rung, now()))
            self._train(number)
        self._journal.close()

    def _spent(self) -> bool:
        assert self.search.total_steps is not None
        return self.ledger.records.search_steps >= self.search.total_steps

    def _train(self, number: int) -> None:
        """Train a trial until it waits, ends, or nothing is left to spend."""
        trial = self.ledger.records.trials[number]
        began = time.perf_counter()
        config: dict[str, Any] = {"trial": number, "values": trial.values, "seed": trial.proposed.seed}
        if self.lending is not None:
            config[PREFIX] = self.lending.order(number).as_config()
        self.ordering += time.perf_counter() - began
        if self._bracket is not None:
            self._bracket.start(number)
        if self._bridge is None:
            self._bridge = Bridge.__new__(Bridge)  # Ray's own constructor wants a cluster
            self._bridge.setup(config, self._job)
        else:
            self._bridge.reset_config(config)
        name = f"{number} from {trial.step}"
        self._names[name] = number
        while not self._spent():
            result = self._bridge.step()
            fresh = result[STEP] > trial.step
            self._listener(name, {**result, "pid": 0})
            self.held = max(self.held, sum(stored(Path(self._job.folder)).values()))
            if fresh and self._decided(number, result) != "continue":
                return

    def _decided(self, number: int, result: Mapping[str, Any]) -> Ruling:
        score = self.search.model.objective.score(result[OBJECTIVE])
        report = Report(number, result[STEP], score, outcome_of(result))
        ruling: Ruling = "complete" if result.get("done") else "continue"
        if self._bracket is not None:
            ruling = self._bracket.report(report)
        if ruling == "pause":
            assert self._bridge is not None
            self._bridge.save_checkpoint(str(self._notes))
            self.ledger.emit(Paused(number, result[STEP], now()))
        elif ruling != "continue":
            ended: Status = "diverged" if report.outcome == "diverged" else "completed"
            self.ledger.emit(Ended(number, ended, "", now()))
        return ruling

    def _tell(self, event: Event) -> None:
        match event:
            case Reported():
                self._proposer.report(event.trial, event.step, event.metrics[OBJECTIVE])
            case Paused():
                self._proposer.pause(event.trial)
            case Promoted():
                self._proposer.resume(event.trial)
            case Ended():
                trial = self.ledger.records.trials[event.trial]
                self._proposer.tell(event.trial, "failed" if trial.copied else event.status, trial.objective)
            case _:
                return


def searched(search: Search) -> Side:
    """One search."""
    folder = Path(search.source).parent / "s"
    folder.mkdir()
    worker = Worker(search, folder)
    worker.run()
    records, objective = worker.ledger.records, search.model.objective
    trials = records.of_kind("search")
    full = [
        t.objective for t in trials if t.step == search.horizon and t.objective is not None and t.status != "diverged"
    ]
    best = min(map(objective.score, full))
    assert search.prefixes is not None and worker.held <= search.prefixes, "the store has outgrown its cap"
    return Side(len(trials), records.search_steps, records.replayed_steps, best, worker.held, worker.ordering)


def told(name: str, found: Sequence[tuple[Side, Side]]) -> str:
    """A case's line: trials per trained unit, and the result."""
    rate = [(on.trials / on.trained) / (off.trials / off.trained) for off, on in found]
    change = [(on.best - off.best) / abs(off.best) for off, on in found]
    replayed = statistics.mean(on.replayed / (on.replayed + on.trained) for _, on in found)
    half = math.nan
    if len(change) > 1:
        half = stats.t.ppf(0.975, len(change) - 1) * statistics.stdev(change) / math.sqrt(len(change))
    trials = " | ".join(f"{statistics.mean(side.trials for side in sides):.1f}" for sides in zip(*found, strict=True))
    units = " | ".join(f"{statistics.mean(side.trained for side in sides):.0f}" for sides in zip(*found, strict=True))
    held = max(on.held for _, on in found)
    ordering = sum(on.ordering for _, on in found) / sum(on.trials for _, on in found)
    return (
        f"{name}: {trials} trials in {units} trained units, {replayed:.0%} replayed: {statistics.mean(rate):.2f} x the "
        f"trials per trained unit ({min(rate):.2f} to {max(rate):.2f}); best in full {statistics.mean(change):+.2%} ± "
        f"{half:.2%} with it (lower is better); {held / 1000:.0f} kB held at most; {ordering * 1000:.1f} ms/trial"
    )


def costs(chosen: Mapping[str, Case], folder: Path) -> None:
    """Seconds of the dry run: for the models' own searches, where nothing is shared, and where much is."""
    for case in chosen.values():
        own = resolve(Path(__file__).parents[1] / "configs" / case.model / "full.yaml")
        late = resolve(written(case, "none", "on", 0, "1 MB", folder / case.model))
        for what, search in (("configs/full.yaml", own), ("late knobs", late)):
            began = time.perf_counter()
            decided(search)
            dry = time.perf_counter() - began
            print(f"{case.model}, {what}: dry run {dry:.2f} s", flush=True)


if __name__ == "__main__":
    main()
