"""The native config of sequence_generator: the documented table, its forms, the plan in shares, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_arguments import ARGS, MODEL, RECIPE, problems

from spaces import strict_yaml
from spaces.paths import with_values
from spaces.problems import BadInput
from spaces.space import parse_space
from trainables.native import plain, unknown_keys
from trainables.sequence_generator.config import Phase
from trainables.sequence_generator.forms import parse_config
from trainables.sequence_generator.plan import DOCUMENTED, below, in_plan_form, lengths, phases_of, share_of

PATIENT = settings(deadline=None, max_examples=60)  # machines are shared: a slow example is not a failure
SPACE_FILE = Path(__file__).parents[2] / "spaces" / "sequence_generator.yaml"
SPACE = parse_space(strict_yaml.load(SPACE_FILE), str(SPACE_FILE)).in_steps(500)
FALLING = ("weight_decay", "noise_level", "clip_grad_norm")


# Forms.


def test_the_documented_recipe_has_the_documented_phases() -> None:
    config = parse_config(RECIPE, "mine.yaml")
    assert phases_of(config) == DOCUMENTED
    assert [phase.epochs for phase in DOCUMENTED] == [100] * 5 and config.epochs == 500
    assert (config.hidden_size, config.num_layers, config.dropout, config.batch_size) == (256, 2, 0.3, 32)


def test_one_args_json_is_one_phase() -> None:
    config = parse_config(ARGS, "args.json")
    assert phases_of(config) == (DOCUMENTED[0].model_copy(update={"warmup_lr": 5e-4}),)
    assert config.epochs == 100 and config.output_dir == "out" and unknown_keys(config) == ()


def test_the_ratio_counts_where_no_start_and_end_are_given() -> None:
    bare = {key: value for key, value in ARGS.items() if key not in ("teacher_forcing_start", "teacher_forcing_end")}
    (phase,) = phases_of(parse_config({**bare, "teacher_forcing_ratio": 0.4}, "args.json"))
    assert (phase.teacher_forcing_start, phase.teacher_forcing_end) == (0.4, 0.4)
    (phase,) = phases_of(parse_config({**ARGS, "teacher_forcing_ratio": 0.4}, "args.json"))
    assert (phase.teacher_forcing_start, phase.teacher_forcing_end) == (0.7, 0.6)


def test_a_list_of_arguments_is_a_run_of_phases() -> None:
    later = {**ARGS, "epochs": 50, "start_lr": 2e-4, "min_lr": 1e-4, "max_lag": 30, "existing_model": "out/best.pt"}
    config = parse_config({"phases": [ARGS, later, {**later, "output_dir": "elsewhere"}]}, "phases.yaml")
    first, second, third = phases_of(config)
    assert (first.epochs, second.epochs, third.epochs, config.epochs) == (100, 50, 50, 200)
    assert (second.start_lr, second.min_lr, second.max_lag, second.lr_schedule) == (2e-4, 1e-4, 30, "linear")
    assert config.output_dir == "out" and config.existing_model is None  # a later phase's are those of the chain
    assert third == second


def test_what_stands_beside_the_list_fills_its_items() -> None:
    native = {
        "hidden_size": 32,
        "noise_level": 0.2,
        "alpha": 0.5,
        "phases": [{"epochs": 3}, {"epochs": 4, "noise_level": 0.1}],
    }
    config = parse_config(native, "phases.yaml")
    assert [phase.noise_level for phase in phases_of(config)] == [0.2, 0.1]
    assert config.hidden_size == 32 and config.epochs == 7


def test_any_number_of_phases_of_any_lengths() -> None:
    rates = [1e-3, 7e-4, 3.14159e-4, 9e-4, 1e-6, 2.5e-4, 0.3]
    counts = (1, 7, 2, 30, 4, 11, 3)
    phases = [Phase(epochs=n, start_lr=x, min_lr=x / 2, warmup_lr=x / 4) for n, x in zip(counts, rates, strict=True)]
    config = parse_config({"phases": [phase.model_dump() for phase in phases]}, "p")
    assert phases_of(config) == tuple(phases)


def test_a_command_keeps_what_it_has_no_flag_for() -> None:
    command = "python continue_training.py --model_path out/best.pt --epochs 60 --start_lr 0.0005 --min_lr 0.0001"
    config = parse_config({**ARGS, "commands": [command + " --output_dir out2", command + " --alpha=.5"]}, "c.yaml")
    _, second, third = phases_of(config)
    assert (second.epochs, second.start_lr, second.min_lr, second.lr_schedule) == (60, 5e-4, 1e-4, "linear")
    assert (second.weight_decay, second.alpha, second.max_lag) == (0.01, 0.8, 10)
    assert second.teacher_forcing_start == second.teacher_forcing_end == 0.6  # where the first phase ended
    assert third.alpha == 0.5


def test_keys_that_nothing_reads_are_carried_and_named() -> None:
    config = parse_config({"mine": 1, "loss": "mae", "phases": [{"epochs": 2}, {"epochs": 2, "notes": "later"}]}, "p")
    assert unknown_keys(config) == ("mine", "phase_2.notes")
    assert "notes: later" in MODEL.write_native(None, "p.yaml", config)["phases.yaml"]


# The plan in shares.


@PATIENT
@given(st.lists(st.floats(0, 1).filter(lambda x: x == 0 or x > 1e-6), min_size=1, max_size=6))
def test_values_come_back_out_of_their_shares(values: list[float]) -> None:
    values = [float(f"{value:.6g}") for value in values]  # what a person writes
    value = values[0]
    for wanted in values[1:]:
        assert below(value, share_of(wanted, value)) == wanted
        value = wanted


@PATIENT
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8), st.integers(8, 600))
def test_phases_fill_the_run(shares: list[float], epochs: int) -> None:
    found = lengths(shares, epochs)
    assert sum(found) == epochs and min(found) >= 1 and len(found) == len(shares)
    again = [n / left for n, left in zip(found, np.cumsum(found[::-1])[::-1], strict=True)]
    assert lengths([float(f"{share:.15g}") for share in again], epochs) == found


@PATIENT
@given(st.integers(0, 10**6), st.integers(5, 500))
def test_no_value_of_the_space_rises_from_phase_to_phase(seed: int, epochs: int) -> None:
    base = {**plain(parse_config(RECIPE, "d")), "epochs": epochs}
    config = parse_config(with_values(base, SPACE.sample(np.random.default_rng(seed), base)), "sampled")
    before = Phase(start_lr=1.0, min_lr=1.0, teacher_forcing_start=1.0, teacher_forcing_end=1.0, weight_decay=1e9,
                   noise_level=1e9, clip_grad_norm=1e9, warmup_lr=0.0)  # fmt: skip
    for phase in phases_of(config):
        assert 1 >= before.min_lr >= phase.start_lr >= phase.min_lr > 0
        assert before.teacher_forcing_end >= phase.teacher_forcing_start >= phase.teacher_forcing_end >= 0
        for key in FALLING:
            assert getattr(before, key) >= getattr(phase, key)
        before = phase
    assert sum(phase.epochs for phase in phases_of(config)) == epochs


@PATIENT
@given(st.integers(0, 10**6))
def test_parsing_twice_changes_nothing_more(seed: int) -> None:
    base = plain(parse_config(RECIPE, "d"))
    config = parse_config(with_values(base, SPACE.sample(np.random.default_rng(seed), base)), "sampled")
    assert parse_config(plain(config), "again") == config
    listed = {**plain(config), "phases": [phase.model_dump() for phase in phases_of(config)]}
    for key in ("plan", "epochs", *in_plan_form(DOCUMENTED)):
        listed.pop(key, None)
    assert parse_config(listed, "listed") == config


def test_nothing_follows_a_zero_unless_it_is_said() -> None:
    phases = [{"epochs": 1, "noise_level": level} for level in (0.0, 0.0, 0.05)]
    config = parse_config({"alpha": 0.8, "phases": phases}, "p")
    assert [phase.noise_level for phase in phases_of(config)] == [0.0, 0.0, 0.05]
    quiet = with_values(plain(config), {"plan.phase_3.noise_level": 1.0})
    assert [phase.noise_level for phase in phases_of(parse_config(quiet, "q"))] == [0.0, 0.0, 0.0]


def test_the_plan_scales_with_the_run() -> None:
    config = parse_config({**RECIPE, "epochs": 24}, "short")
    assert [phase.epochs for phase in phases_of(config)] == [5, 5, 5, 4, 5]
    assert [phase.min_lr for phase in phases_of(config)] == [phase.min_lr for phase in DOCUMENTED]


# Bad input.


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        (
            {"phases": [{"epochs": "1-100"}, {"epochs": "102-200"}]},
            "phases.1.epochs: 102-200 leaves a hole, which your script",
        ),
        ({"phases": [{"epochs": "1-100"}, {"epochs": "100-200"}]}, "phases.1.epochs: 100-200 overlaps"),
        ({"phases": [{"epochs": "5-100"}]}, "phases.0.epochs: 5-100 leaves a hole, "),
        (
            {"epochs": 500, "alpha": 1, "phases": [{"epochs": 100}]},
            "mine.yaml epochs: 500, but the phases take 100 together",
        ),
        ({"phases": [{"epochs": 0}]}, "phases.0.epochs: input should be greater than or equal to 1, got 0"),
        ({"phases": [{"epochs": "many"}]}, "phases.0.epochs: input should be a valid integer, got 'many'"),
        ({"phases": []}, "mine.yaml phases: expected a list of phases"),
        ({"phases": [{"teacher_forcing_start": 1.2}]}, "phases.0.teacher_forcing_start: input should be less than or"),
        ({"teacher_forcing_end": -0.1}, "teacher_forcing_end: input should be greater than or equal to 0, got -0.1"),
        ({"teacher_forcing_start": 1.5}, "teacher_forcing_start: input should be less than or equal to 1, got 1.5"),
        ({"phases": [{"alpha": 2}]}, "phases.0.alpha: input should be less than or equal to 1"),
        ({"phases": [{"start_lr": 1e-3, "min_lr": 2e-3}]}, "phases.0: min_lr 0.002 is above start_lr 0.001"),
        ({"phases": [{"hidden_size": 8}, {"hidden_size": 9}]}, "phases.1.hidden_size: 9, but the run has 8"),
        ({"phases": [{}], "plan": {}}, "plan and phases both say"),
        ({"plan": {"phase_1": {}, "phase_3": {}}}, "plan has the phases phase_1, phase_3; "),
        ({"plan": {"phase_1": {"lr_endd": 1}}}, "plan.phase_1.lr_endd: unknown key; did you mean 'lr_end'?"),
        ({"plan": {"phase_1": {"alpha": 7}}}, "plan.phase_1.alpha: input should be less than or equal to 1, got 7"),
        ({"plan": {"phase_1": {}}, "min_lr": 1e-4}, "min_lr stand beside plan"),
        ({**RECIPE, "epochs": 4}, "epochs 4 are fewer than the 5 phases"),
        ({"max_lag": 0}, "max_lag: input should be greater than or equal to 1, got 0"),
        ({"alpha": 1, "component_weights": [0, 0, 0, 0, 0]}, "component_weights are all 0"),
        ({"alpha": 1, "component_weights": [1.0, 2.0]}, "component_weights: "),
        ({"alpha": 1, "save_training": True}, "save_training true needs output_dir"),
        (
            {**ARGS, "commands": ["python train.py --epochs 3"]},
            "commands.0: 'python train.py --epochs 3' runs none of your",
        ),
        ({**ARGS, "commands": ["continue_training.py 3"]}, "commands.0: '3' belongs to no flag"),
        ({**ARGS, "commands": ["continue_training.py --epochs 0"]}, "commands.0.epochs: input should be greater than"),
    ],
)
def test_what_is_wrong_is_named(native: object, expected: str) -> None:
    assert expected in problems(native)


def test_all_wrong_phases_are_named_at_once() -> None:
    said = problems({"phases": [{"alpha": 2}, {"epochs": 2}, {"noise_level": -1}]})
    assert "phases.0.alpha" in said and "phases.2.noise_level" in said


def test_a_share_that_forces_more_than_everything_names_the_phase() -> None:
    assert "plan.phase_1.teacher_forcing_end" in problems({"plan": {"phase_1": {"teacher_forcing_end": 2.0}}})


def test_a_lag_beyond_the_sequences_is_refused_before_anything_runs() -> None:
    config = parse_config({"plan": {"phase_1": {"max_lag": 151}}}, "c")
    refusal = r"max_lag: a phase has 151, sequences have 151 frames; .*: set it to 150 at most"
    with pytest.raises(BadInput, match=refusal):
        MODEL.parse_data({"generate": {}}, config, "search.yaml")
    MODEL.parse_data({"generate": {"frames": 152}}, config, "search.yaml")
