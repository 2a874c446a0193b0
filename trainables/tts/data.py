"""Clips for training: a user's folder in the LJSpeech layout or generated, both read and checked by the same code.

A folder holds two metadata files and `wavs/<id>.wav`. Everything is checked by the files' heads before any training;
sounds are read and turned into mel frames when a run is built (`mel`). No torch.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from spaces.problems import BadInput, Problem, raise_any
from spaces.schema import Located
from trainables.builtin import Source
from trainables.cache import sha256_of
from trainables.run import Prepared
from trainables.tts import sound
from trainables.tts.generate import EVAL_FILE, MARKER, TRAIN_FILE, WAVS, Generate, generated
from trainables.tts.metadata import Line, scan
from trainables.tts.sections import Dataset
from trainables.tts.text import encode

SHOWN = 5  # ids that a summary names


class Data(Source):
    """Where the clips come from: exactly one of the two."""

    made = "spoken sentences"
    generate: Generate | None = None
    data_dir: Located | None = None
    """A folder with the metadata files and the wavs that the config's `data:` names."""


@dataclass(frozen=True)
class Clip:
    """A clip as it is trained on."""

    id: str
    symbols: tuple[int, ...]  # (N,) what is read; padding is none of them
    path: Path
    rate: int  # Hz, of the file
    frames: int  # T: mel frames, after cutting


@dataclass(frozen=True, eq=False)
class Corpus:
    """The clips of a folder."""

    folder: Path
    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    """All of them that are not too long, whatever the config: they are what trials of a search are compared by."""
    cut: tuple[str, ...]
    """Ids of clips that were too long and lost their end, text and sound together."""
    dropped: tuple[str, ...]
    """Ids of clips that were too long and are left out."""
    resampled: int
    """Clips whose files are at another rate."""

    @cached_property
    def digest(self) -> str:
        """The hash of what is there to train on; reads each file."""
        digest = hashlib.sha256()
        for clips in (self.train, self.validation):
            for clip in clips:
                line = json.dumps([clip.id, clip.symbols, clip.frames, sha256_of(clip.path)])
                digest.update(f"{line}\n".encode())
            digest.update(b"\n")
        return digest.hexdigest()


def prepare_data(data: Data, config: Dataset) -> Prepared:
    """The data on this machine, all of it checked: spoken (once, then cached) or the user's folder, in place.

    Raises BadInput for files that can't be used.
    """
    folder = data.folder(generated)
    corpus = read(folder, config)
    return Prepared(folder, corpus.digest, summary(corpus, config), {"data.train_clips": len(corpus.train)})


def read(folder: Path, config: Dataset) -> Corpus:
    """The clips of `folder`, checked by their metadata and the heads of their files.

    A generated folder has its own file names, whatever the config says. Raises BadInput with every problem.
    """
    spoken = (folder / MARKER).is_file()
    files = (TRAIN_FILE, EVAL_FILE) if spoken else (config.metadata_train_file, config.metadata_eval_file)
    wavs = tuple(
        folder / (WAVS if spoken else own or config.wavs_dir) for own in (config.wavs_train_dir, config.wavs_eval_dir)
    )
    if not folder.is_dir():
        raise BadInput.of(
            str(folder),
            f"no such folder; data_dir holds {files[0]}, {files[1]} and {wavs[0].name}/; your script ends there: "
            "correct the path",
        )
    problems: list[Problem] = []
    parts: list[list[Line]] = []
    for file in files:
        lines, faults = scan(folder / file)
        parts.append(lines)
        problems += faults
    problems += _shared(*parts)
    found = _Found(config, problems)
    train, validation = (
        tuple(clip for line in lines if (clip := found.clip(line, where)))
        for lines, where in zip(parts, wavs, strict=True)
    )
    raise_any(problems)
    _check_enough(folder, files, train, validation, found.dropped, config)
    return Corpus(folder, train, validation, tuple(found.cut), tuple(found.dropped), found.resampled)


def summary(corpus: Corpus, config: Dataset) -> str:
    """One line for people: counts, and what is resampled, cut or left out."""
    frames = sum(clip.frames for clip in (*corpus.train, *corpus.validation))
    minutes = frames * config.hop_length / config.sample_rate / 60
    text = f"{len(corpus.train)} training and {len(corpus.validation)} validation clips, {minutes:.1f} min of sound"
    if corpus.resampled:
        text += f"; {corpus.resampled} of them at another rate, resampled to {config.sample_rate} Hz"
    for ids, what in ((corpus.cut, "cut"), (corpus.dropped, "dropped")):
        if ids:
            shown = ", ".join(ids[:SHOWN]) + (", …" if len(ids) > SHOWN else "")
            limits = f"max_mel_frames {config.max_mel_frames} or max_text_length {config.max_text_length}"
            text += f"; {len(ids)} {what} for being longer than {limits}: {shown}"
    return text


class _Found:
    """Clips from lines, and what came up on the way."""

    def __init__(self, config: Dataset, problems: list[Problem]) -> None:
        self._config, self._problems = config, problems
        self.cut: list[str] = []
        self.dropped: list[str] = []
        self.resampled = 0

    def clip(self, line: Line, wavs: Path) -> Clip | None:
        """The clip of a line from `wavs`, cut if it is too long; None where it is dropped or has a problem."""
        config = self._config
        path = wavs / f"{line.id}.wav"
        try:
            found = sound.head(path)
            symbols = encode(line.text, config.text_input, line.where)
        except BadInput as error:
            self._problems.extend(error.problems)
            return None
        samples = -(-found.samples * config.sample_rate // found.rate)
        frames = 1 + samples // config.hop_length
        if samples <= config.n_fft:
            what = f"holds {samples} samples at {config.sample_rate} Hz, less than the {config.n_fft} of one window"
            self._problems.append(
                Problem(str(path), f"{what}, where your script learns nothing; take it out of the metadata")
            )
            return None
        share = min(1.0, config.max_mel_frames / frames, config.max_text_length / len(symbols))
        if share < 1:
            if config.too_long == "drop":
                self.dropped.append(line.id)
                return None
            text = shortened(line.text, share)
            if text is None:
                self.dropped.append(line.id)
                return None
            self.cut.append(line.id)
            symbols = encode(text, config.text_input, line.where)[: config.max_text_length]
            frames = max(1, min(config.max_mel_frames, round(frames * len(text) / len(line.text))))
        self.resampled += found.rate != config.sample_rate
        return Clip(line.id, symbols, path, found.rate, frames)


def shortened(text: str, share: float) -> str | None:
    """The first words of `text`, at most `share` of its letters; None where not one word fits.

    Where in the sound a word ends isn't known without an alignment: letters are taken to be spoken at an even pace.
    """
    words = text.split()
    kept = next((n for n in range(len(words), 0, -1) if len(" ".join(words[:n])) <= share * len(text)), 0)
    return " ".join(words[:kept]) or None


def _shared(train: Sequence[Line], validation: Sequence[Line]) -> list[Problem]:
    """Clips that are both trained and judged on."""
    known = {line.id for line in train}
    return [
        Problem(
            line.where,
            f"clip {line.id!r} is one to train on, too, which your script doesn't check; take it out of one of "
            "the two files",
        )
        for line in validation
        if line.id in known
    ]


def _check_enough(
    folder: Path,
    files: tuple[str, str],
    train: Sequence[Clip],
    validation: Sequence[Clip],
    dropped: Sequence[str],
    config: Dataset,
) -> None:
    why = (
        f" ({len(dropped)} are longer than max_mel_frames {config.max_mel_frames} or max_text_length)"
        if dropped
        else ""
    )
    named = zip(files, (train, validation), ("train", "validate"), strict=True)
    problems = [
        Problem(
            str(folder / file),
            f"no clip is left to {what} on{why}, and none for your script; raise the limits, or set too_long: cut",
        )
        for file, clips, what in named
        if not clips
    ]
    raise_any(problems)
