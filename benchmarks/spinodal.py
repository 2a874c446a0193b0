"""How long simulating decompositions takes: `python benchmarks/spinodal.py`, under a minute on 2 cores.

Target: 200 simulations of 151 frames at 64² in under 60 s on 2 cores; worker start-up, the basis and the written files
included.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from trainables.sequence_generator import pca
from trainables.sequence_generator.cahn_hilliard import autocorrelations, draw_conditions, simulate
from trainables.sequence_generator.generate import Generate, write

SIMULATIONS, GRID, PROCESSES, TARGET_S = 200, 64, 2, 60.0


def processor_time() -> float:
    """Seconds of this process and of its children that have ended."""
    own, ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=int, default=GRID)
    parser.add_argument("--simulations", type=int, default=SIMULATIONS)
    options = parser.parse_args()
    spec = Generate(simulations=options.simulations, grid=options.grid, split_seed=42)
    started, used = time.perf_counter(), time.process_time()
    for number in range(5):
        autocorrelations(simulate(draw_conditions(0, number), spec.grid, spec.frames, 0, number))
    each, processor = (time.perf_counter() - started) / 5, (time.process_time() - used) / 5
    print(f"one simulation at {spec.grid}²: {each:.3f} s ({processor:.3f} s of processor time)")
    with tempfile.TemporaryDirectory() as folder:
        started, used = time.perf_counter(), processor_time()
        write(spec, Path(folder), PROCESSES)
        total, used = time.perf_counter() - started, processor_time() - used
        explained = pca.load(Path(folder)).explained
    verdict = "ok" if total < TARGET_S else "TOO SLOW"
    print(
        f"{spec.simulations} of them on {PROCESSES} processes, to the files: {total:.1f} s  {verdict}; "
        f"processor time of all processes {used:.1f} s: {used / PROCESSES:.1f} s where the cores are free"
    )
    print("variance along the components: " + ", ".join(f"{share:.3f}" for share in explained))


if __name__ == "__main__":
    main()
