"""What is said of measurements, without training: what there was no time for, and what only chance would show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from small_search import small_search

from search.check.findings import Finding, failure, findings
from search.check.measure import AGAIN, FIRST, KNOB, OTHER, RESUMED, SCORED, Measured, Measurements
from search.spec.resolve import resolve
from search.spec.search import Search

NO_TIME = "there was no time for it in 60 s; --seconds gives more"
YAML = """\
trainable:
  WAY
  length: epochs
  objective: {val_loss: min, worst: 3.0}
arguments: {lr: 0.01, seed: 1, epochs: 6}
space: {lr: {float: [1e-3, 1e-1]}}
budget: {trials: 4, steps: 6 epochs, evaluate_every: 1 epoch}
"""
FUNCTION = "function: train:train"
COMMAND = "command: python train.py {args} --out {dir}"


def of_own(folder: Path, *lines: str) -> Search:
    """A search of the user's own code, with these lines in its declaration."""
    (folder / "train.py").write_text("def train(run): ...\ndef make(config): ...\n")
    (folder / "mine.yaml").write_text(YAML.replace("WAY", "\n  ".join(lines)))
    return resolve(folder / "mine.yaml")


def told(*values: float, weights: str = "w", validation: str | None = "v", metric: str = "val_loss") -> Measured:
    """A training that has told these, an evaluation each."""
    return Measured(
        [
            {"metrics": {metric: value, "lr": 0.01}, "weights": f"{weights}{place}", "validation": validation}
            for place, value in enumerate(values)
        ]
    )


def found(
    search: Search, trainings: Mapping[str, Measured], moved: Mapping[str, Any] | None = None
) -> dict[str, Finding]:
    """By question. A training that isn't given has not been come to."""
    metric = search.model.objective.metric
    sound = {FIRST: told(0.5, 0.4, metric=metric), AGAIN: Measured(), OTHER: Measured()}
    measured = Measurements((1, 2), {**sound, **trainings}, moved or {}, 60.0)
    assert failure(measured) is None
    return {finding.about: finding for finding in findings(search, measured)}


def test_what_was_not_come_to_is_not_checked(tmp_path: Path) -> None:
    moved = {"lr": 0.02, "b": 1}
    trainings = {RESUMED: Measured(), f"{KNOB}lr": Measured(), f"{KNOB}b": Measured(diverged="loss is nan")}
    known = found(of_own(tmp_path, FUNCTION), trainings, moved)
    for name in ("repeats", "resume", "seed"):
        assert known[name] == Finding(name, "not checked", NO_TIME, "note")
    assert known["knobs"] == Finding("knobs", "1 not checked", "there was no time for more; --seconds gives it", "note")
    assert known["validation"].found == known["objective"].found == "not checked"


@pytest.mark.parametrize(
    ("other", "again", "about", "says"),
    [
        (told(0.9), told(0.5), "objective", "depends on lr"),
        (told(0.5), told(0.5), "knobs", "without effect by epoch 1: lr"),
        (told(0.9, weights="x"), told(0.5), "knobs", "all act"),
        (told(0.9), told(0.6), "knobs", "without effect by epoch 1: lr"),  # it scores otherwise when trained again, too
    ],
)
def test_a_knob_that_changes_the_score_and_not_the_weights_enters_the_objective(
    tmp_path: Path, other: Measured, again: Measured, about: str, says: str
) -> None:
    known = found(of_own(tmp_path, FUNCTION), {AGAIN: again, f"{KNOB}lr": other}, {"lr": 0.02})
    assert known[about].found == says
    enters = about == "objective"
    assert (known["objective"].level == "warning") == enters and (known["knobs"].found == "all act") == (
        enters or says == "all act"
    )


def test_nothing_is_checked_before_the_first_evaluation(tmp_path: Path) -> None:
    (one,) = found(of_own(tmp_path, FUNCTION), {FIRST: Measured()}).values()
    assert one.found == "not checked" and "the first evaluation takes more than the 60 s that there were" in one.text


def test_a_training_of_one_evaluation_never_pauses(tmp_path: Path) -> None:
    known = found(of_own(tmp_path, FUNCTION), {FIRST: told(0.5), AGAIN: told(0.5)})
    assert known["resume"].found == "not needed" and known["repeats"].found == "same bits"


@pytest.mark.parametrize(
    ("resumed", "again", "result"),
    [
        (told(0.45, weights="x"), told(0.5, 0.4), "differs by 0.05"),
        (told(0.45, weights="x"), told(0.5, 0.34, weights="y"), "within ±0.05"),  # as repeats do
        (told(0.4, weights="x"), told(0.5, 0.34, weights="y"), "has other weights"),  # of one value
    ],
)
def test_a_resume_is_held_against_what_repeats_differ_by(
    resumed: Measured, again: Measured, result: str, tmp_path: Path
) -> None:
    known = found(of_own(tmp_path, FUNCTION), {RESUMED: resumed, AGAIN: again})
    assert known["resume"].found == result and "at epoch 2" in known["resume"].text
    assert ("has other weights" in known["resume"].text) == (result == "has other weights")


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ((FUNCTION, "seed: seed"), "the config's seed is ignored"),
        ((FUNCTION,), "run.seed (or the code sets a seed of its own) is ignored"),
        (("trainer: train:make",), "the trial's seed (the code sets one of its own, such as seed_everything or set_"),
        ((f"{COMMAND} --seed {{seed}}", "metrics: {csv: log.csv}"), "--seed {seed} is ignored"),
        ((f"{COMMAND} rng={{seed}}", "metrics: {csv: log.csv}"), ": rng={seed} is ignored"),
        ((), "the seed is ignored"),
    ],
)
def test_an_ignored_seed_is_called_by_how_the_code_is_given_it(
    lines: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    search = of_own(tmp_path, *lines) if lines else small_search(tmp_path)
    seed = found(search, {OTHER: told(0.5, 0.4, metric=search.model.objective.metric)})["seed"]
    assert seed.level == "void" and named in seed.text and "seeds 0 and 1 train the same bits" in seed.text
    hinted = lines in {(FUNCTION,), ("trainer: train:make",)}
    assert ("declare trainable.seed: seed" in seed.text) == hinted


@pytest.mark.parametrize(
    ("other", "again", "result"),
    [
        ("v", "v", "fixed"),
        ("other", "v", "moves with the seed"),
        ("other", "again", "moves"),
        (None, "v", "not checked"),
    ],
)
def test_a_validation_that_moves_by_itself_is_told_from_one_that_moves_with_the_seed(
    other: str | None, again: str, result: str, tmp_path: Path
) -> None:
    trainings = {OTHER: told(0.6, validation=other), AGAIN: told(0.5, validation=again)}
    known = found(of_own(tmp_path, FUNCTION), trainings)["validation"]
    assert known.found == result and (known.level == "warning") == result.startswith("moves")
    assert ("from run to run" in known.text) == (result == "moves")


@pytest.mark.parametrize(("size", "result", "level"), [(5, "as declared", "good"), (1, "parts at epoch 2", "warning")])
def test_a_declared_schedule_is_held_against_what_was_reported(
    size: int, result: str, level: str, tmp_path: Path
) -> None:
    chain = f"[{{StepLR: {{step_size: {size}, gamma: 0.5}}}}]"
    search = of_own(tmp_path, FUNCTION, f"schedules: {{lr: {{torch: {{base: lr, chain: {chain}}}}}}}")
    known = found(search, {})["schedule lr"]
    assert (known.found, known.level) == (result, level)
    assert level == "good" or "declared 0.005, reported 0.01" in known.text


def test_a_model_of_ours_declares_no_schedule_and_is_not_scored(tmp_path: Path) -> None:
    search = small_search(tmp_path)
    known = found(search, {SCORED: Measured()})
    assert known.keys() == {"repeats", "resume", "seed", "validation", "knobs", "objective"}
    assert known["objective"].found == "not checked"
