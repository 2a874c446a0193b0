"""What the network reads: characters or phonemes as numbers. No torch."""

import string
from functools import lru_cache
from typing import Literal

from spaces.problems import BadInput
from trainables.diphone_rnn.phonemes import PHONEMES

TextInput = Literal["characters", "phonemes"]

PAD, UNKNOWN = 0, 1
_CHARACTERS = " " + string.ascii_lowercase + "'\".,;:!?-()[]" + "0123456789" + "àâæçèéêëîïôöùûüñœ"
SYMBOLS: dict[TextInput, tuple[str, ...]] = {
    "characters": ("<pad>", "<unknown>", *_CHARACTERS),
    "phonemes": ("<pad>", "<unknown>", " ", *PHONEMES[1:-1]),
}


def encode(text: str, kind: TextInput, where: str) -> tuple[int, ...]:
    """The numbers of `text`; none of them is padding. Raises BadInput at `where` for a text that says nothing."""
    ids = _characters(text) if kind == "characters" else _phonemes(text)
    if not any(SYMBOLS[kind][i].isalnum() for i in ids):
        raise BadInput.of(
            where,
            f"text {text!r} has nothing to say, and your script learns nothing from it; write it out, or take the "
            "line out",
        )
    return ids


def _characters(text: str) -> tuple[int, ...]:
    known = {symbol: i for i, symbol in enumerate(SYMBOLS["characters"])}
    plain = " ".join(text.lower().replace("’", "'").replace("—", "-").replace("–", "-").split())
    return tuple(known.get(character, UNKNOWN) for character in plain)


@lru_cache(maxsize=100_000)  # a worker checks the same texts for every trial
def _phonemes(text: str) -> tuple[int, ...]:
    from trainables.diphone_rnn.espeak import words_of  # lazy: only phonemes need the library

    known = {symbol: i for i, symbol in enumerate(SYMBOLS["phonemes"])}
    words = [[known[name] for name in word.phonemes] for word in words_of(text)]
    return tuple(i for number, word in enumerate(words) for i in ([known[" "], *word] if number else word))
