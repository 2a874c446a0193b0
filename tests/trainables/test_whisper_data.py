"""The loader of whisper_child: manifests, sound, features and the split; and what it says of what it can't use."""

import json
import math

import numpy as np
import pytest
import rounding
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusing import refusing
from synthetic_children import row, write_manifest
from transformers import WhisperFeatureExtractor

from spaces.problems import BadInput
from trainables.registry import model_named
from trainables.whisper_child import audio, features
from trainables.whisper_child.ages import DOCUMENTED, held_out, in_order, lower_bound
from trainables.whisper_child.data import Data, corpus_at, prepare_data, read
from trainables.whisper_child.features import features_of, log_mel
from trainables.whisper_child.manifest import read_manifest
from trainables.whisper_child.model import network_of
from trainables.whisper_child.tokens import tokenizer_of

RATE = 16000


def tone(seconds=0.5, rate=RATE, hertz=440.0, channels=1):
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1) if channels > 1 else wave


@pytest.fixture
def folder(tmp_path):
    """Four children of two ages with three utterances each."""
    sounds = tmp_path / "audio" / "deeper"
    sounds.mkdir(parents=True)
    rows = [row(i, child=f"c{i % 4}", age=("5-7", "12+")[i % 2], text=f"a dog {i}") for i in range(12)]
    for i in range(12):
        soundfile.write(str(sounds / f"u{i}.{'flac' if i % 3 else 'wav'}"), tone(0.3 + 0.02 * i), RATE)
        rows[i]["audio_path"] = f"elsewhere/u{i}.{'flac' if i % 3 else 'wav'}"
    write_manifest(tmp_path / "train.jsonl", rows)
    return tmp_path


def settings(**values):
    native = {"model": {"pretrained": None, "random_init": {}}, "data": {"target_length": 0.6, "train_utterances": 6}}
    native["inference"] = {"max_length": 24}
    native["data"].update(values)
    return model_named("whisper_child").parse(native, "c")


def files(folder):
    return Data(train_manifest=str(folder / "train.jsonl"), audio_dirs=(str(folder / "audio"),))


def rewrite(folder, change):
    path = folder / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_manifest(path, change(rows) or rows)


# Reading.


def test_a_users_files_are_read(folder):
    prepared = prepare_data(files(folder), settings())
    assert prepared.summary.startswith(
        "6 training utterances of 2 children, 6 validation utterances of 2 others, 0.0014 h; ages 5-7 3+3, 12+ 3+3"
    )
    corpus = corpus_at(prepared.path, prepared.digest, settings())
    assert [u.text for u in corpus.utterances] == [f"a dog {i}" for i in range(12)]
    assert corpus.features.clip(3).shape == (80, 60)


def test_the_configs_own_paths_are_taken_where_data_names_none(folder):
    config = settings(train_manifest=str(folder / "train.jsonl"), audio_dirs=[str(folder / "audio")])
    assert prepare_data(Data(), config).digest == prepare_data(files(folder), settings()).digest
    with refusing("data: names no utterances, without which your script ends: give train_manifest and audio_dirs"):
        prepare_data(Data(), settings())


def test_the_digest_follows_what_is_heard_and_said(folder):
    first = prepare_data(files(folder), settings()).digest
    rewrite(folder, lambda rows: rows[0].update(orthographic_text="a cat"))
    other_text = prepare_data(files(folder), settings()).digest
    sound = folder / "audio" / "deeper" / "u1.flac"
    soundfile.write(str(sound), tone(0.4), RATE)
    other_sound = prepare_data(files(folder), settings()).digest
    assert len({first, other_text, other_sound}) == 3
    moved = folder / "moved"
    (folder / "audio").rename(moved)
    elsewhere = Data(train_manifest=str(folder / "train.jsonl"), audio_dirs=(str(moved),))
    assert prepare_data(elsewhere, settings()).digest == other_sound


def test_pretrained_weights_are_looked_for_first_and_belong_to_the_digest(folder):
    tokenizer, digests = tokenizer_of(settings().model), []
    for seed in (0, 1, 1):
        place = folder / f"weights {seed}"
        torch.manual_seed(seed)
        network_of(settings(), tokenizer).save_pretrained(place)
        tokenizer.save_pretrained(place)
        config = settings()
        model = config.model.model_copy(update={"pretrained": str(place), "random_init": None})
        digests.append(prepare_data(files(folder), config.model_copy(update={"model": model})).digest)
    assert digests[0] != digests[1] == digests[2] != prepare_data(files(folder), settings()).digest
    with refusing(r"data.target_length: is 0.7 s, the pretrained encoder, also your script's, hears 0.6 s"):
        prepare_data(files(folder), settings(target_length=0.7).model_copy(update={"model": model}))
    weights = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(weights[:-8])
    with refusing(r"model.pretrained: the weights in .* can't be read, by your script either: "):
        prepare_data(files(folder), config.model_copy(update={"model": model}))
    (place / "model.safetensors").unlink()
    with refusing(r"model.pretrained: .* lacks model.safetensors, .*; with a connection, run"):
        prepare_data(files(folder), config.model_copy(update={"model": model}))


@pytest.mark.parametrize("planned", [6, 7])
def test_the_data_says_how_many_utterances_there_are_to_train_on(folder, planned):
    prepared = prepare_data(files(folder), settings(train_utterances=planned))
    assert prepared.keys == {"data.train_utterances": 6}
    assert prepared.digest == prepare_data(files(folder), settings(train_utterances=6)).digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"orthographic_text": "  "}, r"line 3: orthographic_text is empty"),
        ({"orthographic_text": None}, r"line 3: orthographic_text is missing"),
        ({"age_bucket": "teen"}, r"line 3: age_bucket 'teen' is no age bucket; write it as 5-7, 12\+ or unknown"),
        ({"age_bucket": "9-7"}, r"line 3: age_bucket '9-7' is no age bucket"),
        ({"age_bucket": 5}, r"line 3: age_bucket '5' is no age bucket"),
        ({"utterance_id": "u0"}, r"line 3: utterance_id 'u0' stands in line 1, too"),
        ({"child_id": ""}, r"line 3: child_id is empty"),
    ],
)
def test_a_bad_line_is_named(folder, change, said):
    rewrite(folder, lambda rows: rows[2].update(change))
    with refusing(said):
        prepare_data(files(folder), settings())


def test_a_line_of_the_file_ends_at_its_line_end_only(folder):
    path = folder / "train.jsonl"
    rows = path.read_text().splitlines()
    row = {**json.loads(rows[0]), "orthographic_text": "one\u2028two\x85three"}
    path.write_text("\r\n".join([json.dumps(row, ensure_ascii=False), *rows[1:]]))
    found = read_manifest(path, [folder / "audio"])
    assert found.utterances[0].text == "one two three" and len(found.utterances) == len(rows)


def test_all_bad_lines_are_reported_together(folder):
    path = folder / "train.jsonl"
    lines = path.read_text().splitlines()
    lines[0], lines[1] = "{not json", "[1]"
    path.write_text("\n".join(lines))
    with refusing() as error:
        prepare_data(files(folder), settings())
    assert [problem.where.rpartition("line ")[2] for problem in error.value.problems] == ["1", "2"]


def test_missing_audio_is_listed_and_bounded(tmp_path):
    (tmp_path / "audio").mkdir()
    for i in range(2, 200):
        (tmp_path / "audio" / f"u{i}.wav").touch()
    manifest = write_manifest(tmp_path / "m.jsonl", [row(i) for i in range(200)])
    found = read_manifest(manifest, [tmp_path / "audio"])
    assert found.missing == ("u0", "u1")  # exactly 1%
    assert len(found.utterances) == 198
    (tmp_path / "audio" / "u2.wav").unlink()
    with refusing(r"3 of 200 utterances have no flac or wav .*: u0, u1, u2; at most 1% may be"):
        read_manifest(manifest, [tmp_path / "audio"])


def test_left_out_utterances_are_counted_in_the_summary(tmp_path):
    (tmp_path / "audio").mkdir()
    for i in range(1, 100):
        soundfile.write(str(tmp_path / "audio" / f"u{i}.wav"), tone(0.1), RATE)
    write_manifest(tmp_path / "train.jsonl", [row(i, child=f"c{i % 2}") for i in range(100)])
    prepared = prepare_data(files(tmp_path), settings())
    assert prepared.summary.endswith("1 left out as their audio is missing: u0")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no sound at all", "can't be read as sound"), (b"", "can't be read as sound"), (None, "holds no sound")],
)
def test_unreadable_audio_is_named(folder, content, said):
    path = folder / "audio" / "deeper" / "u3.wav"
    if content is None:
        soundfile.write(str(path), np.zeros(0), RATE)
    else:
        path.write_bytes(content)
    with refusing(rf"u3.wav: {said}"):
        prepare_data(files(folder), settings())


def test_transcripts_longer_than_the_decoder_are_named(folder):
    rewrite(folder, lambda rows: rows[4].update(orthographic_text="long " * 100))
    with refusing(r"1 transcripts have more than 64 labels, .*: u4 \(503\); cut them"):
        prepare_data(files(folder), settings())


def test_no_folder_and_no_manifest(folder):
    with refusing(r"nowhere: no such folder"):
        prepare_data(Data(train_manifest=str(folder / "train.jsonl"), audio_dirs=("/nowhere",)), settings())
    with refusing(r"absent.jsonl: can't be read: No such file"):
        prepare_data(Data(train_manifest="absent.jsonl", audio_dirs=(str(folder),)), settings())


def test_one_child_per_bucket_leaves_nothing_to_validate_on(folder):
    rewrite(folder, lambda rows: [each.update(child_id=each["age_bucket"]) for each in rows] and None)
    with refusing("has no child to validate on"):
        prepare_data(files(folder), settings())


# Sound.


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_any_rate_and_channel_count(tmp_path, rate, channels, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(str(path), tone(0.5, rate, channels=channels), rate)
    sound = audio.read(path, RATE, 30.0, False)
    assert sound.dtype == np.float32 and abs(len(sound) - RATE // 2) <= 1
    spectrum = np.abs(np.fft.rfft(sound[:8000]))
    assert abs(int(spectrum.argmax()) * RATE / 8000 - 440) <= 2
    middle = sound[1000:-1000]
    assert abs(np.sqrt(np.mean(middle**2)) - 0.5 / np.sqrt(2)) < 0.01


def test_long_sound_is_cut_and_a_quiet_one_can_be_scaled(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(str(path), 0.1 * tone(2.0, 8000), 8000)
    assert len(audio.read(path, RATE, 1.25, False)) == 20000
    assert np.abs(audio.read(path, RATE, 1.25, True)).max() == pytest.approx(1.0)
    np.testing.assert_allclose(
        audio.read(path, RATE, 1.25, False), audio.read(path, RATE, 2.0, False)[:20000], atol=1e-6
    )


# Features.


def log_mel_rounding(features):
    """How far features may be apart where one side computes its spectrum in single precision.

    An FFT of n samples errs by log2(n) u of the spectrum's norm at most (Higham, section 24.1), here some 1.7 times the
    loudest line: a Hann window's two halves of three lines. A mel bin takes up to 12 lines; its amplitude lies 10^(2d)
    below the loudest one's, where its feature, (log10(power) + 4)/4, lies d below the greatest.
    """
    amplitude = 1.7 * math.log2(400) * rounding.of_sum(1) * math.sqrt(12) * 10 ** (2 * (features.max() - features))
    return 2 / math.log(10) / 4 * amplitude + rounding.of_sum(4)


@pytest.mark.parametrize("seconds", [0.013, 0.3, 0.755, 1.0, 1.5])
@pytest.mark.parametrize("bins", [80, 128])
def test_log_mel_is_that_of_the_feature_extractor(seconds, bins):
    rng = np.random.default_rng(0)
    sound = (tone(seconds) + 0.01 * rng.standard_normal(round(seconds * RATE))).astype(np.float32)
    extractor = WhisperFeatureExtractor(feature_size=bins)
    theirs = extractor(sound, sampling_rate=RATE, max_length=RATE, return_tensors="np").input_features[0]
    rows, frames, floor = log_mel(sound, bins, 100)
    ours = np.full((bins, 100), floor, np.float32)
    ours[:, : len(rows)] = rows.T
    assert (np.abs(ours - theirs) <= log_mel_rounding(theirs)).all()
    assert frames == min(100, -(-len(sound) // 160))


def test_silence_has_features(tmp_path):
    rows, _, floor = log_mel(np.zeros(1600, np.float32), 80, 40)
    assert np.isfinite(rows).all() and np.all(rows == np.float32(floor))


def test_features_are_computed_once_per_content(folder, monkeypatch):
    prepare_data(files(folder), settings())
    monkeypatch.setattr(features, "log_mel", None)  # nothing may be computed again
    prepared = prepare_data(files(folder), settings())
    corpus_at(prepared.path, prepared.digest + " ", settings())
    soundfile.write(str(folder / "audio" / "deeper" / "u1.flac"), tone(0.41), RATE)
    with pytest.raises(TypeError):
        prepare_data(files(folder), settings())


def test_kept_features_are_what_was_computed(folder):
    paths = sorted((folder / "audio").rglob("u*.*"))
    kept = features_of(paths, RATE, 0.6, 80, 60, False)
    for index, path in enumerate(paths):
        rows, frames, floor = log_mel(audio.read(path, RATE, 0.6, False), 80, 60)
        clip = kept.clip(index)
        np.testing.assert_array_equal(clip[:, : len(rows)], rows.T)
        assert (clip[:, len(rows) :] == np.float32(floor)).all() and kept.frames[index] == frames


# Ages and the split.


def test_age_order():
    assert in_order(["unknown", "12+", "3-4", "8-11", "5-7"]) == ["3-4", "5-7", "8-11", "12+", "unknown"]
    assert in_order(reversed(DOCUMENTED)) == list(DOCUMENTED)
    assert lower_bound("13+") == 13 and lower_bound("unknown") == float("inf")


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(DOCUMENTED)), min_size=1, max_size=150),
    st.floats(0.05, 0.5),
    st.integers(0, 5),
)
def test_the_split_keeps_children_together_and_ages_on_both_sides(said, ratio, seed):
    ages = dict(said)  # one bucket per child
    utterances = {f"c{child}": [age] * (1 + child % 7) for child, age in ages.items()}
    kept, alone = held_out(utterances, ratio, seed, True)
    assert kept == held_out(dict(reversed(utterances.items())), ratio, seed, True)[0]
    by_age = {age: {f"c{c}" for c, a in ages.items() if a == age} for age in set(ages.values())}
    for age, names in by_age.items():
        assert (age in alone) == (len(names) == 1)
        if len(names) > 1:
            assert 0 < len(kept & names) < len(names)


def test_a_child_is_on_one_side_whatever_its_buckets(folder):
    rewrite(folder, lambda rows: [each.update(age_bucket="8-11") for each in rows[:3]] and None)
    corpus = read(folder / "train.jsonl", [folder / "audio"], settings().data, 42)
    sides = [{corpus.utterances[i].child for i in side} for side in (corpus.train, corpus.validation)]
    assert not sides[0] & sides[1] and all(sides)
    assert sorted((*corpus.train, *corpus.validation)) == list(range(12))


def test_another_seed_splits_otherwise():
    utterances = {f"c{i}": ["5-7"] * 3 for i in range(40)}
    assert held_out(utterances, 0.1, 1, True)[0] != held_out(utterances, 0.1, 2, True)[0]
    assert len(held_out(utterances, 0.1, 1, True)[0]) == 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"generate": {}, "data_dir": "x"}, "at most one of generate, data_dir and train_manifest"),
        ({"train_manifest": "x"}, "train_manifest and audio_dirs go together"),
        ({"generate": {"children": 1}}, "generate.children"),
        ({"generat": {}}, "did you mean 'generate'"),
    ],
)
def test_the_data_section_is_checked(data, said):
    with pytest.raises(BadInput, match=said):
        model_named("whisper_child").parse_data(data, settings(), "search.yaml")
