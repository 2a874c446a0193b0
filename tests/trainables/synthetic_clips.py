"""A folder in the LJSpeech layout that needs no speech: each letter of a text is a tone of its own."""

import wave
from pathlib import Path

import numpy as np

WORDS = ("abc", "dad", "cab", "bed", "ace", "bad", "deb", "cad", "abed", "dace", "bade", "ebb")
BASE = {
    "model": {"size": "demo", "text_encoder_dim": 8, "text_encoder_layers": 1, "decoder_dim": 16, "decoder_layers": 2},
    "data": {"batch_size": 3, "train_clips": 8, "mcd_sentences": 1},
    "training": {
        "epochs": 12,
        "optimization_level": "enhanced",
        "overrides": {"learning_rate": 5e-3},
        "level_switch": {"rule": "epoch", "epoch": 4, "learning_rate": 1e-3},
        "mcd_every": 0,
    },
}


def tones(text: str, rate: int = 22050, seconds: float = 0.09) -> np.ndarray:
    t = np.arange(round(rate * seconds)) / rate
    return np.concatenate([0.3 * np.sin(2 * np.pi * (300 + 150 * (ord(c) - 97)) * t) for c in text if c.isalpha()])


def write_wav(path: Path, sound: np.ndarray, rate: int = 22050, channels: int = 1, width: int = 2) -> None:
    samples = np.repeat(np.round(sound * 32767).astype("<i2"), channels)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes() if width == 2 else samples.astype("<i4").tobytes())


def folder(path: Path, train: int = 8, validation: int = 4, rate: int = 22050) -> Path:
    (path / "wavs").mkdir(parents=True)
    lines = []
    for number in range(train + validation):
        text = " ".join(WORDS[(number * 5 + k) % len(WORDS)] for k in range(1 + number % 2))
        write_wav(path / "wavs" / f"c{number}.wav", tones(text, rate), rate)
        lines.append(f"c{number}|{text.upper()}|{text}\n")
    (path / "metadata_train.csv").write_text("".join(lines[:train]), encoding="utf-8")
    (path / "metadata_eval.csv").write_text("".join(lines[train:]), encoding="utf-8")
    return path
