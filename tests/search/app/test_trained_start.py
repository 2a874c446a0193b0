"""What a search's trials start from: found, trained by a stand-in for Ray's loop, and refused."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_search import small_search

from search.app import start as starting
from search.app.context import RunContext
from search.execution.admission import Halt
from search.execution.engine import Stage
from search.history.events import Ended, Event, Proposed, Reported, Retried, Started, StartReady
from search.history.journal import Journal, read
from search.history.ledger import Ledger
from search.history.records import Records
from search.persistence.folder import Folder
from search.spec.plan import make_plan
from search.spec.resolve import resolve
from search.spec.search import Search
from search.spec.start import StartPoint
from spaces.problems import BadInput
from tests.trainables.flat_store import URI, flat_store
from trainables import checkpoints, start
from trainables.layout import OWNER, checkpoint_folder
from trainables.objects import Prefix
from trainables.start import StartAt

STEP = 3
ME = "here pid 1\n"


def state(text: str) -> bytes:
    """The bytes of an intact checkpoint's file, as far as its hash tells."""
    return hashlib.sha256(text.encode()).digest() + text.encode()


@dataclass
class Scene:
    """A search's folder over several sittings, with a Ray that trains as told."""

    folder: Path
    search: Search
    store: Prefix | None = None
    halt: Halt = field(default_factory=Halt)
    said: list[str] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    trains: Callable[[Stage, int], None] = lambda stage, number: done(stage, number)

    def run_stage(self, stage: Stage) -> None:
        self.stages.append(stage)
        while (number := stage.gate.next_resumable()) is not None:
            self.trains(stage, number)

    @contextmanager
    def sitting(self) -> Iterator[RunContext]:
        path = self.folder / "journal.jsonl"
        records = Records(read(path)[0] if path.exists() else ())
        with Journal(path) as journal:
            kept = Folder(self.folder, (), Ledger(journal, records), ME, self.store)
            cluster: Any = SimpleNamespace(say=self.said.append, room=lambda: 9, gpu=0.0)
            yield RunContext(
                self.search, make_plan(self.search), kept, cluster, self.halt, lambda: None, lambda: None, ""
            )

    def ready(self, *seeds: int) -> StartAt | None:
        with self.sitting() as context:
            return starting.ready(context, seeds)

    def journal(self, below: str = "") -> list[Event]:
        return read(self.folder / below / "journal.jsonl")[0]

    def starts(self) -> list[StartReady]:
        return [event for event in self.journal() if isinstance(event, StartReady)]

    def state_of(self, seed: int | None) -> Path:
        return self.folder / "start" / ("given" if seed is None else f"seed-{seed}") / f"{STEP:09d}.pt"


def done(stage: Stage, number: int, text: str = "trained with seed {}", upto: int = STEP) -> None:
    """A worker's training to the end, as its job says, and what it leaves."""
    seed, emit = stage.ledger.records.trials[number].proposed.seed, stage.ledger.emit
    home = Path(stage.job.folder) if stage.job.storage is None else Prefix(stage.job.storage)
    emit(Started(number, "box", 7, "", 0.0))
    for step in range(1, upto + 1):
        emit(Reported(number, step, {"objective": 1 / step}, 2.0, 0.0))
        checkpoints.put(checkpoint_folder(stage.job.folder, number, stage.store), step, state(str(step)))
    if upto == stage.job.horizon and stage.job.hands_on:
        checkpoints.put(start.place(home, seed), upto, state(text.format(seed)))
    emit(Ended(number, "completed", "", 0.0))


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return small_search(tmp_path_factory.mktemp("s"))


@pytest.fixture
def scene(search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    folder = tmp_path / "s"
    folder.mkdir()
    made = Scene(folder, replace(search, start=StartPoint(STEP, "the baseline, trained to epoch 3")))
    monkeypatch.setattr(starting, "run_stage", made.run_stage)
    return made


def digest(text: str) -> str:
    return checkpoints.digest_of(state(text))


def test_without_a_start_nothing_is_trained(scene: Scene) -> None:
    scene.search = replace(scene.search, start=None)
    assert scene.ready(0, 1) is None
    assert scene.stages == [] and scene.journal() == [] and not (scene.folder / "start").exists()


def test_each_seed_gets_a_training_of_its_own_once(scene: Scene) -> None:
    digests = {seed: digest(f"trained with seed {seed}") for seed in (0, 7)}
    assert scene.ready(0, 7) == StartAt(STEP, digests, given=False)
    (stage,) = scene.stages
    assert (stage.job.horizon, stage.job.hands_on, stage.job.start) == (STEP, True, None)
    assert stage.job.folder == str((scene.folder / "start").resolve())
    assert stage.job.code == str((scene.folder / "code").resolve()) and stage.propose() is None
    assert stage.gate.finished() and (stage.max_failures, stage.checks["clock"]()) == (2, None)
    assert (scene.folder / "start" / OWNER).read_text() == ME  # else workers refuse to write there
    assert [(e.seed, e.step, e.trained, e.seconds, e.objective) for e in scene.starts()] == [
        (0, STEP, STEP, 6.0, 1 / 3),
        (7, STEP, STEP, 6.0, 1 / 3),
    ]
    assert {e.digest for e in scene.starts()} == {*digests.values()}
    trained = [e for e in scene.journal("start") if isinstance(e, Proposed)]
    assert [(e.trial, e.values, e.seed) for e in trained] == [(0, {}, 0), (1, {}, 7)]
    assert not list((scene.folder / "start" / "trials").rglob("*.pt"))  # they are needed no more

    assert scene.ready(0) == StartAt(STEP, {0: digests[0]}, given=False)  # the next sitting
    assert len(scene.stages) == 1 and len(scene.starts()) == 2
    assert scene.ready(0, 8) == StartAt(STEP, {0: digests[0], 8: digest("trained with seed 8")}, given=False)
    assert scene.stages[1].job.horizon == STEP and len(scene.starts()) == 3


def test_a_training_that_was_cut_off_is_gone_on_with(scene: Scene) -> None:
    def cut(stage: Stage, number: int) -> None:
        stage.ledger.emit(Started(number, "box", 7, "", 0.0))
        stage.ledger.emit(Reported(number, 1, {"objective": 0.9}, 2.0, 0.0))
        stage.halt.call("SIGTERM", "signal")

    scene.trains = cut
    assert scene.ready(0) is None
    assert scene.starts() == [] and scene.halt.reason == "SIGTERM"
    scene.halt.clear()

    def rest(stage: Stage, number: int) -> None:
        assert stage.ledger.records.trials[number].step == 1
        for step in (2, 3):
            stage.ledger.emit(Reported(number, step, {"objective": 0.9 / step}, 2.0, 0.0))
        checkpoints.put(start.place(Path(stage.job.folder), 0), STEP, state("whole"))
        stage.ledger.emit(Ended(number, "completed", "", 0.0))

    scene.trains = rest
    assert scene.ready(0) == StartAt(STEP, {0: digest("whole")}, given=False)
    assert [e.seconds for e in scene.starts()] == [6.0]
    assert len([e for e in scene.journal("start") if isinstance(e, Proposed)]) == 1


def test_of_several_what_was_whole_when_the_others_were_cut_off_is_told_with_its_cost(scene: Scene) -> None:
    def first(stage: Stage, number: int) -> None:
        if number == 0:
            done(stage, number)
        stage.halt.call("SIGTERM", "signal")

    scene.trains = first
    assert scene.ready(0, 7) is None
    (told,) = scene.starts()
    assert (told.seed, told.trained, told.seconds) == (0, STEP, 6.0)
    assert not list((scene.folder / "start" / "trials" / "t0000").glob("checkpoints/*"))


def test_what_was_whole_when_the_process_was_killed_is_told_with_its_cost(scene: Scene) -> None:
    def killed(stage: Stage, number: int) -> None:
        done(stage, number)
        raise KeyboardInterrupt

    scene.trains = killed
    with pytest.raises(KeyboardInterrupt):
        scene.ready(0)
    scene.trains = done
    assert scene.ready(0) == StartAt(STEP, {0: digest("trained with seed 0")}, given=False)
    assert [(e.trained, e.seconds) for e in scene.starts()] == [(STEP, 6.0)]
    assert len(scene.stages) == 1  # nothing was trained again


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_damaged_state_is_trained_again_to_the_same_bytes_or_refused(scene: Scene, damage: str) -> None:
    before, file = scene.ready(5), scene.state_of(5)
    whole = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(whole[:-1] if damage == "cut" else state("something else"))
    assert scene.ready(5) == before and file.read_bytes() == whole
    assert len(scene.stages) == 2 and len(scene.starts()) == 1

    file.unlink()
    scene.trains = lambda stage, number: done(stage, number, "another machine's bits")
    with pytest.raises(BadInput) as error:
        scene.ready(5)
    assert str(error.value) == (
        "start: the state of the baseline, trained to epoch 3 with seed 5, from which this search's trials have "
        "started, is gone or damaged, and what there is now is another one; begin anew with another --name"
    )


def failing(stage: Stage, number: int) -> None:
    stage.ledger.emit(Reported(number, 1, {"objective": 0.9}, 2.0, 0.0))
    stage.ledger.emit(Ended(number, "failed", "OSError: the disk", 0.0))


def no_state(stage: Stage, number: int) -> None:
    done(stage, number)
    for file in Path(stage.job.folder).glob("seed-*/*"):
        file.unlink()


@pytest.mark.parametrize(
    ("trains", "told"),
    [
        (failing, "ended at epoch 1: OSError: the disk"),
        (lambda stage, number: done(stage, number, upto=2), "ended at epoch 2: completed"),  # its own patience
        (no_state, "ended at epoch 3: completed"),
    ],
    ids=["failed", "ended early", "left nothing"],
)
def test_without_a_state_the_search_does_not_begin_and_says_why(
    scene: Scene, trains: Callable[[Stage, int], None], told: str
) -> None:
    scene.trains = trains
    assert scene.ready(0, 1) is None
    assert (scene.halt.kind, scene.halt.reason) == ("failures", f"the training up to the start, epoch 3, {told}")
    assert scene.starts() == []
    scene.halt.clear()
    scene.trains = done  # mended
    assert scene.ready(0) == StartAt(STEP, {0: digest("trained with seed 0")}, given=False)


def test_people_hear_how_the_trainings_get_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def retried(stage: Stage, number: int) -> None:
        stage.ledger.emit(Reported(number, 1, {"objective": 0.25}, 2.0, 0.0))
        stage.ledger.emit(Retried(number, "OSError: the disk", 0.0, step=1))
        monkeypatch.setattr(starting, "SAY_SECONDS", -1.0)
        stage.ledger.emit(Reported(number, 2, {"objective": 0.125}, 2.0, 0.0))
        stage.halt.call("SIGINT", "signal")

    scene.trains = retried
    scene.ready(4)
    assert scene.said == [
        "the training up to the start starts again from epoch 1: OSError: the disk",
        "up to the start, seed 4: epoch 2, val_mae_prior_sd 0.1250",
    ]


def test_in_a_store_the_states_are_there_and_the_journal_of_the_trainings_here(scene: Scene) -> None:
    with flat_store() as held:
        scene.store = Prefix(URI)
        assert scene.ready(0) == StartAt(STEP, {0: digest("trained with seed 0")}, given=False)
        assert scene.stages[0].job.storage == f"{URI}/start" and scene.stages[0].job.owner == ""
        assert list(held.content) == ["bucket/team/s/start/seed-0/000000003.pt"]
    assert not scene.state_of(0).exists() and len(scene.journal("start")) == 6


def test_a_checkpoint_that_is_given_is_copied_for_all_seeds(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "mine.pt"
    file.write_bytes(state("of a user"))
    scene.search = replace(scene.search, start=StartPoint(STEP, "epoch 3 of mine.pt", file, objective=0.5))
    whole = StartAt(STEP, {0: digest("of a user"), 9: digest("of a user")}, given=True)
    assert scene.ready(0, 9) == whole
    assert scene.state_of(None).read_bytes() == file.read_bytes()
    assert [(e.seed, e.trained, e.seconds, e.objective) for e in scene.starts()] == [(None, 0, 0.0, 0.5)]
    scene.state_of(None).write_bytes(b"damaged")
    assert scene.ready(0, 9) == whole and scene.state_of(None).read_bytes() == file.read_bytes()
    file.unlink()
    assert scene.ready(0, 9) == whole  # its own copy will do
    file.write_bytes(state("of another one"))
    scene.state_of(None).unlink()
    with pytest.raises(BadInput, match=r"start: the state of epoch 3 of mine\.pt, from which this search's trials"):
        scene.ready(0)
    assert scene.stages == [] and len(scene.starts()) == 1


@pytest.mark.parametrize(("damaged", "trained"), [(False, 0), (True, STEP)])
def test_of_a_trial_that_is_gone_on_with_only_its_own_seed_need_not_be_trained(
    scene: Scene, tmp_path: Path, damaged: bool, trained: int
) -> None:
    kept = tmp_path / "kept.pt"
    kept.write_bytes(state("of the trial")[damaged:])
    scene.search = replace(scene.search, start=StartPoint(STEP, "epoch 3 of trial 7", kept={4: kept}, objective=0.25))
    begin = scene.ready(4, 5)
    text = "trained with seed 4" if damaged else "of the trial"
    assert begin == StartAt(STEP, {4: digest(text), 5: digest("trained with seed 5")}, given=False)
    assert [(e.seed, e.trained) for e in scene.starts()] == [(4, trained), (5, STEP)]
    assert scene.starts()[0].objective == (1 / 3 if damaged else 0.25)


def test_weights_of_another_trainer_become_a_run_s_whole_state_at_the_step(scene: Scene, tmp_path: Path) -> None:
    file, asked, closed = tmp_path / "net.ckpt", list[Any](), list[bool]()
    file.write_bytes(b"weights")
    run = SimpleNamespace(state=lambda: {"step": 0, "net": [1.5]}, close=lambda: closed.append(True))

    def build(config: Any, prepared: Any, seed: int) -> Any:
        asked.append((config["existing_model"], prepared, seed))
        return run

    model: Any = SimpleNamespace(
        name="sequence_generator",
        unit="epoch",
        parse=lambda native, _: native,
        prepare=lambda data, config: data,  # noqa: ARG005
        build=build,
    )
    point = StartPoint(STEP, "epoch 3, with the weights of net.ckpt", file, weights=True)
    scene.search = replace(scene.search, start=point)
    with scene.sitting() as context:
        begin = starting.ready(replace(context, search=replace(scene.search, model=model)), [0, 1])
    assert begin is not None and begin.given and len({*begin.digests.values()}) == 1
    assert asked == [(str(file), scene.search.data, 0)] and closed == [True]
    content = checkpoints.loaded(scene.state_of(None).read_bytes(), "cpu")
    assert content["run"] == {"step": STEP, "net": [1.5]}
    assert content["config"] == start.described(model.name, scene.search.base, scene.search.data_dump, 0)


OWN = """\
trainable:
  command: python fit.py {config} {dir} {resume}
  metrics: {csv: log.csv}
  checkpoint: epoch_{step}.pt
  length: epochs
  settles: 0
  objective: {val_loss: min, worst: 1.0}
base: config.yaml
space: {lr: {float: [0.1, 1.0]}}
budget: {trials: 4, evaluate_every: 1 epoch}
confirm: {seeds: 0}
"""


def test_a_command_starts_from_its_file_under_the_name_that_it_looks_for(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "mine.pt"
    for name, text in ("fit.py", ""), ("config.yaml", "lr: 0.5\nepochs: 8\n"), ("own.yaml", OWN), (file.name, "net"):
        (tmp_path / name).write_text(text)
    point = StartPoint(STEP, "epoch 3, with the command's own mine.pt", file, weights=True)
    scene.search = replace(resolve(tmp_path / "own.yaml"), start=point)
    begin = scene.ready(0)
    assert begin is not None and begin.given
    run = checkpoints.loaded(scene.state_of(None).read_bytes(), "cpu")["run"]
    (name,) = run["files"]
    assert (name, bytes(run["files"][name].tolist()), run["step"]) == ("epoch_3.pt", b"net", 3)
