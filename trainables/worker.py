"""A worker's process: its threads, its current folder, its log."""

import logging
import os
import sys
from pathlib import Path


def limit_threads(threads: int) -> None:
    """Hold torch to `threads`, whether the model has imported it already or will. Not imported here: it takes seconds
    and 200 MB, and the driver, which imports this by way of `Bridge`, never trains."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def log_of(model: str) -> logging.Logger:
    """What a model itself has to say while it trains: `trainables.<model>`."""
    return logging.getLogger(f"trainables.{model}")


def work_in(folder: str) -> None:
    """Make `folder` the current one, if this node has it: Ray gives each trial one of its own, in which nothing of the
    user's is."""
    if folder and Path(folder).is_dir():
        os.chdir(folder)


def open_log(folder: Path, model: str) -> logging.Logger:
    """The log of the trial in `folder`; what its model says goes there, too."""
    folder.mkdir(parents=True, exist_ok=True)
    log = logging.getLogger(f"trainables.trial.{folder}")
    log.propagate = False
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for each in (log, log_of(model)):
        each.setLevel(logging.INFO)
        each.addHandler(handler)
    return log
