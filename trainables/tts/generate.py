"""Spoken sentences in the native layout: `metadata_{train,eval}.csv` and `wavs/`, like a user's own folder.

espeak-ng says the sentences of a small grammar, each at a pace and a pitch of its own. That is one simple voice: the
task is the same as with a real one, its mel frames are cleaner.
"""

import json
import math
from pathlib import Path

from pydantic import Field, model_validator

from spaces.schema import Real, Section, Whole
from trainables import espeak
from trainables.cache import cached, content_key
from trainables.diphone_rnn.sentences import Vocabulary, sentence
from trainables.seeding import stream
from trainables.speak import SAMPLE_RATE, Saying, spoken
from trainables.tts import sound

VERSION = 1  # raise it whenever the same spec gives other files: it is part of the cache's key
TRAIN_FILE, EVAL_FILE, WAVS = "metadata_train.csv", "metadata_eval.csv", "wavs"
MARKER = "generated.json"


class Generate(Section):
    """What is said. A sentence depends on `seed` and its number, not on how many there are."""

    sentences: Whole = Field(default=60, ge=2, le=100_000)
    """Clips in all."""
    val_share: Real = Field(default=0.2, gt=0, le=0.5)
    """Share of the clips in metadata_eval.csv; their sentences are not in metadata_train.csv."""
    vocabulary: Vocabulary = "small"
    """small: 50 words; large: 280 words."""
    seed: Whole = Field(default=0, ge=0)
    words_per_minute: Whole = Field(default=180, ge=100, le=300)
    """The middle of the paces, which lie within a tenth of it."""
    pitch_hz: Whole = Field(default=115, ge=70, le=250)
    """The middle of the pitches, which lie within a fifth of it."""

    @model_validator(mode="after")
    def _check(self) -> "Generate":
        if math.floor(self.sentences * self.val_share + 1e-9) < 1:
            what = f"sentences {self.sentences} at val_share {self.val_share} leave none to validate on"
            raise ValueError(f"{what}; ask for at least {math.ceil(1 / self.val_share)}")
        return self


def generated(spec: Generate) -> Path:
    """The folder that holds the clips of `spec`, spoken now unless the cache has it. Raises BadInput."""
    key = content_key({"version": VERSION, "generate": spec.model_dump(mode="json")})
    return cached("tts", key, lambda folder: write(spec, folder))


def write(spec: Generate, folder: Path) -> None:
    """Speak `spec` into `folder`. Raises BadInput where espeak-ng isn't installed."""
    espeak.check("tts")
    held_out = [_is_held_out(number, spec.val_share) for number in range(spec.sentences)]
    sayings = [_saying(spec, number, held) for number, held in enumerate(held_out)]
    (folder / WAVS).mkdir()
    lines: dict[bool, list[str]] = {False: [], True: []}
    for number, (held, saying, said) in enumerate(zip(held_out, sayings, spoken(sayings, "tts"), strict=True)):
        name = f"es-{number:05d}"
        sound.write(folder / WAVS / f"{name}.wav", said, SAMPLE_RATE)
        lines[held].append(f"{name}|{saying.text}|{saying.text}\n")
    for held, file in ((False, TRAIN_FILE), (True, EVAL_FILE)):
        (folder / file).write_text("".join(lines[held]), encoding="utf-8")
    marker = {"generate": spec.model_dump(mode="json"), "version": VERSION}
    (folder / MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")


def _saying(spec: Generate, number: int, held_out: bool) -> Saying:
    rng = stream(spec.seed, number)
    text = sentence(rng, held_out, spec.vocabulary)
    pace = round(spec.words_per_minute * rng.uniform(0.9, 1.1))
    return Saying(text, pace, round(spec.pitch_hz * rng.uniform(0.8, 1.2)))


def _is_held_out(number: int, share: float) -> bool:
    """Whether a clip is one to validate on: evenly spread, whatever the number of clips."""
    return math.floor((number + 1) * share + 1e-9) > math.floor(number * share + 1e-9)
