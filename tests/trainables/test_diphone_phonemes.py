"""Labels: the documented encoding, its inverse, the CTC reading and its minimum."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.diphone_rnn.phonemes import (
    BLANK,
    IDS,
    N_DIPHONES,
    N_PHONEMES,
    PHONEMES,
    SIL,
    collapse,
    diphones_of,
    needed_frames,
    phonemes_of,
)

SEQUENCES = st.lists(st.integers(1, 40), max_size=12)


def steady(p):
    return p * 41 + p


def test_classes_are_the_documented_ones():
    assert (N_PHONEMES, N_DIPHONES, len(PHONEMES), len(set(PHONEMES))) == (41, 1681, 41, 41)
    assert (PHONEMES[BLANK], PHONEMES[1], PHONEMES[20], PHONEMES[39], PHONEMES[SIL]) == (
        "BLANK",
        "AA",
        "K",
        "ZH",
        "SIL",
    )
    assert list(PHONEMES[1:40]) == sorted(PHONEMES[1:40])
    assert IDS["SIL"] == 40


def test_the_documented_example():
    assert diphones_of(np.array([1, 2, 3])).tolist() == [1, 42, 43, 84, 85, 126, 123]


@given(SEQUENCES)
def test_diphones_by_their_definition(phonemes):
    expected = []
    for previous, current in itertools.pairwise([0, *phonemes]):
        expected += [previous * 41 + current, steady(current)]
    expected.append((phonemes or [0])[-1] * 41)
    found = diphones_of(np.array(phonemes, dtype=np.int32))
    assert found.tolist() == expected
    assert found.dtype == np.int64


@given(SEQUENCES)
def test_reading_undoes_encoding(phonemes):
    assert phonemes_of(diphones_of(np.array(phonemes, dtype=np.int64))).tolist() == phonemes


@pytest.mark.parametrize("bad", [[0], [1, 41], [-1]])
def test_no_phoneme(bad):
    with pytest.raises(ValueError, match=r"labels lie in 1…40, got \["):
        diphones_of(np.array(bad))


@pytest.mark.parametrize(
    ("decoded", "phonemes"),
    [
        ([], []),
        ([0, 0], []),
        ([steady(5)], [5]),
        ([steady(5), steady(5)], [5]),  # one steady state with a blank in it
        ([steady(5)] * 3, [5, 5]),  # the transition of a 5 into a 5 is itself (5→5)
        ([5, steady(5), 5 * 41], [5]),
        ([5, 5 * 41 + 6, steady(6)], [5, 6]),  # the steady state of 5 is missing, its two transitions are there
        ([5, steady(6)], [6]),  # one transition is no evidence
        ([5 * 41 + 6, 7 * 41 + 8], []),  # they don't meet
        ([5 * 41, 6], []),  # they meet in the blank
        ([steady(5), 5 * 41 + 6, steady(7)], [5, 7]),
    ],
)
def test_reading_of_imperfect_sequences(decoded, phonemes):
    assert phonemes_of(np.array(decoded, dtype=np.int64)).tolist() == phonemes


@given(st.lists(st.integers(0, 1680), max_size=20))
def test_any_sequence_can_be_read(decoded):
    assert all(1 <= p <= 40 for p in phonemes_of(np.array(decoded, dtype=np.int64)))


@given(st.lists(st.integers(0, 3), max_size=15))
def test_collapse_before_dropping_blanks(frames):
    expected = [label for label, _ in itertools.groupby(frames) if label]
    assert collapse(np.array(frames, dtype=np.int64)).tolist() == expected


def test_a_blank_keeps_two_equal_labels_apart():
    assert collapse(np.array([7, 7, 0, 7, 0, 0])).tolist() == [7, 7]


def alignable(labels, frames):
    """Whether some labelling of `frames` frames reads as `labels`."""
    alphabet = [0, *set(labels)]
    return any(
        collapse(np.array(path, dtype=np.int64)).tolist() == labels
        for path in itertools.product(alphabet, repeat=frames)
    )


@given(st.lists(st.integers(1, 2), max_size=4))
def test_needed_frames_is_the_minimum(labels):
    needed = needed_frames(np.array(labels, dtype=np.int64))
    assert alignable(labels, needed)
    assert needed == 0 or not alignable(labels, needed - 1)


def test_repeated_phonemes_need_blanks_among_their_diphones():
    assert needed_frames(diphones_of(np.array([1, 2, 3]))) == 7
    assert needed_frames(diphones_of(np.array([1, 1]))) == 5 + 2


def test_nothing_here_imports_torch():
    script = "import sys, trainables.diphone_rnn.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
