"""Bare Ray Tune on the closed form of `benchmarks/trivial.py`: what the service is measured beside."""

import logging
import os
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from benchmarks.trivial import loss
from search.execution.cluster import _QUIET


def connect(address: str, **options: Any) -> None:
    """Join a cluster, or start one, as silently as the service does."""
    os.environ.update(_QUIET)
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def search(
    folder: Path,
    searcher: Any,
    heard: Any,
    *,
    name: str,
    trials: int,
    at_once: int,
    steps: int,
    first: int,
    reduction: int,
) -> None:
    """A whole search; `heard` is the callback, rungs are `first`, `first` · `reduction`, … steps."""

    class Trivial(tune.Trainable):  # type: ignore[misc]  # in here, so that workers get it with the trial
        def setup(self, config: dict[str, Any]) -> None:
            self._values, self._at = config, 0

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            self._at += 1
            return {"step": self._at, "loss": loss(**self._values, step=self._at), "done": self._at >= steps}

        def save_checkpoint(self, checkpoint_dir: str) -> None: ...

        def load_checkpoint(self, checkpoint: str) -> None: ...

    tune.Tuner(
        tune.with_resources(Trivial, {"cpu": 1}),
        param_space={"alpha": tune.uniform(0, 1), "beta": tune.uniform(0, 1), "rate": tune.loguniform(1e-3, 1)},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            search_alg=searcher,
            scheduler=ASHAScheduler(time_attr="step", max_t=steps, grace_period=first, reduction_factor=reduction),
            num_samples=trials,
            max_concurrent_trials=at_once,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name=name, storage_path=str(folder), callbacks=[heard], verbose=0),
    ).fit()
