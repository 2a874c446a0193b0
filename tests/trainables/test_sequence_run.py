"""Training sequence_generator: resuming anywhere, what it reports, writes and goes on from."""

import csv
import math

import numpy as np
import pytest
import torch
from sequence_runs import MODEL, build, config_of, leaves, prepared_in, same, through_disk

from spaces.problems import BadInput
from trainables import checkpoints
from trainables.run import Diverged, Prepared
from trainables.sequence_generator.layout import OBJECTIVE
from trainables.sequence_generator.saved import COLUMNS, run_folder
from trainables.sequence_generator.schedule import knobs
from trainables.start_weights import HOLDERS


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    return prepared_in(tmp_path_factory.mktemp("cache"))


# Resuming.


@pytest.mark.parametrize("pause", range(1, 7))
def test_resuming_inside_and_between_phases_changes_no_bit(prepared, pause) -> None:
    whole, first = build(prepared), build(prepared)
    whole.train(7)
    first.train(pause)
    second = build(prepared)
    second.restore(through_disk(first.state()))
    torch.manual_seed(1)
    second.train(7)
    assert same(whole, second)
    assert whole.evaluate() == second.evaluate()


def test_a_start_gives_the_weights_alone(prepared, tmp_path) -> None:
    """As in the user's scripts: the clock, the rate and the optimiser begin anew, whosever the checkpoint is."""
    saving = {"output_dir": str(tmp_path), "save_training": True}
    run = build(prepared, **saving)
    run.train(2)
    file = checkpoints.write(tmp_path / "trial" / "checkpoints", 2, {"run": run.state(), "report": {"step": 2}})
    torch.save({HOLDERS[1]: run.network.state_dict(), "epoch": 2}, tmp_path / "best.pt")
    folder = run_folder(config_of(**saving), 0)
    assert folder is not None
    for start in (
        file,
        tmp_path / "trial",
        tmp_path / "trial" / "checkpoints",
        tmp_path / "best.pt",
        folder / "phase_1",
    ):
        started = build(prepared, existing_model=str(start), seed=5)
        assert started.step == 0
        before, after = (list(leaves(dict(each.network.state_dict()))) for each in (run, started))
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_checkpoint_to_start_from_is_checked_first_and_belongs_to_the_digest(prepared, tmp_path) -> None:
    run = build(prepared)
    run.train(2)

    def ready(**values):
        config = config_of(**values)
        return MODEL.prepare(MODEL.parse_data({"data_dir": str(prepared.path), "frames": 26}, config, "s"), config)

    path = tmp_path / "best.pt"
    with pytest.raises(BadInput, match=r"^existing_model: .*best\.pt: no such file"):
        ready(existing_model=str(path))
    torch.save({HOLDERS[1]: run.network.state_dict()}, path)
    with pytest.raises(BadInput, match=r"^existing_model: .*best\.pt: .* has shape .*: set the sizes"):
        ready(existing_model=str(path), hidden_size=5)
    first = ready(existing_model=str(path))
    assert first.digest != prepared.digest and "; starts from best.pt (" in first.summary
    path.rename(tmp_path / "moved.pt")
    assert ready(existing_model=str(tmp_path / "moved.pt")).digest == first.digest
    torch.save({HOLDERS[1]: build(prepared).network.state_dict()}, path)
    assert ready(existing_model=str(path)).digest != first.digest

    trial = tmp_path / "trial"
    file = checkpoints.write(trial / "checkpoints", 2, {"run": run.state()})
    assert ready(existing_model=str(trial)).digest == ready(existing_model=str(file)).digest
    checkpoints.write(trial / "checkpoints", 3, {"run": {"network": 3}})
    with pytest.raises(BadInput, match="no weights under network or model_state_dict"):
        ready(existing_model=str(trial))


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_what_can_not_be_started_from_is_named(prepared, tmp_path, capsys) -> None:
    def refused(path, **values) -> str:
        with pytest.raises(BadInput) as error:
            build(prepared, existing_model=str(path), **values)
        return str(error.value)

    assert "no such file" in refused(tmp_path / "none.pt")
    (tmp_path / "empty").mkdir()
    assert "no intact checkpoint here, and your script takes a file" in refused(tmp_path / "empty")
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    assert "is no checkpoint of plain tensors" in refused(tmp_path / "text.pt")
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    assert "no weights under network or model_state_dict" in refused(tmp_path / "other.pt")
    torch.save({HOLDERS[1]: Evil()}, tmp_path / "evil.pt")
    assert "is no checkpoint of plain tensors" in refused(tmp_path / "evil.pt")
    assert "run" not in capsys.readouterr().out
    run = build(prepared)
    run.train(5)
    checkpoints.write(tmp_path / "run", 5, {"run": run.state()})
    assert "has shape" in refused(tmp_path / "run", hidden_size=7)


@pytest.mark.parametrize("values", [{"bidirectional": True}, {"attention": True}, {"num_layers": 1}])
def test_variants_resume_bit_exactly_too(prepared, values) -> None:
    whole, part = build(prepared, **values), build(prepared, **values)
    whole.train(4)
    part.train(3)
    other = build(prepared, **values)
    other.restore(through_disk(part.state()))
    other.train(4)
    assert same(whole, other)


# What is reported and written.


def test_early_monitoring(prepared) -> None:
    run = build(prepared)
    assert "plateau_epochs" not in run.evaluate()  # nothing trained yet
    scores = []
    for epoch in range(7):
        run.train(epoch + 1)
        found = run.evaluate()
        scores.append(found[OBJECTIVE.metric])
        best = int(np.argmin(scores))
        assert found["best_val_rollout_mae"] == scores[best]
        assert (found["best_epoch"], found["plateau_epochs"]) == (best + 1, epoch - best)
        assert found["train_validation_gap"] == scores[-1] - found["train_rollout_mae"]


def test_evaluating_more_often_changes_nothing(prepared) -> None:
    one, other = build(prepared), build(prepared)
    one.train(5)
    for epoch in range(5):
        other.evaluate()
        other.train(epoch + 1)
        other.evaluate()
    assert same(one, other)


def test_training_reports_means_of_the_interval_and_its_last_values(prepared) -> None:
    whole, parts = build(prepared), build(prepared)
    found = whole.train(3)
    each = [parts.train(epoch + 1) for epoch in range(3)]
    for key in ("train_loss", "train_mae", "train_autocorrelation", "gradient_norm"):
        assert found[key] == pytest.approx(np.mean([one[key] for one in each]))
    for key in ("val_loss", "val_mae", "val_autocorrelation", "lr", "alpha", "phase"):
        assert found[key] == each[-1][key]
    assert whole.train(3) == {}


def test_the_loss_is_of_its_phase(prepared) -> None:
    found = build(prepared).train(1)
    assert found["train_loss"] == pytest.approx(0.8 * found["train_mae"] + 0.2 * found["train_autocorrelation"])
    assert found["val_loss"] == pytest.approx(0.8 * found["val_mae"] + 0.2 * found["val_autocorrelation"])


def test_the_training_table_has_the_documented_columns_through_a_pause(prepared, tmp_path) -> None:
    values = {"output_dir": str(tmp_path), "save_training": True}
    run = build(prepared, **values)
    run.train(3)
    again = build(prepared, **values)
    again.restore(through_disk(run.state()))
    again.train(7)
    folder = run_folder(config_of(**values), 0)
    assert folder is not None
    with (folder / "training.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert COLUMNS == (
        "Epoch", "Train Loss", "Train MAE Loss", "Train Autocorr Loss", "Validation Loss", "Validation MAE Loss",
        "Validation Autocorr Loss", "Test Loss", "Test MAE Loss", "Test Autocorr Loss", "Learning Rate",
    )  # fmt: skip
    assert [row[0] for row in rows[1:]] == [str(epoch) for epoch in range(1, 8)]
    assert [float(row[-1]) for row in rows[1:]] == [knobs(config_of(), epoch)["lr"] for epoch in range(7)]
    assert float(rows[7][4]) == pytest.approx(0.2 * float(rows[7][5]) + 0.8 * float(rows[7][6]))
    assert len({row[7] for row in rows[1:]}) == 7  # the test simulations, rolled out each epoch


def test_the_best_checkpoint_is_that_of_the_best_rollout(prepared, tmp_path) -> None:
    values = {"output_dir": str(tmp_path), "save_training": True}
    run = build(prepared, **values)
    scores = []
    for epoch in range(7):
        run.train(epoch + 1)
        scores.append(run.evaluate()[OBJECTIVE.metric])
    folder = run_folder(config_of(**values), 0)
    assert folder is not None
    step, content = checkpoints.newest(folder / "best", "cpu")
    assert step == int(np.argmin(scores)) + 1
    kept = build(prepared, **values)
    kept.restore(content["run"])
    assert kept.evaluate()[OBJECTIVE.metric] == min(scores)


def test_a_long_plateau_is_told(prepared, caplog) -> None:
    run = build(prepared, epochs=40, start_lr=1e-12)
    run.restore({**run.state(), "patience": {"best": 0.0, "since": 29}})
    with caplog.at_level("INFO", logger="trainables.sequence_generator"):
        run.train(2)
    assert caplog.text.count("no better rollout than that of epoch 0 since") == 1


def test_nothing_is_written_unless_it_is_asked_for(prepared, tmp_path) -> None:
    run = build(prepared, output_dir=str(tmp_path))
    run.train(7)
    assert list(tmp_path.iterdir()) == [] and run.state()["rows"] == []


def test_trials_of_a_search_write_into_folders_of_their_own(tmp_path) -> None:
    values = {"output_dir": str(tmp_path), "save_training": True}
    folders = [
        run_folder(config_of(**values), 0),
        run_folder(config_of(**values), 1),
        run_folder(config_of(**values, dropout=0.1), 0),
    ]
    assert len(set(folders)) == 3


def test_divergence_names_quantity_and_epoch(prepared) -> None:
    run = build(prepared, start_lr=1.0, clip_grad_norm=1e30)
    with torch.no_grad():
        run.network.out.bias.fill_(math.inf)
    with pytest.raises(Diverged) as error:
        run.train(1)
    assert error.value.step == 1 and error.value.quantity == "train_loss"


def test_rollouts_learn(prepared) -> None:
    """A test that a broken gradient, loss or split fails: the mean trajectory alone is well below the mean."""
    run = build(
        prepared, hidden_size=24, num_layers=1, epochs=40, teacher_forcing_start=0.0, start_lr=0.02, batch_size=4
    )
    run.train(40)
    assert run.evaluate()["train_rollout_mae"] < 0.85
