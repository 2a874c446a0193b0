"""Validation metrics: error rates between transcripts. No knob enters here. No torch here."""

from collections.abc import Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from trainables.run import Objective
from trainables.whisper_child.ages import in_order, metric_name

OBJECTIVE = Objective(metric="val_wer", mode="min", worst=1.0, unit="WER", further={"val_cer": "min"})
"""(S + D + I) / N over the words of all validation utterances. Saying nothing scores 1, the worst that a search
assumes; more is possible, where a network says too much, and is reported as it is."""


class Heard(NamedTuple):
    """An utterance, normalised, and what the network makes of it."""

    age: str
    said: str
    heard: str


def word_errors(heard: str, said: str) -> tuple[int, int]:
    """The fewest substituted, deleted and inserted words (Levenshtein 1966), and the words that were said."""
    words = said.split()
    return Levenshtein.distance(heard.split(), words), len(words)


def character_errors(heard: str, said: str) -> tuple[int, int]:
    """The same in characters, spaces between words counted."""
    return Levenshtein.distance(heard, said), len(said)


def rate(errors: Sequence[tuple[int, int]]) -> float:
    """Σ errors / Σ length; where nothing was said at all, 0 for silence and 1 for anything else."""
    wrong, length = (sum(column) for column in zip(*errors, strict=True))
    return wrong / length if length else float(wrong > 0)


def validation_metrics(heard: Sequence[Heard], cer: bool, per_age: bool) -> dict[str, float]:
    """WER and, if asked for, CER, and the WER of each age bucket as `val_wer.<bucket>`."""
    found = {OBJECTIVE.metric: rate([word_errors(one.heard, one.said) for one in heard])}
    if cer:
        found["val_cer"] = rate([character_errors(one.heard, one.said) for one in heard])
    if per_age:
        for age in in_order([one.age for one in heard]):
            of_age = [word_errors(one.heard, one.said) for one in heard if one.age == age]
            found[f"{OBJECTIVE.metric}.{metric_name(age)}"] = rate(of_age)
    return found
