"""The loader: users' folders of CSV files, what is refused and how it is named, the split and the scales."""

import shutil

import numpy as np
import pytest
from refusing import refusing

from spaces.problems import BadInput
from trainables.registry import model_named
from trainables.sequence_generator.data import Data, difficulty, prepare_data, read
from trainables.sequence_generator.layout import COLUMNS, split

MODEL = model_named("sequence_generator")
CONFIG = MODEL.parse({"alpha": 0.8}, "c")
FRAMES = 30


def write_csv(path, seed=0, frames=FRAMES, header=COLUMNS, change=None) -> None:
    rng = np.random.default_rng(seed)
    rows = np.column_stack([np.arange(frames), rng.normal(size=(frames, 5)).cumsum(axis=0), np.full((frames, 2), 1.5)])
    lines = [",".join(header), *(",".join(f"{x:.9g}" for x in row[: len(header)]) for row in rows)]
    if change is not None:
        lines = change(lines)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    for number in (1, 2, 3, 5, 8, 13, 21, 100, 101, 102):  # gaps are fine
        write_csv(tmp_path / f"{number}.csv", seed=number)
    return tmp_path


def data(folder, frames=FRAMES) -> Data:
    return Data(data_dir=str(folder), frames=frames)


def refused(folder, frames=FRAMES) -> str:
    with refusing() as error:
        prepare_data(data(folder, frames), 42, 10)
    return str(error.value)


def test_gaps_in_the_numbers_are_fine(folder) -> None:
    sequences = read(folder, FRAMES)
    assert sequences.numbers == (1, 2, 3, 5, 8, 13, 21, 100, 101, 102)
    assert sequences.features.shape == (10, FRAMES, 7)
    assert not sequences.features.flags.writeable
    prepared = prepare_data(data(folder), 42, 10)
    assert prepared.summary == f"8 training, 1 validation and 1 test simulations of {FRAMES} frames"


def test_columns_may_come_in_any_order_among_others(folder) -> None:
    before = read(folder, FRAMES)
    text = [line.split(",") for line in (folder / "5.csv").read_text(encoding="utf-8").splitlines()]
    mixed = [",".join([*row[::-1], "note" if i == 0 else "x"]) for i, row in enumerate(text)]
    (folder / "5.csv").write_text("\n".join(mixed) + "\n", encoding="utf-8")
    after = read(folder, FRAMES)
    assert np.array_equal(before.features, after.features)
    assert before.digest != after.digest  # the files are other files


def test_files_are_read_in_the_order_of_their_numbers_and_nothing_else_is(folder) -> None:
    (folder / "notes.csv").write_text("not,a,simulation\n", encoding="utf-8")
    (folder / "7.txt").write_text("", encoding="utf-8")
    assert read(folder, FRAMES).numbers == (1, 2, 3, 5, 8, 13, 21, 100, 101, 102)


def test_the_digest_is_the_content_wherever_it_lies(folder, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("copy") / "data"
    shutil.copytree(folder, elsewhere)
    assert read(elsewhere).digest == read(folder).digest
    (elsewhere / "5.csv").rename(elsewhere / "6.csv")
    assert read(elsewhere).digest != read(folder).digest


def drop_last(lines):
    return lines[:-1]


def at(row, column, text):
    def change(lines):
        cells = lines[row].split(",")
        cells[column] = text
        return [*lines[:row], ",".join(cells), *lines[row + 1 :]]

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop_last, f"5.csv: {FRAMES - 1} rows, expected {FRAMES}: your script can't batch unequal ones. Set data"),
        (lambda lines: [*lines, lines[-1]], f"5.csv: {FRAMES + 1} rows, expected {FRAMES}"),
        (at(4, 2, "nan"), "5.csv row 4, comp_2: expected a finite number, got nan"),
        (at(4, 2, "inf"), "5.csv row 4, comp_2: expected a finite number, got inf"),
        (at(4, 3, ""), "5.csv row 4, comp_3: expected a number, got ''"),
        (at(4, 3, "high"), "5.csv row 4, comp_3: expected a number, got 'high'"),
        (at(9, 6, "1.7"), "5.csv mobility: goes from 1.5 to 1.7; it is a constant of the simulation"),
        (at(9, 0, "0"), "5.csv row 9, step: 0 after 7; steps must increase"),
        (at(0, 3, "comp3"), "5.csv: columns missing: comp_3; got step, comp_1, comp_2, comp3"),
        (at(0, 3, "comp_2"), "5.csv: columns missing: comp_3"),
        (lambda lines: [lines[0] + ",step", *(line + ",1" for line in lines[1:])], "columns that stand twice: step"),
        (lambda lines: lines[:0], "5.csv: columns missing: step, comp_1, comp_2, comp_3, comp_4, comp_5, mobility"),
        (
            lambda lines: [line.rsplit(",", 1)[0] if i == 3 else line for i, line in enumerate(lines)],
            "row 3, gradient_",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_named(folder, change, expected) -> None:
    write_csv(folder / "5.csv", change=change)
    assert expected in refused(folder)


def test_the_documented_length_is_151_rows(folder) -> None:
    assert Data(data_dir="x").frames == 151
    with refusing(r"1\.csv: 30 rows, expected 151"):
        MODEL.prepare(
            MODEL.parse_data({"data_dir": str(folder)}, MODEL.parse({"alpha": 0.8}, "c"), "s"),
            MODEL.parse({"alpha": 0.8}, "c"),
        )


def test_all_bad_files_are_named_up_to_ten(folder) -> None:
    for path in folder.glob("*.csv"):
        write_csv(path, frames=FRAMES - 1)
    write_csv(folder / "103.csv", frames=3)
    said = refused(folder)
    assert said.count("rows, expected") == 10 and "1 more problems" in said


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (str, "no such folder; data_dir holds 1.csv, 2.csv"),
        (lambda folder: folder.mkdir(), "holds no simulation; expected files named 1.csv, 2.csv"),
    ],
)
def test_a_folder_without_simulations(tmp_path, make, expected) -> None:
    make(tmp_path / "empty")
    assert expected in refused(tmp_path / "empty")


def test_two_simulations_can_not_be_split(tmp_path) -> None:
    for number in (1, 2):
        write_csv(tmp_path / f"{number}.csv", seed=number)
    assert "2 simulations can't be split" in refused(tmp_path)


def test_a_component_that_never_changes_is_refused(tmp_path) -> None:
    for number in range(1, 5):
        write_csv(
            tmp_path / f"{number}.csv",
            number,
            change=lambda lines: [at(i, 3, "2")(lines)[i] if i else lines[0] for i in range(len(lines))],
        )
    assert "comp_3 never change over the training simulations" in refused(tmp_path)


def test_a_lag_beyond_the_frames_is_refused(folder) -> None:
    with refusing("max_lag: a phase has 30, sequences have 30 frames; .*: set it to 29 at most"):
        prepare_data(data(folder), 42, FRAMES)


def test_the_generator_must_split_as_the_run_does() -> None:
    found = Data.model_validate({"generate": {"split_seed": 1}})
    with pytest.raises(BadInput, match="split_seed: 1, but the config's seed, which splits the data, is 42"):
        prepare_data(found, 42, 10)


@pytest.mark.parametrize("content", [{}, {"generate": {}, "data_dir": "x"}])
def test_data_come_from_one_place(content) -> None:
    with pytest.raises(BadInput, match="expected one of generate and data_dir"):
        MODEL.parse_data(content, CONFIG, "s")


@pytest.mark.parametrize("n", [3, 9, 10, 100, 200])
def test_the_split_is_by_simulation_and_complete(n) -> None:
    train, validation, test = split(n, 42)
    assert sorted([*train, *validation, *test]) == list(range(n))
    assert len(validation) == len(test) == max(1, round(n / 10))
    assert [list(part) for part in split(n, 42)] == [list(train), list(validation), list(test)]
    assert n < 10 or [list(part) for part in split(n, 43)] != [list(train), list(validation), list(test)]


def test_scales_come_from_the_training_simulations_alone(folder) -> None:
    sequences = read(folder, FRAMES)
    train = split(10, 42)[0]
    standard = sequences.standardised(train)
    assert standard[train][:, :, :5].mean(axis=(0, 1)) == pytest.approx(np.zeros(5), abs=1e-12)
    assert standard[train][:, :, :5].std(axis=(0, 1)) == pytest.approx(np.ones(5))
    assert not standard[:, :, 5:].any()  # constants without spread are only shifted


def test_difficulty_is_how_much_a_sequence_moves() -> None:
    still, slow, fast = np.zeros((20, 7)), np.zeros((20, 7)), np.zeros((20, 7))
    slow[:, :5] = np.arange(20)[:, None] * 0.1
    fast[:, :5] = np.arange(20)[:, None] * -0.3
    fast[:, 5] = 100.0  # a constant doesn't move
    assert difficulty(np.stack([fast, still, slow])) == pytest.approx([0.3, 0.0, 0.1])
