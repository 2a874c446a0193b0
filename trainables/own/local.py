"""A training function on its own, outside of any search: reports are printed."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.native import read_native
from trainables.own import random_states
from trainables.own.handle import Config, State, Stateful, as_numbers, check_stateful, check_step


@dataclass
class LocalRun:
    """What a training function is given when its file is run by hand."""

    config: Config
    seed: int
    folder: Path
    _last: int = field(default=0, init=False)

    def resume(self) -> None:
        """Nothing: a training by hand starts at its beginning."""

    def restore(self, *parts: Stateful) -> int:
        """0: a training by hand starts at its beginning."""
        check_stateful(parts)
        return 0

    def report(self, step: int, *, state: State | None = None, ends: bool = False, **metrics: Any) -> None:  # noqa: ARG002
        """Print the metrics."""
        self._last = check_step(step, self._last, "step")
        numbers = (f"{name} {value:.6g}" for name, value in as_numbers(metrics).items())
        print(self._last, *numbers, sep="  ", flush=True)  # noqa: T201


def local_run(config: Mapping[str, Any] | str | Path, seed: int = 0, folder: str | Path | None = None) -> LocalRun:
    """A run for `train(search.local_run("config.yaml"))`, which trains once, without a search.

    Args:
        config: The config, or its file.
        seed: The run's seed; the generators of Python, NumPy and torch are seeded with it.
        folder: The run's own folder; None: one for temporary files.

    Returns:
        A run whose reports are printed.

    Raises:
        BadInput: for a file that can't be read.

    """
    native = config if isinstance(config, Mapping) else read_native(Path(config))
    random_states.seed_all(seed)
    place = Path(tempfile.mkdtemp(prefix="run-")) if folder is None else Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    return LocalRun(Config(native), seed, place)
