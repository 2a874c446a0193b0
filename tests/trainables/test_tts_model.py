import pytest
import torch

from trainables.registry import model_named
from trainables.tts.model import Tts, positions
from trainables.tts.synthesis import speak

SHAPE = {"size": "demo", "text_encoder_dim": 8, "text_encoder_layers": 2, "decoder_dim": 16, "decoder_layers": 2}
TEXT, MEL = torch.tensor([6, 4]), torch.tensor([9, 5])


def network(seed=0, **shape):
    config = model_named("tts").parse({"model": {**SHAPE, **shape}, "data": {"n_mels": 5}}, "c")
    torch.manual_seed(seed)
    made = Tts(config, torch.linspace(-4, 1, 5), torch.tensor(2.0)).eval()
    torch.nn.init.normal_(made.out.weight, std=0.5)
    return made


def inputs():
    generator = torch.Generator().manual_seed(1)
    text = torch.randint(2, 30, (2, 6), generator=generator)
    text[1, 4:] = 0
    return text, torch.randn(2, 9, 5, generator=generator)


def spoken(made, text, mel, sample=False):
    torch.manual_seed(3)
    with torch.no_grad():
        return made(text, TEXT, mel, MEL, sample)


def valid(out):
    for i, (n, t) in enumerate(zip(TEXT.tolist(), MEL.tolist(), strict=True)):
        yield out.mel[i, :t]
        yield out.stop[i, :t]
        yield out.attention[i, :t, :n]
        yield out.durations[i, :n]
        yield out.mean[i]
        yield out.log_variance[i]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(valid(a), valid(b), strict=True))


@pytest.mark.parametrize("sample", [False, True])
def test_padded_text_changes_no_valid_output(sample):
    made, (text, mel) = network(), inputs()
    other = text.clone()
    other[1, 4:] = 17
    assert same(spoken(made, text, mel, sample), spoken(made, other, mel, sample))
    other = text.clone()
    other[1, 3] = 17  # a real one does
    assert not same(spoken(made, text, mel, sample), spoken(made, other, mel, sample))


@pytest.mark.parametrize("sample", [False, True])
def test_padded_frames_change_no_valid_output(sample):
    made, (text, mel) = network(), inputs()
    other = mel.clone()
    other[1, 5:] = 99.0
    assert same(spoken(made, text, mel, sample), spoken(made, text, other, sample))


@pytest.mark.parametrize("at", range(9))
def test_a_frame_changes_only_what_comes_after_it(at):
    made, (text, mel) = network(), inputs()
    other = mel.clone()
    other[0, at] += 1.0
    before, after = spoken(made, text, mel), spoken(made, text, other)
    assert torch.equal(before.mel[0, : at + 1], after.mel[0, : at + 1])
    assert torch.equal(before.stop[0, : at + 1], after.stop[0, : at + 1])
    assert at == 8 or not torch.equal(before.mel[0, at + 1 :], after.mel[0, at + 1 :])


def test_attention_is_a_distribution_over_the_real_text():
    made, (text, mel) = network(), inputs()
    out = spoken(made, text, mel)
    assert torch.allclose(out.attention.sum(-1), torch.ones(2, 9), atol=1e-6)
    assert not out.attention[1, :, 4:].any() and (out.attention[1, :, :4] > 0).all()
    assert not out.durations[1, 4:].any() and (out.durations[1, :4] > 0).all()


def test_what_shares_a_batch_changes_nothing_but_rounding():
    made, (text, mel) = network(), inputs()
    together = spoken(made, text, mel)
    with torch.no_grad():
        alone = made(text[1:, :4], TEXT[1:], mel[1:, :5], MEL[1:], False)
    assert torch.allclose(together.mel[1, :5], alone.mel[0], atol=1e-5)
    assert torch.allclose(together.mean[1], alone.mean[0], atol=1e-6)


def test_the_latent_is_drawn_from_the_frames_only_when_asked():
    made, (text, mel) = network(), inputs()
    plain, drawn = spoken(made, text, mel), spoken(made, text, mel, sample=True)
    assert not torch.equal(plain.mel, drawn.mel) and torch.equal(plain.mean, drawn.mean)
    louder = mel.clone()
    louder[0, 8] += 5.0  # the last frame is nobody's past: without a latent it reaches no output
    assert torch.equal(spoken(made, text, louder).mel[0], plain.mel[0])
    assert not torch.equal(spoken(made, text, louder, sample=True).mel[0], drawn.mel[0])


def test_an_untrained_network_says_the_mean_frame():
    config = model_named("tts").parse({"model": SHAPE, "data": {"n_mels": 5}}, "c")
    mean = torch.linspace(-4, 1, 5)
    made = Tts(config, mean, torch.tensor(2.0)).eval()
    out = spoken(made, *inputs())
    assert torch.equal(out.mel, mean.expand(2, 9, 5))
    mean.fill_(0.0)
    assert made.mel_mean.any()  # it is the network's own


def test_speaking_frame_by_frame_is_what_teacher_forcing_says_of_the_same_frames():
    made, (text, _) = network(), inputs()
    with torch.no_grad():
        made.out.bias[-1] = -50.0  # never stop
    symbols = tuple(text[0].tolist())
    speech = speak(made, symbols, 7, torch.device("cpu"))
    assert speech.mel.shape == (7, 5) and speech.attention.shape == (7, 6) and not speech.stopped
    with torch.no_grad():
        forced = made(text[:1], TEXT[:1], speech.mel.unsqueeze(0), torch.tensor([7]), False)
    assert torch.allclose(forced.mel[0], speech.mel, atol=1e-4)
    assert torch.allclose(forced.attention[0], speech.attention, atol=1e-5)
    with torch.no_grad():
        made.out.bias[-1] = 50.0
    assert speak(made, symbols, 7, torch.device("cpu")).stopped
    assert len(speak(made, symbols, 7, torch.device("cpu")).mel) == 1


def test_positions_are_the_papers():
    found = positions(3, 4, 2, torch.device("cpu"))
    for row, p in enumerate((2.0, 3.0, 4.0)):
        expected = [f(torch.tensor(p / 10_000 ** (k / 4))) for k in (0, 2) for f in (torch.sin, torch.cos)]
        assert torch.allclose(found[row], torch.stack(expected))
