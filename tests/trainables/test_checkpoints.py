import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.checkpoints import KEPT, newest, remove, write


def state(step: int) -> dict[str, Any]:
    return {"weights": torch.full((3,), float(step)), "step": step, "names": ["a", None], "nested": {"x": 0.1}}


def steps(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.pt"))


def found(folder: Path) -> int | None:
    got = newest(folder, "cpu")
    return None if got is None else got[0]


def test_a_state_comes_back_bit_by_bit(tmp_path: Path) -> None:
    before: dict[str, Any] = {
        "weights": torch.randn(4, 5, generator=torch.Generator().manual_seed(0)),
        "half": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
        "rng": torch.get_rng_state(),
        "numbers": [0.1, 2**60, True, None, "text"],
        "nested": {"a": {1: (2, 3.5)}},
    }
    path = write(tmp_path / "new" / "folder", 12, before)
    assert path == tmp_path / "new" / "folder" / "000000012.pt"
    got = newest(path.parent, "cpu")
    assert got is not None and got[0] == 12
    after = got[1]
    for name, as_bits in (("weights", torch.int32), ("half", torch.int16), ("rng", torch.uint8)):
        assert after[name].dtype == before[name].dtype
        assert torch.equal(after[name].view(as_bits), before[name].view(as_bits))
    assert after["numbers"] == before["numbers"] and after["nested"] == before["nested"]


def test_nothing_is_there_before_the_first(tmp_path: Path) -> None:
    assert newest(tmp_path, "cpu") is None and newest(tmp_path / "missing", "cpu") is None
    remove(tmp_path / "missing")


def test_the_newest_two_are_kept_by_step(tmp_path: Path) -> None:
    assert KEPT == 2
    for step in (1, 9, 10, 100):  # as text, 9 comes after 100
        write(tmp_path, step, state(step))
        assert found(tmp_path) == step
    assert steps(tmp_path) == [10, 100]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_step_written_again_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, 5, {"x": 1})
    write(tmp_path, 5, {"x": 2})
    assert newest(tmp_path, "cpu") == (5, {"x": 2}) and steps(tmp_path) == [5]


@pytest.mark.parametrize("damage", ["empty", "cut in the digest", "cut", "one byte less", "one bit", "zeros", "longer"])
def test_a_damaged_newest_falls_back_to_the_one_before(tmp_path: Path, damage: str) -> None:
    write(tmp_path, 1, state(1))
    path = write(tmp_path, 2, state(2))
    data = bytearray(path.read_bytes())
    flipped = bytes(data[:-1]) + bytes([data[-1] ^ 1])
    path.write_bytes(
        {
            "empty": b"",
            "cut in the digest": bytes(data[:20]),
            "cut": bytes(data[: len(data) // 2]),
            "one byte less": bytes(data[:-1]),
            "one bit": flipped,
            "zeros": bytes(len(data)),
            "longer": bytes(data) + b"\0",
        }[damage]
    )
    assert found(tmp_path) == 1
    write(tmp_path, 2, state(2))  # trained again
    assert found(tmp_path) == 2


def test_with_every_checkpoint_damaged_there_is_none(tmp_path: Path) -> None:
    for step in (1, 2):
        write(tmp_path, step, state(step)).write_bytes(b"damaged")
    assert newest(tmp_path, "cpu") is None


def test_a_crash_while_writing_leaves_the_ones_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1, state(1))
    write(tmp_path, 2, state(2))

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path, 3, state(3))
    assert steps(tmp_path) == [1, 2] and found(tmp_path) == 2
    write(tmp_path, 3, state(3))
    assert found(tmp_path) == 3


def test_what_is_on_disk_is_synced_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[list[int]] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (named.append(steps(tmp_path)), sync(file))[1])
    write(tmp_path, 1, state(1))
    assert named == [[]] and steps(tmp_path) == [1]


def test_a_state_that_can_not_be_kept_replaces_nothing(tmp_path: Path) -> None:
    write(tmp_path, 1, state(1))
    with pytest.raises((AttributeError, pickle.PicklingError)):
        write(tmp_path, 2, {"f": lambda: None})
    assert steps(tmp_path) == [1] and len(list(tmp_path.iterdir())) == 1


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sentinel),)


@pytest.mark.parametrize("plain", [True, False])
def test_a_hostile_pickle_is_not_executed(tmp_path: Path, plain: bool) -> None:
    """Not even one whose digest is right, whether it is a bare pickle or inside torch's own format."""
    sentinel = tmp_path / "sentinel"
    buffer = io.BytesIO()
    if plain:
        pickle.dump({"run": Hostile(sentinel)}, buffer, protocol=2)  # torch's own
    else:
        torch.save({"run": Hostile(sentinel)}, buffer)
    data = buffer.getvalue()
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "000000003.pt").write_bytes(hashlib.sha256(data).digest() + data)
    with pytest.raises(pickle.UnpicklingError):
        newest(folder, "cpu")
    assert not sentinel.exists()
    buffer.seek(0)
    _ = pickle.load(buffer) if plain else torch.load(buffer, weights_only=False)
    assert sentinel.exists()  # it would have been


def test_remove_leaves_no_checkpoint_and_what_is_not_ours(tmp_path: Path) -> None:
    for step in (1, 2):
        write(tmp_path, step, state(step))
    (tmp_path / "note.json").write_text("{}")
    remove(tmp_path)
    assert newest(tmp_path, "cpu") is None
    assert [path.name for path in tmp_path.iterdir()] == ["note.json"]


def test_a_file_that_is_no_checkpoint_is_no_candidate(tmp_path: Path) -> None:
    write(tmp_path, 1, state(1))
    (tmp_path / "best.pt").write_bytes(b"mine")
    (tmp_path / ".000000009.1.partial").write_bytes(b"half")
    assert found(tmp_path) == 1
