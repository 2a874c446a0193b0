"""What the service costs beside bare Ray Tune: `python benchmarks/overhead.py`, about 10 min on 2 cores; `--quick`: 2.

The model is a closed form (`benchmarks/trivial.py`), so that everything measured is overhead. Each measurement is a
process of its own, ours and Ray's in turns; medians are compared.

1. Trials per second of searching, from the first call to the last trial's end, cluster running: this service, tracked
   in MLflow on SQLite, against `Tuner` + `ASHAScheduler` + `OptunaSearch` without tracking. Both reuse actors, keep two
   trials at work, stop at the same rungs (mode: stop) and evaluate at every step. Ours finds a store that exists, as
   from a user's second search on. The tracker works beside the search and goes on after it: how long is printed too.
   Target: ours at least 0.9 times Ray's, at 50 and at 500 trials.
2. Driver milliseconds per result: processor time of the driver's process (all threads, waiting excluded) between two
   results, over the number of results, in one long search without early stopping, so that every trial has as many
   results as the others: in the window that ends at trial 100 and in the one that ends at the last. One search and not
   two, so that start-up (imports, MLflow's first connection) is in neither window. Target: flat within 1.5 times.
3. Seconds of `--plan`. Target: under 3.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.trivial import SPACE

ROOT = Path(__file__).resolve().parent.parent
STEPS, REDUCTION, FIRST = 9, 3, 1
FLAT_STEPS = 4  # results of each trial in part 2
SHARE = 0.9  # ours over Ray's, trials per second
FLAT = 1.5
PLAN_S = 3.0
SETTINGS = """\
budget: {{trials: {trials}, steps: {steps}, evaluate_every: 1}}
early_stopping: {stopping}
sampler: {{kind: tpe, seed: {seed}}}
confirm: {{top: 1, seeds: 0}}
tracking: {{uri: null, experiment: overhead}}
name: overhead
"""


def ours(trials: int, mode: str, seed: int, folder: Path) -> dict[str, Any]:
    """One search by the command's own way; its store of MLflow exists already, as it does from a second search on."""
    from rich.console import Console

    from search.app import session
    from search.app.invocation import Invocation
    from search.history.events import Event, Phase, Reported, Started
    from search.history.ledger import Ledger
    from search.sampling.proposer import Proposer
    from search.spec.plan import make_plan
    from search.tracking.sender import Sender

    search = _search(trials, mode, seed, folder)
    prepared = search.model.prepare(search.data, None)
    marks: list[tuple[int, float, float]] = []
    phases: dict[str, float] = {}
    pids: set[int] = set()
    proposing = sending = 0.0
    propose, emit, finish = Proposer.propose, Ledger.emit, Sender.finish

    def timed(self: Proposer, number: int) -> Any:
        nonlocal proposing
        began = time.thread_time()
        values = propose(self, number)
        proposing += time.thread_time() - began
        return values

    def marked(self: Ledger, event: Event) -> None:
        emit(self, event)
        if isinstance(event, Phase):
            phases[event.name] = time.perf_counter()
        if isinstance(event, Started):
            pids.add(event.pid)
        if isinstance(event, Reported):
            marks.append((event.trial, time.process_time(), proposing))

    def finished(self: Sender, *verdict: Any) -> Any:
        nonlocal sending
        began = time.perf_counter()
        summary = finish(self, *verdict)
        sending = time.perf_counter() - began
        assert summary.closed, summary.message
        return summary

    Proposer.propose, Ledger.emit, Sender.finish = timed, marked, finished  # type: ignore
    path = folder / "overhead"
    asked = Invocation(search, make_plan(search), prepared, path, None, "", Console(quiet=True))
    assert session.run(asked) == 0
    searched = phases["confirm"] - phases["search"]
    return _measured(trials, searched, marks) | {"sent_s": searched + sending, "workers": len(pids)}


def _search(trials: int, mode: str, seed: int, folder: Path) -> Any:
    """The resolved search."""
    from search.spec import resolve

    asha = f"{{kind: asha, mode: {mode}, first_rung: {FIRST}, reduction: {REDUCTION}}}"
    stopping, steps = ("{kind: none}", FLAT_STEPS) if mode == "none" else (asha, STEPS)
    text = SPACE + SETTINGS.format(trials=trials, stopping=stopping, seed=seed, steps=steps)
    (folder / "search.yaml").write_text(text)
    return resolve.resolve(folder / "search.yaml")


def bare(trials: int, seed: int, folder: Path) -> dict[str, Any]:
    """The same on Ray Tune alone."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    from benchmarks import bare as beside

    class Marks(tune.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.marks: list[tuple[int, float, float]] = []
            self.pids: set[int] = set()

        def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any]) -> None:
            self.marks.append((len(trials), time.process_time(), 0.0))
            self.pids.add(result["pid"])

    beside.connect("local", include_dashboard=False)
    heard = Marks()
    start = time.perf_counter()
    beside.search(
        folder,
        OptunaSearch(seed=seed),
        heard,
        name="bare",
        trials=trials,
        at_once=int(ray.cluster_resources()["CPU"]),
        steps=STEPS,
        first=FIRST,
        reduction=REDUCTION,
    )
    total = time.perf_counter() - start
    ray.shutdown()
    return _measured(trials, total, heard.marks) | {"workers": len(heard.pids)}


def _measured(trials: int, seconds: float, marks: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    """Rates, and the driver's milliseconds per result in windows of 50 trials by their ends."""
    windows = {}
    for end in (100, trials):
        inside = [mark for mark in marks if end - 50 <= mark[0] <= end]
        if len(inside) > 20:
            (_, at, proposing), (_, until, proposed) = inside[0], inside[-1]
            count = len(inside) - 1
            windows[str(end)] = {
                "ms": (until - at) / count * 1e3,
                "without_proposals": (until - at - proposed + proposing) / count * 1e3,
                "results_per_trial": len(inside) / 51,
            }
    return {
        "seconds": seconds,
        "trials_per_s": trials / seconds,
        "results": len(marks),
        "ms_by_trial": windows,
    }


def _one(side: str, trials: int, seed: int, results: Path) -> dict[str, Any]:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, "--one", side, "--trials", str(trials), "--seed", str(seed)]
    with tempfile.TemporaryDirectory() as folder:
        template = results / "mlflow.db"
        if template.exists():
            (Path(folder) / "mlflow.db").write_bytes(template.read_bytes())
        done = subprocess.run([*command, "--folder", folder], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        if not template.exists() and (Path(folder) / "mlflow.db").exists():
            template.write_bytes((Path(folder) / "mlflow.db").read_bytes())
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def rates(sizes: Sequence[int], repeats: int, results: Path) -> None:
    """Part 1."""
    _one("stop", 4, 0, results)  # makes the store, and warms the file cache
    print(f"trials per second (median of {repeats}; in brackets results, worker processes used)", flush=True)
    for trials in sizes:
        found: dict[str, list[dict[str, Any]]] = {"stop": [], "bare": [], "promote": []}
        for repeat in range(repeats):
            for side in found:
                found[side].append(_one(side, trials, repeat, results))
        speed = {side: statistics.median(m["trials_per_s"] for m in ms) for side, ms in found.items()}
        print(f"  {trials} trials", flush=True)
        for side, label in (("stop", "ours, stop"), ("bare", "Ray's ASHA"), ("promote", "ours, promote")):
            results_ = statistics.median(m["results"] for m in found[side])
            workers = [m["workers"] for m in found[side]]
            sent = [m["sent_s"] - m["seconds"] for m in found[side] if "sent_s" in m]
            whole = statistics.median(trials / m.get("sent_s", m["seconds"]) for m in found[side]) / speed["bare"]
            tracked = f"; {whole:.2f}x with the {statistics.median(sent):.1f} s until MLflow has all" if sent else ""
            print(
                f"    {label:14} {speed[side]:6.2f} /s  {speed[side] / speed['bare']:5.2f}x  "
                f"({results_:.0f} results, {speed[side] / trials * results_:.0f} results/s, workers {workers}{tracked})"
            )
        verdict = "ok" if speed["stop"] >= SHARE * speed["bare"] else "TOO SLOW"
        print(f"    ours / Ray's: {speed['stop'] / speed['bare']:.2f} (target {SHARE})  {verdict}", flush=True)


def flatness(trials: int, results: Path) -> None:
    """Part 2."""
    print(f"driver ms of processor time per result, in one search of {trials} trials", flush=True)
    windows = _one("none", trials, 0, results)["ms_by_trial"]
    early, late = windows["100"], windows[str(trials)]
    for kind, what in (("ms", "all"), ("without_proposals", "proposals excluded")):
        ratio = late[kind] / early[kind]
        verdict = "ok" if ratio <= FLAT else "NOT FLAT"
        print(
            f"  {what:18} {early[kind]:.2f} at 100, {late[kind]:.2f} at {trials}: {ratio:.2f}x  {verdict}", flush=True
        )


def plan_seconds() -> None:
    """Part 3."""
    command = [sys.executable, "-m", "search.run", "configs/early_inference/demo.yaml", "--plan"]
    took = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - start)
    median = statistics.median(took)
    print(f"--plan: {median:.2f} s (target {PLAN_S:g})  {'ok' if median < PLAN_S else 'TOO SLOW'}", flush=True)


def main() -> None:
    """Print the tables, or measure once for a parent process."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long", type=int, default=2000, help="trials of the search in part 2")
    parser.add_argument("--quick", action="store_true", help="50 trials once, 400 in part 2")
    parser.add_argument("--one", choices=["stop", "promote", "none", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)  # for us and for the workers, as is the next line
    os.environ["SCHEDULE_SEARCH_MODELS"] = "trivial=benchmarks.trivial"
    if options.one:
        trials = options.trials[0]
        one = bare if options.one == "bare" else None
        measured = (
            one(trials, options.seed, options.folder)
            if one
            else ours(trials, options.one, options.seed, options.folder)
        )
        print(json.dumps(measured))
        return
    sizes, repeats, long = ([50], 1, 400) if options.quick else (options.trials, options.repeats, options.long)
    with tempfile.TemporaryDirectory() as results:
        rates(sizes, repeats, Path(results))
        flatness(long, Path(results))
    plan_seconds()


if __name__ == "__main__":
    main()
