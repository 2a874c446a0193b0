"""Tables of recorded curves, and what a tournament on them says."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from simulated import table_of

from search.simulate import show
from search.simulate.__main__ import main
from search.simulate.ours import Halving
from search.simulate.standing import Standings
from search.simulate.table import NOISE, load
from search.simulate.tournament import Game, Ours, play_all
from spaces.problems import BadInput

CURVES = Path(__file__).parents[4] / "shared" / "data" / "curves"
needs_curves = pytest.mark.skipif(not any(CURVES.glob("*.npz")), reason=f"no recorded curves in {CURVES}")


def write_lcbench(path: Path, rows: int = 30, seed: int = 0, epochs: int = 52) -> Path:
    """Curves that fall to a floor given by the first knob."""
    rng = np.random.default_rng(seed)
    unit = rng.random((rows, 2)).astype(np.float32)
    error = unit[:, :1] + 1.0 / np.arange(2, epochs + 2)
    np.savez(path, config_unit=unit, valid_error=error.astype(np.float32), test_error=(error + 0.01).astype(np.float32))
    return path


def test_lcbench_counts_epochs_from_one_and_gets_its_noise(tmp_path: Path) -> None:
    table = load(write_lcbench(tmp_path / "lcbench_1.npz"))
    smooth = np.load(tmp_path / "lcbench_1.npz")["valid_error"]
    assert table.horizon == 52 and table.group == "lcbench" and len(table.space.knobs) == 2
    noise = table.seen - smooth
    assert noise.std() == pytest.approx(NOISE, rel=0.1) and abs(noise.mean()) < 3 * NOISE / math.sqrt(noise.size)
    assert np.array_equal(load(tmp_path / "lcbench_1.npz").seen, table.seen)
    other = load(write_lcbench(tmp_path / "lcbench_2.npz"))
    assert not np.array_equal(other.seen, table.seen), "each task has noise of its own"
    assert table.true == pytest.approx(np.load(tmp_path / "lcbench_1.npz")["test_error"][:, -1])


def test_taskset_leaves_out_the_untrained_entry_and_spreads_its_knobs(tmp_path: Path) -> None:
    config = np.array([[1e-4, 0.9, 3.0], [1e-2, 0.99, 5.0], [1.0, 0.999, 4.0]])
    loss = np.arange(12.0).reshape(3, 4)
    loss[2, 2:] = np.nan
    np.savez(
        tmp_path / "t.npz",
        config=config,
        knobs=np.array(["learning_rate", "beta1", "other"]),
        valid_loss=loss,
        test_loss=loss + 1,
    )
    table = load(tmp_path / "t.npz")
    assert table.horizon == 3 and table.seen[0].tolist() == [1.0, 2.0, 3.0]
    assert table.unit[:, 0].tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert table.unit[:, 1].tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert table.unit[:, 2].tolist() == pytest.approx([0.0, 1.0, 0.5])
    assert table.worst == 9.0 and table.regrets.tolist() == [0.0, 1.0, 1.0]
    assert [knob.path for knob in table.space.knobs] == ["learning_rate", "beta1", "other"]


def test_regret_is_0_for_the_best_1_for_the_median_and_never_more() -> None:
    true = np.array([3.0, 1.0, 2.0, 5.0, np.nan])
    table = table_of(np.linspace(0, 1, 5)[:, None], np.zeros((5, 2)), true=true)
    assert table.regrets.tolist() == [1.0, 0.0, 0.5, 1.0, 1.0]
    same = table_of(np.linspace(0, 1, 3)[:, None], np.zeros((3, 2)), true=np.ones(3))
    assert same.regrets.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("arrays", "said"), [({"a": np.zeros(2)}, "holds a; a table needs"), (None, "can't be read")])
def test_another_file_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray] | None, said: str) -> None:
    path = tmp_path / "x.npz"
    if arrays is None:
        path.write_bytes(b"no archive")
    else:
        np.savez(path, **arrays)
    with pytest.raises(BadInput, match=said):
        load(path)


# What a tournament says.


def game(policy: str, task: str, seed: int, *regrets: float, group: str = "g") -> Game:
    return Game(policy, group, task, seed, regrets, regrets, 1)


def test_tasks_count_alike_in_their_benchmark_and_benchmarks_count_alike() -> None:
    games = [
        game("p", "a1", 0, 0.2, group="a"),
        game("p", "a1", 1, 0.4, group="a"),
        game("p", "a2", 0, 0.7, group="a"),
        game("p", "b1", 0, 0.1, group="b"),
        game("p", "b2", 0, 0.5, group="b"),
    ]
    score = Standings(games, [10], "newest").score("p")
    assert score.mean[0] == pytest.approx(((0.3 + 0.7) / 2 + 0.3) / 2)
    # Variances of the task means: .08 in both benchmarks, over 2 tasks each.
    assert score.error[0] == pytest.approx(math.sqrt(0.08 / 2 + 0.08 / 2) / 2)
    assert score.tasks == 4 and score.seeds == 1


def test_differences_are_paired_by_task_and_seed() -> None:
    games = [game("p", task, seed, base + 0.1) for task, base in (("a", 0.1), ("b", 0.8)) for seed in (0, 1, 2)]
    games += [game("q", task, seed, base) for task, base in (("a", 0.1), ("b", 0.8)) for seed in (0, 1)]
    games.append(game("q", "c", 0, 5.0))
    standings = Standings(games, [10], "newest")
    difference = standings.difference("p", "q")
    assert difference.mean[0] == pytest.approx(0.1) and difference.error[0] == pytest.approx(0.0, abs=1e-12)
    assert standings.score("p").error[0] > 0.2 and difference.tasks == 2 and difference.seeds == 2


def test_a_single_task_has_its_error_over_seeds() -> None:
    score = Standings([game("p", "a", 0, 0.2), game("p", "a", 1, 0.4)], [10], "newest").score("p")
    assert score.error[0] == pytest.approx(0.1) and score.tasks == 1


def test_a_level_is_reached_when_regret_stays_below_it() -> None:
    standings = Standings([game("p", "a", 0, 0.5, 0.2, 0.3, 0.2, 0.1)], [10, 20, 30, 40, 50], "newest")
    assert standings.reach("p", 0.25) == 40 and standings.reach("p", 0.1) == 50
    assert standings.reach("p", 0.05) is None and standings.reach("p", 0.9) == 10


def test_the_two_ways_to_hand_over_are_kept_apart() -> None:
    games = [Game("p", "g", "a", 0, (0.1,), (0.9,), 1)]
    assert Standings(games, [10], "newest").score("p").mean[0] == 0.1
    assert Standings(games, [10], "furthest").score("p").mean[0] == 0.9


def test_the_table_says_all_numbers() -> None:
    games = [game(p, t, 0, *r) for p, t, *r in (("p", "a", 0.4, 0.2), ("p", "b", 0.6, 0.2), ("q", "a", 0.9, 0.4))]
    games.append(game("q", "b", 0, 0.7, 0.6))
    text = show.table(Standings(games, [10, 20], "newest"), [10, 20], "q", "epoch")
    assert "| p | 0.500 ± 0.100 | 0.200 ± 0.000 | 10 |" in text
    assert "| q | 0.800 ± 0.100 | 0.500 ± 0.100 | 20 |" in text
    assert "| p | -0.300 ± 0.200 | -0.300 ± 0.100 |" in text


# The command.


def test_the_command_prints_keeps_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        write_lcbench(tmp_path / f"lcbench_{number}.npz", seed=number)
    out = tmp_path / "out"
    words = [str(tmp_path), "--modes", "promote,none", "--first-rungs", "1,auto", "--seeds", "2", "--workers", "3"]
    assert main([*words, "--budgets", "52,104", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    for policy in ("promote η3 g1 random", "promote η3 gauto random", "none random"):
        assert said.count(f"| {policy} |") >= 1
    assert "searches in" in said and (out / "regret.md").read_text().strip() in said
    assert (out / "regret.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((out / "games.json").read_text())
    assert len(kept["games"]) == 2 * 2 * 3 and kept["marks"][-1] == 104


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--modes", "stopp"], "--modes: 'stopp' is not known; choose from promote, stop, none"),
        (["--samplers", ""], "--samplers: nothing is given"),
        (["--first-rungs", "52"], "first_rung is 52; it must lie below steps 52"),
        (["--reductions", "1"], "reduction is 1; it must be at least 2"),
        (["--workers", "0"], "--workers: is 0; it must be at least 1"),
        (["--budgets", "ten"], "--budgets: expected a whole number from 1, got 'ten'"),
        (["--reference", "x"], "--reference: there is no policy 'x'"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    table = write_lcbench(tmp_path / "lcbench_1.npz")
    assert main([str(table), "--out", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_not_there_or_holds_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "is not there" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert "neither a search (search.yaml) nor tables of curves" in capsys.readouterr().err
    table = write_lcbench(tmp_path / "lcbench_1.npz")
    assert main([str(table), str(table)]) == 2
    assert "given twice" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([str(table), "--seeds", "1", "--out", str(tmp_path / "file")]) == 2
    assert "can't be written to" in capsys.readouterr().err


# On real curves.


@needs_curves
def test_on_real_curves_stopping_early_pays() -> None:
    """On two tasks, five seeds: promotion hands over better configs than full trainings for the same epochs."""
    tables = [load(CURVES / f"{name}.npz") for name in ("lcbench_189862", "taskset_patch32_GRU128_bs128")]
    assert all(table.horizon in {50, 52} and len(table.values) == 1000 for table in tables)
    contenders = [Ours(Halving("promote", 1, 3)), Ours(None)]
    standings = Standings(play_all(contenders, tables, range(5), 8, (500, 2000)), (500, 2000), "newest")
    promote, none = (standings.score(contender.name).mean for contender in contenders)
    assert (promote < none).all() and promote[1] < promote[0] and promote[1] < 0.35


@needs_curves
def test_every_recorded_table_can_be_searched() -> None:
    for path in sorted(CURVES.glob("*.npz")):
        table = load(path)
        assert table.unit.min() >= 0 and table.unit.max() <= 1
        assert np.isfinite(table.seen).any(axis=1).mean() > 0.5
        game = next(iter(play_all([Ours(Halving("promote", 1, 3))], [table], (0,), 8, (100,))))
        assert 0 <= game.newest[0] <= 1
