"""Metrics from a command's files, as they grow."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from trainables.own.declaration import Declaration
from trainables.own.order import source_of
from trainables.own.readings import Source

# Written by torch.utils.tensorboard.SummaryWriter: Loss/val .5 at 1 and .25 at 2; `new` .25 at 3 in the newer style.
EVENTS = bytes.fromhex(
    "4800000000000000fe92489d09b51d037800c3da411a0d627261696e2e4576656e743a32522e0a2c74656e736f72626f6172642e73756d6d61"
    "72792e7772697465722e6576656e745f66696c655f7772697465727798a7dd1e00000000000000d9dc123209aa28037800c3da4110012a110a"
    "0f0a084c6f73732f76616c150000003fa31545791e00000000000000d9dc1232092229037800c3da4110022a110a0f0a084c6f73732f76616c"
    "150000803e730d9d5c2b00000000000000861bc34b09ef29037800c3da4110032a1e0a1c0a036e6577420808012a040000803e4a0b0a090a07"
    "7363616c6172739cec6bd9"
)


def source(folder: Path, objective: str = "val_loss", **metrics: Any) -> Source:
    return source_of(
        Declaration.model_validate(
            {
                "command": "t {seed}",
                "length": "n",
                "objective": {objective: "min", "worst": 1},
                "metrics": metrics,
            }
        ),
        folder,
    )


def test_a_csv_file_is_read_by_whole_lines_as_it_grows(tmp_path: Path) -> None:
    found, file = source(tmp_path, csv="{dir}/a.csv"), tmp_path / "a.csv"
    assert found.read() == {} and "a.csv never appeared" in found.seen()
    file.write_text("epoch,val_loss,note\n1,0.5,x\n2,0.")
    assert found.read() == {1: {"val_loss": 0.5}}
    with file.open("a") as more:
        more.write("25,\n")
    assert found.read() == {2: {"val_loss": 0.25}}
    assert found.read() == {}


def test_columns_that_come_later_and_rows_in_parts(tmp_path: Path) -> None:
    """Lightning writes training and validation of an epoch into two rows, and the header anew when a metric joins."""
    found, file = source(tmp_path, csv="a.csv", first=0), tmp_path / "a.csv"
    file.write_text("epoch,loss,val_loss\n0,1.5,\n0,,0.5\n")
    assert found.read() == {1: {"loss": 1.5, "val_loss": 0.5}}
    file.write_text("epoch,val_loss\n")  # shorter: it starts anew
    found.read()
    file.write_text("epoch,val_loss\n1,0.125\n")
    assert found.read() == {2: {"val_loss": 0.125}}


def test_jsonl_with_inner_objects_and_other_names(tmp_path: Path) -> None:
    found = source(tmp_path, jsonl="a.jsonl", step="n", names={"val_loss": "eval.loss"})
    rows = [{"n": 1, "eval": {"loss": 0.5}}, {"n": 2, "text": "x"}, ["no object"]]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "no json\n")
    assert found.read() == {1: {"val_loss": 0.5}, 2: {}}


def test_tensorboards_event_files(tmp_path: Path) -> None:
    found = source(tmp_path, tensorboard="runs", names={"val_loss": "Loss/val"})
    assert found.read() == {} and "no event file" in found.seen()
    file = tmp_path / "runs" / "x" / "events.out.tfevents.1"
    file.parent.mkdir(parents=True)
    file.write_bytes(EVENTS[:150])  # in the middle of a record
    assert found.read() == {1: {"val_loss": 0.5}}
    file.write_bytes(EVENTS)
    assert found.read() == {2: {"val_loss": 0.25}, 3: {"new": 0.25}}
    assert found.seen() == "the event files have the tags Loss/val, new"


def field(number: int, value: int | float | bytes) -> bytes:
    """A field of a protobuf message: a number, a 4-byte float, or bytes; all of them short."""
    match value:
        case int():
            return bytes([number << 3, value])
        case float():
            return bytes([number << 3 | 5]) + struct.pack("<f", value)
        case _:
            return bytes([number << 3 | 2, len(value)]) + value


def event(tag: str, *fields: bytes, step: int = 1) -> bytes:
    """A record of an event file, with the time and one value in its summary."""
    value = field(1, field(1, tag.encode()) + b"".join(fields))
    message = b"\x09" + struct.pack("<d", 1e9) + field(2, step) + field(5, value)
    return struct.pack("<QI", len(message), 0) + message + bytes(4)


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ([field(2, 0.5)], 0.5),
        ([field(8, field(1, 1) + field(5, 0.5))], 0.5),
        ([field(8, field(1, 1) + field(5, struct.pack("<f", 0.5)))], 0.5),
        ([field(8, field(1, 1) + field(4, struct.pack("<f", 0.5)))], 0.5),
        ([field(8, field(1, 2) + field(4, struct.pack("<d", 0.1)))], 0.1),
        ([field(9, b"plugin"), field(2, 0.5)], 0.5),
        ([field(2, 0.5), b"\x53", field(2, 0.25)], 0.5),  # an old kind of field: what follows is not known
        ([field(8, field(1, 2) + field(4, struct.pack("<dd", 0.5, 0.5)))], None),  # no single number
        ([field(8, field(1, 7) + field(4, b"a note"))], None),
        ([field(9, b"a histogram")], None),
    ],
)
def test_every_way_in_which_an_event_file_may_hold_a_scalar(
    fields: list[bytes], number: float | None, tmp_path: Path
) -> None:
    found = source(tmp_path, tensorboard="runs")
    (tmp_path / "runs").mkdir()
    content = event("val_loss", *fields) + event("loss", field(2, 0.25), step=2)
    (tmp_path / "runs/events.out.tfevents.1").write_bytes(content)
    assert found.read() == ({} if number is None else {1: {"val_loss": number}}) | {2: {"loss": 0.25}}
    assert found.seen() == f"the event files have the tags {'' if number is None else 'val_loss, '}loss"


def test_the_files_of_a_run_that_the_script_makes_with_mlflow(tmp_path: Path) -> None:
    found = source(tmp_path, objective="loss", mlflow=True, names={"loss": "val/loss"})
    assert "no MLflow run was made" in found.seen()
    file = tmp_path / "mlruns/0/abc/metrics/val/loss"
    file.parent.mkdir(parents=True)
    file.write_text("1795949060212 0.5 1\n")
    assert found.read() == {1: {"loss": 0.5}}
    assert found.seen() == "its MLflow run has val/loss"


@pytest.mark.parametrize(
    ("pattern", "lines", "rows"),
    [
        (
            r"epoch (?P<epoch>\d+).*val_loss[ =](?P<val_loss>\S+)",
            ["epoch 1: a val_loss=0.5", "x"],
            {1: {"val_loss": 0.5}},
        ),
        (
            r"(?P<epoch>\d+) (?P<val_loss>\S+)(?: (?P<lr>\S+))?",
            ["1 nan", "2 0.5 0.1"],
            {2: {"val_loss": 0.5, "lr": 0.1}},
        ),
    ],
)
def test_lines_that_a_regular_expression_matches(
    tmp_path: Path, pattern: str, lines: list[str], rows: dict[int, dict[str, float]]
) -> None:
    found = source(tmp_path, stdout=pattern)
    for line in lines:
        found.heard(line)
    assert {step: row for step, row in found.read().items() if row["val_loss"] == row["val_loss"]} == rows


def test_a_flood_of_lines_without_a_match_is_told_with_the_nearest(tmp_path: Path) -> None:
    found = source(tmp_path, stdout=r"Epoch (?P<epoch>\d+): val_loss (?P<val_loss>\S+)")
    for i in range(600):
        found.heard(f"step {i} of 600")
        if i == 7:
            found.heard("epoch 1 - val_loss 0.5")
    told = found.trouble()
    assert told is not None and told.endswith("the nearest: 'epoch 1 - val_loss 0.5'")
