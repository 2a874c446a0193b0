import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from spaces.paths import with_values
from trainables import checkpoints, fingerprint, start, train
from trainables.registry import model_named
from trainables.run import Diverged

CONFIG = {"tcn_channels": [4], "tcn_kernel_size": 2, "mlp_hidden_dims": [4], "batch_size": 32, "device": "cpu"}
FILE = {
    "model": "early_inference",
    "data": {"generate": {"samples": 40, "n_points": 8}},
    "seed": 3,
    "steps": 4,
    "evaluate_every": 2,
    "config": {**CONFIG, "epochs": 9, "mine": 1},
}


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def best(tmp_path):
    def write(**changes):
        path = tmp_path / "best.yaml"
        path.write_text(yaml.safe_dump({**FILE, **changes}, sort_keys=False))
        return str(path)

    return write


def objective(out):
    return float(re.fullmatch(r"val_mae_prior_sd (\S+)", out.strip().splitlines()[-1])[1])


def test_it_trains_shows_and_repeats_to_the_last_digit(best, capsys):
    assert train.main([best()]) == 0
    out = capsys.readouterr().out
    assert "epoch 2/4  val_mae_prior_sd" in out
    assert "epoch 4/4  val_mae_prior_sd" in out
    assert "carried through: mine" in out
    value = objective(out)
    for recorded in (value, {"metric": "val_mae_prior_sd", "value": value}):
        assert train.main([best(provenance={"search": "demo", "objective": recorded})]) == 0
        out = capsys.readouterr().out
        assert "provenance search: demo" in out
        assert f"recorded {value!r}: equal to the last digit" in out
        assert objective(out) == value


def test_how_often_it_evaluates_changes_nothing(best, capsys):
    values = set()
    for every in (1, 3, None):
        assert train.main([best(evaluate_every=every)]) == 0
        values.add(objective(capsys.readouterr().out))
    assert len(values) == 1


def test_a_different_number_is_said(best, capsys):
    assert train.main([best(provenance={"objective": 0.123})]) == 1
    assert "recorded 0.123: DIFFERENT, by " in capsys.readouterr().out


def test_another_machine_type_excuses_the_last_digits_and_no_more(best, capsys):
    assert train.main([best()]) == 0
    value = objective(capsys.readouterr().out)
    here = fingerprint.fingerprint()
    other = {**here, "instructions": "NEON"}
    near, far = value * (1 + 0.9 * fingerprint.WIDTH), value * (1 + 2 * fingerprint.WIDTH)
    for recorded, machine, code, said in (
        (near, other, 0, f"another machine type (instructions NEON -> {here['instructions']})"),
        (far, other, 1, "more than another machine type"),
        (near, here, 1, "recorded on this machine type"),
        (near, {}, 1, "on a machine type that the file doesn't name"),
    ):
        provenance = {"objective": {"value": recorded}, "machine": machine}
        assert train.main([best(provenance=provenance)]) == code
        out = capsys.readouterr().out
        assert f"recorded {recorded!r}: DIFFERENT, by " in out and said in out


def test_the_exit_codes_are_in_the_help(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help"])
    assert "differs by no more than another machine type makes it" in capsys.readouterr().out


def test_the_command_line_overrides(best, capsys):
    path = best(provenance={"objective": 0.123})
    assert train.main([path, "--seed", "4", "--steps", "1"]) == 0
    out = capsys.readouterr().out
    assert "epoch 1/1" in out
    assert "not compared with the recorded 0.123: seed, steps given" in out


DIPHONE = {
    "model": {"n_input_features": 4, "n_units": 4, "n_layers": 1, "input_network": {"input_layer_sizes": [4]}},
    "lr_warmup_steps": 0,
    "dataset": {"neural_dim": 4, "batch_size": 2},
}
OTHERS = {  # model → its length, its config, the key of a folder of data, and two data sections of it
    "early_inference": ("epochs", CONFIG, "data_dir", {"generate": {"samples": 40, "n_points": 8}}),
    "diphone_rnn": (
        "num_training_batches",
        DIPHONE,
        "dataset_dir",
        {"generate": {"sentences": 4, "sessions": 1, "words_per_minute": 110}},
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_data_than_the_files(best, capsys, name):
    """In the model's own keys: a folder, which a generated one is, too, and other settings of the generator."""
    length, config, key, data = OTHERS[name]
    model = model_named(name)
    parsed = model.parse(with_values(config, {length: 1}), "c")
    folder = model.prepare(model.parse_data(data, parsed, "d"), parsed).path
    path = best(model=name, data={key: "/no/such"}, config=config, steps=1)
    first = {"generate." + inner: value for inner, value in data["generate"].items()}
    results = []
    for changed in ({key: folder}, first, {**first, "generate.seed": 5}):
        arguments = [word for given, value in changed.items() for word in ("--data", f"{given}={value}")]
        assert train.main([path, *arguments]) == 0
        out = capsys.readouterr().out
        results.append((re.search("; data (.{16})", out)[1], out.strip().splitlines()[-1]))
    assert results[0] == results[1]
    assert results[1][0] != results[2][0]


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({"sed": 1}, [], "sed: unknown key; did you mean 'seed'?"),
        ({"model": "early_inferense"}, [], "did you mean 'early_inference'?"),
        ({"steps": 0}, [], "steps: input should be greater than or equal to 1, got 0"),
        ({}, ["--until", "0"], "--until: expected a step from 1, got 0"),
        ({}, ["--steps", "0"], "steps: input should be greater than or equal to 1, got 0"),
        ({"config": {"lr": -1}}, [], "config lr: input should be greater than 0, got -1"),
        ({"data": {}}, [], "expected one of generate and data_dir"),
        ({}, ["--data", "data_dir=/no/such"], "/no/such: no such folder"),
        ({}, ["--data", "dataset_dir=/data/t15"], "data.dataset_dir: unknown key; did you mean 'data_dir'?"),
        ({}, ["--data", "/data/urease"], "--data /data/urease: expected KEY=VALUE, as in dataset_dir=/data/t15"),
        ({}, ["--data", "generate..seed=1"], "--data generate..seed=1: expected KEY=VALUE"),
        ({}, ["--data", "generate=1", "--data", "generate.seed=1"], "another --data gives a value where this key"),
        ({}, ["--data", "generate={a"], "--data generate={a: not valid YAML"),
    ],
)
def test_bad_input_is_one_screen(best, capsys, changes, arguments, said):
    assert train.main([best(**changes), *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert len(err.splitlines()) < 10


def test_a_missing_file_is_bad_input(capsys):
    assert train.main(["/no/such.yaml"]) == 2
    assert "/no/such.yaml: can't be read" in capsys.readouterr().err


def test_a_file_for_the_users_own_script_is_told_from_best_yaml(tmp_path, capsys):
    handed = tmp_path / "native" / "my_config.py"
    handed.parent.mkdir()
    handed.write_text("batch_size = 8\n")
    assert train.main([str(handed)]) == 2
    assert "is for your own script; this command trains a search's best.yaml: best.yaml in" in capsys.readouterr().err
    (tmp_path / "best.yaml").touch()
    for name in ("my_config.py", "my_config.yaml"):
        assert train.main([str(handed.with_name(name))]) == 2
        assert f"best.yaml: {tmp_path / 'best.yaml'}" in capsys.readouterr().err


def test_a_training_goes_on_from_the_state_that_another_kept(best, tmp_path, capsys):
    """To the last digit of one that was never interrupted; the file may be moved to pareto/, as a search's are."""
    assert train.main([best(), "--checkpoint", str(tmp_path / "whole")]) == 0
    value = objective(capsys.readouterr().out)
    assert (
        train.main([best(provenance={"objective": 0.5}), "--until", "2", "--checkpoint", str(tmp_path / "half")]) == 0
    )
    out = capsys.readouterr().out
    assert f"state: {tmp_path / 'half/000000002.pt'}" in out and "epoch 2/4" in out and "epoch 4/4" not in out
    assert "not compared with the recorded 0.5: until given" in out and objective(out) != value
    begun = {"start": {"checkpoint": "half/000000002.pt"}, "provenance": {"objective": value}}
    path = Path(best(**begun))
    (tmp_path / "pareto").mkdir()
    (tmp_path / "pareto/t0001.yaml").write_text(path.read_text())
    for file in (path, tmp_path / "pareto/t0001.yaml"):
        assert train.main([str(file), "--checkpoint", str(tmp_path / "again")]) == 0
        out = capsys.readouterr().out
        assert "goes on at epoch 2" in out and "epoch 2/4" not in out
        assert f"recorded {value!r}: equal to the last digit" in out
    assert train.main([best(), "--until", "9"]) == 0  # beyond its length: the whole of it
    assert objective(capsys.readouterr().out) == value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no {0}: keep it beside this file, or name where it is now"),
        (b"torn", "{0} is damaged: its content is not what its hash says"),
        ("tts", "{0} is a training of tts, not of early_inference"),
    ],
)
def test_a_state_that_can_t_be_gone_on_from_is_bad_input(best, tmp_path, capsys, content, said):
    path = best(start={"checkpoint": "000000002.pt"})
    if isinstance(content, str):
        described = start.described(content, {}, {}, 0)
        checkpoints.write(tmp_path, 2, {"run": {"step": 2}, start.CONFIG: described})
    elif content is not None:
        (tmp_path / "000000002.pt").write_bytes(content)
    assert train.main([path]) == 2
    told = said.format(tmp_path / "000000002.pt")
    assert f"{path} start.checkpoint: {told}" in capsys.readouterr().err


def test_divergence_is_code_3(best, capsys, monkeypatch):
    def diverges(*_):
        raise Diverged("training loss", 2, float("nan"))

    monkeypatch.setattr(train, "train_one", diverges)
    assert train.main([best()]) == 3
    assert "diverged: training loss is nan at step 2; scored val_mae_prior_sd 0.866" in capsys.readouterr().out


def test_interruption_is_code_130(best, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train_one", interrupted)
    assert train.main([best()]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_run_that_ends_itself_says_so(best, capsys):
    config = {**CONFIG, "early_stopping_patience": 1, "lr": 0.9, "warmup_epochs": 0}
    assert train.main([best(config=config, steps=60, evaluate_every=50)]) == 0
    assert re.search(r"ended at epoch \d+: the validation loss has not fallen", capsys.readouterr().out)


@pytest.mark.integration
def test_the_command_itself(best, tmp_path):
    command = [sys.executable, "-m", "trainables.train", best()]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert objective(first) == objective(second)
    bad = subprocess.run([*command[:-1], str(tmp_path / "no.yaml")], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
