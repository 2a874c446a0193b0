"""Fit a polynomial by SGD: a script that knows nothing of any search. By hand: python configs/own/command/fit.py"""

import argparse
import csv
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--momentum", type=float, default=0.5)
parser.add_argument("--decay-epochs", type=int, default=10)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("run"))
args = parser.parse_args()

data = np.random.default_rng(7)
x = data.uniform(-1, 1, 400)
y = 1 - 2 * x + 3 * x**3 + data.normal(0, 0.1, 400)
powers = np.stack([x**k for k in range(4)], 1)

rng = np.random.default_rng(args.seed)
w, v = rng.normal(0, 0.5, 4), np.zeros(4)
args.out.mkdir(parents=True, exist_ok=True)
with (args.out / "log.csv").open("w", newline="") as file:
    log = csv.writer(file)
    log.writerow(["epoch", "lr", "val_loss"])
    for epoch in range(1, args.epochs + 1):
        lr = args.lr * 0.5 ** ((epoch - 1) // args.decay_epochs)
        for batch in rng.permutation(300).reshape(-1, 20):
            v = args.momentum * v - lr * 2 * powers[batch].T @ (powers[batch] @ w - y[batch]) / len(batch)
            w = w + v
        log.writerow([epoch, lr, np.mean((powers[300:] @ w - y[300:]) ** 2)])
        file.flush()
