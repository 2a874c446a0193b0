"""What bringing one's own training costs: lines that change, seconds to the first trial, seconds beside one by hand.

    python -m benchmarks.own [function command huggingface lightning]

Each example of configs/own is run by hand once, then searched with a single trial and nothing confirmed. The seconds
of the trial are its training's alone; those by hand have the start of Python and its imports in them, too. At the end:
what a report costs a function on its worker, from one return of `run.report` to the next of a loop that does nothing.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from search.history.events import Reported, Started
from search.history.journal import read
from spaces import strict_yaml
from trainables.own.function import FunctionRun, Task
from trainables.own.handle import Config, Trial

OWN = Path(__file__).parents[1] / "configs" / "own"
REPORTS = 1000
EXAMPLES = {
    "function": (
        "spiral.yaml",
        "train.py",
        "import search|def train|run.config|run.restore|run.report|search.local_run",
    ),
    "command": ("polynomial.yaml", "fit.py", ""),
    "huggingface": ("counting.yaml", "finetune.py", "def make_trainer|return Trainer"),
    "lightning": ("wave.yaml", "train.py", "def make|return trainer"),
}


def main() -> None:
    """Measure the examples and print a table."""
    rows = [measured(name, *EXAMPLES[name]) for name in sys.argv[1:] or EXAMPLES]
    print(pd.DataFrame(rows).to_string(index=False))
    p50, p99 = np.percentile(reports(), (50, 99))
    print(f"a function's report: p50 {1000 * p50:.2f} ms, p99 {1000 * p99:.2f} ms of {REPORTS}")


def reports() -> list[float]:
    """Seconds of each report of a function that does nothing else, with a network and an optimizer to keep."""
    found: list[float] = []

    def train(run: Trial) -> None:
        net = torch.nn.Linear(100, 100)
        optimizer = torch.optim.Adam(net.parameters())
        for epoch in range(run.restore(net, optimizer), REPORTS):
            run.report(epoch + 1, loss=0.0)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run = FunctionRun(Task(train, Config({}), 0, place, place, "epoch", REPORTS, ("loss",), 1.0, True))
        for until in range(1, REPORTS + 1):
            began = time.perf_counter()
            run.train(until)
            found.append(time.perf_counter() - began)
        run.close()
    return found


def measured(name: str, yaml: str, script: str, marks: str) -> dict[str, object]:
    """One example's row."""
    path, code = OWN / name / yaml, OWN / name / script
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(code)], cwd=folder, check=True, capture_output=True)
        alone = time.perf_counter() - began
        sets = ["budget.trials=1", "confirm.seeds=0", "check=null"]
        words = [word for each in sets for word in ("--set", each)]
        began = time.time()
        command = [sys.executable, "-m", "search.run", str(path), *words, "--results", folder, "--name", "x"]
        subprocess.run(command, check=True, capture_output=True)
        events = read(Path(folder) / "x" / "journal.jsonl")[0]
    first = next(event for event in events if isinstance(event, Started))
    trained = sum(event.seconds for event in events if isinstance(event, Reported))
    changed = [line for line in code.read_text().splitlines() if marks and any(m in line for m in marks.split("|"))]
    return {
        "example": name,
        "YAML lines": len(path.read_text().splitlines()) - 1,
        "script lines changed": len(changed),
        "s to the first trial": round(first.at - began, 1),
        "s of the trial": round(trained, 1),
        "s by hand, with the start": round(alone, 1),
        "epochs": strict_yaml.load(path)["budget"]["steps"],
    }


if __name__ == "__main__":
    main()
