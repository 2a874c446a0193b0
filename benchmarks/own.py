"""What bringing one's own training costs: lines that change, seconds to the first trial, seconds beside one by hand.

    python -m benchmarks.own [function command huggingface lightning]

Each example of configs/own is run by hand once, then searched with a single trial and nothing confirmed. The seconds
of the trial are its training's alone; those by hand have the start of Python and its imports in them, too. At the end:
what a report costs a function on its worker, from one return of `run.report` to the next of a loop that does nothing;
and how long after a command has written a metric its worker has it, for each way to write it.
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
from trainables.own.declaration import Declaration
from trainables.own.declare import from_declaration
from trainables.own.function import FunctionRun, Task
from trainables.own.handle import Config, Trial
from trainables.own.model import OwnModel

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
LINES = 25
SOURCES: dict[str, object] = {
    "csv": "log",
    "jsonl": "log",
    "stdout": r"(?P<epoch>\d+) (?P<at>\S+)",
    "tensorboard": ".",
    "mlflow": True,
}
SAYS = """
import struct, sys, time
kind, folder, began = sys.argv[1], sys.argv[2], float(sys.argv[3])
if kind == "mlflow":
    import mlflow; mlflow.log_metric("begun", 1)
file = open(f"{folder}/events.tfevents" if kind == "tensorboard" else f"{folder}/log", "wb", buffering=0)
if kind == "csv":
    file.write(b"epoch,at\\n")
for n in range(1, int(sys.argv[4]) + 1):
    time.sleep(0.2)
    at = time.time() - began
    if kind == "csv":
        file.write(f"{n},{at}\\n".encode())
    elif kind == "jsonl":
        file.write(f'{{"epoch": {n}, "at": {at}}}\\n'.encode())
    elif kind == "stdout":
        print(n, at)
    elif kind == "mlflow":
        mlflow.log_metric("at", at, step=n)
    else:  # an Event of one scalar, as SummaryWriter writes it
        value = b"\\x0a\\x02at\\x15" + struct.pack("<f", at)
        summary = b"\\x0a" + bytes([len(value)]) + value
        event = b"\\x10" + bytes([n]) + b"\\x2a" + bytes([len(summary)]) + summary
        file.write(struct.pack("<Q4x", len(event)) + event + bytes(4))
"""


def main() -> None:
    """Measure the examples and print a table."""
    rows = [measured(name, *EXAMPLES[name]) for name in sys.argv[1:] or EXAMPLES]
    print(pd.DataFrame(rows).to_string(index=False))
    p50, p99 = np.percentile(reports(), (50, 99))
    print(f"a function's report: p50 {1000 * p50:.2f} ms, p99 {1000 * p99:.2f} ms of {REPORTS}")
    for kind in SOURCES:
        late = latencies(kind)
        print(f"{kind}: read {1000 * np.median(late):.0f} ms after it is written, at most {1000 * max(late):.0f} ms")


def latencies(kind: str) -> list[float]:
    """Seconds from a command's writing of a metric, one each .2 s, to its worker's having it."""
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        (place / "say.py").write_text(SAYS)
        command = f"{sys.executable} say.py {kind} {{dir}} {began} {{length}}"
        given = {"metrics": {kind: SOURCES[kind]}, "length": "n", "objective": {"at": "min", "worst": 0}, "settles": 0}
        declared = Declaration.model_validate({"command": command, **given})
        made = from_declaration(declared, place / "mine.yaml", ("mine.yaml", None))
        model = OwnModel(made.reference, place / "trial")
        config = model.parse({"n": LINES + 1}, "n")  # at its end it is waited for, too
        run = model.build(config, model.prepare(model.parse_data({}, config, ""), config), 0)
        late = []
        for until in range(1, LINES + 1):
            at = run.train(until)["at"]
            late.append(time.time() - began - at)
        run.close()
    return late


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
