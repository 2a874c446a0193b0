"""The `metadata.json` beside the curves: what the columns are called, and the range of each quantity."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spaces.problems import BadInput, Problem, raise_any
from spaces.strict_yaml import read_text

MOST_BYTES = 64 << 20  # it may say something of every sample

LAX = "your script trains on what there is"
SCALE = "your script trains without, but values and errors are scaled by it here"

Ranges = Mapping[str, tuple[float, float]]
"""Name → (lowest, highest) of the documented range; a quantity that is the same everywhere has two equal bounds."""

_PREFIX = re.compile(r"prefix_([0-9.]+(?:e[-+]?[0-9]+)?)s")


@dataclass(frozen=True)
class Metadata:
    """What `metadata.json` says about the data."""

    known_names: tuple[str, ...]
    target_names: tuple[str, ...]
    ranges: Ranges
    """Of every known input and every target."""
    sets: Mapping[str, tuple[float, ...]]
    """Of those that have a range of three values or more: the values that they take, ascending."""
    n_samples: int | None
    """None where the file doesn't say."""
    n_points: Mapping[float, int]
    """Prefix length in s → readings, as far as the file says."""
    posterior_share: Mapping[float, Mapping[str, float]]
    """Prefix length in s → target → the least posterior sd over the prior's sd that its curves allow; of simulated data
    only."""


def read_metadata(path: Path) -> Metadata:
    """The metadata in the file `path`. Raises BadInput with every problem found."""
    where = str(path)
    if not path.is_file():
        raise BadInput.of(
            where, "missing; a data folder holds training_data.npz and metadata.json; your script ends there: add it"
        )
    try:
        content = json.loads(read_text(path, MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise BadInput.of(where, f"is not valid JSON: {error}; your script ends there: repair it") from error
    if not isinstance(content, dict):
        what = f"expected a JSON object of keys to values, got {type(content).__name__}"
        raise BadInput.of(where, f"{what}; your script finds no key in it: write it anew")
    problems: list[Problem] = []
    known = _names(content, "known_input_names", where, problems)
    targets = _names(content, "infer_params", where, problems)
    both = "is a known input, too, which your script would infer from itself: take it out of one of the two"
    problems += [Problem(f"{where} infer_params", f"{n!r} {both}") for n in targets if n in known]
    sets: dict[str, tuple[float, ...]] = {}
    ranges = _ranges(content, known, targets, where, problems, sets)
    n_samples = content.get("n_samples")
    if n_samples is not None and type(n_samples) is not int:
        problems.append(Problem(f"{where} n_samples", f"expected a whole number, got {n_samples!r}; {LAX}: correct it"))
    raise_any(problems)
    return Metadata(known, targets, ranges, sets, n_samples, _points(content), _shares(content))


def _shares(content: Mapping[str, Any]) -> dict[float, dict[str, float]]:
    """Only for people to read, so whatever is not of the generator's form is left out."""
    by_length = content.get("posterior_share")
    found: dict[float, dict[str, float]] = {}
    for length, shares in by_length.items() if isinstance(by_length, dict) else ():
        if re.fullmatch(r"[0-9.]+", length) and isinstance(shares, dict):
            found[float(length)] = {str(k): float(v) for k, v in shares.items() if isinstance(v, int | float)}
    return found


def length_in(key: str) -> float | None:
    """The seconds in an npz key like `prefix_30s` or `prefix_7.5s`; None for any other key."""
    match = _PREFIX.fullmatch(key)
    try:
        return float(match[1]) if match else None
    except ValueError:
        return None


def _names(content: Mapping[str, Any], key: str, where: str, problems: list[Problem]) -> tuple[str, ...]:
    value = content.get(key)
    if isinstance(value, list) and value and all(isinstance(n, str) for n in value) and len(set(value)) == len(value):
        return tuple(value)
    got = f"got {value!r}" if key in content else "it is missing"
    problems.append(
        Problem(
            f"{where} {key}",
            f"expected a list of different names, at least one; {got}; your script can't tell the columns: write it",
        )
    )
    return ()


def _ranges(
    content: Mapping[str, Any],
    known: tuple[str, ...],
    targets: tuple[str, ...],
    where: str,
    problems: list[Problem],
    sets: dict[str, tuple[float, ...]],
) -> Ranges:
    """The range of every name; `fixed_params` counts where `param_ranges` has none, then `measurement_model`.

    A list of three values or more is a discrete set: it goes into `sets`, its ends are the range.
    """
    sources = ("param_ranges", "fixed_params", "measurement_model")
    if not isinstance(content.get("param_ranges"), Mapping):
        got = f"got {content['param_ranges']!r}" if "param_ranges" in content else "it is missing"
        what = f"expected name → [lowest, highest]; {got}; {SCALE}: write it"
        problems.append(Problem(f"{where} param_ranges", what))
        return {}
    found: dict[str, tuple[float, float]] = {}
    for name in (*known, *targets):
        at = next((s for s in sources if isinstance(content.get(s), Mapping) and name in content[s]), None)
        if at is None:
            what = f"no range for {name!r}; {SCALE}: add {name!r}: [lowest, highest] here, or its value to fixed_params"
            problems.append(Problem(f"{where} param_ranges", what))
            continue
        value = content[at][name]
        bounds = _bounds(value)
        if bounds is None:
            what = f"expected [lowest, highest], one number, or a list of three values or more, finite; got {value!r}; "
            what += f"{SCALE}: correct it"
            problems.append(Problem(f"{where} {at}.{name}", what))
        elif name in targets and bounds[0] == bounds[1]:
            what = f"{name!r} is to be inferred, but its range is the single value {bounds[0]}; "
            what += "your script learns a constant: widen the range, or leave the name out"
            problems.append(Problem(f"{where} {at}.{name}", what))
        else:
            found[name] = bounds
            if isinstance(value, list) and len(value) > 2:
                sets[name] = tuple(sorted({float(v) for v in value}))
    return found


def _bounds(value: Any) -> tuple[float, float] | None:
    values = value if isinstance(value, list) and len(value) > 1 else [value]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= sys.float_info.max for v in values):
        return None
    low, high = (min(values), max(values)) if len(values) > 2 else (values[0], values[-1])
    return (float(low), float(high)) if low <= high else None


def _points(content: Mapping[str, Any]) -> Mapping[float, int]:
    """Readings by prefix length, from `prefix_n_points` as a list beside `prefix_lengths` or as an object."""
    lengths, points = content.get("prefix_lengths"), content.get("prefix_n_points")
    if isinstance(points, dict):
        pairs = [
            (length_in(f"prefix_{key.removeprefix('prefix_').removesuffix('s')}s"), n) for key, n in points.items()
        ]
    elif isinstance(points, list) and isinstance(lengths, list) and len(points) == len(lengths):
        pairs = list(zip(lengths, points, strict=True))
    else:
        return {}
    return {float(length): n for length, n in pairs if isinstance(length, int | float) and type(n) is int}
