"""Thousands of trials on simulated workers, beside bare Ray Tune: `python benchmarks/scale.py`, an hour on 2 cores.

The model is a closed form (`benchmarks/trivial.py`) that takes no time, so that everything measured is the driver. One
process serves all trials in turn. (`--workers` claims more processors for the Ray node; but then Ray, on either side,
goes on starting processes for trials that are over before these are up, and two cores do little else.) Both sides draw
knobs at random by Optuna, and evaluate at every step: random, because the time of a TPE proposal grows with the trials
by its nature, on either side.

    promote  this service as users run it, `search.app.session.run`: journal, records, study file, limit on checkpoints,
             progress, MLflow in its process beside; trials wait at rungs and the best go on
    stop     the same, but trials are stopped at rungs as Ray does it
    ray      `Tuner` + `ASHAScheduler` + `OptunaSearch`, without tracking and without Ray's own snapshots

Each measurement is a process of its own. Of it counts, over the second half of the results, when the trials are there:
processor time of the driver's process (all threads; waiting excluded) per result; what it takes after the last one; and
its memory, at the end and per trial from the first result on. A result costs more in `promote`: most come with a pause
or a resumption, for which Ray changes the trial of a worker.

Targets: from the fewest trials to the most, time per result grows by no larger factor than Ray's; and the report of the
largest search opens.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks import report
from benchmarks.trivial import SPACE

ROOT = Path(__file__).resolve().parent.parent
FIRST, REDUCTION, STEPS = 2, 3, 18  # 4.7 results of a trial in the mean
SIDES = ("ray", "stop", "promote")
MB = 2**20
COLUMNS = {  # heading → what is under it, and its decimals
    "results": ("results", 0),
    "per s": ("per_s", 0),
    "ms each": ("ms", 2),
    "end, s": ("end_s", 2),
    "MB": ("mb", 0),
    "kB/trial": ("kb_per_trial", 1),
}
SETTINGS = """\
budget: {{trials: {trials}, steps: {steps}, evaluate_every: 1}}
early_stopping: {{kind: asha, mode: {mode}, first_rung: {first}, reduction: {reduction}}}
sampler: {{kind: {sampler}, seed: 0}}
resources: {{cpu: 1, gpu: 0}}
confirm: {{top: 1, seeds: 0}}
tracking: {{uri: null, experiment: scale}}
"""


@dataclass(frozen=True)
class Case:
    """What is measured."""

    side: str
    trials: int
    sampler: str
    workers: int

    @property
    def name(self) -> str:
        """Names it among others."""
        return "-".join(map(str, astuple(self)))


class Meter:
    """The driver's processor time and memory at each result."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._points: list[tuple[float, float, int]] = []

    def __call__(self) -> None:
        """A result has come."""
        held = self._process.memory_info().rss if len(self._points) % 100 == 0 else self._points[-1][2]
        self._points.append((time.perf_counter(), time.process_time(), held))

    def measured(self, trials: int) -> dict[str, float]:
        """Milliseconds per result over the second half, results per second over all, memory; at the end of the search:
        `end_s` is what came after the last result.
        """
        half = self._points[len(self._points) // 2 :]
        first, last = self._points[0], self._points[-1]
        end = self._process.memory_info().rss
        return {
            "results": len(self._points),
            "end_s": time.process_time() - last[1],
            "ms": (last[1] - half[0][1]) / (len(half) - 1) * 1e3,
            "per_s": len(self._points) / (last[0] - first[0]),
            "mb": end / MB,
            "kb_per_trial": (end - first[2]) / 1024 / trials,
            "seconds": last[0] - first[0],
        }


@contextmanager
def watched(
    inner: AbstractContextManager[Callable[[Any], None]], meter: Meter, end: Callable[[], None]
) -> Iterator[Callable[[Any], None]]:
    """The service's own view of a search, as `search.app.progress.view` gives it, and a meter that looks on."""
    with inner as shown:

        def show(event: Any) -> None:
            shown(event)
            match type(event).__name__, getattr(event, "name", ""):
                case "Reported", _:
                    meter()
                case "Phase", "confirm":
                    end()

        yield show


def ours(case: Case, folder: Path, address: str) -> dict[str, float]:
    """The whole of a search of this service; its folder stays at `folder`/search."""
    from rich.console import Console

    from search.app import session
    from search.app.invocation import Invocation
    from search.spec import resolve
    from search.spec.plan import make_plan

    rungs = {"first": FIRST, "reduction": REDUCTION, "steps": STEPS}
    text = SPACE + SETTINGS.format(trials=case.trials, mode=case.side, sampler=case.sampler, **rungs)
    (folder / "search.yaml").write_text(text)
    search = resolve.resolve(folder / "search.yaml")
    plan, prepared = make_plan(search), search.model.prepare(search.data, None)
    meter, found = Meter(), {}
    view = session.view  # type: ignore
    session.view = lambda outlook, console, detail: watched(  # type: ignore
        view(outlook, console, detail), meter, lambda: found.update(meter.measured(case.trials))
    )
    with (folder / "output.txt").open("w") as output:
        code = session.run(Invocation(search, plan, prepared, folder / "search", address, "", Console(file=output)))
    assert code == 0, (folder / "output.txt").read_text()[-2000:]
    return found


def bare(case: Case, folder: Path, address: str) -> dict[str, float]:
    """The same on Ray Tune alone."""
    import optuna
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    from benchmarks import bare as beside

    class Heard(tune.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.meter = Meter()

        def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any]) -> None:
            self.meter()

        def __getstate__(self) -> dict[str, Any]:
            return {}

    beside.connect(address)
    kinds = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    heard = Heard()
    beside.search(
        folder,
        OptunaSearch(sampler=kinds[case.sampler](seed=0)),
        heard,
        name="ray",
        trials=case.trials,
        at_once=case.workers,
        steps=STEPS,
        first=FIRST,
        reduction=REDUCTION,
    )
    return heard.meter.measured(case.trials)


def measure(case: Case, folder: Path) -> dict[str, float]:
    """One measurement, in this process, on a cluster of its own."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": case.workers, "include_dashboard": False})
    try:
        return (bare if case.side == "ray" else ours)(case, folder, cluster.address)
    finally:
        ray.shutdown()
        cluster.shutdown()


def measured(case: Case, out: Path) -> dict[str, float]:
    """A measurement in a process of its own, or what an earlier run of this program left in `out`."""
    folder = out / case.name
    kept = folder / "measured.json"
    if not kept.exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was broken off
        folder.mkdir(parents=True)
        words = ["--one", case.side, "--trials", str(case.trials), "--sampler", case.sampler]
        words += ["--workers", str(case.workers), "--out", str(folder)]
        done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-3000:]}")
        kept.write_text(done.stdout.splitlines()[-1])
    found: dict[str, float] = json.loads(kept.read_text())
    return found


def table(cases: Sequence[Case], out: Path) -> None:
    """Measure, and print a line for each measurement and each side's growth."""
    found: dict[Case, Mapping[str, float]] = {}
    print("".join(f"{head:>9}" for head in ("trials", "side", *COLUMNS)), flush=True)
    for case in cases:
        one = found[case] = measured(case, out)
        beside = found.get(replace(case, side="ray"))
        line = f"{case.trials:9}{case.side:>9}" + "".join(f"{one[key]:9.{n}f}" for key, n in COLUMNS.values())
        print(line + (f"  {one['ms'] / beside['ms']:.2f}x Ray's time" if beside else ""), flush=True)
    for key, what in (("ms", "time per result"), ("mb", "memory in all")):
        growth(what, {case: one[key] for case, one in found.items()})


def growth(what: str, found: Mapping[Case, float]) -> None:
    """Print by which factor a figure grows from the fewest trials to the most, and whether Ray's does less."""
    few, many = min(case.trials for case in found), max(case.trials for case in found)
    if few == many:
        return
    grown = {case.side: found[case] / found[replace(case, trials=few)] for case in found if case.trials == many}
    verdicts = []
    for side, ratio in grown.items():
        verdict = "" if side == "ray" or "ray" not in grown else " ok" if ratio <= grown["ray"] else " MORE"
        verdicts.append(f"{side} {ratio:.2f}x{verdict}")
    print(f"{what}, {many} trials over {few}: {', '.join(verdicts)}", flush=True)


def opens(folder: Path) -> None:
    """Print what `search.report` takes for the search in `folder`, and its page in a browser."""
    report._built(folder)
    print(f"size     {(folder / 'report.html').stat().st_size / 1e6:.2f} MB", flush=True)
    report._opened(folder / "report.html", 3)


def main() -> None:
    """Print the tables, or measure once for a parent process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", default="100,1000,10000", help="numbers of trials, separated by commas")
    parser.add_argument("--sides", default=",".join(SIDES), help="which of them")
    parser.add_argument("--workers", type=int, default=1, help="processors that the node claims to have")
    parser.add_argument("--sampler", choices=["random", "tpe"], default="random")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep what was measured here, and take up what is here")
    parser.add_argument("--one", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)  # for us and for the workers, as are the next lines
    os.environ["SCHEDULE_SEARCH_MODELS"] = "trivial=benchmarks.trivial"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sizes = [int(word) for word in options.trials.split(",")]
    if options.report:
        opens(options.report)
        return
    if options.one:
        print(json.dumps(measure(Case(options.one, sizes[0], options.sampler, options.workers), options.out)))
        return
    cases = [Case(side, n, options.sampler, options.workers) for n in sizes for side in options.sides.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        out = (options.out or Path(scratch)).absolute()
        table(cases, out)
        searches = [case for case in cases if case.side != "ray"]
        if searches:
            largest = max(searches, key=lambda case: case.trials)
            print(f"report of {largest.trials} trials ({largest.side})", flush=True)
            subprocess.run([sys.executable, __file__, "--report", str(out / largest.name / "search")], check=True)


if __name__ == "__main__":
    main()
