"""Error rates of whisper_child against jiwer, on text after Whisper's normaliser."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_children import config

from trainables.whisper_child.metrics import OBJECTIVE, Heard, character_errors, rate, validation_metrics, word_errors
from trainables.whisper_child.tokens import normalizer_of, tokenizer_of

NORMALIZER = normalizer_of(tokenizer_of(config().model))
WORDS = st.sampled_from(
    ("the", "a", "Dog", "dog's", "cat,", "isn't", "colour", "two", "twenty-one", "uh", "it!", "3", "we're", "Mr.")
)
SENTENCES = st.lists(WORDS, min_size=0, max_size=8).map(" ".join)


@given(st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=6))
def test_rates_are_jiwers_on_normalised_text(pairs):
    said, heard = ([NORMALIZER(text) for text in side] for side in zip(*pairs, strict=True))
    words, letters = (
        [errors(h, s) for h, s in zip(heard, said, strict=True)] for errors in (word_errors, character_errors)
    )
    spoken = [(h, s) for h, s in zip(heard, said, strict=True) if s]  # jiwer refuses empty references
    if spoken:
        heard_, said_ = ([pair[side] for pair in spoken] for side in (0, 1))
        counted = [pair for pair, s in zip(words, said, strict=True) if s]
        assert rate(counted) == pytest.approx(jiwer.wer(said_, heard_))
        counted = [pair for pair, s in zip(letters, said, strict=True) if s]
        assert rate(counted) == pytest.approx(jiwer.cer(said_, heard_))


def test_pooled_over_utterances_not_averaged():
    heard = [Heard("3-4", "one word more here", "one word more here"), Heard("12+", "dog", "cat")]
    found = validation_metrics(heard, cer=True, per_age=True)
    assert found["val_wer"] == pytest.approx(1 / 5)
    assert found["val_wer.3-4"] == 0 and found["val_wer.12_and_up"] == 1
    assert found["val_cer"] == pytest.approx(3 / 21)
    assert list(found) == ["val_wer", "val_cer", "val_wer.3-4", "val_wer.12_and_up"]


def test_saying_nothing_scores_the_worst_and_too_much_scores_more():
    assert validation_metrics([Heard("3-4", "a dog", "")], False, False) == {"val_wer": OBJECTIVE.worst}
    assert validation_metrics([Heard("3-4", "a", "b c d")], False, False)["val_wer"] == 3.0


def test_insertions_into_silence_count():
    heard = [Heard("3-4", "", "a b"), Heard("3-4", "dog", "dog")]
    assert validation_metrics(heard, False, False)["val_wer"] == 2.0
    assert rate([(0, 0)]) == 0.0 and rate([(2, 0)]) == 1.0


@pytest.mark.parametrize(
    ("text", "normal"),
    [("The Cat isn't  red!", "the cat is not red"), ("uh, seven", "7"), ("MR. Smith [laughs]", "mister smith")],
)
def test_the_normaliser(text, normal):
    assert NORMALIZER(text) == normal
