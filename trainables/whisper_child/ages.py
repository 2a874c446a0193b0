"""Age buckets: their order, and the split into training and validation that keeps every child on one side. No torch."""

import math
import re
from collections.abc import Mapping, Sequence

from trainables.seeding import derive

UNKNOWN = "unknown"
DOCUMENTED = ("3-4", "5-6", "7-8", "9-10", "11-12", "13+")
_BUCKET = re.compile(r"(\d{1,2})(?:-(\d{1,2})|\+)")


def lower_bound(bucket: str) -> float:
    """The youngest age of a bucket in years: 5 of `5-7`, 12 of `12+`; infinite for `unknown`, which comes last.

    Raises ValueError for anything else.
    """
    if bucket == UNKNOWN:
        return math.inf
    found = _BUCKET.fullmatch(bucket)
    if found is None or (found[2] is not None and int(found[2]) < int(found[1])):
        raise ValueError(f"{bucket!r} is no age bucket; write it as 5-7, 12+ or unknown")
    return float(found[1])


def in_order(buckets: Sequence[str]) -> list[str]:
    """The different ones among `buckets`, youngest first, `unknown` last."""
    return sorted(set(buckets), key=lambda bucket: (lower_bound(bucket), bucket))


def metric_name(bucket: str) -> str:
    """A bucket as part of a metric's name, in characters that MLflow takes: `13+` is `13_and_up`."""
    return bucket.replace("+", "_and_up")


def held_out(
    children: Mapping[str, Sequence[str]], val_ratio: float, seed: int, stratify: bool
) -> tuple[frozenset[str], tuple[str, ...]]:
    """The children to validate on, and the buckets that have too few children to give one.

    children: child → the bucket of each of its utterances. A child with several buckets counts in the one that most of
    its utterances have. In each bucket (all children together without `stratify`), children are taken in an order that
    (seed, child) fixes, while the share of utterances comes closer to `val_ratio`; at least one, and never all.
    """
    groups: dict[str, list[str]] = {}
    for child, buckets in children.items():
        most = min(set(buckets), key=lambda bucket: (-buckets.count(bucket), lower_bound(bucket), bucket))
        groups.setdefault(most if stratify else "", []).append(child)
    chosen: set[str] = set()
    alone = []
    for group, names in groups.items():
        if len(names) < 2:
            alone.append(group)
            continue
        wanted = val_ratio * sum(len(children[name]) for name in names)
        taken: list[str] = []
        so_far = 0
        for name in sorted(names, key=lambda name: derive(seed, "split", name))[:-1]:
            more = so_far + len(children[name])
            if not taken or abs(more - wanted) < abs(so_far - wanted):
                taken.append(name)
                so_far = more
        chosen.update(taken)
    return frozenset(chosen), tuple(sorted(alone, key=lambda b: (lower_bound(b), b) if b else (0.0, b)))
