"""Users' files that can't be used and that no other test here has; the others go through `refusing`, too."""

import io
import json
import wave

import numpy as np
import pytest
import soundfile
import torch
from refusing import refusing
from synthetic_children import row, write_manifest
from torch import nn

from trainables.early_inference.data import read as read_curves
from trainables.sequence_generator.data import read_file
from trainables.start_weights import Start
from trainables.tts import sound
from trainables.whisper_child import audio
from trainables.whisper_child.config import Network
from trainables.whisper_child.manifest import Utterance, read_manifest
from trainables.whisper_child.tokens import labels_of, tokenizer_of

NETWORK = Network.model_validate({"pretrained": None, "random_init": {}})


@pytest.mark.parametrize(
    ("n", "points", "said"), [(1, 4, "1 curves can't be split"), (3, 1, "pH_prefix: holds 1 reading per curve")]
)
def test_curves_that_are_too_few(tmp_path, n, points, said):
    shapes = {"pH_prefix": points, "t_prefix": points, "known_inputs": 1, "target_params": 1}
    curves = {key: np.tile(np.arange(1.0, columns + 1), (n, 1)) for key, columns in shapes.items()}
    np.savez(tmp_path / "training_data.npz", prefix_30s=np.array(curves, dtype=object))
    with refusing("metadata.json: missing"):
        read_curves(tmp_path, 30.0)
    meta = {"known_input_names": ["a"], "infer_params": ["b"], "param_ranges": {"a": [0, 2], "b": [0, 2]}}
    (tmp_path / "metadata.json").write_text(json.dumps(meta))
    with refusing(said):
        read_curves(tmp_path, 30.0)


def test_clips_at_a_rate_that_no_recorder_has(tmp_path):
    path = tmp_path / "c.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(10)
        file.writeframes(b"\0" * 40)
    with refusing(r"c.wav: says 10 samples a second"):
        sound.head(path)
    with refusing(r"c.wav: says 10 samples a second"):
        audio.read(path, 16000, 1.0, normalize=False)


def test_sound_that_is_not_finite(tmp_path):
    soundfile.write(str(tmp_path / "c.wav"), np.full(100, np.nan), 16000, subtype="FLOAT")
    with refusing(r"c.wav: holds values that are not finite"):
        audio.read(tmp_path / "c.wav", 16000, 1.0, normalize=False)


def test_manifests_that_hold_nothing_or_other_letters(tmp_path):
    manifest = write_manifest(tmp_path / "m.jsonl", [])
    with refusing(r"m.jsonl: holds no utterance"):
        read_manifest(manifest, [tmp_path])
    manifest.write_bytes("caf\xe9".encode("latin-1"))
    with refusing(r"m.jsonl: is not UTF-8 text"):
        read_manifest(manifest, [tmp_path])
    with refusing(r"m.jsonl line 1: .*twenty|5 more problems"):
        read_manifest(write_manifest(manifest, [row(i, age="teen") for i in range(25)]), [tmp_path])


def test_transcripts_that_say_nothing_and_tokenizers_that_cannot_be_read(tmp_path):
    said = [Utterance("u0", "c", "5-7", "a dog", tmp_path), Utterance("u1", "c", "5-7", "[noise]", tmp_path)]
    with refusing(r"m.jsonl orthographic_text: 1 are empty after the normaliser.*: u1"):
        labels_of(
            said,
            tokenizer_of(NETWORK),
            lambda text: text.partition("[")[0],
            24,
            f"{tmp_path}/m.jsonl orthographic_text",
        )
    with refusing("model.language: 'fr' needs pretrained weights"):
        tokenizer_of(NETWORK.model_copy(update={"language": "fr"}))
    for name in ("config.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).write_text("{")
    with refusing("model: the tokenizer in .* can't be used"):
        tokenizer_of(NETWORK.model_copy(update={"pretrained": str(tmp_path), "random_init": None}))


def test_a_simulation_that_is_no_text(tmp_path):
    (tmp_path / "1.csv").write_bytes(b"step,\xff\n")
    with refusing("1.csv: can't be read as CSV"):
        read_file(tmp_path / "1.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("folder", "no intact checkpoint here"),
        (b"rubbish", "is no checkpoint of plain tensors"),
        ({"weights": {}}, "no weights under network or model_state_dict"),
        ({"model_state_dict": {"weight": torch.zeros(3, 2)}}, "bias is missing; weight has shape"),
    ],
)
def test_checkpoints_to_start_from_that_do_not_fit(tmp_path, content, said):
    path = tmp_path / "start.pt"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        file = io.BytesIO()
        torch.save(content, file)
        path.write_bytes(content if isinstance(content, bytes) else file.getvalue())
    with refusing(rf"^init_checkpoint_path: {path}: {said}"):
        Start("init_checkpoint_path", str(path)).weights(nn.Linear(2, 2))
