"""The network, what is done to its input, and users' checkpoints."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from synthetic_trials import BASE, CHANNELS
from torch import nn

from spaces.paths import with_values
from spaces.problems import BadInput
from trainables.diphone_rnn.augment import augment, mask, smooth, smoothing_taps
from trainables.diphone_rnn.config import Config, DataTransforms, Network
from trainables.diphone_rnn.data import n_frames
from trainables.diphone_rnn.model import DiphoneRnn, groups, start_with
from trainables.registry import model_named

OFF = dict.fromkeys(("static_gain_std", "white_noise_std", "constant_offset_std", "random_walk_std"), 0.0)


def config(**values):
    return model_named("diphone_rnn").parse(with_values(BASE, values), "c")


def network(seed=0, days=3, **values):
    torch.manual_seed(seed)
    return DiphoneRnn(config(**values), days).eval()


def features(batch=4, bins=60, seed=0):
    return torch.randn(batch, bins, CHANNELS, generator=torch.Generator().manual_seed(seed))


def counts(bins):
    return torch.tensor([n_frames(n, Network()) for n in bins])


DAY = torch.tensor([0, 2, 2, 1])


# The network.


@pytest.mark.parametrize(("bins", "frames"), [(14, 1), (17, 1), (18, 2), (60, 12), (13, 0), (3, 0)])
def test_frames(bins, frames):
    assert n_frames(bins, Network()) == frames
    if frames:
        assert network()(features(bins=bins), DAY, counts([bins] * 4)).shape == (4, frames, 1681)


def test_a_documented_patch_is_flattened_to_7168_values():
    documented = {"n_units": 4, "n_layers": 1}  # but for what would take seconds to make
    net = DiphoneRnn(model_named("diphone_rnn").parse({"model": documented}, "c"), days=2)
    assert net.gru.input_size == 7168 and net.out.out_features == 1681
    assert net.day_weights.shape == (2, 512, 512) and net.day_biases.shape == (2, 512)


def test_days_start_as_the_identity():
    net = network()
    assert torch.equal(net.day_weights, torch.eye(CHANNELS).repeat(3, 1, 1))
    assert torch.equal(net.day_biases, torch.zeros(3, CHANNELS))
    x = features()
    logits = [net(x, day, counts([60] * 4)) for day in (DAY, torch.zeros(4, dtype=torch.long))]
    assert torch.equal(logits[0], logits[1])


def test_initial_weights():
    net = network(**{"model.n_units": 10})
    for name, weights in net.gru.named_parameters():
        if "weight_hh" in name:  # (3H, H): orthonormal columns
            torch.testing.assert_close(weights.T @ weights, torch.eye(10), atol=1e-5, rtol=0)
        if "weight_ih" in name:
            assert weights.abs().max() <= (6 / sum(weights.shape)) ** 0.5  # Glorot & Bengio 2010
    assert net.h0.shape == (1, 1, 10)


def test_the_network_by_hand():
    """Day layer, softsign, patches and GRU written out, a patch at a time."""
    net = network(**{"model.n_layers": 1})
    with torch.no_grad():
        net.day_weights.add_(0.3 * torch.randn(net.day_weights.shape))
        net.day_biases.add_(0.3 * torch.randn(net.day_biases.shape))
        x = features()
        found = net(x, DAY, counts([60] * 4))
        cell = nn.GRUCell(14 * CHANNELS, 12)
        for theirs, ours in zip(cell.parameters(), net.gru.parameters(), strict=True):
            theirs.copy_(ours)
        for row, day in enumerate(DAY):
            entered = x[row] @ net.day_weights[day] + net.day_biases[day]
            entered = entered / (1 + entered.abs())
            hidden = net.h0[0]
            for frame in range(12):
                patch = torch.cat([entered[4 * frame + bin_] for bin_ in range(14)])  # bin by bin
                hidden = cell(patch[None], hidden)
                torch.testing.assert_close(found[row, frame], net.out(hidden)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_nothing(bidirectional):
    net = network(**{"model.bidirectional": bidirectional})
    bins = [60, 45, 33, 50]
    x = mask(features(), torch.tensor(bins))
    together = net(x, DAY, counts(bins))
    for row, n in enumerate(bins):
        alone = net(x[row : row + 1, :n], DAY[row : row + 1], counts([n]))
        torch.testing.assert_close(together[row, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-5)


def test_groups_of_the_optimiser():
    net = network()
    found = {group["name"]: group for group in groups(net, config(weight_decay=0.1, weight_decay_day=0.2))}
    names = {id(p): name for name, p in net.named_parameters()}
    members = {key: {names[id(p)] for p in group["params"]} for key, group in found.items()}
    assert members["day"] == {"day_weights", "day_biases"}
    assert members["bias"] == {"out.bias", *(f"gru.bias_{kind}h_l{layer}" for kind in "ih" for layer in (0, 1))}
    assert "h0" in members["rest"] and sum(map(len, members.values())) == len(names)
    assert {key: group["weight_decay"] for key, group in found.items()} == {"bias": 0.0, "day": 0.2, "rest": 0.1}


def test_parts_that_are_not_trained():
    frozen = {"model.rnn_trainable": False, "model.input_network.input_trainable": False}
    net = network(**frozen)
    trained = {name for name, p in net.named_parameters() if p.requires_grad}
    assert trained == {"h0", "out.weight", "out.bias"}
    assert {group["name"] for group in groups(net, config(**frozen))} == {"bias", "rest"}


# Users' checkpoints.


def saved(path, state, **more):
    torch.save({"model_state_dict": state, "optimizer_state_dict": {}, "val_PER": np.float64(0.1), **more}, path)
    return str(path)


def trained(seed=5, **values):
    net = network(seed, **values)
    with torch.no_grad():
        for weights in net.parameters():
            weights.add_(0.01 * torch.randn(weights.shape))
    return net


@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_checkpoints_load(tmp_path, prefix, one_by_one):
    source, target = trained(), network()
    state = {prefix + name: weights for name, weights in source.state_dict().items()}
    if one_by_one:
        weights, biases = state.pop(f"{prefix}day_weights"), state.pop(f"{prefix}day_biases")
        for day in range(3):
            state[f"{prefix}day_weights.{day}"], state[f"{prefix}day_biases.{day}"] = (
                weights[day],
                biases[day : day + 1],
            )
    start_with(target, saved(tmp_path / "c.pt", state, val_loss=np.float32(2)))
    assert torch.equal(
        *(net(features(), DAY, counts([60] * 4)) for net in (source, target))  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        (b"not a checkpoint", "is no checkpoint of plain tensors"),
        ({"weights": {}}, "no weights under network or model_state_dict, where your script looks, too; name another"),
        ({"model_state_dict": {"h0": torch.zeros(1)}}, "day_weights is missing"),
        ({"model_state_dict": {**network().state_dict(), "extra": torch.zeros(1)}}, "extra is unknown"),
        ({"model_state_dict": network(days=4).state_dict()}, "day_weights has shape (4, 6, 6), the config's network"),
        ({"model_state_dict": {}, "code": Config}, "is no checkpoint of plain tensors"),
    ],
)
def test_bad_checkpoints_name_what_does_not_fit(tmp_path, content, said):
    path = tmp_path / "c.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(BadInput) as error:
        start_with(network(), str(path))
    assert said in str(error.value) and str(path) in str(error.value)


# Smoothing and noise.


def test_the_smoothing_kernel_is_scipys():
    impulse = np.zeros(100)
    impulse[50] = 1
    kernel = gaussian_filter1d(impulse, 2.0)
    kernel = kernel[kernel > 0.01]
    taps = smoothing_taps(DataTransforms())
    assert taps is not None and len(taps) == 9
    assert taps.numpy() == pytest.approx(kernel / kernel.sum(), rel=1e-4)
    assert smoothing_taps(DataTransforms(smooth_data=False)) is None
    assert len(smoothing_taps(DataTransforms(smooth_kernel_size=5))) == 5


@pytest.mark.parametrize("size", [100, 4])
def test_smoothing_keeps_the_length_and_filters_each_channel(size):
    taps = smoothing_taps(DataTransforms(smooth_kernel_size=size))
    x = features(2, 40)
    found = smooth(x, taps)
    assert found.shape == x.shape
    middle = [np.convolve(x[1, :, c], taps.flip(0), mode="valid") for c in range(CHANNELS)]
    start = (len(taps) - 1) // 2
    assert found[1, start : start + len(middle[0])].numpy() == pytest.approx(np.stack(middle, 1), abs=1e-5)


def spread(change, strength, axis=1):
    x = torch.zeros(60, 50, CHANNELS)
    return augment(x, torch.full((60,), 50), {**OFF, change: strength}, axis, seed=1)


def test_each_noise_has_its_strength_and_shape():
    white = spread("white_noise_std", 0.7)
    assert float(white.std()) == pytest.approx(0.7, rel=0.03)
    offset = spread("constant_offset_std", 0.2)
    assert float(offset[:, 0].std()) == pytest.approx(0.2, rel=0.1)
    assert torch.equal(offset, offset[:, :1].expand_as(offset))
    walk = spread("random_walk_std", 0.1)
    assert float(walk[:, -1].std()) == pytest.approx(0.1 * 50**0.5, rel=0.1)
    over_channels = spread("random_walk_std", 0.1, axis=-1)
    assert float(over_channels[..., -1].std()) == pytest.approx(0.1 * CHANNELS**0.5, rel=0.1)
    x = features(200, 20)
    gained = augment(x, torch.full((200,), 20), {**OFF, "static_gain_std": 0.1}, 1, seed=1)
    assert float((gained - x).std()) == pytest.approx(0.1 * CHANNELS**0.5, rel=0.1)


def test_noise_is_that_of_its_seed_and_stops_at_a_trials_end():
    bins, now = torch.tensor([60, 45, 33, 50]), {**OFF, "white_noise_std": 1.0}
    one, again, other = (augment(features(), bins, now, -1, seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert not one[2, 33:].any() and one[2, 32].any()
    assert torch.equal(augment(features(), bins, OFF, -1, 1), mask(features(), bins))
