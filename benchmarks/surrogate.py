"""Our policies beside Ray's and Optuna's on a model of recorded curves, where every sampler proposes freely.

    python benchmarks/surrogate.py --curves ../shared/data/curves --seeds 10

In a table (`policies.py`) a proposal becomes the nearest config that was recorded, and only our forest knows which one
before it decides. Here a forest learns each task's curves from its 1,000 configs, and what is proposed is what is
trained:

    z(x) = F(x) + e,  F: mean of TREES trees on the normal scores of the values at all epochs and of the true end

    e = the residual (recorded − predicted out of bag) of one of the NEAR nearest recorded configs, drawn by x itself:
        its whole curve, and its true value with it

so that a config has one curve, whoever asks for it, as noisy as the recorded ones. Values are mapped back from normal
scores; a diverged training has the worst one. How well F predicts configs that it has not seen stands in the first
table (FOLDS-fold cross-validation). Regret: 0 for the best of 1,000 random configs of the model, 1 for their median.
"""

import argparse
import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from policies import EVERY, REFERENCE, ROOT, contenders, kept
from scipy import stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold

from search.simulate import show
from search.simulate.standing import Standings
from search.simulate.table import Array, Table, load, regret
from search.simulate.tournament import Game, play_all

TREES, LEAF = 60, 2
NEAR = 10
FOLDS = 5
ROOM = 2100  # trials of a search at most
DRAWN = 1000  # random configs that set the scale of regret


class Scores:
    """Values as normal scores of all that were recorded, and back."""

    def __init__(self, values: Array) -> None:
        finite = np.sort(values[np.isfinite(values)])
        self._values = finite[np.linspace(0, len(finite) - 1, 2000).round().astype(int)]
        self._scores = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)

    def of(self, values: Array) -> Array:
        """Of values; what is not finite is the worst."""
        known = np.where(np.isfinite(values), values, self._values[-1])
        return np.asarray(np.interp(known, self._values, self._scores))

    def back(self, scores: Array) -> Array:
        """The values."""
        return np.asarray(np.interp(scores, self._scores, self._values))


@dataclass(frozen=True)
class Error:
    """Of predictions for configs that were left out."""

    explained: float  # R² of the true final value, in normal scores
    order: float  # Spearman's correlation there


class Fitted:
    """A forest on one task's table."""

    def __init__(self, table: Table) -> None:
        self.table, self._seed = table, zlib.crc32(table.name.encode())
        self._curves, self._ends = Scores(table.seen), Scores(table.true)
        self._targets = np.column_stack([self._curves.of(table.seen), self._ends.of(table.true)])
        forest = self._forest(oob_score=True).fit(table.unit, self._targets)
        self._residuals = self._targets - forest.oob_prediction_
        self._trees = [tree.tree_ for tree in forest.estimators_]
        ends = np.array(
            [self.config(x)[1] for x in np.random.default_rng(self._seed).random((DRAWN, table.unit.shape[1]))]
        )
        self.best, self.median = float(ends.min()), float(np.median(ends))

    def config(self, point: Array) -> tuple[Array, float]:
        """The curve of a config, and its true final value."""
        at = point.astype(np.float32)[None]
        mean = np.mean([tree.predict(at).reshape(-1) for tree in self._trees], axis=0)
        rng = np.random.default_rng([self._seed, zlib.crc32(point.tobytes())])
        near = np.argpartition(np.square(self.table.unit - point).sum(axis=1), NEAR)[:NEAR]
        found = mean + self._residuals[rng.choice(near)]
        return self._curves.back(found[:-1]), float(self._ends.back(found[-1:])[0])

    def error(self) -> Error:
        """By cross-validation."""
        found = np.empty(len(self._targets))
        for fit, left in KFold(FOLDS, shuffle=True, random_state=0).split(self.table.unit):
            found[left] = (
                self._forest().fit(self.table.unit[fit], self._targets[fit]).predict(self.table.unit[left])[:, -1]
            )
        truth = self._targets[:, -1]
        explained = 1 - np.square(truth - found).sum() / np.square(truth - truth.mean()).sum()
        return Error(float(explained), float(stats.spearmanr(truth, found).statistic))

    def _forest(self, oob_score: bool = False) -> RandomForestRegressor:
        return RandomForestRegressor(
            TREES, min_samples_leaf=LEAF, max_features=0.5, oob_score=oob_score, random_state=0
        )


@dataclass(frozen=True, eq=False)
class Model(Table):
    """A table that has whatever is asked for: its rows are filled in the order of a search's proposals."""

    fitted: Fitted = field(kw_only=True)

    @classmethod
    def of(cls, fitted: Fitted) -> "Model":
        """Empty."""
        known, knobs = fitted.table, len(fitted.table.space.knobs)
        values: list[Mapping[str, Any]] = [{} for _ in range(ROOM)]
        unit, seen = np.full((ROOM, knobs), np.nan), np.full((ROOM, known.seen.shape[1]), np.nan)
        return cls(
            known.name, known.group, known.space, known.base, values, unit, seen, np.full(ROOM, np.nan), fitted=fitted
        )

    @cached_property
    def worst(self) -> float:
        """The recorded table's."""
        return self.fitted.table.worst

    @property
    def regrets(self) -> Array:
        """Of the rows that are filled."""
        return regret(self.true, self.fitted.best, self.fitted.median)

    def nearest(self, point: Array, unused: Array) -> int:
        """A row of its own for each config: the first one that this search has not used."""
        row = int(unused.argmin())
        if not (self.unit[row] == point).all():
            self.unit[row] = point
            self.values[row] = dict(zip([knob.path for knob in self.space.knobs], map(float, point), strict=True))  # type: ignore[index]
            curve, self.true[row] = self.fitted.config(point)
            self.curves[row] = curve.tolist()
        return row

    def snapped(self, values: Mapping[str, Any], unused: Array) -> dict[str, Any]:
        """The values as they are."""
        return dict(values)


def main() -> int:
    """Play what is not known yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=Path, default=ROOT.parent / "shared" / "data" / "curves")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument(
        "--policies", default=f"ours,ours-tpe,ours-random,{REFERENCE},ray-optuna,optuna-hyperband,random"
    )
    parser.add_argument("--budgets", default="250,500,1000,2000")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "surrogate")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    budgets = [int(text) for text in options.budgets.split(",")]
    marks = sorted({*budgets, *range(EVERY, budgets[-1] + 1, EVERY)})
    known, names = contenders(), options.policies.split(",")
    log = options.out / "games.jsonl"
    games = [game for game, at in kept(log) if at == marks]
    done = {(game.policy, game.task, game.seed) for game in games}
    models = [Model.of(Fitted(load(path))) for path in sorted(options.curves.glob("*.npz"))]
    asked = [known[name] for name in names]
    for game in play_all(asked, models, range(options.seeds), options.workers, marks, skip=done):
        games.append(game)
        with log.open("a") as file:
            file.write(json.dumps({"marks": marks, **asdict(game)}) + "\n")
    print(_text(models, [game for game in games if game.policy in names and game.seed < options.seeds], marks, budgets))
    return 0


def _text(models: Sequence[Model], games: Sequence[Game], marks: list[int], budgets: Sequence[int]) -> str:
    lines = ["| task | R² | rank correlation |", "|---|---|---|"]
    for model in models:
        error = model.fitted.error()
        lines.append(f"| {model.name} | {error.explained:.2f} | {error.order:.2f} |")
    standings = Standings(games, marks, "newest")
    lines += ["", show.table(standings, budgets, REFERENCE, "epoch"), ""]
    ours, theirs = standings.score("ours").mean, standings.score(REFERENCE).mean
    over = [f"{ours[standings.at(budget)] / theirs[standings.at(budget)]:.2f}" for budget in budgets]
    reached = standings.reach("ours", float(theirs[standings.at(budgets[-1])]))
    lines += [f"Ours over {REFERENCE}: {', '.join(over)}; its regret at {budgets[-1]} after {reached} epochs."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
