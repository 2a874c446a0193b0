"""Losses, decoding and error rates, each against something worked out another way."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
import rounding
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.diphone_rnn.losses import Targets, composite_loss, ctc, log_probs
from trainables.diphone_rnn.metrics import DiphoneFrames, Heard, day_key, error_rate, validation_metrics
from trainables.diphone_rnn.phonemes import (
    N_DIPHONES,
    N_PHONEMES,
    collapse,
    diphones_of,
    phonemes_from_both,
    phonemes_of,
)

SOFTMAX = rounding.of_sum(N_DIPHONES)
"""The longest sum in a loss of single precision: over all classes, in each frame."""


def logits(batch=3, frames=30, classes=N_DIPHONES, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(batch, frames, classes, generator=generator)).requires_grad_()


def targets(frames=(30, 25, 18)):
    labels = [torch.tensor([1, 2, 3, 3]), torch.tensor([5, 40, 7]), torch.tensor([9])]
    diphones = [torch.from_numpy(diphones_of(each.numpy())) for each in labels]
    pad = torch.nn.utils.rnn.pad_sequence
    counts = [torch.tensor([len(each) for each in some]) for some in (labels, diphones)]
    return Targets(torch.tensor(frames), pad(labels, True), counts[0], pad(diphones, True), counts[1])


# Marginalisation.


@pytest.mark.parametrize("scale", [1, 10, 100, 1000])
def test_marginals_equal_the_explicit_sum(scale):
    found = log_probs(logits(scale=scale))
    probabilities = torch.softmax(logits(scale=scale).double(), -1).detach()
    explicit = torch.zeros(3, 30, N_PHONEMES, dtype=torch.double)
    for previous, current in itertools.product(range(N_PHONEMES), repeat=2):
        explicit[..., current] += probabilities[..., previous * N_PHONEMES + current]
    assert (found.phoneme.double().exp() - explicit).abs().max() < SOFTMAX
    assert (found.phoneme.exp().sum(-1) - 1).abs().max() < SOFTMAX
    by_previous = torch.log_softmax(logits(scale=scale).double(), -1).view(3, 30, N_PHONEMES, N_PHONEMES)
    expected = by_previous.logsumexp(-2)  # of phonemes however unlikely
    torch.testing.assert_close(found.phoneme.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 300.0])
@pytest.mark.parametrize("used", [(1, 0), (0, 1), (1, 1)])
def test_gradients_equal_those_of_autograd(scale, used):
    weights = [torch.randn(2, 3, n, generator=torch.Generator().manual_seed(n)) for n in (N_PHONEMES, N_DIPHONES)]
    gradients = []
    for plain in (True, False):
        x = logits(2, 3, scale=scale)
        x.retain_grad()
        normal = torch.log_softmax(x, -1)
        both = (normal.view(2, 3, N_PHONEMES, N_PHONEMES).logsumexp(-2), normal) if plain else log_probs(x)
        sum((part * w).sum() for part, w, wanted in zip(both, weights, used, strict=True) if wanted).backward()
        gradients.append(x.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


def test_phonemes_alone_are_normalised_as_they_are():
    found = log_probs(logits(classes=N_PHONEMES))
    assert found.diphone is None
    torch.testing.assert_close(found.phoneme, torch.log_softmax(logits(classes=N_PHONEMES), -1))


# CTC.


@cache
def alignments(labels, frames):
    """Every path of `frames` steps over blanks and labels that CTC reads as `labels`."""
    paths = itertools.product({0, *labels}, repeat=frames)
    return [path for path in paths if tuple(k for k, _ in itertools.groupby(path) if k) == labels]


@pytest.mark.parametrize("labels", [(1,), (1, 2), (2, 2), (3, 1, 3)])
def test_ctc_sums_over_all_alignments(labels):
    x = torch.log_softmax(torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.double), -1)
    explicit = sum(math.exp(sum(float(x[0, t, k]) for t, k in enumerate(path))) for path in alignments(labels, 5))
    found = ctc(x, torch.tensor([labels]), torch.tensor([5]), torch.tensor([len(labels)]))
    assert float(found) == pytest.approx(-math.log(explicit), rel=1e-9)


def test_leaving_out_classes_that_no_label_names_changes_nothing():
    given, found_and_gradients = targets(), []
    for own in (True, False):
        x = logits().detach().mul(3).requires_grad_()
        normal = torch.log_softmax(x, -1)
        arguments = given.diphones, given.frames, given.diphone_counts
        if own:
            found = ctc(normal, *arguments)
        else:
            found = torch.nn.functional.ctc_loss(normal.transpose(0, 1), *arguments, reduction="none")
        (found * torch.tensor([1.0, 2.0, 0.5])).sum().backward()
        found_and_gradients.append((found.detach(), x.grad))
    torch.testing.assert_close(*found_and_gradients, rtol=1e-4, atol=1e-6)


def test_frames_and_labels_beyond_a_trials_own_count_for_nothing():
    whole, other = logits(), logits().detach().clone()
    other[1, 25:], other[2, 18:] = 50.0, -50.0
    given = targets()
    changed = given._replace(diphones=given.diphones.clone())
    changed.diphones[2, 3:] = 77
    assert composite_loss(other, changed, 0.4).total == composite_loss(whole, given, 0.4).total


def test_the_mix_is_of_sums_over_utterances_and_a_mean_over_the_batch():
    x, given = logits().detach(), targets()
    found = composite_loss(x, given, 0.3)
    one_by_one = [
        composite_loss(x[i : i + 1], Targets(*(part[i : i + 1] for part in given)), 0.3).total for i in range(3)
    ]
    assert float(found.total) == pytest.approx(float(sum(one_by_one)) / 3, rel=SOFTMAX)
    assert float(found.total) == pytest.approx(0.3 * float(found.phoneme) + 0.7 * float(found.diphone), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_the_ends_are_the_pure_losses(alpha):
    x, y, given = logits(), logits(), targets()
    found = composite_loss(x, given, alpha)
    normal = torch.log_softmax(y, -1)
    if alpha:
        marginal = normal.view(3, 30, N_PHONEMES, N_PHONEMES).logsumexp(-2)
        pure = ctc(marginal, given.phonemes, given.frames, given.phoneme_counts).mean()
        assert not found.diphone.requires_grad
    else:
        pure = ctc(normal, given.diphones, given.frames, given.diphone_counts).mean()
        assert not found.phoneme.requires_grad
    assert found.phoneme.isfinite() and found.diphone.isfinite()  # both are logged
    found.total.backward()
    pure.backward()
    assert found.total.item() == pytest.approx(pure.item(), rel=SOFTMAX)
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_leaving_out_a_part_of_weight_0_changes_nothing(alpha):
    x, y, given = logits(), logits(), targets()
    composite_loss(x, given, alpha).total.backward()
    found = log_probs(y)
    phoneme = ctc(found.phoneme, given.phonemes, given.frames, given.phoneme_counts).mean()
    diphone = ctc(found.diphone, given.diphones, given.frames, given.diphone_counts).mean()
    (alpha * phoneme + (1 - alpha) * diphone).backward()
    assert torch.equal(x.grad, y.grad)


# Decoding and error rates.


def path(*labels):
    return np.array(labels, dtype=np.int64)


def test_repeats_collapse_before_blanks_are_dropped():
    assert collapse(path(0, 1, 1, 0, 1, 2, 2, 0, 0, 3)).tolist() == [1, 1, 2, 3]
    assert collapse(path()).tolist() == []
    assert collapse(path(0, 0)).tolist() == []


def read(frames):
    """The three readings of a diphone per frame: phonemes alone, diphones first, both."""
    previous, current = np.divmod(frames, N_PHONEMES)
    ways = (collapse(current), phonemes_of(collapse(frames)), phonemes_from_both(current, previous))
    return [way.tolist() for way in ways]


def said(phonemes, repeat, blanks):
    """Frames of a network that says the diphones of `phonemes`, each `repeat` times."""
    labels = diphones_of(path(*phonemes)).tolist()
    after = [blanks or b == a for a, b in zip(labels, [*labels[1:], 0], strict=True)]
    return path(
        *(frame for label, blank in zip(labels, after, strict=True) for frame in [*[label] * repeat, *[0] * blank])
    )


@given(st.lists(st.integers(1, 3), min_size=1, max_size=9), st.integers(1, 3), st.booleans())
def test_what_a_diphone_network_says_is_understood(phonemes, repeat, blanks):
    _, first, both = read(said(phonemes, repeat, blanks))
    assert first == both == phonemes


@given(st.lists(st.integers(1, 3), max_size=9), st.randoms(use_true_random=False))
def test_what_a_phoneme_network_says_is_understood(phonemes, random):
    """Its blanks stand between phonemes alone, and the phonemes before are anything else."""
    frames = [
        frame for p in phonemes for frame in (41 * random.choice([5, 6, 7]) + p, 41 * random.choice([8, 9]) + p, 0)
    ]
    alone, _, both = read(path(*frames))
    assert alone == both == phonemes


def test_each_plain_reading_fails_somewhere():
    assert read(said([1, 2], 1, True)) == [[1, 1, 2, 2], [1, 2], [1, 2]]  # diphones alone were learnt
    assert read(path(41 * 7 + 1, 0, 41 * 9 + 2)) == [[1, 2], [], [1, 2]]  # phonemes alone were


def distance_by_definition(a, b):
    """Wagner & Fischer 1974, the whole table."""
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    table[:, 0], table[0, :] = range(len(a) + 1), range(len(b) + 1)
    for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
        table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
    return table[-1, -1]


words = st.lists(st.integers(0, 5), max_size=15)


@given(st.lists(st.tuples(words, st.lists(st.integers(0, 1700), min_size=1, max_size=15)), min_size=1, max_size=5))
def test_rates_pool_errors_and_lengths(pairs):
    errors = sum(distance_by_definition(one, two) for one, two in pairs)
    found = error_rate([(path(*one), path(*two)) for one, two in pairs])
    assert found == errors / sum(len(two) for _, two in pairs)


def heard(day, phonemes, frames):
    return Heard(day, path(*phonemes), diphones_of(path(*phonemes)), path(*frames), None)


def heard_diphones(day, phonemes, frames):
    previous, current = np.divmod(frames, N_PHONEMES)
    return heard(day, phonemes, current)._replace(diphone_frames=DiphoneFrames(frames, previous))


def test_saying_nothing_scores_the_worst_and_saying_too_much_more():
    assert validation_metrics([heard("a", [1, 2], [0, 0])], False) == {"val_per": 1.0}
    assert validation_metrics([heard("a", [1], [2, 3, 4])], False)["val_per"] == 3.0


def test_all_rates_of_a_diphone_network():
    trials = [heard_diphones("t15.1", [1, 2], said([1, 2], 1, True)), heard_diphones("b/2", [3], path(0, 0))]
    assert validation_metrics(trials, True) == {
        "val_per": 1 / 3,
        "val_per_diphones_first": 1 / 3,
        "val_per_marginalised": 1.0,
        "val_der": 3 / 8,
        "val_per.t15.1": 0.0,
        "val_per.b_2": 1.0,
    }
    assert day_key("t15.2023.08.11") == "val_per.t15.2023.08.11"
