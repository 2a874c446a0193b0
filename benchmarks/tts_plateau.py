"""What plateau_breaker does after a plateau of enhanced: to the mel error, and to the weighted total.

    .venv/bin/python benchmarks/tts_plateau.py

The network of configs/tts/demo.yaml trains under enhanced until its validation error has not fallen by 1% in 10 epochs.
From that checkpoint it goes on in several ways, each for the same number of epochs. Shown are means over the seeds and
each one's own values: the unweighted mel MAE that trials are judged by, and the weighted validation loss that the
training watches, at the plateau, at the switch (the network as it is, the new level's loss) and after it.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch

from spaces import strict_yaml
from spaces.paths import with_values
from trainables.registry import model_named
from trainables.tts.run import TtsRun
from trainables.tts.schedule import knobs

SWITCH = "training.level_switch"
BREAKER_LR = 2.4e-4  # plateau_breaker's 1.5e-5, scaled as in the demo
WAYS: dict[str, dict[str, Any]] = {
    "enhanced, as it was": {f"{SWITCH}.rule": "never"},
    "plateau_breaker": {f"{SWITCH}.level": "plateau_breaker", f"{SWITCH}.learning_rate": BREAKER_LR},
    "enhanced, the breaker's rate": {f"{SWITCH}.level": "enhanced", f"{SWITCH}.learning_rate": BREAKER_LR},
    "enhanced, the breaker's weights": {
        f"{SWITCH}.level": "enhanced",
        f"{SWITCH}.learning_rate": 1.6e-3,
        f"{SWITCH}.mel_loss_weight": 2.0,
        f"{SWITCH}.kl_loss_weight": 1.2,
    },
    "enhanced, the breaker's clip": {
        f"{SWITCH}.level": "enhanced",
        f"{SWITCH}.learning_rate": 1.6e-3,
        f"{SWITCH}.gradient_clip_norm": 0.3,
    },
}


def built(base: dict[str, Any], values: dict[str, Any], seed: int) -> TtsRun:
    """A run of the demo's data."""
    model = model_named("tts")
    config = model.parse(with_values(base, values), "benchmark")
    data = model.parse_data({"generate": {"sentences": 60, "seed": 0}}, config, "benchmark")
    run = model.build(config, model.prepare(data, config), seed)
    assert isinstance(run, TtsRun)
    return run


def weighted(run: TtsRun, switched_at: int | None) -> float:
    """The validation loss of the network as it is, under the weights in force now."""
    now = knobs(run._config, run.step, run.per_epoch, switched_at)
    return run._validation.run(run.network, now, run.weights(now)).loss


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--after", type=int, default=30, help="epochs after the plateau")
    parser.add_argument("--most", type=int, default=150, help="epochs until which a plateau must have come")
    options = parser.parse_args()
    torch.set_num_threads(1)
    base = strict_yaml.load(Path(__file__).parents[1] / "configs" / "tts" / "recipe_demo.yaml")
    common = {
        "training.epochs": options.most + options.after,
        "training.mcd_every": 0,
        "training.early_stopping_patience": 0,
        f"{SWITCH}.rule": "plateau",
        f"{SWITCH}.window": 10,
        f"{SWITCH}.minimum_gain": 0.01,
    }
    rows: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    start: list[tuple[float, float]] = []
    for seed in range(options.seeds):
        run = built(base, common, seed)
        loss = 0.0
        while run.state()["switch"]["switched_at"] is None and run.step < options.most:
            loss = run.train(run.step + 1)["val_loss"]
        state = run.state()
        at = state["switch"]["switched_at"]
        error = run.evaluate()["val_mel_mae"]
        start.append((error, loss))
        print(f"seed {seed}: plateau at epoch {at}, MAE {error:.4f}, weighted {loss:.4f}", flush=True)
        for way, values in WAYS.items():
            branch = built(base, {**common, **values}, seed)
            branch.restore(state)
            reweighted = weighted(branch, at)
            trained = branch.train(branch.step + options.after)
            found = (reweighted, trained["val_loss"], branch.evaluate()["val_mel_mae"])
            rows[way].append(found)
            print(f"  {way}: weighted {found[0]:.4f} → {found[1]:.4f}, MAE {found[2]:.4f}", flush=True)
    print(f"\nat the plateau: MAE {mean(start, 0):.3f}, weighted {mean(start, 1):.3f}\n")
    print("| then | weighted at the switch | weighted after | mel MAE after | change of the MAE, by seed |")
    print("|---|---|---|---|---|")
    for way, of_seeds in rows.items():
        changes = " ".join(f"{row[2] - first[0]:+.3f}" for row, first in zip(of_seeds, start, strict=True))
        print(f"| {way} | {mean(of_seeds, 0):.3f} | {mean(of_seeds, 1):.3f} | {mean(of_seeds, 2):.3f} | {changes} |")


def mean(rows: list[Any], column: int) -> float:
    """The mean of a column."""
    return statistics.fmean(row[column] for row in rows)


if __name__ == "__main__":
    main()
