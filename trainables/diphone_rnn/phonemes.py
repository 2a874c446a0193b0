"""The label classes: 41 phonemes, their 1681 diphones, and the ways between label sequences.

Diphones as in Li et al., arXiv 2411.10657 (DCoND): the id of the diphone (previous → current) is
previous·41 + current; (p → p) is the steady state of p. Class 0 is the CTC blank in both alphabets.

From labels per frame to phonemes, by greedy CTC decoding (repeats become one *before* blanks are dropped), a diphone
network has three readings, each failing somewhere but the last:

- phonemes, from the marginalised probabilities (`collapse`), hear p twice where a blank stands between (a→p) and
  (p→p), which a network that has learnt diphones alone (α = 0) is free to put there;
- diphones first, mapped to phonemes then (`phonemes_of`), hear nothing where no loss has taught them (α = 1);
- both (`phonemes_from_both`): the phonemes of the first, a repeat counted only where the previous phoneme of each
  frame says that it is one.
"""

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]

BLANK, SIL = 0, 40
_SPOKEN = """
AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH
"""  # ARPAbet, in the order of the T15 data
PHONEMES: tuple[str, ...] = ("BLANK", *_SPOKEN.split(), "SIL")
N_PHONEMES = len(PHONEMES)  # 41
N_DIPHONES = N_PHONEMES**2  # 1681
IDS = {name: number for number, name in enumerate(PHONEMES)}


def diphones_of(phonemes: Labels) -> Labels:
    """The 2N+1 diphones of N phonemes: (0→p1), (p1→p1), (p1→p2), (p2→p2), …, (pN→pN), (pN→0).

    (N,) → (2N+1,); [1, 2, 3] → [1, 42, 43, 84, 85, 126, 123]. Raises ValueError for a label outside 1…40.
    """
    phonemes = np.asarray(phonemes, dtype=np.int64)
    if phonemes.size and not (phonemes.min() > BLANK and phonemes.max() < N_PHONEMES):
        raise ValueError(f"phoneme labels lie in 1…{N_PHONEMES - 1}, got {phonemes.tolist()}")
    bounded = np.concatenate([[BLANK], phonemes, [BLANK]])  # (N + 2,)
    diphones = np.empty(2 * len(phonemes) + 1, dtype=np.int64)
    diphones[0::2] = bounded[:-1] * N_PHONEMES + bounded[1:]  # the N + 1 transitions
    diphones[1::2] = phonemes * (N_PHONEMES + 1)  # the N steady states
    return diphones


def phonemes_of(diphones: Labels) -> Labels:
    """The phonemes (n,) that a decoded sequence of diphones (m,) tells of, however imperfect it is.

    Read from left to right after dropping blanks: a run of k equal steady states (p→p) is (k + 1)//2 times p, since the
    transition of a p into another p is itself (p→p); a transition into p with one out of p right behind it is a p
    whose steady state was missed. Any other transition says nothing. `phonemes_of(diphones_of(x))` is x.
    """
    labels = np.asarray(diphones, dtype=np.int64)
    labels = labels[labels != BLANK]
    phonemes: list[int] = []
    run = 0
    for i, (previous, current) in enumerate(zip(*np.divmod(labels, N_PHONEMES), strict=True)):
        if previous == current:
            run += 1
            if i + 1 == len(labels) or labels[i + 1] != labels[i]:
                phonemes += [int(current)] * ((run + 1) // 2)
                run = 0
        elif current != BLANK and i + 1 < len(labels):
            left, entered = divmod(int(labels[i + 1]), N_PHONEMES)
            if left == current != entered:
                phonemes.append(int(current))
    return np.array(phonemes, dtype=np.int64)


def collapse(frames: Labels) -> Labels:
    """The CTC reading (n,) of one label per frame (T',): repeats first become one, then blanks are dropped."""
    frames = np.asarray(frames, dtype=np.int64)
    if not frames.size:
        return frames
    kept = frames[np.concatenate([[True], frames[1:] != frames[:-1]])]
    return np.asarray(kept[kept != BLANK])


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


def needed_frames(labels: Labels) -> int:
    """The fewest frames that CTC can align `labels` (N,) to: N, and a blank between any two equal neighbours.

    Graves et al., ICML 2006: with fewer there is no path, and the loss is infinite.
    """
    labels = np.asarray(labels)
    return len(labels) + int(np.count_nonzero(labels[1:] == labels[:-1]))
