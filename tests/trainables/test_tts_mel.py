import numpy as np
import pytest
import torch
from synthetic_clips import folder, tones, write_wav

from trainables.sounds import mel_filters
from trainables.tts import mel, sound
from trainables.tts.corpus import load
from trainables.tts.data import read
from trainables.tts.sections import Dataset

DATA = Dataset()


def numpy_mel(samples):
    """The frames by numpy's own FFT."""
    padded = np.pad(samples.astype(np.float64), 512, mode="reflect")
    n = np.arange(1024)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 1024)
    starts = range(0, len(padded) - 1024 + 1, 256)
    spectrum = np.abs(np.fft.rfft([padded[s : s + 1024] * window for s in starts], axis=1))
    return np.log(
        np.maximum(spectrum @ mel_filters(22050, 1024, 80, 0.0, 8000.0).T.astype(np.float32).astype(np.float64), 1e-5)
    )


def test_frames_against_numpy():
    samples = (tones("abcde") + 0.01 * np.random.default_rng(0).normal(size=5 * 1984)).astype(np.float32)
    found = mel.log_mel(torch.from_numpy(samples), DATA).numpy()
    expected = numpy_mel(samples)
    assert found.shape == expected.shape == (1 + len(samples) // 256, 80)
    assert np.allclose(found, expected, atol=2e-3)


def test_silence_is_the_floor():
    assert np.allclose(mel.log_mel(torch.zeros(4000), DATA).numpy(), np.log(1e-5))


def test_filters_are_slaneys_triangles():
    filters = mel_filters(22050, 1024, 80, 0.0, 8000.0)
    hertz = np.arange(513) * 22050 / 1024
    assert filters.shape == (80, 513) and (filters >= 0).all() and not filters[:, hertz > 8000].any()
    wide = filters[40:]  # below, a triangle is hardly wider than a line of the spectrum
    assert np.allclose(wide.sum(axis=1) * 22050 / 1024, 1.0, atol=0.05)  # of area 1
    peaks = hertz[filters.argmax(axis=1)]
    low = peaks[peaks < 900]
    assert np.allclose(np.diff(low), np.diff(low).mean(), atol=22)  # linear below 1 kHz


def test_filters_are_librosas():
    """Its filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=0, fmax=8000), by the formula of its corners."""
    top = 15 + 27 * np.log(8000 / 1000) / np.log(6.4)
    corners = np.linspace(0, top, 82)
    hertz = np.where(corners < 15, corners * 200 / 3, 1000 * 6.4 ** ((corners - 15) / 27))
    filters = mel_filters(22050, 1024, 80, 0.0, 8000.0)
    grid = np.arange(513) * 22050 / 1024
    for k in (0, 20, 50, 79):
        up, down = (grid - hertz[k]) / (hertz[k + 1] - hertz[k]), (hertz[k + 2] - grid) / (hertz[k + 2] - hertz[k + 1])
        expected = np.clip(np.minimum(up, down), 0, None) * 2 / (hertz[k + 2] - hertz[k])
        assert np.allclose(filters[k], expected, atol=1e-6)


def test_a_corpus_has_as_many_frames_as_its_clips_say(tmp_path):
    path = folder(tmp_path / "d")
    for config in (DATA, Dataset(max_mel_frames=40, too_long="cut")):
        corpus = read(path, config)
        found = mel.mels_of(corpus.train, config)
        for index, clip in enumerate(corpus.train):
            whole = mel.log_mel(torch.from_numpy(sound.read(clip.path, 22050)), config).numpy()
            assert np.array_equal(found.clip(index), whole[: clip.frames])
            assert clip.id in corpus.cut or clip.frames == len(whole)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("samples", [3001, 4096, 7777])
def test_the_head_tells_the_frames_at_any_rate(tmp_path, rate, samples):
    path = folder(tmp_path / "d", train=1, validation=1)
    for name in ("c0", "c1"):
        write_wav(path / "wavs" / f"{name}.wav", np.zeros(samples * rate // 8000), rate)
    clip = read(path, DATA).train[0]
    assert mel.log_mel(torch.from_numpy(sound.read(clip.path, 22050)), DATA).shape[0] == clip.frames


def test_frames_are_kept_by_content(tmp_path, monkeypatch):
    path = folder(tmp_path / "d")
    clips = read(path, DATA).train
    first = mel.mels_of(clips, DATA)
    monkeypatch.setattr(sound, "read", None)  # no sound is read any more
    again = mel.mels_of(clips, DATA)
    assert np.array_equal(first.flat, again.flat)
    moved = read(folder(tmp_path / "elsewhere"), DATA).train
    assert np.array_equal(mel.mels_of(moved, DATA).flat, first.flat)
    with pytest.raises(TypeError):  # another setting, other frames
        mel.mels_of(clips, Dataset(hop_length=128))


def test_frames_are_mapped_not_copied_into_each_process(tmp_path):
    mels = mel.mels_of(read(folder(tmp_path / "d"), DATA).train, DATA)
    assert isinstance(mels.flat, np.memmap) and isinstance(mels.clip(2), np.memmap)
    assert not mels.flat.flags.writeable and mels.clip(2).base is not None


def test_mean_and_scale_are_of_the_training_frames(tmp_path):
    path = folder(tmp_path / "d")
    loaded = load(path, DATA, "digest")
    flat = loaded.train.mels.flat.astype(np.float64)
    assert np.allclose(loaded.mel_mean, flat.mean(axis=0), atol=1e-5)
    assert float(loaded.mel_scale) == pytest.approx(np.sqrt(flat.var(axis=0).mean()), rel=1e-5)


def test_a_worker_reads_clips_once_unless_what_they_are_changes(tmp_path):
    path = folder(tmp_path / "d")
    one = load(path, DATA, "digest")
    assert load(path, Dataset(batch_size=2, train_clips=5, mcd_sentences=0), "digest") is one
    assert load(path, DATA, "another") is not one and load(path, Dataset(n_mels=40), "digest") is not one


def test_griffin_lim_gives_a_sound_with_about_these_frames():
    samples = torch.from_numpy(tones("abcde").astype(np.float32))
    frames = mel.log_mel(samples, DATA)
    heard = mel.griffin_lim(frames, DATA)
    assert len(heard) == (len(frames) - 1) * 256
    again = mel.log_mel(heard, DATA)
    loud = frames > frames.max() - 6
    assert float((again - frames)[loud].abs().mean()) < 0.35
    assert torch.equal(heard, mel.griffin_lim(frames, DATA))  # reproducible
    rough = mel.log_mel(mel.griffin_lim(frames, DATA, rounds=1), DATA)
    assert float((again - frames)[loud].abs().mean()) < float((rough - frames)[loud].abs().mean())
