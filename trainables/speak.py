"""Sound of espeak-ng, from a process of its own: what it says depends on what it said before, to the sample.

So a data set is spoken by a fresh process, from its first utterance to its last: the same list gives the same sound.
    python -m trainables.speak LIST SOUNDS
"""

import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.problems import BadInput
from trainables import espeak
from trainables.espeak import SAMPLE_RATE

Sound = NDArray[np.float32]

_SoundCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

__all__ = ["SAMPLE_RATE", "Saying", "spoken"]


@dataclass(frozen=True)
class Saying:
    """A text and how it is said."""

    text: str
    words_per_minute: int
    pitch_hz: int


def spoken(sayings: Sequence[Saying], extra: str) -> list[Sound]:
    """The sound of each, at SAMPLE_RATE, in [−1, 1]. `extra` of ours brings espeak-ng. Raises BadInput where it can't
    speak."""
    espeak.check(extra)
    with tempfile.TemporaryDirectory() as folder:
        texts, sounds = Path(folder, "sayings.json"), Path(folder, "sounds.npz")
        texts.write_text(json.dumps([asdict(saying) for saying in sayings]), encoding="utf-8")
        command = [sys.executable, "-m", "trainables.speak", str(texts), str(sounds)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own module
        if done.returncode:
            raise BadInput.of("data.generate", f"espeak-ng can't speak: {done.stderr.strip()[-500:]}")
        with np.load(sounds, allow_pickle=False) as found:
            flat, ends = found["flat"], found["ends"]
    return [np.asarray(sound / 32768, np.float32) for sound in np.split(flat, ends[:-1])]


def main(texts: Path, sounds: Path) -> None:
    """Say all of `texts` and write the samples."""
    handle = espeak.start("whisper,tts")
    pieces: list[np.ndarray[tuple[int], np.dtype[np.int16]]] = []

    def hear(wave: "ctypes._Pointer[ctypes.c_short]", samples: int, events: int | None) -> int:  # noqa: ARG001 - C's
        if wave and samples:
            pieces.append(np.ctypeslib.as_array(wave, (samples,)).copy())
        return 0

    callback = _SoundCallback(hear)
    handle.espeak_SetSynthCallback(callback)
    said = []
    for saying in json.loads(texts.read_text(encoding="utf-8")):
        pieces.clear()
        espeak.settle(handle, saying["words_per_minute"], saying["pitch_hz"])
        espeak.say(handle, saying["text"])
        said.append(np.concatenate(pieces))
    np.savez(sounds, flat=np.concatenate(said), ends=np.cumsum([len(sound) for sound in said]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
