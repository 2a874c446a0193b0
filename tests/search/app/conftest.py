"""A command that refuses what it is given, and data to give it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_search import write_search

from search.run import main
from trainables.cache import cache_root

SCREEN = 25  # lines

Refused = Callable[..., str]


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs the command on the search in `tmp_path`; returns what it says about the bad input."""

    def run(*words: str, config: str = "search.yaml") -> str:
        if not (tmp_path / "search.yaml").exists():
            write_search(tmp_path)
        before = tree(tmp_path), tree(cache_root())
        code = main([str(tmp_path / config), "--results", str(tmp_path / "results"), *words])
        output = capsys.readouterr()
        assert code == 2, output
        assert (tree(tmp_path), tree(cache_root())) == before
        assert "Traceback" not in output.out + output.err
        assert 0 < len(output.err.splitlines()) <= SCREEN
        assert all(line.startswith(("error: ", "…")) for line in output.err.splitlines())
        return output.err.replace(f"{tmp_path}/", "")

    return run


def data_folder(folder: Path, content: Any = None) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {
        "pH_prefix": 7 + rng.random((6, 10)),
        "t_prefix": np.tile(np.linspace(0, 30, 10), (6, 1)),
        "known_inputs": rng.random((6, 1)),
        "target_params": rng.uniform(0, 1, (6, 1)),
    }
    np.savez(folder / "training_data.npz", prefix_30s=np.array(arrays if content is None else content, dtype=object))
    ranges = {"volume_L": [0, 1], "E0_g_per_L": [0, 1]}
    names = {"known_input_names": ["volume_L"], "infer_params": ["E0_g_per_L"], "param_ranges": ranges}
    (folder / "metadata.json").write_text(json.dumps(names))
    return folder


def on_data(folder: Path) -> Sequence[str]:
    return "--set", f"data={{data_dir: {folder}}}"
