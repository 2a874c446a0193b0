"""What benchmarks/fuzz.py feeds: per format small valid files, and what a person's command does with one of them.

Each use returns an exit code as `search.run` gives it, or raises: BadInput counts as 2, anything else as a traceback.
"""

import io
import json
import os
import tarfile
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from search.history.events import Ended, Phase, Proposed, Reported, Started
from search.history.journal import Journal, read
from search.history.records import Records
from search.run import main
from search.submit.fetch import unpack
from search.tracking.run_ids import RunIds
from trainables import native
from trainables.checkpoints import newest, write
from trainables.registry import model_named
from trainables.tts import sound

Use = Callable[[Path], int]
BASE = b"prefix_length: 30\nepochs: 4\nlr: 1e-3   # rate\nbatch_size: 64\ntcn_channels: [4, 8]\nmine: {a: [1, 'x']}\n"
SEARCH = b"""model: early_inference
base: base.yaml
data: {generate: {samples: 20, seed: 0, n_points: 10}}
knobs: [lr, batch_size, warmup_epochs]
space:
  warmup_epochs: {int: [0, 3]}
  lr: {float: [1e-4, 1e-2], log: true, when: {batch_size: [64, 128]}}
  batch_size: {choice: [64, 128]}
budget: {trials: 9, steps: 4 epochs, evaluate_every: 1 epoch, wall: 20m}
early_stopping: {kind: asha, mode: promote, first_rung: 1, reduction: 2}
sampler: {kind: forest, seed: 0}
resources: {cpu: 1, memory: 2 GB, max_concurrent: 2}
tracking: {uri: "sqlite:///x.db", experiment: x}
"""


@dataclass(frozen=True)
class Format:
    """A kind of file: its name where it is used, valid ones, and its use in a folder that holds all that it needs."""

    name: str
    file: str
    make: Callable[[Path], list[bytes]]
    """Fills a folder with what goes with the file, and gives contents of the file."""
    use: Use


def _plan(folder: Path) -> int:
    return main([str(folder / "search.yaml"), "--plan", "--results", str(folder / "results")])


def _search(folder: Path) -> list[bytes]:
    (folder / "base.yaml").write_bytes(BASE)
    return [SEARCH]


def _base(suffix: str) -> Callable[[Path], list[bytes]]:
    def make(folder: Path) -> list[bytes]:
        text = SEARCH.replace(b"base.yaml", f"base.{suffix}".encode())
        (folder / "search.yaml").write_bytes(text)
        values = native.parse_native(BASE.decode(), "base.yaml", "base.yaml")
        written = {"yaml": BASE.decode(), "json": json.dumps(values, indent=1), "py": native.as_python(values)}
        return [written[suffix].encode()]

    return make


def _journal(folder: Path) -> list[bytes]:
    path = folder / "made.jsonl"
    with Journal(path) as journal:
        for event in (
            Phase("search", 1.0),
            Proposed(0, {"lr": 1e-3, "kind": "a", "layers": [1, 2]}, 0, "search", "baseline", 1.0),
            Started(0, "box", 7, "", 2.0),
            Reported(0, 1, {"objective": 0.5}, 0.1, 3.0),
            Ended(0, "completed", "", 4.0),
            Phase("done", 5.0),
        ):
            journal.append(event)
    return [path.read_bytes()]


def _use_journal(folder: Path) -> int:
    Records(read(folder / "journal.jsonl")[0])
    return 0


def _prepare(model: str, data: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    chosen = model_named(model)
    config = chosen.parse(values, "config")
    chosen.prepare(chosen.parse_data(data, config, "data"), config)
    return 0


def _npz(folder: Path) -> list[bytes]:
    t = np.linspace(0, 30, 16)
    curves = {
        "pH_prefix": 7 + 0.1 * np.arange(6)[:, None] + 0 * t,
        "t_prefix": np.tile(t, (6, 1)),
        "known_inputs": 0.2 + 0.01 * np.arange(6)[:, None],
        "target_params": 0.3 + 0.01 * np.arange(6)[:, None],
    }
    names = {
        "known_input_names": ["volume_L"],
        "infer_params": ["E0_g_per_L"],
        "param_ranges": {"volume_L": [0, 1], "E0_g_per_L": [0, 1]},
    }
    (folder / "metadata.json").write_text(json.dumps(names), encoding="utf-8")
    found = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, prefix_30s=np.array(curves, dtype=object))
        found.append(buffer.getvalue())
    return found


def _metadata(folder: Path) -> list[bytes]:
    (folder / "training_data.npz").write_bytes(_npz(folder)[0])
    content = (folder / "metadata.json").read_bytes()
    return [content]


def _use_npz(folder: Path) -> int:
    return _prepare("early_inference", {"data_dir": str(folder)}, {"prefix_length": 30, "epochs": 2})


def _hdf5(folder: Path) -> list[bytes]:
    day = folder / "t15.2023.08.11"
    day.mkdir(exist_ok=True)
    for split in ("train", "val"):
        with h5py.File(day / f"data_{split}.hdf5", "w") as file:
            for number in range(2):
                group = file.create_group(f"trial_{number:04d}")
                group["input_features"] = np.zeros((60, 512), np.float32)
                group["seq_class_ids"] = np.array([1, 2, 40, 3, 40, *[0] * 15], np.int32)
                group.attrs.update(
                    n_time_steps=60, seq_len=5, block_num=1, trial_num=number, session="x", sentence_label="a"
                )
    return [(day / "data_train.hdf5").read_bytes()]


def _use_hdf5(folder: Path) -> int:
    base = {"dataset": {"sessions": ["t15.2023.08.11"]}, "model": {"patch_size": 14, "patch_stride": 4}}
    return _prepare("diphone_rnn", {"dataset_dir": str(folder)}, base)


def _wav_bytes(seconds: float = 0.4, rate: int = 16000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        tone = 8000 * np.sin(np.arange(round(seconds * rate)) / 9)
        file.writeframes(tone.astype("<i2").tobytes())
    return buffer.getvalue()


def _rows(folder: Path) -> bytes:
    (folder / "audio").mkdir(exist_ok=True)
    lines = []
    for number in range(6):
        (folder / "audio" / f"u{number}.wav").write_bytes(_wav_bytes())
        row = {
            "utterance_id": f"u{number}", "child_id": f"c{number % 3}", "session_id": "s",
            "audio_path": f"audio/u{number}.wav", "audio_duration_sec": 0.4, "age_bucket": "5-7", "md5_hash": "",
            "filesize_bytes": 0, "orthographic_text": "a dog",
        }  # fmt: skip
        lines.append(json.dumps(row))
    return ("\n".join(lines) + "\n").encode()


def _manifest(folder: Path) -> list[bytes]:
    return [_rows(folder)]


def _wav(folder: Path) -> list[bytes]:
    (folder / "manifest.jsonl").write_bytes(_rows(folder))
    return [_wav_bytes()]


def _use_children(folder: Path) -> int:
    small = {"d_model": 16, "layers": 1, "heads": 2, "ffn_dim": 32, "max_target_positions": 24}
    values: dict[str, Any] = {"model": {"pretrained": None, "random_init": small}, "data": {"target_length": 0.4}}
    values["inference"] = {"max_length": 8}
    return _prepare("whisper_child", {"data_dir": str(folder)}, values)


def _speech(folder: Path) -> bytes:
    (folder / "wavs").mkdir(exist_ok=True)
    for number in range(6):
        (folder / "wavs" / f"c{number}.wav").write_bytes(_wav_bytes(rate=22050))
    lines = [f"c{number}|A CAB|a cab\n" for number in range(6)]
    (folder / "metadata_eval.csv").write_text("".join(lines[4:]), encoding="utf-8")
    return "".join(lines[:4]).encode()


def _csv(folder: Path) -> list[bytes]:
    return [_speech(folder)]


def _clip(folder: Path) -> list[bytes]:
    (folder / "metadata_train.csv").write_bytes(_speech(folder))
    return [_wav_bytes(rate=22050)]


def _use_speech(folder: Path) -> int:
    code = _prepare("tts", {"data_dir": str(folder)}, {"model": {"size": "demo"}, "data": {"mcd_sentences": 1}})
    sound.read(folder / "wavs" / "c0.wav", 22050)
    return code


def _archive(folder: Path) -> list[bytes]:
    del folder
    found = []
    for hostile in (False, True):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name in ("best.yaml", "native/base.yaml", *(("../out", "/abs") if hostile else ())):
                info = tarfile.TarInfo(name)
                info.size = 5
                archive.addfile(info, io.BytesIO(b"lr: 1"))
            if hostile:
                for kind, target in ((tarfile.SYMTYPE, "/etc"), (tarfile.LNKTYPE, "../x"), (tarfile.CHRTYPE, "")):
                    info = tarfile.TarInfo("link")
                    info.type, info.linkname = kind, target
                    archive.addfile(info)
        found.append(buffer.getvalue())
    return found


def _use_archive(folder: Path) -> int:
    unpack((folder / "handout.tar.gz").read_bytes(), folder / "to")
    return 0


def _checkpoint(folder: Path) -> list[bytes]:
    import torch

    place = folder / "made"
    place.mkdir(exist_ok=True)
    write(place, 3, {"weights": torch.zeros(4), "step": 3})
    return [next(file for file in sorted(place.iterdir()) if file.is_file()).read_bytes()]


def _use_checkpoint(folder: Path) -> int:
    name = next(file for file in sorted((folder / "made").iterdir()) if file.is_file()).name
    place = folder / "used"
    place.mkdir(exist_ok=True)
    (place / name).write_bytes((folder / "checkpoint").read_bytes())
    newest(place, "cpu")
    return 0


def _runs(folder: Path) -> list[bytes]:
    path = folder / "made.jsonl"
    known = RunIds(path, "sqlite:///x")
    known.creating([0, 1])
    known.created(0, "a" * 32)
    known.acknowledge(7)
    known.close()
    return [path.read_bytes()]


def _use_runs(folder: Path) -> int:
    RunIds(folder / "tracking.jsonl", "sqlite:///x").close()
    return 0


FORMATS = (
    Format("search YAML", "search.yaml", _search, _plan),
    Format("base YAML", "base.yaml", _base("yaml"), _plan),
    Format("base JSON", "base.json", _base("json"), _plan),
    Format("base Python", "base.py", _base("py"), _plan),
    Format("journal", "journal.jsonl", _journal, _use_journal),
    Format("npz", "training_data.npz", _npz, _use_npz),
    Format("metadata JSON", "metadata.json", _metadata, _use_npz),
    Format("HDF5", f"t15.2023.08.11{os.sep}data_train.hdf5", _hdf5, _use_hdf5),
    Format("manifest JSONL", "manifest.jsonl", _manifest, _use_children),
    Format("wav (soundfile)", f"audio{os.sep}u0.wav", _wav, _use_children),
    Format("metadata CSV", "metadata_train.csv", _csv, _use_speech),
    Format("wav (wave)", f"wavs{os.sep}c0.wav", _clip, _use_speech),
    Format("archive", "handout.tar.gz", _archive, _use_archive),
    Format("checkpoint", "checkpoint", _checkpoint, _use_checkpoint),
    Format("tracking.jsonl", "tracking.jsonl", _runs, _use_runs),
)
