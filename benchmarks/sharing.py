"""What a worker of `diphone_rnn` holds while others on its node train on the same data: `python benchmarks/sharing.py`.

Starts processes that each build a run and read all of its features, and asks the kernel for their memory: private is a
process's own, the proportional set (PSS) counts shared pages by the share of each. Linux only.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from trainables.diphone_rnn.data import read
from trainables.registry import model_named

SENTENCES, SESSIONS = 400, 4
MIB = 2**20


def hold() -> None:
    """Build a run, touch every feature, say how many bytes they are, and wait to be ended."""
    model = model_named("diphone_rnn")
    config = model.parse({"model": {"n_units": 64, "n_layers": 1}, "use_composite_loss": True}, "")
    generate = {"generate": {"sentences": SENTENCES, "sessions": SESSIONS}}
    prepared = model.prepare(model.parse_data(generate, config, ""), config)
    run = model.build(config, prepared, 0)
    corpus = read(prepared.path, config)
    held = [trial.features() for trial in (*corpus.train, *corpus.validation)]
    touched = sum(float(features.sum()) for features in held)
    print(sum(features.nbytes for features in held), touched, flush=True)
    sys.stdin.read()
    del run


def memory(pid: int) -> tuple[float, float]:
    """MiB of a process: private and proportional."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024, kib["Pss"] / 1024


def main() -> None:
    """Print a line per number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2,4", help="numbers of processes, default: 1,2,4")
    parser.add_argument("--hold", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hold:
        hold()
        return
    for count in map(int, options.workers.split(",")):
        workers = []
        for _ in range(count):
            command = [sys.executable, __file__, "--hold"]
            worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert worker.stdout is not None
            features = int(worker.stdout.readline().split()[0])
            workers.append(worker)
        private, proportional = zip(*(memory(worker.pid) for worker in workers), strict=True)
        print(
            f"{count} workers, {features / MIB:.0f} MiB of features: {max(private):.0f} MiB private at most, "
            f"{sum(proportional) / count:.0f} MiB PSS in the mean",
            flush=True,
        )
        for worker in workers:
            worker.communicate("")


if __name__ == "__main__":
    main()
