"""Validation metrics: error rates of what the network decodes. No knob enters here. No torch here.

The objective reads a diphone network in one way at whatever α: phonemes from the marginalised probabilities, repeats
checked against the diphones (`phonemes_from_both`). Either plain reading would rank trials by α instead of by
what they have learnt: the marginalised one doubles phonemes where α is 0, and diphones first say nothing where it is 1.
Both are reported. A network of phonemes alone has the one reading that there is.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from trainables.diphone_rnn.phonemes import Labels, collapse, phonemes_from_both, phonemes_of
from trainables.run import Objective

OBJECTIVE = Objective(metric="val_per", mode="min", worst=1.0, unit="PER", further={"val_der": "min"})
"""Σ edit distance / Σ length. Saying nothing scores 1, the worst that a search assumes. More is possible, where a
network says too much; it is reported as it is, and is finite, as nobody can say more than a phoneme per frame."""


class DiphoneFrames(NamedTuple):
    """What a network of diphones adds, per frame (T',)."""

    diphones: Labels  # the likeliest diphone
    previous: Labels  # the likeliest phoneme before the likeliest phoneme


class Heard(NamedTuple):
    """What was said in one trial, and what the network makes of it."""

    day: str
    phonemes: Labels  # (N,)
    diphones: Labels  # (2N+1,)
    phoneme_frames: Labels  # (T',) likeliest phoneme per frame
    diphone_frames: DiphoneFrames | None

    def decoded(self) -> Labels:
        """The phonemes (n,) that the objective judges."""
        if self.diphone_frames is None:
            return collapse(self.phoneme_frames)
        return phonemes_from_both(self.phoneme_frames, self.diphone_frames.previous)


def error_rate(pairs: Iterable[tuple[Labels, Labels]]) -> float:
    """Σ edit distance (Levenshtein 1966) / Σ length of what was said, over (heard, said); silence counts."""
    errors = length = 0
    for heard, said in pairs:
        errors += Levenshtein.distance(heard.tolist(), said.tolist())
        length += len(said)
    assert length, "trials have labels"
    return errors / length


def validation_metrics(trials: Sequence[Heard], per_day: bool) -> dict[str, float]:
    """PER, DER and PER both plain ways over all trials; with `per_day`, PER of each day as `val_per.<day>`."""
    judged = [(trial.decoded(), trial.phonemes) for trial in trials]
    found = {OBJECTIVE.metric: error_rate(judged)}
    with_diphones = [(trial, trial.diphone_frames) for trial in trials if trial.diphone_frames is not None]
    if with_diphones:
        read = [(t, collapse(frames.diphones)) for t, frames in with_diphones]
        found["val_der"] = error_rate((diphones, t.diphones) for t, diphones in read)
        found["val_per_diphones_first"] = error_rate((phonemes_of(diphones), t.phonemes) for t, diphones in read)
        plain = ((collapse(t.phoneme_frames), t.phonemes) for t, _ in with_diphones)
        found["val_per_marginalised"] = error_rate(plain)
    if per_day:
        for day in dict.fromkeys(trial.day for trial in trials):
            of_day = (pair for trial, pair in zip(trials, judged, strict=True) if trial.day == day)
            found[day_key(day)] = error_rate(of_day)
    return found


def day_key(day: str) -> str:
    """`val_per.t15.2023.08.11`: only characters that MLflow takes in a key."""
    return f"{OBJECTIVE.metric}.{re.sub(r'[^0-9A-Za-z_.-]', '_', day)}"
