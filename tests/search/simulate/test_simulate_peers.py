"""The peers of `benchmarks/policies.py`: Ray's and Optuna's own classes on the simulated clock."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import table_of

from search.simulate.clock import simulate
from search.simulate.ours import Halving
from search.simulate.table import Table
from search.simulate.tournament import Ours

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
pytestmark = pytest.mark.integration  # imports Ray and Optuna


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import policies

    found = policies.contenders()
    for name in [name for name in sys.modules if name.startswith("policies")]:
        monkeypatch.delitem(sys.modules, name)
    return found


def curves(seed: int = 0, n: int = 80, epochs: int = 30) -> Table:
    """Noisy curves that fall toward a floor that the first knob sets."""
    rng = np.random.default_rng(seed)
    unit = rng.random((n, 3))
    seen = unit[:, :1] + 1 / np.arange(1, epochs + 1) + 0.05 * rng.standard_normal((n, epochs))
    return table_of(unit, seen, name=f"t{seed}")


@pytest.mark.parametrize("reduction", [3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_our_stopping_mode_is_rays_asha(peers: dict[str, Any], seed: int, reduction: int) -> None:
    """Two implementations of one rule: the same configs are trained just as far, whatever the number of workers."""
    table, marks = curves(seed), tuple(range(10, 700, 10))
    ours, mine = Ours(Halving("stop", 1, reduction)).start(table, seed, 5)
    rays, theirs = peers[f"ray-rf{reduction}-g1"].start(table, seed, 5)
    one, other = (simulate(policy, 4, marks[-1], marks) for policy in (ours, rays))
    assert list(mine.values()) == list(theirs.values()) and one.trials == other.trials > 20

    def rows(run: Any, of: Any) -> list[tuple[int, int]]:
        return [(of[choice.newest], of[choice.furthest]) for choice in run.chosen]

    assert rows(one, mine) == rows(other, theirs)


RAYS, OPTUNAS = ("ray-rf3-g1", "ray-rf3-g5", "ray-optuna"), ("optuna-hyperband", "optuna-median", "optuna-halving")
SYNES = [
    pytest.param(
        name,
        marks=[
            pytest.mark.skipif(find_spec("syne_tune") is None, reason="needs the extra `peers`"),
            pytest.mark.filterwarnings("ignore::FutureWarning"),  # statsmodels', of its random numbers
        ],
    )
    for name in ("syne-asha", "syne-bohb")
]


@pytest.mark.parametrize("name", [*RAYS, *OPTUNAS, *SYNES, "random"])
def test_every_peer_plays_a_whole_search(peers: dict[str, Any], name: str) -> None:
    table = curves(n=200)
    table.seen[::7, 12:] = np.nan  # some diverge
    runs = []
    for _ in range(2):
        policy, rows = peers[name].start(table, 3, 9)
        runs.append(simulate(policy, 4, 400))
        assert len(set(rows.values())) == len(rows) == runs[-1].trials, "each config is trained once"
    again = runs[0] == runs[1] or name == "syne-bohb"  # its density model draws from fresh entropy
    assert again and runs[0].evaluations == 400
    assert runs[0].trials > 400 / table.horizon + (name != "random")


def test_optuna_is_told_of_the_row_that_was_trained(peers: dict[str, Any]) -> None:
    table = curves()
    for name in ("ray-optuna", "optuna-hyperband"):
        policy, rows = peers[name].start(table, 0, 0)
        simulate(policy, 2, 60)
        study = policy._search._ot_study if name == "ray-optuna" else policy._study
        assert len(study.trials) == len(rows)
        for trial in study.trials:
            assert trial.params == table.values[rows[trial.number]]
