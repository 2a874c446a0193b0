"""The network: what a rollout may see, and that stretches of forced inputs are the steps they stand for."""

import numpy as np
import pytest
import rounding
import torch

from trainables.sequence_generator.forms import parse_config
from trainables.sequence_generator.model import SequenceGenerator

VARIANTS = [
    {},
    {"bidirectional": True},
    {"attention": True},
    {"bidirectional": True, "attention": True, "num_layers": 1},
]


def network(**values) -> SequenceGenerator:
    torch.manual_seed(0)
    config = {"hidden_size": 8, "num_layers": 2, "dropout": 0.0, "alpha": 0.8, **values}
    return SequenceGenerator(parse_config(config, "c")).eval()


def shown(frames: int = 12) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(3, frames, 7))).float()


@pytest.mark.parametrize("values", VARIANTS)
def test_a_rollout_sees_nothing_after_the_first_frame(values) -> None:
    net, one = network(**values), shown()
    other = one.clone()
    other[:, 1:] = 1e3 * torch.randn(other[:, 1:].shape)
    assert torch.equal(net(one), net(other))
    assert net(one).shape == (3, 11, 5)
    other = one.clone()
    other[:, 0, 0] += 1
    assert not torch.equal(net(one), net(other))  # the first is read


def rollout_rounding(net: SequenceGenerator, x: torch.Tensor) -> float:
    """In a frame each layer takes dot products over its input and state, of sizes below 1; a frame's error goes on."""
    lstm = net.encoder
    return rounding.of_sum(x.shape[1] * lstm.num_layers * (3 * lstm.hidden_size + lstm.input_size))


def step_by_step(net: SequenceGenerator, x: torch.Tensor, forced: np.ndarray) -> torch.Tensor:
    """The same rollout with a call per frame, as one would write it."""
    output, (h, c) = net.encoder(x[:, :1])
    if net.encoder.bidirectional:
        h, c = (torch.stack([torch.cat([v[2 * i], v[2 * i + 1]], 1) for i in range(len(v) // 2)]) for v in (h, c))
    state = (net.join_h(h), net.join_c(c))
    memory, fed, frames = net.join_out(output), x[:, :1], []
    for step in range(x.shape[1] - 1):
        if step and forced[step]:
            fed = x[:, step : step + 1]
        hidden, state = net.decoder(fed, state)
        if net.score is not None:
            memory = torch.cat([memory, hidden], dim=1)
            weights = torch.softmax((net.score(hidden) @ memory.transpose(1, 2)), dim=2)
            hidden = torch.tanh(net.mix(torch.cat([hidden, weights @ memory], dim=2)))
        frames.append(net.out(hidden)[:, :, :5])
        fed = torch.cat([frames[-1], x[:, :1, 5:]], dim=2)
    return torch.cat(frames, dim=1)


@pytest.mark.parametrize("values", VARIANTS)
@pytest.mark.parametrize("ratio", [0.0, 0.4, 0.8, 1.0])
def test_stretches_are_the_steps_they_stand_for(values, ratio) -> None:
    net, x = network(**values), shown()
    forced = np.random.default_rng(1).random(11) < ratio
    found, expected = net(x, forced).detach(), step_by_step(net, x, forced).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=rollout_rounding(net, x))


def test_no_forced_input_is_free_running() -> None:
    net, x = network(), shown()
    assert torch.equal(net(x, np.zeros(11, dtype=bool)), net(x))


@pytest.mark.parametrize("values", VARIANTS)
def test_a_forced_input_changes_only_what_comes_after_it(values) -> None:
    net, x = network(**values), shown()
    forced = np.ones(11, dtype=bool)
    other = x.clone()
    other[:, 6, :5] += 1
    one, two = net(x, forced), net(other, forced)
    torch.testing.assert_close(one[:, :6], two[:, :6], rtol=0, atol=rollout_rounding(net, x))
    assert not torch.allclose(one[:, 6], two[:, 6], atol=1e-4)


def test_the_constants_are_fed_back_as_they_were_given() -> None:
    """Nothing that the network says about the two constants has any effect."""
    net, x = network(), shown()
    before = net(x)
    with torch.no_grad():
        net.out.weight[5:] += 1
        net.out.bias[5:] += 1
    assert torch.equal(net(x), before)
    net(x, np.ones(11, dtype=bool)).sum().backward()
    assert net.out.weight.grad is not None
    assert not net.out.weight.grad[5:].any()  # and nothing is learnt about them


def test_one_sequence_does_not_depend_on_the_others() -> None:
    net, x = network(attention=True), shown()
    torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=0, atol=rollout_rounding(net, x))


def test_documented_sizes() -> None:
    net = SequenceGenerator(parse_config({"alpha": 0.8}, "c"))
    assert (net.encoder.input_size, net.encoder.hidden_size, net.encoder.num_layers, net.encoder.dropout) == (
        7,
        256,
        2,
        0.3,
    )
    assert (net.decoder.input_size, net.decoder.hidden_size, net.decoder.num_layers) == (7, 256, 2)
    assert (net.out.in_features, net.out.out_features) == (256, 7)
