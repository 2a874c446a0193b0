"""Simulated experiments in the native layout: `training_data.npz` and `metadata.json`, like a user's own folder."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from spaces.schema import Flag, Real, Section, Whole
from trainables.cache import cached, content_key
from trainables.early_inference.kinetics import Floats, simulate
from trainables.early_inference.limits import mean_posterior_share
from trainables.early_inference.measurement import (
    FIXED,
    KNOWN_INPUTS,
    RANGES,
    TARGETS,
    Measurement,
    draw_conditions,
    draw_faults,
    reading,
)
from trainables.spread import spread

VERSION = 2  # raise it whenever the same spec gives other numbers: it is part of the cache's key
DATA_FILE, METADATA_FILE = "training_data.npz", "metadata.json"
CHUNK = 250  # samples handed to a worker process at a time, about 0.3 s
MAX_POINTS = 60_000_000  # samples × points of one prefix: 1 GB in the file


class Generate(Section):
    """What to simulate. Sample i depends on `seed` and i, not on `samples`."""

    samples: Whole = Field(default=4000, ge=2)
    seed: Whole = Field(default=0, ge=0)
    t_max: Real = Field(default=120.0, gt=0)
    """Length of the experiment in s, of which the prefixes are the beginnings; no prefix may exceed it."""
    prefix_lengths: tuple[Real, ...] | None = Field(default=None, min_length=1)
    """Seconds of curve to write, one set of curves for each; None: the config's prefix_length."""
    n_points: Whole = Field(default=100, ge=2)
    """Readings in each prefix, evenly spread from 0 to its end."""
    use_adaptive_n_points: Flag = False
    """Longer prefixes get more readings: max(n_points, prefix length / target_dt)."""
    target_dt: Real = Field(default=0.3, gt=0)
    """Seconds between readings that `use_adaptive_n_points` aims at."""
    measurement: Measurement = Measurement()

    @model_validator(mode="after")
    def _check(self) -> "Generate":
        lengths = self.prefix_lengths or ()
        problems = [
            f"prefix_lengths holds {length}; it must be above 0 and at most t_max = {self.t_max}"
            for length in lengths
            if not 0.0 < length <= self.t_max
        ]
        if len(set(lengths)) < len(lengths):
            problems.append(f"prefix_lengths {list(lengths)} holds a length twice")
        problems += [
            f"samples × readings of the {length} s prefix is {size}; the bound is {MAX_POINTS}: ask for fewer"
            for length in lengths
            if (size := self.samples * self.points(length)) > MAX_POINTS
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def points(self, length: float) -> int:
        """The number of readings in a prefix of `length` seconds."""
        # Rounded before the ceiling: 30 / 0.3 is a hair above 100.
        wanted = math.ceil(round(length / self.target_dt, 9)) if self.use_adaptive_n_points else 0
        return max(self.n_points, wanted)

    def times(self, length: float) -> Floats:
        """The times (s) of the readings in a prefix of `length` seconds."""
        return np.linspace(0.0, length, self.points(length))


def generated(spec: Generate, processes: int | None = None) -> Path:
    """The folder that holds the data of `spec`, simulated now unless the cache has it."""
    key = content_key({"version": VERSION, "generate": spec.model_dump(mode="json")})
    return cached("early_inference", key, lambda folder: write(spec, folder, processes))


def write(spec: Generate, folder: Path, processes: int | None = None) -> None:
    """Simulate `spec` into `folder`, on `processes` processes (default: one per core), which change nothing in it."""
    if spec.prefix_lengths is None:
        raise ValueError("prefix_lengths is None; set it before simulating")
    chunks = [range(i, min(i + CHUNK, spec.samples)) for i in range(0, spec.samples, CHUNK)]
    with spread(processes, len(chunks)) as spread_map:
        parts = list(spread_map(partial(_simulate_chunk, spec), chunks))
    names = [prefix_key(length) for length in spec.prefix_lengths]
    known, target = (np.concatenate([part[name] for part in parts]) for name in ("known", "target"))  # (n, 5), (n, 2)
    arrays: dict[str, Any] = {}
    for name, length in zip(names, spec.prefix_lengths, strict=True):
        readings = np.concatenate([part[name] for part in parts])  # (n, L)
        content = {
            "pH_prefix": readings,
            "t_prefix": np.tile(spec.times(length), (spec.samples, 1)),
            "known_inputs": known,
            "target_params": target,
        }
        arrays[name] = np.array(content, dtype=object)  # () - a dict in an object array, pickled by numpy
    np.savez(folder / DATA_FILE, **arrays)
    (folder / METADATA_FILE).write_text(json.dumps(_metadata(spec, spec.prefix_lengths), indent=1), encoding="utf-8")


def prefix_key(length: float) -> str:
    """The name in the npz of the curves of `length` seconds: `prefix_30s`, `prefix_7.5s`."""
    return f"prefix_{int(length) if float(length).is_integer() else float(length)}s"


def _metadata(spec: Generate, lengths: tuple[float, ...]) -> dict[str, Any]:
    return {
        "n_samples": spec.samples,
        "seed": spec.seed,
        "t_max": spec.t_max,
        "n_times": len(_all_times(spec)),
        "prefix_lengths": list(lengths),
        "prefix_n_points": [spec.points(length) for length in lengths],
        "use_adaptive_n_points": spec.use_adaptive_n_points,
        "target_dt": spec.target_dt,
        "infer_params": list(TARGETS),
        "param_ranges": {name: list(bounds) for name, bounds in RANGES.items()},
        "fixed_params": dict(FIXED),
        "measurement_model": spec.measurement.model_dump(mode="json"),
        "known_input_names": list(KNOWN_INPUTS),
        "generator_version": VERSION,
        "posterior_share": {
            str(length): mean_posterior_share(spec.measurement, spec.times(length), spec.seed) for length in lengths
        }
        if spec.measurement.noise_sd_ph > 0
        else {},
    }


def _all_times(spec: Generate) -> Floats:
    """The distinct times (s) of all prefixes, increasing: each experiment is integrated once."""
    return np.unique(np.concatenate([spec.times(length) for length in spec.prefix_lengths or ()]))


def _simulate_chunk(spec: Generate, samples: range) -> dict[str, Floats]:
    """Curves (m, L) by prefix key, with `known` (m, 5) and `target` (m, 2), of the m sample numbers `samples`."""
    assert spec.prefix_lengths is not None
    t = _all_times(spec)
    rows: dict[str, list[Floats]] = {"known": [], "target": []}
    for sample in samples:
        conditions = draw_conditions(spec.seed, sample)
        faults = draw_faults(spec.measurement, spec.seed, sample)
        shown = simulate(conditions, t, faults.lag_s).probe_ph  # (len(t),)
        rows["known"].append(np.array([getattr(conditions, name) for name in KNOWN_INPUTS]))
        rows["target"].append(np.array([getattr(conditions, name) for name in TARGETS]))
        for length in spec.prefix_lengths:
            times = spec.times(length)
            stream = round(length * 1e6)  # by length: another prefix leaves this one's noise as it is
            at = shown[np.searchsorted(t, times)]  # (L,) - `times` are among `t` to the bit
            noise = spec.measurement.noise_sd_ph
            curve = reading(times, at, faults, noise, spec.seed, sample, stream)
            rows.setdefault(prefix_key(length), []).append(curve)
    return {name: np.stack(values) for name, values in rows.items()}
