"""Words as espeak-ng pronounces them: phonemes and durations, offline, through the library in `espeakng-loader`.

No sound is kept (`trainables.espeak` has the library). Symbols are those of the voice en-us; `SYMBOLS` maps all of them
to the 39 phonemes of `phonemes.py`.
"""

import ctypes
import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from spaces.problems import BadInput
from trainables import espeak
from trainables.espeak import SAMPLE_RATE

RATE = 160  # words per minute; the library's time goes with the length of the sound
PITCH = 100  # Hz

# Values of espeak-ng's speak_lib.h.
_LIST_TERMINATED, _PHONEME = 0, 7

_ALIASES = {
    "AA": "A: A# 0 0# 02",
    "AE": "a aa a2",
    "AH": "@ @2 @5 @# V a# a#2",
    "AO": "O O: O2",
    "AW": "aU",
    "AY": "aI",
    "B": "b",
    "CH": "tS",
    "D": "d d# d[",
    "DH": "D",
    "EH": "E E# E2 e",
    "ER": "3 3: IR VR",
    "EY": "eI e: e#",
    "F": "f",
    "G": "g",
    "HH": "h",
    "IH": "I I# I2 I2#",
    "IY": "i i:",
    "JH": "dZ",
    "K": "k x",
    "L": "l l/ l/2 l/3 l^ l#",
    "M": "m",
    "N": "n",
    "NG": "N",
    "OW": "oU oU# o: o",
    "OY": "OI",
    "P": "p",
    "R": "r r/ r-",
    "S": "s",
    "SH": "S",
    "T": "t t2 t# t[ ?",
    "TH": "T",
    "UH": "U",
    "UW": "u u:",
    "V": "v v#",
    "W": "w w# w2",
    "Y": "j",
    "Z": "z z# z/2",
    "ZH": "Z",
    "AH L": "@L l-",
    "AH M": "m-",
    "AH N": "n- O~",
    "AH NG": "N-",
    "AA R": "A@",
    "AA N": "A~",
    "AO R": "O@ o@",
    "EH R": "e@",
    "IH R": "i@ i@3",
    "UH R": "U@",
    "AY ER": "aI3 aI@",
    "AW ER": "aU@",
}
SYMBOLS = {symbol: tuple(names.split()) for names, symbols in _ALIASES.items() for symbol in symbols.split()}
"""espeak-ng's symbol, without stress → one or two phonemes."""
SILENT = frozenset({";", "@-", "-", "||", "?!", ":"})
"""Symbols that are no phoneme of their own: palatalisation, release, length. Pauses start with `_`."""

_lock = threading.Lock()  # the library has one state per process


@dataclass(frozen=True)
class Word:
    """A word, or words that espeak-ng runs together as it does `of the`."""

    phonemes: tuple[str, ...]
    seconds: tuple[float, ...]
    """Duration of each phoneme at `RATE`."""


def words_of(text: str) -> tuple[Word, ...]:
    """The words of an English `text`, spoken as one utterance. The same text gives the same words, always.

    Raises BadInput where espeak-ng isn't installed, or says something that is no phoneme of English.
    """
    events = _events(text)
    words: list[tuple[int, list[str], list[float]]] = []
    for (position, symbol, start), (_, _, end) in zip(events, [*events[1:], events[-1]] if events else [], strict=True):
        names = _names(symbol, text)
        if not names:
            continue
        if not words or words[-1][0] != position:
            words.append((position, [], []))
        _, phonemes, seconds = words[-1]
        if names == ("R",) and phonemes and phonemes[-1] in ("R", "ER"):  # linking r: `there in` says e@ and r
            seconds[-1] += end - start
            continue
        phonemes.extend(names)
        seconds.extend([(end - start) / len(names)] * len(names))
    return tuple(Word(tuple(phonemes), tuple(seconds)) for _, phonemes, seconds in words)


def _names(symbol: str, text: str) -> tuple[str, ...]:
    """The phonemes of one of espeak-ng's symbols; none for a pause."""
    bare = symbol.lstrip("',%=")
    if not bare or bare.startswith("_") or bare in SILENT:
        return ()
    if bare not in SYMBOLS:
        raise BadInput.of(f"sentence {text!r}", f"espeak-ng says {symbol!r}, which is no English phoneme known here")
    return SYMBOLS[bare]


def _events(text: str) -> list[tuple[int, str, float]]:
    """(position of the word in the text, symbol, start in s) of every phoneme and pause of `text`, in order."""
    with _lock:
        library = _library()
        library.spoken.clear()
        espeak.say(library.handle, text)
        return list(library.spoken)


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class _Library:
    """The loaded library, what its callback has heard, and the callback itself, which must outlive every call."""

    handle: ctypes.CDLL
    spoken: list[tuple[int, str, float]]
    callback: object


@functools.cache
def _library() -> _Library:
    handle = espeak.start("diphone")
    espeak.settle(handle, RATE, PITCH)
    spoken: list[tuple[int, str, float]] = []

    def hear(sound: int | None, samples: int, events: "ctypes._Pointer[_Event]") -> int:  # noqa: ARG001 - C's signature
        spoken.extend(_read(events))
        return 0

    callback = _Callback(hear)
    handle.espeak_SetSynthCallback(callback)
    return _Library(handle, spoken, callback)


def _read(events: "ctypes._Pointer[_Event]") -> Iterator[tuple[int, str, float]]:
    """The phoneme events of a list that ends with a terminator."""
    at = 0
    while (event := events[at]).type != _LIST_TERMINATED:
        at += 1
        if event.type == _PHONEME:
            yield event.text_position, event.id.string.decode(), event.sample / SAMPLE_RATE
