import sys
from pathlib import Path

import numpy as np
import pytest
from refusing import refusing
from synthetic_clips import folder, tones, write_wav

from spaces.problems import BadInput
from trainables.registry import model_named
from trainables.tts import sound
from trainables.tts.corpus import load
from trainables.tts.data import Data, prepare_data, read, shortened, summary
from trainables.tts.generate import Generate, generated
from trainables.tts.metadata import read_metadata
from trainables.tts.sections import Dataset
from trainables.tts.text import SYMBOLS, encode

MODEL = model_named("tts")


def prepared(path, **values):
    return prepare_data(Data(data_dir=str(path)), Dataset(**values))


def edit(path, file, old, new):
    text = (path / file).read_text(encoding="utf-8")
    assert old in text
    (path / file).write_text(text.replace(old, new), encoding="utf-8")


# A folder that is right.


def test_a_folder_is_read(tmp_path):
    corpus = read(folder(tmp_path / "d"), Dataset())
    assert [clip.id for clip in corpus.train] == [f"c{n}" for n in range(8)]
    assert [clip.id for clip in corpus.validation] == [f"c{n}" for n in range(8, 12)]
    clip = corpus.train[0]
    assert clip.symbols == encode("abc", "characters", "") and clip.frames == 1 + 3 * round(22050 * 0.09) // 256
    assert summary(corpus, Dataset()) == "8 training and 4 validation clips, 0.1 min of sound"


def test_two_fields_or_three_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "m.csv"
    file.write_bytes("\ufeffa|Dr. Who|doctor who\r\nc|said|\r\n\r\n".encode())
    assert [(line.id, line.text) for line in read_metadata(file)] == [("a", "doctor who"), ("c", "said")]
    file.write_text("a|Dr. Who\nb|plain\n", encoding="utf-8")
    assert [(line.id, line.text) for line in read_metadata(file)] == [("a", "Dr. Who"), ("b", "plain")]


def test_sounds_to_train_and_to_validate_on_may_lie_apart(tmp_path):
    path = folder(tmp_path / "d")
    (path / "eval").mkdir()
    for number in range(8, 12):
        (path / "wavs" / f"c{number}.wav").rename(path / "eval" / f"c{number}.wav")
    apart = Dataset(wavs_train_dir="wavs", wavs_eval_dir="eval")
    assert [clip.path.parent.name for clip in read(path, apart).validation] == ["eval"] * 4
    with refusing("wavs/c8.wav: no such file"):
        read(path, Dataset(wavs_train_dir="wavs"))


def test_another_rate_is_resampled_and_said_once(tmp_path):
    corpus = read(folder(tmp_path / "slow", rate=8000), Dataset())
    own = read(folder(tmp_path / "own"), Dataset())
    said = summary(corpus, Dataset())
    assert said.count("resampled") == 1 and "12 of them at another rate, resampled to 22050 Hz" in said
    assert [c.frames for c in corpus.train] == [c.frames for c in own.train]
    heard = sound.read(corpus.train[0].path, 22050)
    expected = sound.read(own.train[0].path, 22050)
    assert abs(len(heard) - len(expected)) <= 3  # 9 hundredths of a second are no whole number of samples
    n = min(len(heard), len(expected))
    assert np.corrcoef(heard[:n], expected[:n])[0, 1] > 0.95  # the same tones


def test_stereo_becomes_mono(tmp_path):
    path = folder(tmp_path / "d")
    mono = sound.read(path / "wavs" / "c0.wav", 22050)
    write_wav(path / "wavs" / "c0.wav", tones("abc"), channels=2)
    assert np.allclose(sound.read(path / "wavs" / "c0.wav", 22050), mono, atol=1e-4)
    assert read(path, Dataset()).train[0].frames == 1 + len(mono) // 256


def test_a_written_sound_is_read_back(tmp_path):
    said = np.linspace(-0.9, 0.9, 500).astype(np.float32)
    sound.write(tmp_path / "x.wav", said, 22050)
    assert np.allclose(sound.read(tmp_path / "x.wav", 22050), said, atol=1e-4)
    sound.write(tmp_path / "x.wav", 4 * said, 22050)  # too loud: scaled, not clipped
    assert np.allclose(sound.read(tmp_path / "x.wav", 22050), said / 0.9, atol=1e-3)


def test_the_digest_is_of_the_content(tmp_path):
    one, other = prepared(folder(tmp_path / "a")), prepared(folder(tmp_path / "b"))
    assert one.digest == other.digest
    write_wav(tmp_path / "b" / "wavs" / "c3.wav", tones("bbb"))
    assert prepared(tmp_path / "b").digest != one.digest
    edit(tmp_path / "a", "metadata_train.csv", "|abc\n", "|abd\n")
    assert prepared(tmp_path / "a").digest != one.digest


# What is too long.


def test_too_long_clips_are_dropped_and_counted(tmp_path):
    limit = Dataset(max_mel_frames=40)
    corpus = read(folder(tmp_path / "d"), limit)
    kept = {clip.id for clip in (*corpus.train, *corpus.validation)}
    assert corpus.dropped and kept.isdisjoint(corpus.dropped) and len(kept) + len(corpus.dropped) == 12
    assert all(clip.frames <= 40 for clip in (*corpus.train, *corpus.validation))
    said = summary(corpus, limit)
    assert (
        f"{len(corpus.dropped)} dropped for being longer than max_mel_frames 40" in said and corpus.dropped[0] in said
    )


def test_or_cut_in_text_and_sound_together(tmp_path):
    whole = {clip.id: clip for clip in read(folder(tmp_path / "d"), Dataset()).train}
    corpus = read(tmp_path / "d", Dataset(max_mel_frames=40, too_long="cut"))
    assert corpus.cut and not corpus.dropped and len(corpus.train) == 8
    for clip in corpus.train:
        assert clip.frames <= 40
        if clip.id in corpus.cut:
            before = whole[clip.id]
            assert before.symbols[: len(clip.symbols)] == clip.symbols and len(clip.symbols) < len(before.symbols)
            share = len(clip.symbols) / len(before.symbols)
            assert clip.frames == round(before.frames * share)
    by_text = read(tmp_path / "d", Dataset(max_text_length=4, too_long="cut"))
    assert all(len(clip.symbols) <= 4 for clip in by_text.train) and by_text.cut


@pytest.mark.parametrize(("share", "left"), [(1.0, "ab cde f"), (0.9, "ab cde"), (0.5, "ab"), (0.1, None)])
def test_texts_are_cut_between_words(share, left):
    assert shortened("ab cde f", share) == left


def test_nothing_left(tmp_path):
    with refusing(r"no clip is left to train on \(12 are longer.*raise the limits, or set too_long"):
        read(folder(tmp_path / "d"), Dataset(max_mel_frames=5))


# What is wrong, all of it at once, before training.


def problems_of(path, **values):
    with refusing() as error:
        prepared(path, **values)
    return [str(problem) for problem in error.value.problems]


def test_files_that_cannot_be_used_are_named_with_what_was_expected(tmp_path):
    path = folder(tmp_path / "d")
    (path / "wavs" / "c1.wav").unlink()
    (path / "wavs" / "c2.wav").write_bytes(b"RIFFnonsense")
    write_wav(path / "wavs" / "c3.wav", tones("abc"), width=4)
    write_wav(path / "wavs" / "c4.wav", np.zeros(0))
    write_wav(path / "wavs" / "c5.wav", np.zeros(500))
    found = problems_of(path)
    assert len(found) == 5
    for name, said in {
        "c1": "no such file; every id of the metadata has a wavs/<id>.wav",
        "c2": "can't be read",
        "c3": "holds 32-bit samples; expected 16-bit PCM",
        "c4": "holds no sound",
        "c5": "holds 500 samples at 22050 Hz, less than the 1024 of one window",
    }.items():
        assert any(f"{name}.wav: {said}" in problem for problem in found), (name, found)


def test_wrong_lines_and_wrong_files_are_named_together(tmp_path):
    path = folder(tmp_path / "d")
    (path / "wavs" / "c1.wav").unlink()
    edit(path, "metadata_train.csv", "c5|", "c5|stray|")
    edit(path, "metadata_eval.csv", "c9|", "c0|")
    found = problems_of(path)
    assert len(found) == 3 and any("c1.wav: no such file" in problem for problem in found)
    assert any("metadata_train.csv line 6: has 4 fields" in problem for problem in found)
    assert any("clip 'c0' is one to train on, too" in problem for problem in found)


def test_a_cut_off_file_is_named_when_it_is_read(tmp_path):
    path = folder(tmp_path / "d") / "wavs" / "c0.wav"
    path.write_bytes(path.read_bytes()[:-2000])
    with refusing(r"c0.wav: says \d+ samples and holds \d+; it is cut off"):
        sound.read(path, 22050)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a|b|c|d\n", "line 1: has 4 fields, expected 3 .*a stray '|' in the text splits it"),
        ("x|y\na|b|c\nz|y\n", "line 2: has 3 fields, expected 2 as in most.*a stray '|' in the text splits it"),
        ("x|y|y\na|b\nz|y|y\n", "line 2: has 2 fields, expected 3 as in most.*a part is missing"),
        ("a\n", "has 1 fields, expected 3.*a part is missing"),
        ("|said|said\n", "has no id"),
        ("../a|said\n", "id '../a' is no file name"),
        ("ok|x\nok|y\n", "line 2: id 'ok' stands in line 1 already"),
        ("a| | \n", "clip 'a' has an empty text"),
        ("\n", "holds no clip"),
    ],
)
def test_metadata_that_is_wrong(tmp_path, line, said):
    file = tmp_path / "m.csv"
    file.write_text(line, encoding="utf-8")
    with refusing(said.replace("|", r"\|")) as error:
        read_metadata(file)
    assert str(file) in str(error.value)


def test_every_wrong_line_is_named_and_latin_1_is(tmp_path):
    file = tmp_path / "m.csv"
    file.write_text("a|b|c|d\nfine|x\n|y\n", encoding="utf-8")
    with refusing() as error:
        read_metadata(file)
    assert len(error.value.problems) == 2
    file.write_bytes("a|caf\xe9\n".encode("latin-1"))
    with refusing("is not UTF-8"):
        read_metadata(file)
    with refusing("can't be read: No such file"):
        read_metadata(tmp_path / "none.csv")


def test_a_text_of_punctuation_alone_says_nothing(tmp_path):
    path = folder(tmp_path / "d")
    edit(path, "metadata_train.csv", "|abc\n", "|...\n")
    assert any("line 1: text '...' has nothing to say" in problem for problem in problems_of(path))


def test_a_clip_in_both_files(tmp_path):
    path = folder(tmp_path / "d")
    with (path / "metadata_eval.csv").open("a", encoding="utf-8") as file:
        file.write("c0|abc|abc\n")
    assert any("clip 'c0' is one to train on, too" in problem for problem in problems_of(path))


def test_no_folder_and_two_sources():
    with refusing(r"no such folder; data_dir holds metadata_train.csv"):
        prepared("/nowhere/at/all")
    for given in ({}, {"generate": {}, "data_dir": "/x"}):
        with pytest.raises(BadInput, match="expected one of generate and data_dir"):
            MODEL.parse_data(given, MODEL.parse({}, "c"), "s.yaml")


# Text.


def test_characters():
    ids = encode("  It’s  A\tdog—no. ", "characters", "")
    assert [SYMBOLS["characters"][i] for i in ids] == list("it's a dog-no.")
    assert [SYMBOLS["characters"][i] for i in encode("a☃b", "characters", "")] == ["a", "<unknown>", "b"]
    assert len(SYMBOLS["characters"]) == len(set(SYMBOLS["characters"]))


def test_phonemes():
    pytest.importorskip("espeakng_loader")
    ids = encode("My dog.", "phonemes", "")
    assert [SYMBOLS["phonemes"][i] for i in ids][:3] == ["M", "AY", " "] and 0 not in ids
    with pytest.raises(BadInput, match="line 3: text '…' has nothing to say"):
        encode("…", "phonemes", "m.csv line 3")


# Generated clips.


@pytest.fixture(scope="module")
def spoken():
    pytest.importorskip("espeakng_loader")
    return generated(Generate(sentences=10, val_share=0.3))


def test_generated_clips_are_read_like_any_others(spoken):
    corpus = read(spoken, Dataset())
    assert (len(corpus.train), len(corpus.validation), corpus.dropped) == (7, 3, ())
    assert all(20 < clip.frames < 500 for clip in corpus.train)
    lines = {line.text for line in read_metadata(spoken / "metadata_train.csv")}
    assert lines.isdisjoint(line.text for line in read_metadata(spoken / "metadata_eval.csv"))


def test_more_sentences_leave_those_there_are_and_a_seed_changes_them(spoken, tmp_path):
    from trainables.tts.generate import write

    longer, other = tmp_path / "longer", tmp_path / "other"
    longer.mkdir()
    other.mkdir()
    write(Generate(sentences=20, val_share=0.3), longer)
    write(Generate(sentences=10, val_share=0.3, seed=1), other)
    name = "metadata_train.csv"
    text = (spoken / name).read_text(encoding="utf-8")
    assert (longer / name).read_text(encoding="utf-8").startswith(text) and (other / name).read_text("utf-8") != text


def test_pitch_and_pace_vary(spoken):
    seconds = [len(sound.read(c.path, 22050)) / len(c.symbols) for c in read(spoken, Dataset()).train]
    assert np.std(seconds) / np.mean(seconds) > 0.02


def test_without_espeak_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(BadInput, match=r"pip install 'schedule-search\[tts\]'"):
        generated(Generate(sentences=10, seed=77))


def test_too_few_to_validate_on():
    with pytest.raises(ValueError, match=r"sentences 3 at val_share 0.2 leave none to validate on; ask for at least 5"):
        Generate(sentences=3)


# Real voices.

DIGITS = Path(__file__).parents[3] / "shared" / "data" / "fsdd" / "recordings"


@pytest.mark.skipif(not DIGITS.is_dir(), reason="the recorded digits (fsdd) are not on this machine")
def test_recorded_digits(tmp_path):
    path = tmp_path / "digits"
    (path / "wavs").mkdir(parents=True)
    lines = []
    for digit, name in enumerate(("zero", "one", "two")):
        for take in range(10, 14):
            file = next(DIGITS.glob(f"{digit}_*_{take}.wav"))
            (path / "wavs" / f"{digit}-{take}.wav").write_bytes(file.read_bytes())
            lines.append(f"{digit}-{take}|{name}\n")
    (path / "metadata_train.csv").write_text("".join(lines[:8]), encoding="utf-8")
    (path / "metadata_eval.csv").write_text("".join(lines[8:]), encoding="utf-8")
    found = prepared(path)
    assert found.summary.endswith("12 of them at another rate, resampled to 22050 Hz")
    loaded = load(path, Dataset(), found.digest)
    frames = loaded.train.mels.flat
    assert np.isfinite(frames).all() and frames[:, :50].mean() > frames[:, 70:].mean() + 2  # nothing above 4 kHz
