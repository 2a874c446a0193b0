"""The files of sequence_generator's own scripts: lists, arguments and commands, read and changed; continuations."""

import json
from pathlib import Path

import pytest
from sequence_arguments import ARGS, MODEL, RECIPE, problems

from spaces import strict_yaml
from spaces.paths import with_values
from trainables.native import parse_native, plain
from trainables.sequence_generator.config import Config
from trainables.sequence_generator.forms import parse_config
from trainables.sequence_generator.plan import phases_of
from trainables.sequence_generator.schedule import knobs, settles

# Files for the user's own script.

LISTED = """\
# my plan
alpha: 0.8
hidden_size: 32          # small
phases:
  # first
  - {epochs: 1-3, start_lr: 1.0e-3, min_lr: 5.0e-4, noise_level: 0.05}   # as documented
  # then
  - {epochs: 4-9, start_lr: 5.0e-4, min_lr: 1.0e-4, noise_level: 0.04}
"""


def changed(source: str, name: str, values: dict[str, object]) -> tuple[str, Config]:
    base = plain(parse_config(parse_native(source, name, name), name))
    config = parse_config(with_values(base, values), "winner")
    return MODEL.write_native(source, name, config)[name], config


def test_a_list_is_edited_where_it_stands() -> None:
    written, config = changed(LISTED, "mine.yaml", {"plan.phase_2.noise_level": 0.5, "start_lr": 2e-3})
    assert parse_config(parse_native(written, "mine.yaml", "w"), "w") == config
    assert "# my plan" in written and "# then" in written and "hidden_size: 32          # small" in written
    assert "{epochs: 1-3, start_lr: 0.002, min_lr: 0.001, noise_level: 0.05}   # as documented" in written
    assert "{epochs: 4-9, start_lr: 0.001, min_lr: 0.0002, noise_level: 0.025}\n" in written


def test_lengths_in_ranges_are_rewritten_as_ranges() -> None:
    written, config = changed(LISTED, "mine.yaml", {"plan.phase_1.length": 0.5})
    assert [phase.epochs for phase in phases_of(config)] == [4, 5]
    assert "epochs: 1-4" in written.replace('"', "") and "epochs: 5-9" in written.replace('"', "")
    assert parse_config(parse_native(written, "mine.yaml", "w"), "w") == config


def test_an_args_json_stays_one() -> None:
    source = json.dumps(ARGS, indent=4)
    values = {"plan.phase_1.lr_end": 0.1, "hidden_size": 64, "plan.phase_1.teacher_forcing_end": 0.5}
    written, config = changed(source, "args.json", values)
    again = json.loads(written)
    assert list(again)[: len(ARGS)] == list(ARGS)
    assert (again["min_lr"], again["hidden_size"], again["teacher_forcing_end"]) == (1e-4, 64, 0.35)
    (says,), (trained,) = phases_of(parse_config(again, "args.json")), phases_of(config)
    assert says.model_copy(update={"warmup_lr": 5e-4}) == trained  # which the script begins at min_lr
    note = MODEL.write_native(source, "args.json", config)["args.json.txt"]
    assert "warmup_lr: 5e-4 (your script trains as with 1e-4)" in note and note.count("your script trains") == 1


def test_commands_go_in_and_out() -> None:
    native = {
        **ARGS,
        "commands": ["python continue_training.py --model_path a.pt --epochs 60 --start_lr 5e-4 --min_lr 1e-4"],
    }
    source = strict_yaml.dumps(native)
    written, config = changed(source, "c.yaml", {"plan.phase_2.lr_end": 0.5})
    assert parse_config(parse_native(written, "c.yaml", "w"), "w") == config
    (command,) = strict_yaml.loads(written, "w")["commands"]
    assert command.startswith(
        "python continue_training.py --model_path a.pt --epochs 60 --start_lr 0.0005 --min_lr 0.00025"
    )


def test_a_key_of_the_whole_run_is_changed_in_every_phase_that_has_it() -> None:
    source = json.dumps({"phases": [ARGS, {**ARGS, "epochs": 50}]})
    written, config = changed(source, "p.json", {"hidden_size": 64})
    assert [item["hidden_size"] for item in json.loads(written)["phases"]] == [64, 64]
    assert parse_config(json.loads(written), "w") == config


def test_the_documented_commands_and_list() -> None:
    files = MODEL.write_native(None, "config.yaml", parse_config({**RECIPE, "output_dir": "out"}, "c"))
    listed = strict_yaml.loads(files["phases.yaml"], "p")["phases"]
    assert [(item["start_lr"], item["min_lr"], item["max_lag"]) for item in listed] == [
        (1e-3, 5e-4, 10), (5e-4, 1e-4, 15), (1e-4, 5e-5, 15), (5e-5, 1e-5, 20), (1e-5, 1e-5, 20)
    ]  # fmt: skip
    commands = strict_yaml.loads(files["commands.yaml"], "c")["commands"]
    assert len(commands) == 4
    assert commands[0].startswith(
        "python continue_training.py --model_path out/phase_1/best_model.pt --epochs 100 --start_lr 0.0005 "
        "--min_lr 0.0001 --output_dir out/phase_2 "
    )


# The three scripts, and continuations.

CONTINUED = json.loads((Path(__file__).parent / "cases" / "sequence_continued.json").read_text())


@pytest.mark.parametrize(("loss", "alpha"), [("combined", 0.5), ("mae", 1.0), ("autocorr", 0.0)])
def test_a_continuation_falls_in_a_straight_line(loss: str, alpha: float) -> None:
    config = parse_config({**CONTINUED, "loss": loss}, "args.json")
    (phase,) = phases_of(config)
    assert (phase.lr_schedule, phase.start_lr, phase.min_lr, phase.alpha) == ("linear", 5e-4, 1e-4, alpha)
    rates = [knobs(config, step)["lr"] for step in range(100)]
    assert rates == pytest.approx([5e-4 - 4e-4 * step / 99 for step in range(100)])
    assert (rates[0], rates[-1]) == (5e-4, 1e-4) and settles(config) == 0
    (first,) = phases_of(parse_config({**CONTINUED, "loss": loss, "existing_model": None}, "args.json"))
    assert first.lr_schedule == "one_cycle"


def test_arguments_without_an_alpha_are_asked_for_it() -> None:
    said = problems(CONTINUED)
    assert said.startswith("mine.yaml loss: missing: which of your three training scripts is it?")
    assert "loss: combined (α 0.5), loss: mae (α 1), loss: autocorr (α 0), or alpha: VALUE" in said
    assert "mine.yaml loss: 'mea' is none" in problems({**CONTINUED, "loss": "mea"})


@pytest.mark.parametrize(
    ("script", "alpha"),
    [("train_mae.py", 1.0), ("src/train_autocorr.py", 0.0), ("train_combined.py", 0.5), ("train_50mae_50auto.py", 0.5)],
)
def test_a_training_scripts_name_says_its_alpha(script: str, alpha: float) -> None:
    command = f"python {script} --start_lr 0.0005 --min_lr 0.0001 --epochs 7 --existing_model out/best.pth"
    config = parse_config({"hidden_size": 32, "commands": [command, command]}, "c.yaml")
    first, second = phases_of(config)
    assert first == second and (first.epochs, first.lr_schedule, first.alpha) == (7, "linear", alpha)
    assert config.existing_model == "out/best.pth" and config.hidden_size == 32
    assert first.teacher_forcing_start == 0.7  # the script's own: it knows no phase before it
    said = problems({"commands": ["python train_new.py --epochs 3"]})
    assert "commands.0.loss: missing: which of your three training scripts" in said


def test_a_commands_own_alpha_goes_before_its_scripts() -> None:
    config = parse_config({"commands": ["train_mae.py --alpha 0.3", "continue_training.py --loss autocorr"]}, "c")
    assert [phase.alpha for phase in phases_of(config)] == [0.3, 0.0]
