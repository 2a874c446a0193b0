"""Training sequence_generator: resuming anywhere, what acts when, what it reports, writes and goes on from."""

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from spaces.paths import with_values
from spaces.problems import BadInput
from trainables import checkpoints
from trainables.native import plain
from trainables.registry import model_named
from trainables.run import Diverged, Prepared
from trainables.sequence_generator.data import read
from trainables.sequence_generator.layout import OBJECTIVE, split
from trainables.sequence_generator.run import SequenceRun
from trainables.sequence_generator.saved import COLUMNS, run_folder
from trainables.sequence_generator.schedule import knobs
from trainables.start_weights import HOLDERS

MODEL = model_named("sequence_generator")
GENERATE = {"generate": {"simulations": 20, "grid": 16, "frames": 26}}
PHASES = [  # 2, 3 and 2 epochs
    {"epochs": 2, "start_lr": 0.02, "min_lr": 0.01, "noise_level": 0.1, "alpha": 0.8, "max_lag": 5},
    {"epochs": 3, "start_lr": 0.01, "min_lr": 0.002, "noise_level": 0.05, "alpha": 0.5, "max_lag": 9},
    {"epochs": 2, "start_lr": 0.002, "min_lr": 0.002, "noise_level": 0.0, "alpha": 0.2, "max_lag": 20},
]
BASE = {"hidden_size": 6, "num_layers": 2, "dropout": 0.2, "batch_size": 6, "no_cuda": True, "phases": PHASES}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        config = MODEL.parse(BASE, "c")
        return MODEL.prepare(MODEL.parse_data(GENERATE, config, "s"), config)


def config_of(**values):
    """The config of BASE with values in the plan's form."""
    return MODEL.parse(with_values(plain(MODEL.parse(BASE, "c")), values), "c")


def build(prepared, seed=0, **values) -> SequenceRun:
    run = MODEL.build(config_of(**values), prepared, seed)
    assert isinstance(run, SequenceRun)
    return run


def through_disk(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def same(one: SequenceRun, other: SequenceRun) -> bool:
    a, b = one.state(), other.state()
    flat = [(x, y) for x, y in zip(leaves(a), leaves(b), strict=True)]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in flat)


def leaves(node):
    match node:
        case dict():
            for value in node.values():
                yield from leaves(value)
        case list() | tuple():
            for value in node:
                yield from leaves(value)
        case _:
            yield node


# Resuming.


@pytest.mark.parametrize("pause", range(1, 7))
def test_resuming_inside_and_between_phases_changes_no_bit(prepared, pause) -> None:
    whole, first = build(prepared), build(prepared)
    whole.train(7)
    first.train(pause)
    second = build(prepared)
    second.restore(through_disk(first.state()))
    torch.manual_seed(1)
    second.train(7)
    assert same(whole, second)
    assert whole.evaluate() == second.evaluate()


def test_a_start_gives_the_weights_alone(prepared, tmp_path) -> None:
    """As in the user's scripts: the clock, the rate and the optimiser begin anew, whosever the checkpoint is."""
    saving = {"output_dir": str(tmp_path), "save_training": True}
    run = build(prepared, **saving)
    run.train(2)
    file = checkpoints.write(tmp_path / "trial" / "checkpoints", 2, {"run": run.state(), "report": {"step": 2}})
    torch.save({HOLDERS[1]: run.network.state_dict(), "epoch": 2}, tmp_path / "best.pt")
    folder = run_folder(config_of(**saving), 0)
    assert folder is not None
    for start in (
        file,
        tmp_path / "trial",
        tmp_path / "trial" / "checkpoints",
        tmp_path / "best.pt",
        folder / "phase_1",
    ):
        started = build(prepared, existing_model=str(start), seed=5)
        assert started.step == 0
        before, after = (list(leaves(dict(each.network.state_dict()))) for each in (run, started))
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_checkpoint_to_start_from_is_checked_first_and_belongs_to_the_digest(prepared, tmp_path) -> None:
    run = build(prepared)
    run.train(2)

    def ready(**values):
        config = config_of(**values)
        return MODEL.prepare(MODEL.parse_data({"data_dir": str(prepared.path), "frames": 26}, config, "s"), config)

    path = tmp_path / "best.pt"
    with pytest.raises(BadInput, match=r"^existing_model: .*best\.pt: no such file"):
        ready(existing_model=str(path))
    torch.save({HOLDERS[1]: run.network.state_dict()}, path)
    with pytest.raises(BadInput, match=r"^existing_model: .*best\.pt: .* has shape .*: set the sizes"):
        ready(existing_model=str(path), hidden_size=5)
    first = ready(existing_model=str(path))
    assert first.digest != prepared.digest and "; starts from best.pt (" in first.summary
    path.rename(tmp_path / "moved.pt")
    assert ready(existing_model=str(tmp_path / "moved.pt")).digest == first.digest
    torch.save({HOLDERS[1]: build(prepared).network.state_dict()}, path)
    assert ready(existing_model=str(path)).digest != first.digest

    trial = tmp_path / "trial"
    file = checkpoints.write(trial / "checkpoints", 2, {"run": run.state()})
    assert ready(existing_model=str(trial)).digest == ready(existing_model=str(file)).digest
    checkpoints.write(trial / "checkpoints", 3, {"run": {"network": 3}})
    with pytest.raises(BadInput, match="no weights under network or model_state_dict"):
        ready(existing_model=str(trial))


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_what_can_not_be_started_from_is_named(prepared, tmp_path, capsys) -> None:
    def refused(path, **values) -> str:
        with pytest.raises(BadInput) as error:
            build(prepared, existing_model=str(path), **values)
        return str(error.value)

    assert "no such file" in refused(tmp_path / "none.pt")
    (tmp_path / "empty").mkdir()
    assert "no intact checkpoint here, and your script takes a file" in refused(tmp_path / "empty")
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    assert "is no checkpoint of plain tensors" in refused(tmp_path / "text.pt")
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    assert "no weights under network or model_state_dict" in refused(tmp_path / "other.pt")
    torch.save({HOLDERS[1]: Evil()}, tmp_path / "evil.pt")
    assert "is no checkpoint of plain tensors" in refused(tmp_path / "evil.pt")
    assert "run" not in capsys.readouterr().out
    run = build(prepared)
    run.train(5)
    checkpoints.write(tmp_path / "run", 5, {"run": run.state()})
    assert "has shape" in refused(tmp_path / "run", hidden_size=7)


# What acts when.


@pytest.mark.parametrize(
    "values",
    [
        {"plan.phase_2.lr_end": 0.9, "plan.phase_2.alpha": 0.1, "plan.phase_2.max_lag": 3},
        {"plan.phase_2.noise_level": 0.0, "plan.phase_2.teacher_forcing_start": 0.0},
        {"plan.phase_2.length": 0.8, "plan.phase_3.clip_grad_norm": 0.01, "plan.phase_2.weight_decay": 0.0},
    ],
)
def test_late_knobs_do_not_touch_early_training(prepared, values) -> None:
    one, other = build(prepared), build(prepared, **values)
    one.train(2)
    other.train(2)
    assert same(one, other)
    one.train(4)
    other.train(4)
    assert not same(one, other)


def with_weights_of(prepared, run, **values):
    other = build(prepared, **values)
    other.restore(through_disk(run.state()))
    return other


@pytest.mark.parametrize(
    "values",
    [
        {"plan.phase_1.alpha": 0.0, "plan.phase_1.max_lag": 2},
        {"teacher_forcing_start": 0.0, "teacher_forcing": False},
        {"noise_level": 0.0, "batch_size": 2, "dropout": 0.6},
        {"component_weights": [0.0, 1.0, 1.0, 1.0, 9.0], "curriculum_epochs": 5},
        {"epochs": 70},
    ],
)
def test_the_objective_depends_on_the_weights_alone(prepared, values) -> None:
    run = build(prepared)
    run.train(2)
    metrics = run.evaluate()
    assert with_weights_of(prepared, run, **values).evaluate() == metrics


def test_the_objective_is_the_same_in_every_phase(prepared) -> None:
    run = build(prepared)
    run.train(1)
    before = run.evaluate()[OBJECTIVE.metric]
    state = through_disk(run.state())
    for step in (2, 5, 6):  # in other phases, by the same weights
        state["step"] = step
        run.restore(state)
        assert run.evaluate()[OBJECTIVE.metric] == before


def test_validation_reads_no_target_after_the_first_frame(prepared) -> None:
    trained = build(prepared)
    trained.train(2)
    sequences = read(prepared.path)
    changed = sequences.features.copy()
    changed[split(20, 42)[1], 1:] = 1e3
    rolled, scores = [], []
    for features in (sequences.features, changed):
        run = SequenceRun(config_of(), replace(sequences, features=features), 0)
        run.restore(trained.state())
        with run.network.register_forward_hook(lambda _module, _given, out: rolled.append(out)):
            scores.append(run.evaluate()[OBJECTIVE.metric])
    one, *rest = rolled  # validation, then some of the training, of either run
    assert len(rest) == 3 and torch.equal(rest[1], one) and torch.equal(rest[2], rest[0])
    assert scores[0] != scores[1]  # it is measured against them


def test_the_constants_stay_out_of_loss_and_metric(prepared) -> None:
    """What the columns say about later frames changes neither; what the first frame says is an input."""
    sequences = read(prepared.path)
    features = sequences.features.copy()
    features[:, 1:, 5:] = np.random.default_rng(0).normal(size=features[:, 1:, 5:].shape)
    train = split(20, 42)[0]
    # Those of another training sequence: the same scale for the given frame.
    features[train, 1:, 5:] = sequences.features[np.roll(train, 1), 1:, 5:]
    config = config_of(teacher_forcing=False, noise_level=0.0)
    plainly = SequenceRun(config, sequences, 0)
    odd = SequenceRun(config, replace(sequences, features=features), 0)
    one, other = plainly.train(2), odd.train(2)
    assert one == other
    assert plainly.evaluate() == odd.evaluate()


def test_the_training_mean_scores_the_worst_value(prepared) -> None:
    run = build(prepared)
    with torch.no_grad():
        for weights in run.network.out.parameters():
            weights.zero_()  # standardised components: their training mean is 0
    assert run.evaluate()[OBJECTIVE.metric] == OBJECTIVE.worst
    train = split(20, 42)[0]
    standard = read(prepared.path).standardised(train)
    assert standard[train][:, :, :5].mean(axis=(0, 1)) == pytest.approx(np.zeros(5), abs=1e-12)


def test_a_curriculum_goes_from_easy_to_hard_then_in_free_order(prepared) -> None:
    run = build(prepared, curriculum_epochs=2)
    train_batch, seen = run.train_batch, []

    def watched(batch, number, now):
        seen.append(batch)
        return train_batch(batch, number, now)

    run.train_batch = watched
    orders = []
    for epoch in range(3):
        run.train(epoch + 1)
        orders.append(torch.cat(seen))
        seen.clear()
    easy, again, free = orders
    moved = easy[:, 1:, :5].sub(easy[:, :-1, :5]).abs().mean(dim=(1, 2))
    assert len(easy) == len(split(20, 42)[0]) and (moved.diff() >= 0).all() and torch.equal(again, easy)
    assert not torch.equal(free, easy) and sorted(free.tolist()) == sorted(easy.tolist())


def shown(run, batch, number, **now):
    """What the network is given to train on as batch `number`: the frames, and which of them are the truth."""
    given = []

    def forward(frames, forced):
        given.append((frames, forced))
        return torch.zeros(len(batch), batch.shape[1] - 1, 5, requires_grad=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.network, "forward", forward)
        run.train_batch(batch, number, {**knobs(config_of(), 0), **now})
    return given[0]


def test_noise_is_on_the_components_alone_and_of_its_level(prepared) -> None:
    run = build(prepared)
    batch = torch.zeros(200, 26, 7)
    noised, again, other = (shown(run, batch, number, noise_level=0.3)[0] for number in (0, 0, 1))
    assert not noised[:, :, 5:].any()
    assert float(noised[:, :, :5].std()) == pytest.approx(0.3, rel=0.02)
    assert torch.equal(noised, again) and not torch.equal(noised, other)
    assert shown(run, batch, 0, noise_level=0.0)[0] is batch


def test_forcing_draws_the_scheduled_share_and_more_keeps_what_less_had(prepared) -> None:
    run = build(prepared)

    def forced(frames, number, ratio):
        return shown(run, torch.ones(1, frames, 7), number, teacher_forcing=ratio)[1]

    shares = [np.mean([forced(1000, number, ratio) for number in range(20)]) for ratio in (0.0, 0.3, 0.7, 1.0)]
    assert shares == pytest.approx([0.0, 0.3, 0.7, 1.0], abs=0.02)
    assert (forced(100, 0, 0.7) >= forced(100, 0, 0.3)).all()


def test_knob_values_reach_the_optimizer(prepared) -> None:
    run = build(prepared)
    for epoch in range(7):
        run.train(epoch + 1)
        now = knobs(config_of(), epoch)
        (group,) = run.optimizer.param_groups
        assert (group["lr"], group["weight_decay"]) == (now["lr"], now["weight_decay"])


# What is reported and written.


def test_early_monitoring(prepared) -> None:
    run = build(prepared)
    assert "plateau_epochs" not in run.evaluate()  # nothing trained yet
    scores = []
    for epoch in range(7):
        run.train(epoch + 1)
        found = run.evaluate()
        scores.append(found[OBJECTIVE.metric])
        best = int(np.argmin(scores))
        assert found["best_val_rollout_mae"] == scores[best]
        assert (found["best_epoch"], found["plateau_epochs"]) == (best + 1, epoch - best)
        assert found["train_validation_gap"] == scores[-1] - found["train_rollout_mae"]


def test_evaluating_more_often_changes_nothing(prepared) -> None:
    one, other = build(prepared), build(prepared)
    one.train(5)
    for epoch in range(5):
        other.evaluate()
        other.train(epoch + 1)
        other.evaluate()
    assert same(one, other)


def test_training_reports_means_of_the_interval_and_its_last_values(prepared) -> None:
    whole, parts = build(prepared), build(prepared)
    found = whole.train(3)
    each = [parts.train(epoch + 1) for epoch in range(3)]
    for key in ("train_loss", "train_mae", "train_autocorrelation", "gradient_norm"):
        assert found[key] == pytest.approx(np.mean([one[key] for one in each]))
    for key in ("val_loss", "val_mae", "val_autocorrelation", "lr", "alpha", "phase"):
        assert found[key] == each[-1][key]
    assert whole.train(3) == {}


def test_the_loss_is_of_its_phase(prepared) -> None:
    found = build(prepared).train(1)
    assert found["train_loss"] == pytest.approx(0.8 * found["train_mae"] + 0.2 * found["train_autocorrelation"])
    assert found["val_loss"] == pytest.approx(0.8 * found["val_mae"] + 0.2 * found["val_autocorrelation"])


def test_the_training_table_has_the_documented_columns_through_a_pause(prepared, tmp_path) -> None:
    values = {"output_dir": str(tmp_path), "save_training": True}
    run = build(prepared, **values)
    run.train(3)
    again = build(prepared, **values)
    again.restore(through_disk(run.state()))
    again.train(7)
    folder = run_folder(config_of(**values), 0)
    assert folder is not None
    with (folder / "training.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert COLUMNS == (
        "Epoch", "Train Loss", "Train MAE Loss", "Train Autocorr Loss", "Validation Loss", "Validation MAE Loss",
        "Validation Autocorr Loss", "Test Loss", "Test MAE Loss", "Test Autocorr Loss", "Learning Rate",
    )  # fmt: skip
    assert [row[0] for row in rows[1:]] == [str(epoch) for epoch in range(1, 8)]
    assert [float(row[-1]) for row in rows[1:]] == [knobs(config_of(), epoch)["lr"] for epoch in range(7)]
    assert float(rows[7][4]) == pytest.approx(0.2 * float(rows[7][5]) + 0.8 * float(rows[7][6]))
    assert len({row[7] for row in rows[1:]}) == 7  # the test simulations, rolled out each epoch


def test_the_best_checkpoint_is_that_of_the_best_rollout(prepared, tmp_path) -> None:
    values = {"output_dir": str(tmp_path), "save_training": True}
    run = build(prepared, **values)
    scores = []
    for epoch in range(7):
        run.train(epoch + 1)
        scores.append(run.evaluate()[OBJECTIVE.metric])
    folder = run_folder(config_of(**values), 0)
    assert folder is not None
    step, content = checkpoints.newest(folder / "best", "cpu")
    assert step == int(np.argmin(scores)) + 1
    kept = build(prepared, **values)
    kept.restore(content["run"])
    assert kept.evaluate()[OBJECTIVE.metric] == min(scores)


def test_a_long_plateau_is_told(prepared, caplog) -> None:
    run = build(prepared, epochs=40, start_lr=1e-12)
    run.restore({**run.state(), "patience": {"best": 0.0, "since": 29}})
    with caplog.at_level("INFO", logger="trainables.sequence_generator"):
        run.train(2)
    assert caplog.text.count("no better rollout than that of epoch 0 since") == 1


def test_nothing_is_written_unless_it_is_asked_for(prepared, tmp_path) -> None:
    run = build(prepared, output_dir=str(tmp_path))
    run.train(7)
    assert list(tmp_path.iterdir()) == [] and run.state()["rows"] == []


def test_trials_of_a_search_write_into_folders_of_their_own(tmp_path) -> None:
    values = {"output_dir": str(tmp_path), "save_training": True}
    folders = [
        run_folder(config_of(**values), 0),
        run_folder(config_of(**values), 1),
        run_folder(config_of(**values, dropout=0.1), 0),
    ]
    assert len(set(folders)) == 3


def test_divergence_names_quantity_and_epoch(prepared) -> None:
    run = build(prepared, start_lr=1.0, clip_grad_norm=1e30)
    with torch.no_grad():
        run.network.out.bias.fill_(math.inf)
    with pytest.raises(Diverged) as error:
        run.train(1)
    assert error.value.step == 1 and error.value.quantity == "train_loss"


def test_rollouts_learn(prepared) -> None:
    """A test that a broken gradient, loss or split fails: the mean trajectory alone is well below the mean."""
    run = build(
        prepared, hidden_size=24, num_layers=1, epochs=40, teacher_forcing_start=0.0, start_lr=0.02, batch_size=4
    )
    run.train(40)
    assert run.evaluate()["train_rollout_mae"] < 0.85


@pytest.mark.parametrize("values", [{"bidirectional": True}, {"attention": True}, {"num_layers": 1}])
def test_variants_resume_bit_exactly_too(prepared, values) -> None:
    whole, part = build(prepared, **values), build(prepared, **values)
    whole.train(4)
    part.train(3)
    other = build(prepared, **values)
    other.restore(through_disk(part.state()))
    other.train(4)
    assert same(whole, other)
