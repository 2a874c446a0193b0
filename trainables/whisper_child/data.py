"""Children's utterances for training: a user's manifest and audio, or synthesised; both read and checked alike.

The split into training and validation depends on the data and `training.seed` alone: every child is on one side, and
every age bucket with two children or more is on both.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from spaces.problems import BadInput
from spaces.schema import Located, Section
from trainables.cache import cached, content_key, sha256_of
from trainables.run import Prepared
from trainables.whisper_child.ages import held_out, in_order
from trainables.whisper_child.config import Config, DataKeys
from trainables.whisper_child.features import Features, features_of
from trainables.whisper_child.generate import MANIFEST_FILE, Generate, generated
from trainables.whisper_child.manifest import SHOWN, Manifest, Utterance, read_manifest

PLACE_FILE = "place.json"


class Data(Section):
    """Where the utterances come from; nothing at all means the files that the native config's `data:` names."""

    generate: Generate | None = None
    data_dir: Located | None = None
    """A folder with manifest.jsonl and, somewhere in it, the audio: what the generator writes."""
    train_manifest: Located | None = None
    """A JSONL file; it overrides the config's."""
    audio_dirs: tuple[Located, ...] | None = Field(default=None, min_length=1)
    """Folders with the flac and wav files; they override the config's."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [k for k in ("generate", "data_dir", "train_manifest") if getattr(self, k) is not None]
        if len(given) > 1:
            raise ValueError(f"expected at most one of generate, data_dir and train_manifest, got {', '.join(given)}")
        if (self.train_manifest is None) != (self.audio_dirs is None):
            raise ValueError("train_manifest and audio_dirs go together; give both, or neither to take the config's")
        return self


@dataclass(frozen=True, eq=False)
class Corpus:
    """Utterances with their features; an index counts utterances and clips alike."""

    utterances: tuple[Utterance, ...]
    features: Features
    train: tuple[int, ...]
    validation: tuple[int, ...]
    missing: tuple[str, ...]
    """Ids of utterances without audio."""
    alone: tuple[str, ...]
    """Age buckets of a single child, which are trained on but not validated on."""


def prepare_data(data: Data, config: Config) -> Prepared:
    """The data on this machine, all of it checked, its features computed. Raises BadInput for what can't be used.

    The path of what is returned is a folder whose `place.json` says where the manifest and the audio lie.
    """
    manifest, folders = _place(data, config)
    place = {"train_manifest": str(manifest), "audio_dirs": [str(folder) for folder in folders]}

    def build(folder: Path) -> None:
        (folder / PLACE_FILE).write_text(json.dumps(place), encoding="utf-8")

    corpus = read(manifest, folders, config.data, config.training.seed)
    start = check_start(corpus, config, manifest)
    path = cached("whisper_child_place", content_key(place), build)
    keys = {"data.train_utterances": len(corpus.train)}
    return Prepared(path, _digest(corpus, config.data, start), summary(corpus), keys)


def check_start(corpus: Corpus, config: Config, manifest: Path) -> tuple[str, ...]:
    """The hashes of the pretrained weights' files, none of random weights.

    Raises BadInput for weights that aren't there or don't fit, and for transcripts that the network can't learn.
    """
    from trainables.whisper_child import tokens  # lazy: transformers takes a second to import, and planning needs none

    tokenizer = tokens.tokenizer_of(config.model)
    normalizer = tokens.normalizer_of(tokenizer) if config.data.normalize_text else None
    longest, where = tokens.longest_labels(config.model), f"{manifest} orthographic_text"
    tokens.labels_of(corpus.utterances, tokenizer, normalizer, longest, where)
    folder = tokens.weights_folder(config.model)
    if folder is None:
        return ()
    tokens.check_weights(folder, config)
    return tuple(sha256_of(path) for path in sorted(folder.glob("*.safetensors")))


def corpus_at(path: Path, digest: str, config: Config) -> Corpus:
    """The utterances of prepared data; read once per process and digest."""
    return _corpus(path, digest, config.data, config.training.seed)


def read(manifest: Path, folders: Sequence[Path], keys: DataKeys, seed: int) -> Corpus:
    """The utterances of a manifest, split, with features. Raises BadInput naming file, line and what was expected."""
    found = read_manifest(manifest, folders)
    train, validation, alone = split(found, keys, seed)
    if not validation:
        raise BadInput.of(
            str(manifest),
            "has no child to validate on, nor for your script to choose its best weights by: at least one age "
            "bucket needs two children (child_id), as children are never "
            "split; with stratify_by: null, all ages count as one bucket",
        )
    paths = [utterance.audio for utterance in found.utterances]
    features = features_of(
        paths, keys.sample_rate, keys.target_length, keys.num_mel_bins, keys.frames, keys.normalize_audio
    )
    return Corpus(found.utterances, features, train, validation, found.missing, alone)


def split(manifest: Manifest, keys: DataKeys, seed: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]:
    """Training and validation utterances by index, and the buckets of a single child."""
    children: dict[str, list[str]] = {}
    for utterance in manifest.utterances:
        children.setdefault(utterance.child, []).append(utterance.age)
    kept, alone = held_out(children, keys.val_ratio, seed, keys.stratify_by is not None)
    sides: tuple[list[int], list[int]] = ([], [])
    for index, utterance in enumerate(manifest.utterances):
        sides[utterance.child in kept].append(index)
    return tuple(sides[0]), tuple(sides[1]), alone


def summary(corpus: Corpus) -> str:
    """One line for people: counts, age buckets, and what is left out."""
    hours = float(corpus.features.frames.sum()) / 100 / 3600
    children = [len({corpus.utterances[i].child for i in side}) for side in (corpus.train, corpus.validation)]
    text = (
        f"{len(corpus.train)} training utterances of {children[0]} children, {len(corpus.validation)} validation "
        f"utterances of {children[1]} others, {hours:.2g} h; ages {distribution(corpus)}"
    )
    if corpus.alone:
        text += f"; not validated on, being one child each: {', '.join(corpus.alone) or 'all'}"
    if corpus.missing:
        shown = ", ".join(corpus.missing[:SHOWN]) + (", …" if len(corpus.missing) > SHOWN else "")
        text += f"; {len(corpus.missing)} left out as their audio is missing: {shown}"
    return text


def distribution(corpus: Corpus) -> str:
    """Training and validation utterances per age bucket, youngest first."""
    counts = [Counter(corpus.utterances[i].age for i in side) for side in (corpus.train, corpus.validation)]
    return ", ".join(f"{age} {counts[0][age]}+{counts[1][age]}" for age in in_order([*counts[0], *counts[1]]))


def _digest(corpus: Corpus, keys: DataKeys, start: tuple[str, ...]) -> str:
    """The hash of what is heard and said, wherever it lies; the split and what the network starts from belong to it."""
    heard = [keys.sample_rate, keys.target_length, keys.num_mel_bins, keys.normalize_audio, *start]
    digest = hashlib.sha256(json.dumps(heard).encode())
    held = set(corpus.validation)
    for index, one in enumerate(corpus.utterances):
        entry = [one.number, one.child, one.age, one.text, sha256_of(one.audio), index in held]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()


def _place(data: Data, config: Config) -> tuple[Path, tuple[Path, ...]]:
    """The manifest and the folders with audio."""
    if data.generate is not None:
        folder = generated(data.generate)
        return folder / MANIFEST_FILE, (folder,)
    if data.data_dir is not None:
        folder = _absolute(data.data_dir)
        return folder / MANIFEST_FILE, (folder,)
    manifest = data.train_manifest or config.data.train_manifest
    folders = data.audio_dirs or config.data.audio_dirs
    if manifest is None or not folders:
        raise BadInput.of(
            "data",
            "names no utterances, without which your script ends: give train_manifest and audio_dirs, here or in "
            "the native config's data section, or {generate: {}} for synthesised ones",
        )
    return _absolute(manifest), tuple(_absolute(folder) for folder in folders)


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()


@lru_cache(maxsize=2)
def _corpus(path: Path, digest: str, keys: DataKeys, seed: int) -> Corpus:
    """A worker trains one trial after another on the same data: it is read once."""
    assert digest, "the digest is there so that changed data is read again"
    place = json.loads((path / PLACE_FILE).read_text(encoding="utf-8"))
    folders = [Path(folder) for folder in place["audio_dirs"]]
    return read(Path(place["train_manifest"]), folders, keys, seed)
