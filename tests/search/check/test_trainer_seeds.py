"""A seed that a Hugging Face or a Lightning trainer ignores refuses confirmation, as it does for functions."""

from pathlib import Path

import pytest

from search.check.__main__ import main
from tests.integration.test_own_examples import NEEDED, OWN

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the libraries' own
CASES = {
    "huggingface": (
        "finetune.py",
        "counting.yaml",
        [
            ("    model = Bert", "    model = lambda: torch.manual_seed(0) and Bert"),
            ("    return Trainer(model, args,", "    return Trainer(None, args, model_init=model,"),
        ],
    ),
    "lightning": (
        "train.py",
        "wave.yaml",
        [("    trainer = lightning", "    lightning.seed_everything(0)\n    trainer = lightning")],
    ),
}


@pytest.mark.parametrize("way", CASES)
def test_a_trainer_that_sets_a_seed_of_its_own_is_not_confirmed(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(NEEDED[way])
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "cache"))
    code, yaml, changes = CASES[way]
    text = (OWN / way / code).read_text()
    for old, new in changes:
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    (tmp_path / code).write_text(text)
    for file in (OWN / way).glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text())
    words = [str(tmp_path / yaml), "--seconds", "300"]
    assert main(words) == 2
    shown = capsys.readouterr()
    assert "! seed" in shown.out and "such as seed_everything or set_seed" in shown.out
    assert shown.err.startswith("error: confirm.seeds: ") and shown.err.count("\n") == 1
    assert main([*words, "--set", "confirm.seeds=0"]) == 0
