import math

import numpy as np
import pytest
import torch
from scipy import stats
from synthetic_curves import RANGES, TARGETS, curves

from spaces.problems import BadInput
from trainables.early_inference import losses
from trainables.early_inference.config import Config
from trainables.early_inference.metrics import OBJECTIVE, WORST, metric_key, validation_metrics
from trainables.early_inference.model import AveragePooling, EarlyInference, WeightedPooling
from trainables.early_inference.scaling import EDGE, TargetSpace, channels, known_inputs

CONFIG = Config(tcn_channels=(4, 6, 6), tcn_kernel_size=3, mlp_hidden_dims=(5,), tcn_dropout=0.2)


@pytest.fixture(autouse=True)
def _seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)


# The network.


def test_the_convolution_is_causal():
    tcn = EarlyInference(CONFIG, 2, 2).tcn.eval()
    x = torch.randn(3, 3, 20)
    for i in (0, 7, 19):
        changed = x.clone()
        changed[:, :, i:] += torch.randn(3, 3, 20 - i)
        assert torch.equal(tcn(x)[:, :, :i], tcn(changed)[:, :, :i])
        assert not torch.equal(tcn(x)[:, :, i], tcn(changed)[:, :, i])


def test_dilation_doubles_and_sets_the_reach():
    tcn = EarlyInference(CONFIG, 2, 2).tcn.eval()
    reach = 2 * (3 - 1) * (1 + 2 + 4)  # 2 convolutions a block, kernel 3, dilation 1, 2, 4
    x = torch.randn(1, 3, 64, requires_grad=True)
    tcn(x)[0, :, -1].sum().backward()
    touched = x.grad.abs().sum(dim=(0, 1)).nonzero().flatten()
    assert touched.min() == 63 - reach


def test_residual_is_1x1_only_where_channels_change():
    kinds = [type(block.skip) for block in EarlyInference(CONFIG, 2, 2).tcn]
    assert kinds == [torch.nn.Conv1d, torch.nn.Conv1d, torch.nn.Identity]


@pytest.mark.parametrize("points", [1, 2, 30, 100, 1000])
def test_pooling_weights_start_as_the_early_profile(points):
    pool = WeightedPooling(8)
    profile = np.exp(-np.linspace(0, 2, points))
    weights = pool.weights(torch.randn(4, 8, points)).detach().numpy()
    assert weights.shape == (4, 1, points)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights[:, 0], np.tile(profile / profile.sum(), (4, 1)), rtol=0.15)


def test_the_early_bias_is_used_and_learnt():
    pool = WeightedPooling(8)
    torch.nn.init.zeros_(pool.score[-1].weight)
    x = torch.randn(2, 8, 50)
    profile = torch.exp(-torch.linspace(0, 2, 50))
    expected = (x * profile / profile.sum()).sum(dim=-1)
    torch.testing.assert_close(pool(x), expected)
    pool(x).square().sum().backward()
    assert pool.early.grad.abs() > 0


def test_average_pooling_is_selectable():
    network = EarlyInference(Config(tcn_channels=(4,), use_weighted_pooling=False), 2, 2)
    assert isinstance(network.pool, AveragePooling)
    x = torch.randn(2, 4, 9)
    torch.testing.assert_close(network.pool(x), x.mean(dim=-1))


def test_shapes_and_optional_variance_head():
    x, known = torch.randn(3, 3, 10), torch.randn(3, 6)
    mean, log_variance = EarlyInference(CONFIG, 6, 4)(x, known)
    assert mean.shape == log_variance.shape == (3, 4)
    plain = EarlyInference(CONFIG.model_copy(update={"use_uncertainty": False}), 6, 4)
    assert plain(x, known).log_variance is None
    assert not any("log_variance" in name for name in plain.state_dict())


# Scales.


def test_time_steps_survive_scaling():
    """`!` z-scoring t per sequence erases dt: the same pH at 0.3 s and at 3 s would be one input."""
    ph = np.linspace(7, 8, 10)[None]
    t = 0.3 * np.arange(10.0)[None]
    slow, fast = channels(ph, 10 * t, True), channels(ph, t, True)
    np.testing.assert_allclose(slow[:, 1:], 10 * fast[:, 1:])
    np.testing.assert_allclose(fast[0, 2], [0, *[1.0] * 9])
    raw = channels(ph, t, False)
    np.testing.assert_allclose(raw[0], [ph[0], t[0], [0, *[0.3] * 9]])


def test_scales_do_not_depend_on_the_other_curves():
    both = curves(n=20)
    alone = channels(both.ph[:1], both.t[:1], True)
    np.testing.assert_array_equal(channels(both.ph, both.t, True)[:1], alone)


def test_a_constant_known_input_becomes_zero():
    """`!` a constant input has no spread to divide by."""
    known = np.array([[10.0, 0.2], [55.0, 0.2], [100.0, 0.2]])
    scaled = known_inputs(known, ("substrate_mM", "volume_L"), RANGES, True)
    np.testing.assert_allclose(scaled, [[-1, 0], [0, 0], [1, 0]], atol=1e-12)
    assert known_inputs(known, ("substrate_mM", "volume_L"), RANGES, False) is known


def test_missing_range_is_named():
    with pytest.raises(BadInput, match="no range for pH_offset"):
        TargetSpace.fit(("pH_offset",), RANGES, np.zeros((3, 1)))


def test_targets_come_back_and_predictions_stay_in_range():
    data = curves(n=400)
    space = TargetSpace.fit(TARGETS, RANGES, data.target)
    assert space.log.tolist() == [False, True]
    low, high = np.array([RANGES[name] for name in TARGETS]).T
    inside = np.clip(data.target, low + 0.02 * (high - low), high - 0.01 * (high - low))
    np.testing.assert_allclose(space.to_physical(space.to_logit(inside)), inside, rtol=1e-9)
    with np.errstate(over="ignore"):
        ends = space.to_physical(np.array([[-1e3, -1e3], [1e3, 1e3]]))
    np.testing.assert_allclose(ends, [low, high])
    z = (space.to_logit(data.target) - space.centre) / space.spread
    np.testing.assert_allclose([z.mean(axis=0), z.std(axis=0)], [[0, 0], [1, 1]], atol=1e-9)


def test_the_logit_at_the_very_ends_is_finite():
    space = TargetSpace.fit(TARGETS, RANGES, curves().target)
    ends = np.array([[RANGES[name][i] for name in TARGETS] for i in (0, 1)])
    np.testing.assert_allclose(np.abs(space.to_logit(ends)), math.log((1 - EDGE) / EDGE), rtol=1e-6)


def test_ranges_below_zero_are_plain():
    space = TargetSpace.fit(("pH_offset",), {"pH_offset": (-0.05, 0.0)}, np.linspace(-0.05, 0, 9)[:, None])
    np.testing.assert_allclose(space.to_physical(np.zeros((1, 1))), -0.025)


def test_a_rate_from_zero_is_not_put_in_log_space():
    space = TargetSpace.fit(("k_d",), {"k_d": (0.0, 5e-3)}, np.linspace(0, 5e-3, 50)[:, None])
    assert not space.log.any()
    np.testing.assert_allclose(space.to_physical(np.zeros((1, 1))), 2.5e-3)


# The loss.


def test_nll_is_torchs_normal_and_scipys():
    mean, lv, y = (torch.randn(7, 2, dtype=torch.float64) for _ in range(3))
    expected = -torch.distributions.Normal(mean, torch.exp(lv / 2)).log_prob(y).mean()
    torch.testing.assert_close(losses.gaussian_nll(mean, lv, y), expected)
    oracle = -stats.norm.logpdf(y.numpy(), mean.numpy(), np.exp(lv.numpy() / 2)).mean()
    assert float(losses.gaussian_nll(mean, lv, y)) == pytest.approx(oracle)
    torch.testing.assert_close(losses.gaussian_nll(mean, None, y), losses.gaussian_nll(mean, 0 * lv, y))


def test_log_variance_is_clamped():
    y = torch.zeros(1, 1)
    for raw, bound in ((-50.0, -9.0), (50.0, 10.0)):
        lv = torch.full((1, 1), raw, requires_grad=True)
        loss = losses.training_loss(y, lv, y, 0.01, 0.1)
        assert loss.item() == pytest.approx(
            0.5 * (math.log(2 * math.pi) + bound) + 0.01 * (math.exp(bound) - 0.1) ** 2, rel=1e-5
        )
        loss.backward()
        assert lv.grad.item() == 0


def test_variance_penalty():
    lv = torch.tensor([[0.0, math.log(0.1)]])
    assert float(losses.variance_penalty(lv, 0.1)) == pytest.approx(0.9**2 / 2, rel=1e-5)
    y = torch.zeros(1, 2)
    base = losses.gaussian_nll(y, lv, y)
    torch.testing.assert_close(losses.training_loss(y, lv, y, 0.5, 0.1), base + 0.5 * 0.9**2 / 2)
    assert torch.equal(losses.training_loss(y, lv, y, 0, 0.1), base)


# Metrics.


def _space():
    u = np.array([0.0]), np.array([1.0])
    return TargetSpace(u[0], u[1], np.array([False]), np.array([0.2]), np.array([1.7]))


def test_predicting_the_prior_mean_scores_the_worst_value():
    y = (np.arange(100_000) + 0.5)[:, None] / 100_000
    zero = np.zeros_like(y)
    found = validation_metrics(zero, zero, y, _space(), np.array([1 / math.sqrt(12)]), ("a",))
    assert found[OBJECTIVE.metric] == pytest.approx(WORST, rel=1e-6)
    assert OBJECTIVE.worst == math.sqrt(3) / 2
    assert found[metric_key("val_rmse_prior_sd", "a")] == pytest.approx(1, rel=1e-6)


def test_nll_and_coverage_of_a_calibrated_prediction():
    rng = np.random.default_rng(0)
    space = _space()
    sd = 0.5
    u = rng.normal(0.3, sd, (200_000, 1))
    mean, lv = np.full_like(u, 0.3), np.full_like(u, 2 * math.log(sd))
    found = validation_metrics(mean, lv, space.to_physical(u), space, np.array([1.0]), ("a",))
    z = (u - space.centre) / space.spread
    centre, scale = (0.3 - space.centre) / space.spread, sd / space.spread
    assert found["val_nll"] == pytest.approx(-stats.norm.logpdf(z, centre, scale).mean(), rel=1e-6)
    assert found["val_coverage_50.a"] == pytest.approx(0.5, abs=0.005)
    assert found["val_coverage_90.a"] == pytest.approx(0.9, abs=0.005)


def test_metrics_stay_finite_for_wild_predictions():
    y = np.array([[0.0], [1.0]])
    wild = np.array([[1e30], [-1e30]])
    with np.errstate(over="ignore"):
        found = validation_metrics(wild, -wild, y, _space(), np.array([0.3]), ("a",))
    assert all(map(math.isfinite, found.values()))


def test_metric_keys_are_safe_for_mlflow():
    assert metric_key("val", "E0 (g/L)") == "val.E0__g_L_"


@pytest.mark.parametrize("weighted", [True, False])
def test_padding_changes_nothing(weighted):
    """A curve predicts the same alone, padded with anything, and beside longer ones."""
    torch.manual_seed(0)
    config = Config(tcn_channels=(6, 4), tcn_kernel_size=3, use_weighted_pooling=weighted, mlp_hidden_dims=(5,))
    network = EarlyInference(config, 2, 2).eval()
    curves, known, readings = torch.randn(3, 3, 12), torch.randn(3, 2), torch.tensor([12, 7, 2])
    together = network(curves, known, readings).mean
    for row, count in enumerate(readings.tolist()):
        alone = network(curves[row : row + 1, :, :count], known[row : row + 1]).mean
        torch.testing.assert_close(together[row : row + 1], alone)
    curves[1, :, 7:] = 1e3
    assert torch.equal(network(curves, known, readings).mean[1], together[1])
