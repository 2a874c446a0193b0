"""Starting at a step: unbroken, or from the state that another trial has left, a training is the same to the bit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny_cases import CASES, parts

from tests.trainables.own.own_project import write_project
from tests.trainables.own.test_command import SAVES_FIRST
from trainables import checkpoints, start
from trainables.alike import alike, differing
from trainables.job import Job
from trainables.layout import trial_folder
from trainables.registry import model_named
from trainables.run import METRICS, OBJECTIVE, STEP, TRAINED, UserCodeError
from trainables.start import StartAt, StartGone
from trainables.tune import Bridge

pytestmark = pytest.mark.numeric
LATE: Mapping[str, Mapping[str, Any]] = {
    "sequence_generator": {"plan.phase_5.alpha": 0.3, "plan.phase_5.lr_start": 0.7},
    "diphone_rnn": {"alpha_schedule_end": 0.2},
}
"""Knobs that act after the start alone, of models whose tiny training has such."""


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def trained(job: Job, values: Mapping[str, Any], number: int = 0, seed: int = 3) -> tuple[list[Any], dict[str, Any]]:
    """The reports of a trial, and the state of its run at its end."""
    bridge = Bridge.__new__(Bridge)  # Ray's own constructor wants a cluster
    bridge.setup({"trial": number, "values": values, "seed": seed}, job)
    reports = [bridge.step()]
    while not reports[-1]["done"]:
        reports.append(bridge.step())
    note = Path(job.folder) / f"note{number}"
    note.mkdir(exist_ok=True)
    bridge.save_checkpoint(str(note))
    found = checkpoints.newest(trial_folder(job.folder, number) / "checkpoints", "cpu")
    assert found is not None and found[0] == reports[-1][STEP]
    state = dict(parts(found[1]["run"]))
    bridge.cleanup()
    return [(report[STEP], report[OBJECTIVE], report[METRICS]) for report in reports], state


def started(job: Job, step: int, folder: Path, seed: int = 3, **more: Any) -> Job:
    """The job of trials that start at `step`, with the state trained for them."""
    before = Job(job.model, job.base, job.data, job.every, step, str(folder / "start"), hands_on=True, **more)
    trained(before, {}, seed=seed)
    data = checkpoints.taken(start.place(folder / "start", seed), step)
    assert data is not None
    at = StartAt(step, {seed: checkpoints.digest_of(data)}, given=False)
    return Job(job.model, job.base, job.data, job.every, job.horizon, str(folder), start=at, **more)


@pytest.mark.numeric
@pytest.mark.parametrize("name", CASES)
def test_going_on_from_a_step_is_the_unbroken_training_to_the_last_bit(name: str, tmp_path: Path) -> None:
    case, model = CASES[name], model_named(name)

    native = model.parse(case.base, "case").model_dump(mode="json")
    job = Job(name, native, case.data, 1, case.steps, str(tmp_path / "whole"))
    step = case.steps - 3
    values = LATE.get(name, {})
    reports, state = trained(job, values)
    on = started(job, step, tmp_path / name)
    later, same = trained(on, values, number=7)
    assert [report for report in reports if report[0] > step] == later
    assert state == same


def test_equal_trainings_leave_equal_bytes_and_other_bytes_are_refused(tmp_path: Path) -> None:
    case = CASES["early_inference"]
    native = model_named("early_inference").parse(case.base, "case").model_dump(mode="json")
    job = Job("early_inference", native, case.data, 2, 8, str(tmp_path / "a"))
    one, other = started(job, 3, tmp_path / "a"), started(job, 3, tmp_path / "b")
    assert one.start == other.start
    bridge = Bridge.__new__(Bridge)
    bridge.setup({"trial": 0, "values": {}, "seed": 3}, one)
    reports = [bridge.step() for _ in range(3)]
    assert [(report[STEP], report[TRAINED]) for report in reports] == [(5, 2), (7, 4), (8, 5)]  # counted from 3
    assert one.start is not None
    file = start.place(tmp_path / "a" / "start", 3) / "000000003.pt"
    assert isinstance(file, Path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(StartGone, match="no intact state of step 3"):
        start.read(str(tmp_path / "a"), None, one.start, 3)
    file.write_bytes(whole)
    with pytest.raises(StartGone, match="another state"):
        start.read(str(tmp_path / "a"), None, StartAt(3, {3: "0" * 64}, given=False), 3)
    with pytest.raises(UserCodeError, match="act before epoch 3"):
        trained(one, {"lr": 0.02}, number=1)


@pytest.mark.parametrize("way", ["function", "command"])
def test_own_code_goes_on_from_a_step(way: str, tmp_path: Path) -> None:
    from search.spec.resolve import resolve

    if way == "function":
        write_project(tmp_path)
    else:
        command = "command: python train.py {config} {seed} {dir} {resume}\n  metrics: {csv: log.csv}\n"
        search = f"trainable:\n  {command}  checkpoint: epoch_{{step}}.json\n  resume: '{{checkpoint}}'\n"
        search += "  length: epochs\n  objective: {val_loss: min, worst: 2.0}\n  settles: 0\nbase: config.yaml\n"
        search += "space: {lr: {float: [0.1, 1]}}\nbudget: {trials: 5, steps: 4 epochs, evaluate_every: 1 epoch}\n"
        write_project(
            tmp_path, SAVES_FIRST.replace('last.open("w")', '(out / f"epoch_{epoch}.json").open("w")'), search
        )
        (tmp_path / "config.yaml").write_text("lr: 0.5\nepochs: 4\n")
    found = resolve(tmp_path / "mine.yaml")
    job = Job(found.model.name, found.base, {}, 1, 4, str(tmp_path / "whole"), trainable=found.trainable)
    reports, _ = trained(job, {})
    on = started(job, 2, tmp_path / "on", trainable=found.trainable)
    assert trained(on, {}, number=7)[0] == reports[2:]
    if way == "function":  # from a user's state, another seed draws something else
        given = StartAt(2, {4: on.start.digests[3]} if on.start else {}, given=True)
        data = checkpoints.taken(start.place(tmp_path / "on" / "start", 3), 2)
        assert data is not None
        checkpoints.put(start.place(tmp_path / "on" / "start", None), 2, data)
        fresh = Job(job.model, job.base, {}, 1, 4, on.folder, start=given, trainable=found.trainable)
        first, again = trained(fresh, {}, number=8, seed=4)[0], trained(fresh, {}, number=9, seed=4)[0]
        assert first == again and first != reports[2:]


def test_configs_train_alike_up_to_where_they_part() -> None:
    model = model_named("sequence_generator")
    native = model.parse(model.documented(), "documented").model_dump(mode="json")
    plan = {**native["plan"], "phase_4": {**native["plan"]["phase_4"], "alpha": 0.1}}
    late = {**native, "plan": plan}
    one, other = model.parse(native, ""), model.parse(late, "")
    assert alike(model, one, other, 300) and not alike(model, one, other, 301)
    wider = {**late, "hidden_size": 64, "num_workers": 0}
    assert list(differing(model, native, wider, 300)) == [("hidden_size", 256, 64)]
    assert [path for path, *_ in differing(model, native, wider, 301)] == ["hidden_size", "plan.phase_4.alpha"]
