"""A folder that version 0.1.0 made goes on: its trials are over, the confirmation was still to come."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import run

from search.history.journal import read
from search.history.records import Records
from spaces import strict_yaml
from trainables.registry import model_named

OLD = Path(__file__).parent / "folder_0_1_0"


@pytest.mark.slow
@pytest.mark.integration
def test_a_folder_of_0_1_0_goes_on(tmp_path: Path, environment: dict[str, str]) -> None:
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "results" / "s"
    before = Records(read(folder / "journal.jsonl")[0])
    model = model_named("early_inference", "")
    settings = strict_yaml.load(folder / "search.yaml")
    config = model.parse(settings["base"], "base")
    digest = model.prepare(model.parse_data(settings["data"], config, "data"), config).digest
    text = (folder / "search.yaml").read_text()  # of the data as this machine makes them: their last digits may differ
    (folder / "search.yaml").write_text(re.sub(r"data_digest: \w+", f"data_digest: {digest}", text))
    code, said = run("search.run", ["mine.yaml", "--name", "s", "--resume"], tmp_path, environment)
    assert code == 0, said
    after = Records(read(folder / "journal.jsonl")[0])
    assert after.phase == "done" and len(after.of_kind("confirm")) == 4
    for number, trial in before.trials.items():
        assert after.trials[number].values == trial.values and after.trials[number].reports == trial.reports
    assert (folder / "best.yaml").exists() and "verdict" in said


def test_the_old_search_is_read_as_it_is() -> None:
    events = read(OLD / "results" / "s" / "journal.jsonl")[0]
    assert len(events) == 64
