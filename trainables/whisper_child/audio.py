"""Sound files as Whisper hears them: flac or wav, any rate and number of channels, to mono at 16 kHz. No torch."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.bounds import check_regular
from spaces.problems import BadInput
from trainables.sounds import check_rate, resampled

Sound = NDArray[np.float32]
SUFFIXES = frozenset({".flac", ".wav"})


def read(path: Path, rate: int, seconds: float, normalize: bool) -> Sound:
    """The first `seconds` of a file at `rate` Hz, mono, in [−1, 1]; `normalize`: scaled to a peak of 1.

    Channels are averaged; another rate is resampled with a polyphase low-pass filter. Raises BadInput naming the file
    if it can't be read, is empty, or holds values that are not finite.
    """
    import soundfile  # here: planning needs no sound library

    check_regular(path)
    try:
        with soundfile.SoundFile(str(path)) as file:
            own = int(file.samplerate)
            check_rate(path, own)
            # A little more than is kept, for the filter's sake.
            samples = file.read(math.ceil((seconds + 0.1) * own), dtype="float32", always_2d=True)  # (n, channels)
    except (soundfile.SoundFileError, OSError, ValueError) as error:  # the last: NUL in a path
        raise BadInput.of(
            str(path), f"can't be read as sound: {error}; expected flac or wav; your script ends there: copy it again"
        ) from error
    sound: Sound = np.asarray(samples, dtype=np.float32).mean(axis=1)  # (n,)
    if not len(sound):
        raise BadInput.of(str(path), "holds no sound; leave it out of the manifest; your script ends there")
    if not np.isfinite(sound).all():
        raise BadInput.of(
            str(path), "holds values that are not finite; write it again: your script trains to nan on them"
        )
    sound = resampled(sound, own, rate)[: round(seconds * rate)]
    peak = float(np.abs(sound).max())
    return np.asarray(sound / peak, dtype=np.float32) if normalize and peak > 0 else sound
