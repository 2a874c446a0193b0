"""Sound files of 16-bit PCM, as LJSpeech has them: checked by their head, read at any rate, written. No torch."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.bounds import check_regular
from spaces.problems import BadInput
from trainables.sounds import check_rate, resampled

Sound = NDArray[np.float32]
FULL = 32768.0  # of 16 bits
EXPECTED = "expected 16-bit PCM, whatever your script reads"


@dataclass(frozen=True)
class Head:
    """What a file says of its sound."""

    rate: int  # Hz
    samples: int  # per channel
    channels: int


def head(path: Path) -> Head:
    """The head of a wav file. Raises BadInput naming the file and what was expected."""
    check_regular(path)
    try:
        with wave.open(str(path), "rb") as file:
            found = Head(file.getframerate(), file.getnframes(), file.getnchannels())
            width = file.getsampwidth()
    except FileNotFoundError as error:
        raise BadInput.of(
            str(path), "no such file; every id of the metadata has a wavs/<id>.wav; your script ends there: add it"
        ) from error
    except (OSError, wave.Error, EOFError, RuntimeError, ValueError) as error:  # a chunk beyond the end; NUL in a path
        raise BadInput.of(str(path), f"can't be read: {error or 'it ends early'}; {EXPECTED}: convert it") from error
    if width != 2:
        raise BadInput.of(str(path), f"holds {8 * width}-bit samples; {EXPECTED}: convert it")
    check_rate(path, found.rate)
    if found.samples == 0:
        raise BadInput.of(str(path), "holds no sound; take it out of the metadata; your script ends there")
    return found


def read(path: Path, rate: int) -> Sound:
    """The sound at `rate` Hz, mono, in [−1, 1): (samples,). Channels are averaged; another rate is resampled with a
    polyphase low-pass filter. Raises BadInput.
    """
    found = head(path)
    with wave.open(str(path), "rb") as file:
        content = file.readframes(found.samples)
    raw = np.frombuffer(content[: len(content) // 2 * 2], dtype="<i2")
    if len(raw) < found.samples * found.channels:
        what = (
            f"says {found.samples} samples and holds {len(raw) // found.channels}; it is cut off, in your script, "
            "too: copy it again"
        )
        raise BadInput.of(str(path), what)
    return resampled(raw.reshape(-1, found.channels).mean(axis=1) / FULL, found.rate, rate)


def write(path: Path, sound: Sound, rate: int) -> None:
    """Write a mono sound in [−1, 1] as 16-bit PCM; what is louder is scaled down."""
    peak = max(1.0, float(np.abs(sound).max(initial=0.0)))
    samples = np.round(sound / peak * (FULL - 1)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
