import io
import math

import numpy as np
import pytest
import torch
from synthetic_curves import curves

from spaces.problems import BadInput
from trainables.early_inference.config import Config
from trainables.early_inference.data import Curves, split
from trainables.early_inference.run import EarlyInferenceRun
from trainables.early_inference.scaling import TargetSpace
from trainables.early_inference.schedule import knobs
from trainables.run import Diverged
from trainables.seeding import derive, permutation

SMALL = {"tcn_channels": (4, 4), "tcn_kernel_size": 2, "mlp_hidden_dims": (4,), "batch_size": 16, "warmup_epochs": 2}
CURVES = curves()


def run(seed=0, data=CURVES, **changes):
    return EarlyInferenceRun(Config(**{**SMALL, **changes}), data, seed)


def saved(state):
    """The state after a trip through a file, as a checkpoint makes it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


# Reproducible through any pause.

PLATEAUS = {"scheduler_patience": 0, "lr": 0.02, "early_stopping_patience": 30}


@pytest.mark.parametrize("pauses", [[3], [1], [9], [2, 3, 7], list(range(1, 10))])
def test_paused_and_restored_equals_unpaused(pauses):
    whole = run(**PLATEAUS)
    whole.train(10)
    part = run(**PLATEAUS)
    for pause in pauses:
        part.train(pause)
        part.evaluate()
        state = saved(part.state())
        part = run(**PLATEAUS)
        torch.manual_seed(123)  # no draw may come from a running generator
        torch.rand(7)
        part.restore(state)
    part.train(10)
    assert same(part.state(), whole.state())
    assert part.evaluate() == whole.evaluate()
    assert whole.state()["plateau"]["scale"] < 1, "the controller should have acted for this test to say anything"


def test_state_is_a_snapshot():
    a = run()
    a.train(1)
    state = a.state()
    kept = saved(state)
    a.train(3)
    assert same(state, kept)
    b = run()
    b.restore(state)
    b.train(3)
    assert same(state, kept)


def test_evaluating_changes_nothing():
    often, never = run(), run()
    for epoch in range(1, 5):
        often.train(epoch)
        assert often.evaluate() == often.evaluate()
    never.train(4)
    assert same(often.state(), never.state())
    assert never.train(4) == {}


def test_seed_decides():
    a, b, c = run(seed=1), run(seed=1), run(seed=2)
    assert a.evaluate() == b.evaluate() != c.evaluate()
    for one in (a, b, c):
        one.train(2)
    assert a.evaluate() == b.evaluate() != c.evaluate()


def test_draws_are_functions_of_seed_and_step():
    assert derive(1, "dropout", 2, 3) == derive(1, "dropout", 2, 3) < 2**63
    assert len({derive(s, "a", i) for s in range(10) for i in range(10)}) == 100
    assert derive(1, "a", 23) != derive(1, "a2", 3)
    assert derive(0, "weights") == 8454698744502178088  # the same on every machine
    assert sorted(permutation(9, 0, "order", 1)) == list(range(9))
    assert list(permutation(9, 0, "order", 1)) != list(permutation(9, 0, "order", 2))


# Schedule and controllers.


def test_warmup_is_in_force_before_the_epoch():
    """`!` epoch 1 must not run at the full rate."""
    seen = []
    one = run(warmup_epochs=4, lr=8e-3)
    train_epoch = one.train_epoch

    def watched(now):
        out = train_epoch(now)
        seen.append(one.optimizer.param_groups[0]["lr"])
        return out

    one.train_epoch = watched
    one.train(6)
    assert seen == pytest.approx([2e-3, 4e-3, 6e-3, 8e-3, 8e-3, 8e-3])


def test_first_step_of_a_warmup_is_smaller():
    """The weights themselves show it: Adam's first step is as long as the rate."""
    moved = []
    for warmup in (0, 10):
        one = run(warmup_epochs=warmup, batch_size=1000, lr=1e-2)
        before = [w.detach().clone() for w in one.network.parameters()]
        one.train(1)
        moved.append(
            max(float((a - b).detach().abs().max()) for a, b in zip(one.network.parameters(), before, strict=True))
        )
    assert moved[1] == pytest.approx(moved[0] / 10, rel=0.01)


def test_plateau_follows_torchs_scheduler_on_the_validation_loss():
    config = {"scheduler_patience": 1, "scheduler_factor": 0.5, "lr": 0.03, "scheduler_min_lr": 0.01}
    config["early_stopping_patience"] = 0
    one = run(**config, warmup_epochs=2)
    weight = torch.nn.Parameter(torch.zeros(1))
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        torch.optim.SGD([weight], lr=0.03), factor=0.5, patience=1, min_lr=0.01
    )
    rate, rates = 0.03, set()
    for epoch in range(1, 31):
        found = one.train(epoch)
        if epoch > 2:
            assert found["lr"] == pytest.approx(rate)
            oracle.step(found["val_loss"])
            rate = oracle.get_last_lr()[0]
            rates.add(rate)
    assert rates == {0.03, 0.015, 0.01}


def test_patience_ends_the_run_and_says_why():
    one = run(early_stopping_patience=2, lr=0.5, warmup_epochs=0, use_variance_regularization=False)
    one.train(200)
    assert one.step < 200
    assert "for 2 epochs" in one.ended
    state, step = saved(one.state()), one.step
    assert one.train(300) == {}
    other = run(early_stopping_patience=2, lr=0.5, warmup_epochs=0, use_variance_regularization=False)
    other.restore(state)
    assert (other.step, other.ended) == (step, one.ended)
    off = run(early_stopping_patience=0, lr=0.5, warmup_epochs=0, use_variance_regularization=False)
    off.train(step + 5)
    assert off.ended is None


def test_train_reports_the_interval():
    one = run()
    metrics = one.train(3)
    assert {"train_loss", "gradient_norm", "val_loss", "lr"} <= metrics.keys()
    expected = knobs(Config(**SMALL), 2)
    assert {key: metrics[key] for key in expected} == expected


def test_it_learns_the_easy_parameter():
    one = run(data=curves(400), batch_size=32, lr=5e-3, tcn_channels=(8, 8), tcn_dropout=0.0)
    one.train(15)
    metrics = one.evaluate()
    assert metrics["val_mae_prior_sd.E0_g_per_L"] < 0.25
    assert metrics["val_mae_prior_sd.k_d"] < 1.0


def test_names_and_counts_come_from_the_data():
    rng = np.random.default_rng(0)
    known = (*[f"known {i}" for i in range(5)], "powder_activity_frac")
    targets = ("activity_scale", "k_d", "tau_probe", "pH_offset")
    bounds = [(0.5, 1.5), (0.0, 5e-3), (0.0, 5.0), (-0.05, 0.05)]
    ranges = {**dict.fromkeys(known, (0.0, 1.0)), **dict(zip(targets, bounds, strict=True))}
    t = np.cumsum(rng.uniform(0.1, 2.0, (30, 9)), axis=1)  # (n, L), uneven
    low, high = np.array(bounds).T
    target = low + (high - low) * rng.random((30, 4))
    data = Curves(rng.normal(7, 1, t.shape), t, rng.random((30, 6)), target, known, targets, ranges, "made up")
    one = run(data=data)
    one.train(2)
    assert {f"val_mae_prior_sd.{name}" for name in targets} <= one.evaluate().keys()


# The objective depends on no knob.

KNOBS = {
    "batch_size": 7,
    "lr": 0.5,
    "weight_decay": 0.3,
    "grad_clip_norm": 0.1,
    "warmup_epochs": 9,
    "scheduler_factor": 0.1,
    "scheduler_patience": 0,
    "scheduler_min_lr": 1e-4,
    "tcn_dropout": 0.6,
    "output_dropout": 0.6,
    "use_variance_regularization": False,
    "variance_penalty_weight": 10.0,
    "target_variance": 3.0,
    "early_stopping_patience": 1,
    "epochs": 3,
}


@pytest.mark.parametrize("knob", KNOBS)
def test_same_weights_give_the_same_metrics_whatever_the_knob(knob):
    one = run()
    one.train(2)
    other = run(seed=5, **{knob: KNOBS[knob]})
    other.network.load_state_dict(one.network.state_dict())
    assert other.evaluate() == one.evaluate()


def test_metrics_are_in_one_unit_with_and_without_normalised_outputs():
    """The same physical predictions score the same, in whatever space the network works."""
    one = run()
    raw = run(normalize_outputs=False)
    state = one.network.state_dict()
    train, _ = split(len(CURVES.target), Config().val_split, Config().seed)
    space = TargetSpace.fit(CURVES.target_names, CURVES.ranges, CURVES.target[train])
    spread = torch.tensor(space.spread, dtype=torch.float32)
    centre = torch.tensor(space.centre, dtype=torch.float32)
    state["mean.3.weight"] = state["mean.3.weight"] * spread[:, None]
    state["mean.3.bias"] = state["mean.3.bias"] * spread + centre
    state["log_variance.3.bias"] = state["log_variance.3.bias"] + 2 * spread.log()
    raw.network.load_state_dict(state)
    assert raw.evaluate() == pytest.approx(one.evaluate(), rel=1e-4)


# Divergence and devices.


def test_a_huge_rate_diverges_naming_quantity_and_step():
    mine = Config(**{**SMALL, "grad_clip_norm": 1e30, "warmup_epochs": 0, "early_stopping_patience": 0})
    beyond = {"lr": 1e20}  # what the config takes
    one = EarlyInferenceRun(mine.model_copy(update=beyond), CURVES, 0)
    with pytest.raises(Diverged) as error:
        one.train(50)
    assert error.value.quantity in {"training loss", "gradient norm", "validation loss"}
    assert 1 <= error.value.step <= 50
    assert not math.isfinite(error.value.value)


@pytest.mark.parametrize(("where", "quantity"), [("train", "training loss"), ("evaluate", "val_mae_prior_sd")])
def test_nan_is_caught_at_once(where, quantity):
    one = run()
    one.train(2)
    state = one.state()
    next(iter(state["network"].values())).fill_(math.nan)
    one.restore(state)
    with pytest.raises(Diverged) as error:
        one.train(5) if where == "train" else one.evaluate()
    assert error.value.quantity == quantity
    assert error.value.step == (3 if where == "train" else 2)


def test_a_gradient_can_diverge_with_a_finite_loss():
    one = run()
    next(one.network.parameters()).register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(Diverged, match=r"gradient norm is (inf|nan) at step 1"):
        one.train(1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_bad_input():
    assert {weights.device.type for weights in run(device="auto").network.parameters()} == {"cpu"}
    with pytest.raises(BadInput, match="there are 0 GPUs; use auto or cpu"):
        run(device="cuda")
