"""espeak-ng through ctypes: the library in the package `espeakng-loader`, started for one voice; offline.

The library has one state per process, and one callback. Who uses it: diphone_rnn for phonemes and their timing, and
`speak` for sound (in a process of its own).
"""

import ctypes
import importlib

from spaces.problems import BadInput

VOICE = "en-us"
SAMPLE_RATE = 22050  # Hz, of sounds and of the positions in events

# Values of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT = 2, 1 << 0, 1 << 15
_RATE_PARAMETER, _UTF8 = 1, 1


def check(extra: str) -> None:
    """Raise BadInput unless the package is there; `extra` is the one of ours that brings it."""
    try:
        importlib.import_module("espeakng_loader")  # lazy: only generated data needs it
    except ImportError as error:
        remedy = f"install it: pip install 'schedule-search[{extra}]'"
        raise BadInput.of(
            "data.generate", f"sentences are pronounced by the package espeakng-loader; {remedy}"
        ) from error


def start(extra: str) -> ctypes.CDLL:
    """The library, started in its synchronous mode with phoneme events. Raises BadInput where it can't be."""
    check(extra)
    loader = importlib.import_module("espeakng_loader")
    handle = ctypes.CDLL(loader.get_library_path())
    options = _PHONEME_EVENTS | _DONT_EXIT
    rate = handle.espeak_Initialize(_SYNCHRONOUS, 0, loader.get_data_path().encode(), options)
    if rate != SAMPLE_RATE or handle.espeak_SetVoiceByName(VOICE.encode()) != 0:
        what = (
            f"starts at {rate} Hz without the voice {VOICE}, {SAMPLE_RATE} Hz expected; install espeakng-loader again"
        )
        raise BadInput.of(loader.get_library_path(), f"espeak-ng {what}")
    return handle


def settle(handle: ctypes.CDLL, words_per_minute: int, pitch_hz: int) -> None:
    """Pace and pitch of what follows. The pitch is constant: the library's own wavers from call to call, and sounds end
    where a vibration does."""
    handle.espeak_SetParameter(_RATE_PARAMETER, words_per_minute, 0)
    handle.espeak_ng_SetConstF0(pitch_hz)


def say(handle: ctypes.CDLL, text: str) -> None:
    """Speak `text` into the callback. Raises BadInput if the library refuses."""
    data = text.encode() + b"\0"
    failed = handle.espeak_Synth(data, len(data), 0, 1, 0, _UTF8, None, None)
    if failed:
        raise BadInput.of(f"sentence {text!r}", f"espeak-ng refuses to speak it (error {failed})")
