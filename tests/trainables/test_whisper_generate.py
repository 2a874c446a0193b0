"""Synthesised children: through the same loader, the same each time, and voices that follow the age."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spaces import strict_yaml
from spaces.problems import BadInput
from trainables.native import read_native
from trainables.registry import model_named
from trainables.whisper_child.ages import DOCUMENTED
from trainables.whisper_child.data import split
from trainables.whisper_child.generate import Generate, children, generated, write
from trainables.whisper_child.manifest import Manifest, Utterance, read_manifest


def test_generated_children_pass_through_the_same_loader():
    spec = Generate(children=2, utterances=2)
    folder = generated(spec)
    manifest = read_manifest(folder / "manifest.jsonl", [folder])
    assert len(manifest.utterances) == 24 and not manifest.missing
    assert {u.age for u in manifest.utterances} == set(DOCUMENTED)
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        one = json.loads(line)
        assert (folder / one["audio_path"]).stat().st_size == one["filesize_bytes"]
        assert 0.3 < one["audio_duration_sec"] < 2.2


def test_the_same_spec_sounds_the_same_in_another_process(tmp_path):
    spec = Generate(children=2, utterances=1, seed=7)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    write(spec, tmp_path / "a")
    script = (
        "import sys; from pathlib import Path; from trainables.whisper_child.generate import *;"
        "write(Generate(children=2, utterances=1, seed=7), Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "b")], check=True)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_voices_follow_the_age():
    speakers = children(Generate(children=40))
    mean = {age: np.mean([(c.pitch_hz, -c.tract_cm) for c in speakers if c.age == age], axis=0) for age in DOCUMENTED}
    for younger, older in pairwise(DOCUMENTED):
        assert (mean[younger] > mean[older]).all()
    assert len({c.name for c in speakers}) == 240


def test_pitch_is_heard():
    """The fundamental of a spoken vowel is the child's, after the sound has been played faster."""
    spec = Generate(children=2, utterances=3, noise=0.0, words=1)
    folder = generated(spec)
    by_age = {}
    for child in children(spec):
        for number in range(3):
            sound, rate = soundfile.read(str(folder / "audio" / f"{child.name}_{number:04d}.wav"))
            by_age.setdefault(child.age, []).append(_pitch(sound, rate) / child.pitch_hz)
    for ratios in by_age.values():
        assert 0.75 < np.median(ratios) < 1.3


def _pitch(sound, rate):
    loudest = int(np.argmax(np.convolve(sound**2, np.ones(800), "same")))
    piece = sound[max(0, loudest - 800) : loudest + 800]
    correlation = np.correlate(piece, piece, "full")[len(piece) :]
    shortest, longest = rate // 450, rate // 120
    return rate / (shortest + 1 + int(np.argmax(correlation[shortest:longest])))


def test_the_demo_states_the_size_of_its_training_split():
    """So that it runs: the split depends on the children and their ages alone."""
    folder = Path(__file__).parents[2] / "configs" / "whisper_child"
    spec = Generate(**strict_yaml.load(folder / "demo.yaml")["data"]["generate"])
    config = model_named("whisper_child").parse(read_native(folder / "baseline_whisper_small.yaml"), "demo")
    said = [(child, number) for child in children(spec) for number in range(spec.utterances)]
    utterances = tuple(Utterance(f"{c.name}{n}", c.name, c.age, "x", Path()) for c, n in said)
    train, validation, alone = split(Manifest(utterances, ()), config.data, config.training.seed)
    assert len(train) == config.data.train_utterances and not alone
    assert config.training.num_epochs == 12 and config.steps_per_epoch == config.training.eval_steps
    assert {utterances[i].age for i in validation} == set(DOCUMENTED)


def test_without_espeak(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(BadInput, match=r"espeakng-loader; install it: pip install 'schedule-search\[whisper\]'"):
        write(Generate(children=2, utterances=1), tmp_path)
