"""From labels per frame to phonemes, by greedy CTC decoding: repeats become one *before* blanks are dropped.

Three readings of a diphone network, each failing somewhere but the last:

- phonemes, from the marginalised probabilities, hear p twice where a blank stands between (a→p) and (p→p), which a
  network that has learnt diphones alone (α = 0) is free to put there;
- diphones first, mapped to phonemes then (`phonemes.phonemes_of`), hear nothing where no loss has taught them (α = 1);
- both: the phonemes of the first, a repeat counted only where the previous phoneme of each frame says that it is one.
"""

from itertools import groupby

import numpy as np

from trainables.diphone_rnn.phonemes import BLANK, Labels, collapse


def phonemes_from_phonemes(frames: Labels) -> Labels:
    """Phonemes (n,) of the likeliest phoneme per frame (T',)."""
    return collapse(frames)


def phonemes_from_both(frames: Labels, previous: Labels) -> Labels:
    """Phonemes (n,) of the likeliest phoneme per frame (T',) and the likeliest phoneme before it (T',).

    Runs of one phoneme p with only blanks between them are one p, unless they say otherwise: t runs entered from
    another phoneme are t times p, as a phoneme network says it, and s runs in the steady state p→p are (s + 1)//2
    times p, as a diphone network says it, for the transition of a p into another p is (p→p), too.
    """
    starts = np.flatnonzero(np.diff(frames, prepend=-1))  # of runs of one label, blanks included
    ends = [*starts[1:], len(frames)][: len(starts)]
    runs = [(int(frames[a]), previous[a:b]) for a, b in zip(starts, ends, strict=True) if frames[a] != BLANK]
    phonemes: list[int] = []
    for phoneme, group in groupby(runs, key=lambda run: run[0]):
        steady = [run == phoneme for _, run in group]  # of each frame of each run
        entered, held = sum(not run.all() for run in steady), sum(bool(run.any()) for run in steady)
        phonemes += [phoneme] * max(entered, (held + 1) // 2)
    return np.array(phonemes, dtype=np.int64)
