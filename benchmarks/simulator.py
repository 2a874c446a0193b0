"""How long simulating takes, and how much the curves can tell: `python benchmarks/simulator.py`, about 10 s on 2 cores.

Target: 2,000 trajectories of 120 s in under 30 s on 2 cores, worker start-up and the written files included.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from trainables.early_inference.generate import Generate, write
from trainables.early_inference.kinetics import simulate
from trainables.early_inference.limits import mean_posterior_share
from trainables.early_inference.measurement import Measurement, draw_conditions, draw_faults

TRAJECTORIES, LENGTH_S, POINTS, PROCESSES, TARGET_S = 2000, 120.0, 400, 2, 30.0
FULL = Measurement(offset_max_ph=0.05, drift_max_ph_per_s=5e-5, probe_lag_max_s=5.0)


def one_by_one(measurement: Measurement, count: int = 200) -> float:
    """Milliseconds per trajectory in this process."""
    t = np.linspace(0.0, LENGTH_S, POINTS)
    start = time.perf_counter()
    for sample in range(count):
        simulate(draw_conditions(0, sample), t, draw_faults(measurement, 0, sample).lag_s)
    return (time.perf_counter() - start) / count * 1e3


def all_together(measurement: Measurement) -> float:
    """Seconds for all trajectories on several processes, from the call to the files."""
    spec = Generate(samples=TRAJECTORIES, prefix_lengths=(LENGTH_S,), n_points=POINTS, measurement=measurement)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write(spec, Path(folder), PROCESSES)
        return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    print(f"{TRAJECTORIES} trajectories of {LENGTH_S:g} s with {POINTS} points; target: {TARGET_S:g} s on 2 cores")
    for name, measurement in (("noise only", Measurement()), ("with offset, drift and lag", FULL)):
        alone, total = one_by_one(measurement), all_together(measurement)
        verdict = "ok" if total < TARGET_S else "TOO SLOW"
        print(f"  {name:28} {alone:6.2f} ms each in one process; {total:6.2f} s on {PROCESSES} processes  {verdict}")
    print("posterior sd / prior sd from the first 30 s, 100 readings, mean of 50 samples:")
    t = np.linspace(0.0, 30.0, 100)
    for name, measurement in (("noise only", Measurement()), ("with offset, drift and lag", FULL)):
        shares = mean_posterior_share(measurement, t, seed=0)
        print(f"  {name:28} " + "  ".join(f"{target} {share:.3f}" for target, share in shares.items()))


if __name__ == "__main__":
    main()
