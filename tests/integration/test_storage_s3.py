"""Searches that are kept in S3, on a real server of its kind: lost machines, a store that is away, what is refused."""

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest
from mlflow.tracking import MlflowClient

from search.history.events import Event, Reported
from search.history.journal import parse
from search.persistence.lease import LEASE, Owner
from search.persistence.object_store_journal import journal, parts
from spaces import strict_yaml
from tests.integration.conftest import make_project, run, start
from tests.integration.s3_server import BUCKET, KEYS, Server, s3_server
from trainables.objects import Prefix

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

COMPARED = ["number", "kind", "origin", "status", "objective", "steps", "seed", "lr", "batch_size", "warmup_epochs"]
STORAGE = f"s3://{BUCKET}/team"
ONE_WORKER = ["--set", f"resources.cpu={psutil.cpu_count() or 1}"]  # so that the order of results is given
PATIENCE = 120.0


@pytest.fixture
def user(s3: Server, environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Somebody with credentials, and with MLflow in a place of its own."""
    return {**environment, **s3.environment, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}


def machine(folder: Path) -> Path:
    """A fresh machine: nothing of the search but what its user typed."""
    folder.mkdir()
    return make_project(folder)


def events_of(name: str) -> list[Event]:
    store = Prefix(f"{STORAGE}/{name}")
    return parse(journal(store, parts(store)), "the store")[0]


def evaluations(events: list[Event]) -> Counter[tuple[int, int]]:
    return Counter((event.trial, event.step) for event in events if isinstance(event, Reported))


def wait_for(name: str, count: int, process: subprocess.Popen[str]) -> None:
    """Until the store's journal holds so many evaluations."""
    until = time.monotonic() + PATIENCE
    while sum(evaluations(events_of(name)).values()) < count:
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < until
        time.sleep(0.2)


def trials_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results" / "s" / "trials.csv")[COMPARED]


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, s3: Server, environment: dict[str, str]
) -> tuple[Path, Counter[str]]:
    """The folder of a search without a store, and the requests that one in the store would make."""
    folder = make_project(tmp_path_factory.mktemp("undisturbed"))
    code, output = run("search.run", ["search.yaml", "--name", "s", *ONE_WORKER], folder, environment)
    assert code == 0, output
    return folder, s3.count()


@pytest.mark.slow
def test_a_search_whose_machine_is_lost_goes_on_elsewhere_to_the_same_result(
    undisturbed: tuple[Path, Counter[str]], user: dict[str, str], tmp_path: Path
) -> None:
    words = ["search.yaml", "--name", "s", "--storage", STORAGE, *ONE_WORKER]
    for lost, count in (("first", 8), ("second", 30)):
        place = machine(tmp_path / lost)
        with start("search.run", words, place, user) as process:
            try:
                wait_for("s", count, process)
            finally:
                family = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                for each in family:
                    with suppress(psutil.Error):
                        each.kill()
            psutil.wait_procs(family, timeout=20)
        before = events_of("s")
        shutil.rmtree(place)
    third = machine(tmp_path / "third")
    code, output = run("search.run", words, third, user)
    assert code == 0, output
    assert "going on with" in output and f"{STORAGE}/s" in output and "Traceback" not in output
    after = events_of("s")
    assert after[: len(before)] == before
    assert set(evaluations(after).values()) == {1}

    pd.testing.assert_frame_equal(trials_of(third), trials_of(undisturbed[0]))
    best, expected = (strict_yaml.load(f / "results/s/best.yaml") for f in (third, undisturbed[0]))
    assert best["provenance"]["confirmed"] == expected["provenance"]["confirmed"]
    assert (third / "results/s/journal.jsonl").read_bytes() == journal(
        Prefix(f"{STORAGE}/s"), parts(Prefix(f"{STORAGE}/s"))
    )
    store = Prefix(f"{STORAGE}/s")
    assert store.get("best.yaml") == (third / "results/s/best.yaml").read_bytes()
    assert {"report.html", "native/base.yaml", "trials.csv", "history.parquet"} <= set(store.sizes(recursive=True))

    fetched = ["fetch", "s", "--storage", STORAGE, "--to", str(tmp_path / "fetched")]  # no cluster is asked
    code, output = run("search.submit", fetched, tmp_path, user)
    assert code == 0, output
    for name in ("best.yaml", "trials.csv", "report.html", "native/base.yaml", "figures/curves.png"):
        assert (tmp_path / "fetched" / name).read_bytes() == (third / "results/s" / name).read_bytes()
    assert not (tmp_path / "fetched" / "trials").exists()
    fetched[1] = "another"
    code, output = run("search.submit", fetched, tmp_path, user)
    assert code == 2 and f"{STORAGE}/another: holds nothing that a search hands over" in output

    client = MlflowClient(user["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("early_inference")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1 + len(trials_of(third)) and "RUNNING" not in {each.info.status for each in runs}
    for secret in KEYS.values():
        assert secret not in output
        held = [path for path in third.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
        assert not held
        assert not [name for name in store.sizes(recursive=True) if secret.encode() in (store.get(name) or b"")]


def refusal(place: Path, user: dict[str, str], storage: str) -> str:
    """What is said of a storage that can't be used, without a word of secrets and before anything is written."""
    before = {path.name for path in place.iterdir()}
    code, output = run("search.run", ["search.yaml", "--name", "s", "--storage", storage], place, user)
    assert code == 2, output
    assert "Traceback" not in output and not any(secret in output for secret in KEYS.values())
    assert {path.name for path in place.iterdir()} == before
    return output[output.index("error: ") :]


@pytest.mark.slow
def test_a_store_that_can_t_be_used_is_refused_with_what_to_do(user: dict[str, str], tmp_path: Path) -> None:
    place = machine(tmp_path / "m")
    assert "there is no bucket nowhere at http://127.0.0.1" in refusal(place, user, "s3://nowhere/x")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = {**user, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        assert "can't be reached: NETWORK_CONNECTION" in refusal(place, away, STORAGE)
        closed.listen()  # it takes connections and never answers
        assert "can't be reached: no answer within 8 s" in refusal(place, away, STORAGE)


def test_without_credentials_or_with_wrong_ones_nothing_begins(user: dict[str, str], tmp_path: Path) -> None:
    place = machine(tmp_path / "m")
    (tmp_path / "strict").mkdir()
    with s3_server(tmp_path / "strict", INITIAL_NO_AUTH_ACTION_COUNT="2") as strict:  # the bucket, no more
        known = {**user, **strict.environment, "HOME": str(tmp_path)}
        assert "access is refused; objects must be" in refusal(place, known, STORAGE)
        unknown = {name: value for name, value in known.items() if name not in KEYS}
        assert "no credentials: set AWS_ACCESS_KEY_ID" in refusal(place, unknown, STORAGE)


@pytest.mark.slow
def test_a_second_driver_is_refused_and_after_ctrl_c_the_search_goes_on_elsewhere(
    user: dict[str, str], tmp_path: Path
) -> None:
    words = ["search.yaml", "--name", "two", "--storage", STORAGE, *ONE_WORKER]
    first, second = machine(tmp_path / "first"), machine(tmp_path / "second")
    with start("search.run", words, first, user) as process:
        try:
            wait_for("two", 1, process)
            code, output = run("search.run", words, second, user)
            assert code == 2 and f"pid {process.pid} is running this search" in output, output
            assert not (second / "results").exists()
            now = Owner(**json.loads(Prefix(f"{STORAGE}/two").get(LEASE) or b""))
            held = replace(now, host="elsewhere", boot="another")  # as it would look from another machine
            assert not held.gone(now) and not held.lives(now)
        finally:
            process.send_signal(signal.SIGINT)
            output = process.communicate(timeout=120)[0]
    assert process.returncode == 130, output
    assert f"--storage {STORAGE}" in output  # in the command to go on with
    code, output = run("search.run", words, second, user)
    assert code == 0 and "going on with" in output, output
    assert set(evaluations(events_of("two")).values()) == {1}


class Line:
    """A connection to the store that can be cut."""

    def __init__(self, to: int) -> None:
        self._to, self._open, self.refused = to, True, 0
        self._pairs: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        self._open = False
        for each in self._pairs:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._open = True

    def end(self) -> None:
        self.cut()
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                near = self._server.accept()[0]
            except OSError:
                return
            if not self._open:
                self.refused += 1
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            self._pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(2**16):
                other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.mark.slow
def test_a_search_waits_for_a_store_that_is_away(
    undisturbed: tuple[Path, Counter[str]], s3: Server, user: dict[str, str], tmp_path: Path
) -> None:
    words = ["search.yaml", "--name", "s", "--storage", f"{STORAGE}/away", *ONE_WORKER]
    place, line = machine(tmp_path / "m"), Line(s3.port)
    said: list[str] = []
    with start("search.run", words, place, {**user, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}"}) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
        try:
            wait_for("away/s", 10, process)
            reader.start()
            line.cut()
            until = time.monotonic() + PATIENCE
            while not told("".join(said), place):
                assert process.poll() is None and time.monotonic() < until, said
                time.sleep(0.2)
            known = evaluations(events_of("away/s"))
            time.sleep(3)
            assert evaluations(events_of("away/s")) == known
            line.mend()
            process.wait(timeout=240)
            reader.join(20)
        finally:
            process.kill()
            line.end()
    assert process.returncode == 0, said
    assert set(evaluations(events_of("away/s")).values()) == {1}
    pd.testing.assert_frame_equal(trials_of(place), trials_of(undisturbed[0]))


def told(output: str, place: Path) -> bool:
    """Whether people were told that the store is away: on the screen, or in a trial's log."""
    texts = [output, *(file.read_text() for file in place.rglob("log.txt"))]
    return any(f"{STORAGE}/away/s" in text and "can't be used now (" in text for text in texts)


@pytest.mark.slow
def test_requests_of_an_evaluation(s3: Server, user: dict[str, str], tmp_path: Path) -> None:
    """However many there were before, an evaluation whose checkpoint is saved costs its record (PUT), the checkpoint
    (PUT, LIST) and what pyarrow asks to delete the one that it replaces (HEAD, DELETE, PUT).
    """
    one = [*ONE_WORKER, "--set", "early_stopping={kind: none}", "--set", "confirm.seeds=0", "--set", "budget.trials=1"]
    counts = []
    for name, steps in (("short", 9), ("long", 45)):
        place = machine(tmp_path / name)
        since = len(s3.asked())
        words = ["search.yaml", "--name", name, "--storage", STORAGE, *one, "--set", f"budget.steps={steps} epochs"]
        code, output = run("search.run", words, place, user)
        assert code == 0, output
        counts.append(s3.count(since))
    each = {method: (counts[1][method] - counts[0][method]) / 36 for method in counts[1]}
    assert 1 <= sum(each.values()) <= 6.5, each
