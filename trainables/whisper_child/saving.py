"""What a run writes for its user: Hugging Face folders of checkpoints, and a log of JSON lines.

A search keeps its own records and checkpoints; these come on top, where the config asks for them, in a folder per run.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from trainables.native import plain
from trainables.whisper_child.config import Config

STATE_FILE = "trainer_state.json"
_PREFIX = "checkpoint-"


def run_name(config: Config, digest: str, seed: int) -> str:
    """Names a run by all that it follows from, so that runs of a search don't share a folder."""
    text = json.dumps([plain(config), digest, seed], sort_keys=True)
    return f"run-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def best_of(saved: Mapping[int, float]) -> int | None:
    """The step with the lowest WER among saved ones (step → WER); the earliest of equal ones; None of none."""
    return min(saved, key=lambda step: (saved[step], step), default=None)


def to_drop(saved: Mapping[int, float], limit: int) -> set[int]:
    """The steps whose checkpoints go, so that the newest `limit` stay, and the best."""
    recent = sorted(saved)[-limit:]
    return set(saved) - {*recent, best_of(saved)}


class Checkpoints:
    """The checkpoints of one run in a folder, `checkpoint-500` and so on."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit

    def saved(self) -> dict[int, float]:
        """Step → WER of what is there and whole."""
        found = {}
        for path in self._folder.glob(f"{_PREFIX}*/{STATE_FILE}"):
            state = json.loads(path.read_text(encoding="utf-8"))
            found[int(state["global_step"])] = float(state["eval_wer"])
        return found

    def save(
        self, step: int, wer: float, network: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer
    ) -> None:
        """Write the checkpoint of `step`, whole or not at all, and drop what is no longer kept."""
        place = self._folder / f"{_PREFIX}{step}"
        part = self._folder / f".{_PREFIX}{step}.part"
        shutil.rmtree(part, ignore_errors=True)
        network.save_pretrained(part)
        tokenizer.save_pretrained(part)
        steps = self.saved() | {step: wer}
        best = best_of(steps)
        state = {"global_step": step, "eval_wer": wer, "best_model_checkpoint": f"{_PREFIX}{best}"}
        (part / STATE_FILE).write_text(json.dumps(state, indent=1), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)
        part.replace(place)
        for old in to_drop(steps, self._limit):
            shutil.rmtree(self._folder / f"{_PREFIX}{old}", ignore_errors=True)


def log_line(folder: Path, name: str, step: int, values: Mapping[str, float]) -> None:
    """Add a line of JSON to the run's log."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **values}) + "\n")
