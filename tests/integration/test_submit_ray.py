"""Searches as jobs on a real cluster: two nodes of one machine, with token authentication, and a client elsewhere."""

import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from search.history.events import Reported
from search.history.journal import read
from search.submit.head import Head, Unreachable
from search.submit.start import HANDED
from spaces.problems import BadInput
from tests.integration.conftest import run, start

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
TOKEN, CANARY = "token-5e4d3c2b1a09f8e7", "canary-0a1b2c3d4e5f6789"
PATIENCE = 150.0

# A model of the user's own, which only the client's folder holds, and which no process can import without what the
# client hands over.
MODEL_HEAD = "import os\nimport time\n\nHANDED = os.environ['CANARY']\n\n"
SEARCH = """\
model: mine
data: {}
space: {alpha: {float: [0, 1]}, beta: {float: [0, 1]}, rate: {float: [1e-3, 1], log: true}}
budget: {trials: 9, steps: 9 steps, evaluate_every: 1 step}
early_stopping: {kind: asha, first_rung: 1}
sampler: {kind: random, seed: 0}
confirm: {top: 1, seeds: 2}
"""
EVALUATIONS = 9 * 9 + 2 * 2 * 9  # where no trial is stopped early: all trials, then two configs on two seeds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(happened: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until, f"{what}: not within {PATIENCE:g} s"
        time.sleep(0.5)


class TwoNodes:
    """A head and a worker node, as `ray start` makes them; they see the same home folder, and folders of their own for
    what Ray keeps. Nothing of them is in the client's environment.
    """

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.place = Path(tempfile.mkdtemp(prefix="two"))  # short: sockets lie in it
        self._started: list[subprocess.Popen[bytes]] = []
        self._port, dashboard = free_port(), free_port()
        self.address = f"http://127.0.0.1:{dashboard}"
        self._dashboard = dashboard
        self._environment = {
            **environment,
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_TMPDIR": str(self.place),
        }

    def start(self) -> None:
        """Both nodes, up and known to each other."""
        own = ["--head", f"--port={self._port}", f"--dashboard-port={self._dashboard}"]
        self._ray(*own, f"--ray-client-server-port={free_port()}", f"--temp-dir={self.place}/head")
        wait_until(lambda: self._alive() >= 1, "a head")
        self._ray(f"--address=127.0.0.1:{self._port}", f"--temp-dir={self.place}/worker")
        wait_until(lambda: self._alive() == 2, "two nodes")

    def kill(self) -> None:
        """Kill -9 of everything at once."""
        mine = [each for each in psutil.process_iter() if self._is_mine(each)]
        for process in mine:
            process.kill()
        psutil.wait_procs(mine, timeout=20)
        while self._started:
            self._started.pop().wait()

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    def _ray(self, *words: str) -> None:
        agent = f"--dashboard-agent-listen-port={free_port()}"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, agent, "--num-cpus=1"]
        with (self.place / "nodes.txt").open("ab") as output:
            process = subprocess.Popen(
                [*command, "--disable-usage-stats", "--block"],
                env=self._environment,
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)

    def _alive(self) -> int:
        try:
            return sum(node.resources["CPU"] == 1 for node in Head(self.address, TOKEN).nodes())
        except (Unreachable, BadInput):
            return 0

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("RAY_TMPDIR") == str(self.place)
        except (psutil.Error, OSError):
            return False


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[TwoNodes]:
    made = TwoNodes(tmp_path_factory.mktemp("home"), environment)
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture
def user(nodes: TwoNodes, environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a person with a home of their own, the cluster's token, and a secret."""
    (tmp_path / "home").mkdir()
    return {
        **environment,
        "HOME": str(tmp_path / "home"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_API_SERVER_ADDRESS": nodes.address,
        "SCHEDULE_SEARCH_MODELS": "mine=mine",
        "CANARY": CANARY,
    }


@pytest.fixture
def client(tmp_path: Path) -> Path:
    return make_client(tmp_path / "client", seconds=0.0)


def make_client(folder: Path, seconds: float) -> Path:
    """A folder with a search and a model of its own, whose evaluations take so long."""
    folder.mkdir()
    model = (ROOT / "benchmarks" / "trivial.py").read_text()
    slow = model.replace("        self._step = until\n", f"        time.sleep({seconds})\n        self._step = until\n")
    assert slow != model
    (folder / "mine.py").write_text(
        slow.replace("from pathlib", MODEL_HEAD + "from pathlib").replace('"trivial"', '"mine"')
    )
    (folder / "search.yaml").write_text(SEARCH)
    return folder


def files_with(text: str, folder: Path) -> list[Path]:
    """The regular files below `folder` that hold `text`."""
    regular = [path for path in folder.rglob("*") if not path.is_symlink() and path.is_file()]
    return [path for path in regular if text.encode() in path.read_bytes()]


def test_a_search_runs_on_two_nodes_and_its_best_config_comes_back(
    nodes: TwoNodes, user: dict[str, str], client: Path
) -> None:
    code, output = run("search.submit", ["search.yaml", "--name", "s", "--no-install", "--env", "CANARY"], client, user)
    assert code == 0, output
    assert "2 nodes" in output and "verdict: " in output and "search.submit fetch s --to results/s" in output
    assert output.count("-- confirming on fresh seeds") == 1  # each line is shown once

    code, said = run("search.submit", ["fetch", "s", "--to", "results/s"], client, user)
    assert code == 0, said
    there, here = nodes.home / "schedule-search" / "s", client / "results" / "s"
    fetched = [path.relative_to(here) for path in here.rglob("*") if path.is_file()]
    assert {"best.yaml", "trials.csv", "report.html", "native/config.yaml"} <= {path.as_posix() for path in fetched}
    for path in fetched:
        assert (here / path).read_bytes() == (there / path).read_bytes()
    trials = pd.read_csv(here / "trials.csv")
    assert (trials.kind == "search").sum() == 9 and set(trials.status) <= {"completed", "stopped"}

    code, listed = run("search.submit", ["list"], client, user)
    assert code == 0 and len(listed.splitlines()) == 1 and "succeeded" in listed

    # The secret has reached the driver and each worker (the model can't be imported without it), and no other place.
    holding = files_with(CANARY, nodes.place)
    assert holding and {path.name for path in holding} == {HANDED}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holding)
    assert not files_with(CANARY, nodes.home) and not files_with(CANARY, client)
    assert not files_with(TOKEN, nodes.home) and not files_with(TOKEN, nodes.place)
    assert CANARY not in output + said + listed and TOKEN not in output + said + listed


def test_without_the_clusters_token_nothing_is_told(nodes: TwoNodes, user: dict[str, str], client: Path) -> None:
    assert nodes.address == user["RAY_API_SERVER_ADDRESS"]
    for changed, said in (
        ({"RAY_AUTH_MODE": ""}, "asks for a token"),
        ({"RAY_AUTH_TOKEN": "another-token-of-some-length"}, "refuses this token"),
    ):
        code, output = run("search.submit", ["list"], client, {**user, **changed})
        assert code == 2 and said in output and TOKEN not in output, output


def reported(nodes: TwoNodes, name: str) -> list[tuple[int, int]]:
    """(trial, step) of each evaluation that the journal holds."""
    journal = nodes.home / "schedule-search" / name / "journal.jsonl"
    events = read(journal)[0] if journal.exists() else []
    return [(event.trial, event.step) for event in events if isinstance(event, Reported)]


def test_a_job_is_stopped_in_order_and_the_same_submission_goes_on(
    nodes: TwoNodes, user: dict[str, str], tmp_path: Path
) -> None:
    client = make_client(tmp_path / "client", seconds=0.6)
    words = [
        "search.yaml",
        "--name",
        "stopped",
        "--no-install",
        "--env",
        "CANARY",
        "--set",
        "early_stopping={kind: none}",
    ]
    code, output = run("search.submit", [*words, "--no-wait"], client, user)
    assert code == 0 and "look at it with" in output, output
    wait_until(lambda: len(reported(nodes, "stopped")) > 5, "some evaluations")
    code, output = run("search.submit", ["stop", "stopped"], client, user)
    assert code == 0 and "stopped; the same submission goes on" in output, output
    code, output = run("search.submit", ["logs", "stopped"], client, user)
    assert code == 0 and "interrupted (SIGTERM)" in output
    before = reported(nodes, "stopped")
    assert len(before) < EVALUATIONS
    code, output = run("search.submit", words, client, user)
    assert code == 0 and "going on with" in output, output
    after = reported(nodes, "stopped")
    assert after[: len(before)] == before and len(set(after)) == len(after) == EVALUATIONS


def test_a_search_outlives_its_head(nodes: TwoNodes, user: dict[str, str], tmp_path: Path) -> None:
    """Both nodes are killed in the middle, new ones take their place: the client that waits hands the job in again."""
    client = make_client(tmp_path / "client", seconds=0.3)
    words = [
        "search.yaml",
        "--name",
        "outlives",
        "--no-install",
        "--env",
        "CANARY",
        "--set",
        "early_stopping={kind: none}",
    ]
    with start("search.submit", words, client, user) as waiting:
        try:
            wait_until(lambda: len(reported(nodes, "outlives")) > 15, "some evaluations")
            nodes.kill()
            before = reported(nodes, "outlives")
            assert len(before) < EVALUATIONS
            nodes.start()
            output = waiting.communicate(timeout=240)[0]
        finally:
            waiting.kill()
    assert waiting.returncode == 0, output
    assert "doesn't answer" in output and "handing it in again (1 of 3)" in output and "verdict: " in output
    after = reported(nodes, "outlives")
    assert after[: len(before)] == before  # nothing that was reported is lost, and nothing is reported twice:
    assert len(set(after)) == len(after) == EVALUATIONS
    assert CANARY not in output
