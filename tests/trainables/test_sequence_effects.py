"""Training sequence_generator: what acts when, and what the objective depends on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sequence_runs import build, config_of, prepared_in, same, through_disk

from trainables.run import Prepared
from trainables.sequence_generator.data import read
from trainables.sequence_generator.layout import OBJECTIVE, split
from trainables.sequence_generator.run import SequenceRun
from trainables.sequence_generator.schedule import knobs


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return prepared_in(tmp_path_factory.mktemp("cache"))


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
