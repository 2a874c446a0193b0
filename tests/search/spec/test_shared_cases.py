"""Files of users' shapes from beside the repository, where they are: what becomes of each as the base of a search.

Files of the same shapes that are always there: `test_fit.py`, and `cases/` of tests/trainables.
"""

from pathlib import Path
from typing import Any

import pytest

from search.spec.plan import make_plan
from search.spec.plan_text import describe
from search.spec.resolve import resolve
from spaces.paths import get
from spaces.problems import BadInput

CASES = Path(__file__).parents[4] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no shared/cases beside the repository")


@pytest.mark.parametrize(
    ("model", "file", "absent", "knobs", "said"),
    [
        (
            "whisper_child",
            "whisper_plain.yaml",
            {
                "training.lr_scheduler_type": "linear",
                "training.early_stopping_patience": 0,
                "data.specaugment": False,
                "data.curriculum_learning": False,
                "model.freeze_encoder_steps": 0,
            },
            {},
            "whisper_plain.yaml omits these, so trial 0 has what your script does without them: ",
        ),
        (
            "diphone_rnn",
            "diphone_plain.yaml",
            {"use_composite_loss": False},
            {"alpha": 1.0},
            "not searched, as nothing would change with this base: use_alpha_schedule, alpha_schedule_start",
        ),
        ("diphone_rnn", "diphone_only.yaml", {"use_composite_loss": False}, {"alpha": 0.0}, "use_alpha_schedule"),
        (
            "early_inference",
            "urea_older.py",
            {"scheduler_factor": 0.5, "scheduler_patience": 5, "scheduler_min_lr": 0, "use_weighted_pooling": False},
            {"lr": 1e-3, "weight_decay": 0, "grad_clip_norm": 0, "variance_penalty_weight": 0},
            "urea_older.py omits these",
        ),
        ("tts", "tts_noam_pair.yaml", {"training.scheduler": "noam"}, {"mel_loss_weight": 2.5}, "noam wins over"),
    ],
)
def test_what_trial_0_trains(
    tmp_path: Path, model: str, file: str, absent: dict[str, Any], knobs: dict[str, Any], said: str
) -> None:
    text = f"model: {model}\nbase: {CASES / file}\ndata: {{generate: {{}}}}\nbudget: {{trials: 4}}\n"
    (tmp_path / "search.yaml").write_text(text, encoding="utf-8")
    search = resolve(tmp_path / "search.yaml")
    assert {key: get(search.base, key) for key in absent} == absent
    config = search.model.parse(search.base, "base")
    for step in (0, 1, search.horizon - 1):
        now = search.model.knobs(config, step)
        assert {key: now[key] for key in knobs} == knobs
    told = [*describe(search, make_plan(search)).splitlines(), *search.warnings]
    assert sum(said in line for line in told) == 1


def test_arguments_that_go_on_from_a_model_are_asked_for_their_alpha(tmp_path: Path) -> None:
    search = tmp_path / "search.yaml"
    base = CASES / "sequence_continued.json"
    search.write_text(f"model: sequence_generator\nbase: {base}\ndata: {{generate: {{}}}}\nbudget: {{trials: 4}}\n")
    with pytest.raises(BadInput, match=r"sequence_continued\.json loss: missing: .*scripts") as error:
        resolve(search)
    assert len(error.value.problems) == 1
