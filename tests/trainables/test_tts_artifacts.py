import numpy as np
import pytest
import torch
from synthetic_clips import BASE, folder

from spaces import strict_yaml
from spaces.paths import with_values
from trainables import train
from trainables.registry import model_named
from trainables.tts import sound
from trainables.tts.corpus import load
from trainables.tts.run import TtsRun


def best(path, data):
    content = {"model": "tts", "data": {"data_dir": str(data)}, "seed": 1, "steps": 5, "config": BASE}
    path.write_text(strict_yaml.dumps(with_values(content, {"config.training.epochs": 5})), encoding="utf-8")
    return path


def test_sentences_are_spoken_and_drawn(tmp_path):
    data, out = folder(tmp_path / "d"), tmp_path / "out"
    assert train.main([str(best(tmp_path / "best.yaml", data)), "--artifacts", str(out)]) == 0
    written = sorted(path.name for path in out.iterdir())
    assert written == sorted(f"c{n}{suffix}" for n in (10, 8, 9) for suffix in (".png", ".reference.wav", ".wav"))
    assert (out / "c8.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    true, reference = sound.read(data / "wavs" / "c8.wav", 22050), sound.read(out / "c8.reference.wav", 22050)
    assert abs(len(true) - len(reference)) <= 256

    def loudness(x):
        return np.abs(x[: len(x) // 256 * 256]).reshape(-1, 256).mean(axis=1)

    n = min(len(loudness(true)), len(loudness(reference)))
    assert loudness(reference)[:n].mean() == pytest.approx(loudness(true)[:n].mean(), rel=0.2)


def test_they_are_of_the_weights_that_best_yaml_says_and_change_none(tmp_path):
    data, one, two = (tmp_path / name for name in ("d", "one", "two"))
    folder(data)
    assert train.main([str(best(tmp_path / "best.yaml", data)), "--artifacts", str(one)]) == 0
    config = model_named("tts").parse(with_values(BASE, {"training.epochs": 5}), "c")
    run = TtsRun(config, load(data, config.data, "digest"), 1)
    run.train(5)
    before = {name: weight.clone() for name, weight in run.network.state_dict().items()}
    two.mkdir()
    run.artifacts(two)
    assert (one / "c8.wav").read_bytes() == (two / "c8.wav").read_bytes()
    assert all(torch.equal(before[name], weight) for name, weight in run.network.state_dict().items())
