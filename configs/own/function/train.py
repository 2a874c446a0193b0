"""A small classifier on a spiral, with warmup and a cosine. By hand: python configs/own/function/train.py"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import search


def spiral(n, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    t = rng.uniform(0.2, 1, n)
    angle = t * 4 + label * 2 * math.pi / 3 + rng.normal(0, 0.25, n)
    x = np.stack([t * np.cos(angle), t * np.sin(angle)], 1)
    return TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(label))


def lr_at(cfg, epoch):
    if epoch < cfg.warmup_epochs:
        return cfg.lr * (epoch + 1) / (cfg.warmup_epochs + 1)
    done = (epoch - cfg.warmup_epochs) / max(1, cfg.epochs - cfg.warmup_epochs)
    return cfg.min_lr + (cfg.lr - cfg.min_lr) * 0.5 * (1 + math.cos(math.pi * done))


def train(run):
    cfg = run.config
    loader = DataLoader(spiral(600, 1), batch_size=cfg.batch_size, shuffle=True)
    x_val, y_val = spiral(300, 2).tensors
    net = nn.Sequential(nn.Linear(2, cfg.hidden), nn.ReLU(), nn.Dropout(cfg.dropout), nn.Linear(cfg.hidden, 3))
    opt = torch.optim.AdamW(net.parameters(), lr=cfg.lr)
    for epoch in range(run.restore(net, opt), cfg.epochs):
        for group in opt.param_groups:
            group["lr"] = lr_at(cfg, epoch)
        net.train()
        for x, y in loader:
            loss = nn.functional.cross_entropy(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
        net.eval()
        with torch.no_grad():
            val_loss = nn.functional.cross_entropy(net(x_val), y_val)
        run.report(epoch + 1, val_loss=val_loss, lr=lr_at(cfg, epoch))


if __name__ == "__main__":
    train(search.local_run(Path(__file__).with_name("config.yaml")))
