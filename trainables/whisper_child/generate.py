"""Synthesised children in the native layout: `manifest.jsonl` and `audio/*.wav`, like a user's own files.

espeak-ng speaks; what makes a child of it is its source and its tube. The pitch of the voice and the length of the
vocal tract follow the age: the sound is spoken low and slowly, and played back faster, which raises pitch and formants.
Younger children speak more slowly and less evenly. A recording has room noise of its own level.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
from pydantic import Field, model_validator
from scipy.signal import resample_poly

from spaces.schema import Real, Section, Whole
from trainables.cache import cached, content_key
from trainables.seeding import derive
from trainables.speak import SAMPLE_RATE, Saying, spoken
from trainables.whisper_child.ages import DOCUMENTED
from trainables.whisper_child.audio import Sound

VERSION = 1  # raise it whenever the same spec gives other sound: it is part of the cache's key
MANIFEST_FILE, AUDIO_FOLDER = "manifest.jsonl", "audio"
RATE = 16000  # Hz of the files
LEAD_S = (0.02, 0.12)  # silence before and after
ADULT_TRACT_CM = 16.0  # whose formants espeak-ng's voice has

FIRST = ("big", "small", "red", "blue", "good", "my")
SECOND = ("dog", "cat", "fish", "house", "ball", "shoe", "bird", "tree")


@dataclass(frozen=True)
class Voice:
    """How children of an age sound, on average."""

    pitch_hz: float
    tract_cm: float
    words_per_minute: float
    unevenness: float
    """Standard deviation of the log of an utterance's pitch and pace."""


AGES: Mapping[str, Voice] = MappingProxyType(
    {
        # Pitch and vocal tract lengths are round numbers after Lee, Potamianos & Narayanan, JASA 1999 (pitch, pace and
        # its spread falling with age) and Vorperian et al., JASA 2009 (tract lengths), means over both sexes.
        "3-4": Voice(300.0, 11.0, 105.0, 0.12),
        "5-6": Voice(275.0, 11.6, 120.0, 0.10),
        "7-8": Voice(260.0, 12.2, 135.0, 0.08),
        "9-10": Voice(245.0, 12.8, 145.0, 0.07),
        "11-12": Voice(225.0, 13.6, 155.0, 0.06),
        "13+": Voice(185.0, 15.0, 165.0, 0.05),
    }
)
PITCH_SD, TRACT_SD, PACE_SD = 0.08, 0.04, 0.08  # of the logs, between children of an age
assert tuple(AGES) == DOCUMENTED


class Generate(Section):
    """What to synthesise. An utterance depends on `seed`, its child and its number, not on how many there are."""

    children: Whole = Field(default=5, ge=2, le=200)
    """Of each of the six age buckets."""
    utterances: Whole = Field(default=12, ge=1, le=2000)
    """Of each child."""
    words: Whole = Field(default=2, ge=1, le=2)
    """Of each utterance: a thing (of 8), or an adjective (of 6) and a thing."""
    noise: Real = Field(default=0.02, ge=0, le=1)
    """Room noise, relative to the speech's root mean square; its level varies by a factor of 2 either way."""
    seed: Whole = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> "Generate":
        if (count := self.children * self.utterances * len(AGES)) > 200_000:
            raise ValueError(f"children × utterances × 6 ages is {count}; ask for 200,000 at most")
        return self


@dataclass(frozen=True)
class Child:
    """One speaker."""

    name: str
    age: str
    pitch_hz: float
    tract_cm: float
    words_per_minute: float


def generated(spec: Generate) -> Path:
    """The folder that holds the data of `spec`, synthesised now unless the cache has it. Raises BadInput without
    espeak-ng."""
    key = content_key({"version": VERSION, "generate": spec.model_dump(mode="json")})
    return cached("whisper_child", key, lambda folder: write(spec, folder))


def write(spec: Generate, folder: Path) -> None:
    """Synthesise `spec` into `folder`."""
    import soundfile  # here: planning needs no sound library

    (folder / AUDIO_FOLDER).mkdir()
    said = [(child, number) for child in children(spec) for number in range(spec.utterances)]
    sayings = [_saying(spec, child, number) for child, number in said]
    lines = []
    for (child, number), saying, sound in zip(said, sayings, spoken(sayings, "whisper"), strict=True):
        clip = _recorded(spec, child, number, sound)
        name = f"{child.name}_{number:04d}"
        path = folder / AUDIO_FOLDER / f"{name}.wav"
        soundfile.write(str(path), clip, RATE, subtype="PCM_16")
        lines.append(json.dumps(_row(child, name, saying.text, path, len(clip))))
    (folder / MANIFEST_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def children(spec: Generate) -> list[Child]:
    """The speakers, by age."""
    made = []
    for age, voice in AGES.items():
        for number in range(spec.children):
            rng = np.random.default_rng(derive(spec.seed, "child", age, number))
            pitch, tract, pace = np.exp(rng.standard_normal(3) * (PITCH_SD, TRACT_SD, PACE_SD))
            name = f"child_{age.replace('+', '')}_{number:03d}"
            made.append(Child(name, age, voice.pitch_hz * pitch, voice.tract_cm * tract, voice.words_per_minute * pace))
    return made


def _saying(spec: Generate, child: Child, number: int) -> Saying:
    """What espeak-ng is told: it speaks lower and more slowly, by what playing it faster will make up for."""
    rng = np.random.default_rng(derive(spec.seed, "utterance", child.name, number))
    words = [FIRST[rng.integers(len(FIRST))], SECOND[rng.integers(len(SECOND))]][-spec.words :]
    pitch, pace = np.exp(AGES[child.age].unevenness * rng.standard_normal(2))
    faster = _faster(child)
    return Saying(
        " ".join(words),
        words_per_minute=max(80, round(child.words_per_minute * pace / float(faster))),
        pitch_hz=max(40, round(child.pitch_hz * pitch / float(faster))),
    )


def _faster(child: Child) -> Fraction:
    """How much faster the sound is played, so that the formants are those of the child's vocal tract."""
    return Fraction(max(1.0, ADULT_TRACT_CM / child.tract_cm)).limit_denominator(24)


def _recorded(spec: Generate, child: Child, number: int, sound: Sound) -> Sound:
    """The child's sound at 16 kHz, with silence around it and noise."""
    rng = np.random.default_rng(derive(spec.seed, "room", child.name, number))
    ratio = Fraction(RATE, SAMPLE_RATE) / _faster(child)
    voiced = _trimmed(resample_poly(sound, ratio.numerator, ratio.denominator))
    lead, tail = (round(RATE * rng.uniform(*LEAD_S)) for _ in range(2))
    clip = np.pad(voiced, (lead, tail))
    level = float(np.sqrt(np.mean(np.square(voiced))))
    clip = clip + level * spec.noise * 2.0 ** rng.uniform(-1, 1) * rng.standard_normal(len(clip))
    return np.asarray(np.clip(clip * rng.uniform(0.3, 0.8) / np.abs(clip).max(), -1, 1), dtype=np.float32)


def _trimmed(sound: Sound) -> Sound:
    """The sound without the silence that espeak-ng puts around it."""
    loud = np.flatnonzero(np.abs(sound) > 0.01 * np.abs(sound).max())
    return sound[loud[0] : loud[-1] + 1]


def _row(child: Child, name: str, text: str, path: Path, samples: int) -> dict[str, str | float | int]:
    content = path.read_bytes()
    return {
        "utterance_id": name,
        "child_id": child.name,
        "session_id": f"{child.name}_1",
        "audio_path": f"{AUDIO_FOLDER}/{path.name}",
        "audio_duration_sec": math.floor(samples / RATE * 1000) / 1000,
        "age_bucket": child.age,
        "md5_hash": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "filesize_bytes": len(content),
        "orthographic_text": text,
    }
