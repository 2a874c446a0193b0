"""A user's project on disk: a training function that draws from every generator, its config and its search."""

from pathlib import Path
from typing import Any

from trainables.own.declaration import Declaration
from trainables.own.declare import from_declaration
from trainables.own.model import OwnModel
from trainables.run import Run

TRAIN = """\
import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Points(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, index):  # drawn anew in whichever process loads it
        return torch.rand(3) + random.random() + float(np.random.rand()) + index


def train(run):
    torch.manual_seed(run.seed)
    net, epoch = torch.nn.Linear(3, 1), 0
    optimizer = torch.optim.Adam(net.parameters(), lr=run.config.lr)
    if (state := run.resume()) is not None:
        epoch = state["epoch"]
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
    while epoch < run.config["epochs"]:
        for batch in DataLoader(Points(), 4, shuffle=True, num_workers=run.config.workers):
            optimizer.zero_grad()
            loss = net(batch).pow(2).mean() * random.random() * np.random.rand()
            loss.backward()
            optimizer.step()
        epoch += 1
        run.report(
            epoch,
            val_loss=loss,
            draws=torch.rand(()) + random.random() + np.random.rand(),
            lr=run.config.lr,
            state=lambda: {"epoch": epoch, "net": net.state_dict(), "optimizer": optimizer.state_dict()},
        )
"""
FITS = """\
import json, pathlib, random, sys, time

config = dict(line.split("#")[0].split(": ") for line in open(sys.argv[1]) if ": " in line)
lr, gamma, epochs = float(config["lr"]), float(config["gamma"]), int(config["epochs"])
out, rng, start, x = pathlib.Path(sys.argv[3]), random.Random(int(sys.argv[2])), 0, 1.0
if len(sys.argv) > 4:
    start, x, state = json.loads(pathlib.Path(sys.argv[4]).read_text())
    rng.setstate((state[0], tuple(state[1]), state[2]))
for epoch in range(start, epochs):
    time.sleep(PACE)
    rate = lr * gamma ** RATE
    x *= rng.random() ** rate
    (out / f"epoch_{epoch + 1:02}.json").write_text(json.dumps([epoch + 1, x, rng.getstate()]))
    with (out / "log").open("a") as log:
        log.write(json.dumps({"epoch": epoch + 1, "val_loss": x, "lr": rate}) + "\\n")
"""
"""A script that keeps a checkpoint of each epoch, called by its step; PACE and RATE are to be filled in."""
CONFIG = """\
# my config
lr: 0.01   # the rate
epochs: 4
workers: 0
"""
DECLARED: dict[str, Any] = {
    "function": "train:train",
    "length": "epochs",
    "objective": {"val_loss": "min", "worst": 100.0},
}
SEARCH = """\
trainable:
  function: train:train
  length: epochs
  objective: {val_loss: min, worst: 100.0}
  settles: 0
base: config.yaml
space: {lr: {float: [1e-4, 1e-1], log: true}}
budget: {trials: 4, steps: 4 epochs, evaluate_every: 1 epoch}
resources: {cpu: 1, gpu: 0}
confirm: {top: 1, seeds: 2}
"""


def write_project(folder: Path, train: str = TRAIN, search: str = SEARCH) -> Path:
    """The project; returns the search's YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(train, encoding="utf-8")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "mine.yaml").write_text(search, encoding="utf-8")
    return folder / "mine.yaml"


def own_model(folder: Path, train: str = TRAIN, **declared: Any) -> OwnModel:
    """The project's model, with other keys in its declaration."""
    path = write_project(folder, train)
    made = from_declaration(Declaration.model_validate({**DECLARED, **declared}), path, ("config.yaml", CONFIG))
    return OwnModel(made.reference, folder / "trial")


def build(model: OwnModel, native: dict[str, Any] | None = None, seed: int = 5) -> Run:
    """A run of the model at step 0."""
    config = model.parse({"lr": 0.01, "epochs": 4, "workers": 0, **(native or {})}, "c")
    return model.build(config, model.prepare(model.parse_data({}, config, ""), config), seed)
