"""Pronunciation by espeak-ng: the words as a dictionary has them, repeatable, and complete in their symbols."""

import struct
import subprocess
import sys
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest

from spaces.problems import BadInput
from trainables.diphone_rnn import espeak
from trainables.diphone_rnn.espeak import SYMBOLS, words_of
from trainables.diphone_rnn.phonemes import PHONEMES
from trainables.diphone_rnn.sentences import is_held_out, sentence


def said(text):
    return [" ".join(word.phonemes) for word in words_of(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat sat.", ["DH AH", "K AE T", "S AE T"]),
        ("Judge a measure!", ["JH AH JH", "AH", "M EH ZH ER"]),
        ("where are you going", ["W EH R", "AA R", "Y UW", "G OW IH NG"]),
        ("For an hour.", ["F ER AH N", "AW ER"]),  # two words run together by espeak-ng
        ("boys think", ["B OY Z", "TH IH NG K"]),
        ("little water", ["L IH T AH L", "W AO T ER"]),
        ("fire, button", ["F AY ER", "B AH T AH N"]),
        ("top of the hill", ["T AA P", "AH V DH AH", "HH IH L"]),
        ("", []),
        ("...", []),
    ],
)
def test_words_and_phonemes(text, words):
    assert said(text) == words


def test_the_same_text_sounds_the_same_whatever_came_before():
    rng = np.random.default_rng(1)
    texts = [sentence(rng, False, "large") for _ in range(40)]
    first = {text: words_of(text) for text in texts}
    for number, text in enumerate(reversed(texts)):
        words_of(f"Number {number} is something else entirely!")
        assert words_of(text) == first[text]
    script = "import sys; from trainables.diphone_rnn.espeak import words_of; print(words_of(sys.argv[1]))"
    elsewhere = subprocess.run([sys.executable, "-c", script, texts[7]], capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == repr(first[texts[7]])


def test_durations_are_speech_like():
    words = words_of("My mother painted the yellow window this morning.")
    seconds = np.array([s for word in words for s in word.seconds])
    assert (seconds >= 0).all()
    assert 0.03 < np.median(seconds) < 0.2
    assert 1.5 < seconds.sum() < 4  # 8 words at about 200 per minute
    assert all(len(word.phonemes) == len(word.seconds) for word in words)


def test_symbols_map_to_phonemes():
    names = {name for phonemes in SYMBOLS.values() for name in phonemes}
    assert names == set(PHONEMES[1:40])
    assert all(1 <= len(phonemes) <= 2 for phonemes in SYMBOLS.values())


def english_symbols():
    """The mnemonics of the tables that the voice en-us is made of, as espeak-ng's `phontab` lists them: per table, 4
    bytes with its length, 32 of its name, then 16 per phoneme, whose first 4 are the mnemonic."""
    content = Path(espeakng_loader.get_data_path(), "phontab").read_bytes()
    tables, at = {}, 4
    for _ in range(content[0]):
        n, name = content[at], content[at + 4 : at + 36].split(b"\0")[0].decode()
        entries = (content[at + 36 + 16 * i : at + 40 + 16 * i] for i in range(n))
        tables[name] = [struct.unpack("4s", entry)[0].rstrip(b"\0").decode("latin1") for entry in entries]
        at += 36 + 16 * n
    return {*tables["en"], *tables["en-us"]}


def test_every_symbol_of_the_voice_is_known():
    missing = {name for name in english_symbols() if name and name not in SYMBOLS and name not in espeak.SILENT}
    assert not missing


def test_what_is_no_english_is_refused():
    with pytest.raises(BadInput, match=r"sentence '.*': espeak-ng says '.*', which is no English phoneme known here"):
        words_of("Это ключ")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(BadInput, match=r"espeakng-loader; install it: pip install 'schedule-search\[diphone\]'"):
        espeak._library.__wrapped__()


@pytest.mark.parametrize(("vocabulary", "least", "most"), [("small", 45, 50), ("large", 250, 300)])
def test_sentences_are_many_and_speakable(vocabulary, least, most):
    rng = np.random.default_rng(0)
    texts = [sentence(rng, False, vocabulary) for _ in range(2000)]
    assert least <= len({word.strip(".,?").lower() for text in texts for word in text.split()}) <= most
    assert len(set(texts[:300])) > 290
    assert all(4 <= len(text.split()) <= 16 and text[0].isupper() and text[-1] in ".?" for text in texts)
    spoken = {name for text in texts[:300] for word in words_of(text) for name in word.phonemes}
    assert spoken == set(PHONEMES[1:40])


@pytest.mark.parametrize("vocabulary", ["small", "large"])
def test_sentences_kept_for_validation_are_others(vocabulary):
    rng = np.random.default_rng(0)
    kept = {sentence(rng, True, vocabulary) for _ in range(50)}
    others = {sentence(rng, False, vocabulary) for _ in range(200)}
    assert not kept & others
    assert all(map(is_held_out, kept)) and not any(map(is_held_out, others))
