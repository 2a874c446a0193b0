"""A small real search in a folder of its own that can be disturbed."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.faults_account import Outcome, outcome, repeated
from benchmarks.faults_model import VARIABLE, Orders, Trouble, mark, trained
from search.history.events import Event, Proposed
from search.history.journal import read

ROOT = Path(__file__).resolve().parent.parent
UNIT = "FAULTS_UNIT"  # environment variable by which a search's processes are found, whoever started them
NAME = "s"
PATIENCE = 300.0  # seconds that anything may take
GRACE = 15.0  # seconds that processes get to end by themselves
BASE = """\
prefix_length: 30
epochs: {steps}
tcn_channels: [4]
tcn_kernel_size: 3
mlp_hidden_dims: [4]
batch_size: 32
warmup_epochs: 1
"""
SEARCH = """\
model: faulty
base: base.yaml
data: {{generate: {{samples: 100, seed: 0, n_points: 20}}}}
space:
  lr: {{float: [1e-4, 1e-2], log: true}}
  batch_size: {{choice: [16, 32]}}
  weight_decay: {{float: [1e-7, 1e-2], log: true}}
  warmup_epochs: {{int: [0, 2]}}
budget: {{trials: {trials}, steps: {steps} epochs, evaluate_every: 1 epoch}}
early_stopping: {{kind: asha, first_rung: 1, reduction: {reduction}}}
sampler: {{kind: tpe, seed: 0}}
resources: {{cpu: {cpu}, gpu: 0}}
confirm: {{top: 1, seeds: {seeds}}}
tracking: {{uri: null, experiment: faults}}
"""


@dataclass(frozen=True)
class Size:
    """How large a search is."""

    trials: int
    steps: int
    reduction: int
    seeds: int
    """Of the confirmation."""
    pause: float
    """Seconds that an evaluation takes beside its training: long enough that each is worth a checkpoint."""
    middle: int
    """Evaluations after which a disturbance comes."""


WHOLE = Size(trials=9, steps=9, reduction=3, seeds=1, pause=0.4, middle=6)
SMALL = Size(trials=4, steps=4, reduction=2, seeds=0, pause=0.3, middle=3)


@dataclass
class Arena:
    """One search, its folder and everything that runs for it."""

    folder: Path
    size: Size
    trouble: Trouble | None = None
    settings: Sequence[str] = ()
    """More `--set` options."""
    variables: Mapping[str, str] = field(default_factory=dict)
    results: Path = Path("results")
    database: Path | None = None
    """MLflow's store; None: the file beside the search."""
    unit: str = field(default_factory=lambda: uuid.uuid4().hex)
    sittings: int = 0
    hits: int = 0
    """Disturbances, each of which may cost the evaluation in flight."""
    before: int = 0
    """Length of what the sittings before the last one have printed."""
    process: subprocess.Popen[bytes] | None = None
    shell: str = ""
    """A line for bash in which the next start is `"$@"`: with a reader of what it prints, or a limit; empty: none."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        size = self.size
        cpu = psutil.cpu_count() or 1  # all: one worker, so that the order of results is given
        (self.folder / "base.yaml").write_text(BASE.format(steps=size.steps))
        text = SEARCH.format(trials=size.trials, steps=size.steps, reduction=size.reduction, seeds=size.seeds, cpu=cpu)
        (self.folder / "search.yaml").write_text(text)

    @property
    def path(self) -> Path:
        """The search's own folder."""
        return self.folder / self.results / NAME

    @property
    def journal(self) -> Path:
        """Its journal."""
        return self.path / "journal.jsonl"

    @property
    def output(self) -> str:
        """What all sittings have printed."""
        path = self.folder / "output.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def said(self) -> str:
        """The end of it, for messages."""
        return self.output[-3000:]

    def start(self) -> subprocess.Popen[bytes]:
        """Give the command; the same one each time. In a session of its own, as a shell gives a job one group."""
        Orders(self.size.pause, str(self.journal.resolve()), self.trouble).write(self.folder)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "RAY_", "TUNE_"))}
        own = {
            UNIT: self.unit,
            VARIABLE: str(self.folder.resolve()),
            "SCHEDULE_SEARCH_MODELS": "faulty=benchmarks.faults_model",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "120",
        }
        words = ["search.yaml", "--name", NAME, "--results", str(self.results)]
        for setting in self.settings:
            words += ["--set", setting]
        self.before = len(self.output)
        with (self.folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                self._command([sys.executable, "-m", "search.run", *words]),
                cwd=self.folder,
                env={**kept, **own, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_heeding,
            )
        self.sittings += 1
        return self.process

    def _command(self, words: Sequence[str]) -> Sequence[str]:
        shell, self.shell = self.shell, ""
        return ["bash", "-c", shell, "bash", *words] if shell else words

    def begin(self) -> None:
        """Give the command, and wait until the search is in its middle."""
        self.start()
        self.wait(self.size.middle)

    def wait(self, reports: int) -> None:
        """Until the journal holds so many evaluations."""
        self.until(lambda: self.reports() >= reports, f"{reports} evaluations")

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Until something is so; the search must still be running then. Raises RuntimeError."""
        assert self.process is not None
        end = time.monotonic() + PATIENCE
        while not reached():
            if self.process.poll() is not None:
                raise RuntimeError(f"the search ended ({self.process.returncode}) before {what}:\n{self.said}")
            if time.monotonic() > end:
                raise RuntimeError(f"{what}: not within {PATIENCE:g} s:\n{self.said}")
            time.sleep(0.02)

    def reports(self) -> int:
        """Evaluations in the journal."""
        return self.journal.read_bytes().count(b'"event":"Reported"') if self.journal.exists() else 0

    def events(self) -> list[Event]:
        """What the journal holds."""
        return read(self.journal)[0] if self.journal.exists() else []

    def kill(self) -> None:
        """Kill -9 of the driver, and of nothing else: the next sitting meets whatever is still about."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.hits += 1

    def signal(self, number: int, everyone: bool) -> None:
        """Send a signal to the driver, or to its whole group, as Ctrl-C in a terminal does."""
        assert self.process is not None
        (os.killpg if everyone else os.kill)(self.process.pid, number)

    def ended(self, seconds: float = PATIENCE) -> int:
        """The exit code of the running sitting. Raises RuntimeError when it takes longer than `seconds`."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"still running after {seconds:g} s:\n{self.said}") from error

    def finish(self, code: int = 0) -> None:
        """The same command until the search is over. Raises RuntimeError for another exit code than `code`."""
        for _ in range(4):
            if self.process is None or self.process.poll() not in (None, code):
                self.start()
            found = self.ended()
            if found != code:
                raise RuntimeError(f"exit code {found} where {code} was due:\n{self.said}")
            if "could not be sent" not in self.output[self.before :]:
                return
            self.process = None
        raise RuntimeError(f"tracking could not be brought to an end:\n{self.said}")

    def alive(self) -> list[psutil.Process]:
        """Processes of this search, whoever their parent is now."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(UNIT) == self.unit and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def left(self) -> list[str]:
        """What is still there of them after a grace."""
        end = time.monotonic() + GRACE
        while (found := self.alive()) and time.monotonic() < end:
            time.sleep(0.2)
        return [" ".join(process.cmdline()[:3]) for process in found]

    def clear(self) -> None:
        """End what still runs."""
        for process in self.alive():
            try:
                process.kill()
            except psutil.Error:
                continue
        if self.process is not None:
            self.process.wait(10)

    def outcome(self) -> Outcome:
        """The account at the end."""
        return outcome(self.path, self.database or self.path.parent / "mlflow.db")

    def repeated(self) -> tuple[int, int]:
        """Evaluations that were begun again although the journal had them, and those that were in flight."""
        return repeated(self.journal, trained(self.folder))

    def mark_of(self, trial: int) -> str:
        """The mark of a trial of this search, for a trouble that is to befall it."""
        return next(mark(e.values, e.seed) for e in self.events() if isinstance(e, Proposed) and e.trial == trial)


def _heeding() -> None:
    """Heed Ctrl-C and a lost terminal: what `nohup` or a shell starts in the background ignores them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
