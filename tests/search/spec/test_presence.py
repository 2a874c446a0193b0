"""The checkpoint that a config starts from is looked for where the config starts from it.

See also test_bad_input_processes.
"""

from pathlib import Path

import pytest

from search.run import main

SEARCH = """\
model: diphone_rnn
base: mine.yaml
data: {generate: {sentences: 40}}
knobs: [model.rnn_dropout, weight_decay]
budget: {trials: 2, steps: 4, evaluate_every: 1}
"""


@pytest.mark.parametrize(("used", "code"), [("false", 0), ("true", 2)])
def test_a_start_that_the_file_switches_off_is_not_looked_for(tmp_path: Path, used: str, code: int) -> None:
    (tmp_path / "mine.yaml").write_text(f"init_from_checkpoint: {used}\ninit_checkpoint_path: nowhere.pt\n")
    (tmp_path / "search.yaml").write_text(SEARCH)
    assert main([str(tmp_path / "search.yaml"), "--plan"]) == code
