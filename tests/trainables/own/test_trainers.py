"""A Hugging Face and a Lightning trainer, as they are, pause and resume at every epoch without a bit's difference."""

from pathlib import Path

import pytest
import torch

from spaces.problems import BadInput
from trainables.own.declaration import Declaration
from trainables.own.declare import from_declaration
from trainables.registry import model_of
from trainables.run import UserCodeError

EXAMPLES = Path(__file__).parents[3] / "configs" / "own"
EPOCHS = 3
HUGGING_FACE = {
    "trainer": "finetune:make_trainer",
    "length": "num_train_epochs",
    "objective": {"loss": "min", "worst": 0.6932},
}
LIGHTNING = {"lightning": "train:make", "length": "epochs", "objective": {"val_loss": "min", "worst": 0.5}}
CASES = {
    "huggingface": (HUGGING_FACE, {"learning_rate": 2e-3, "warmup_steps": 4, "num_train_epochs": EPOCHS}),
    "lightning": (LIGHTNING, {"lr": 0.01, "dropout": 0.1, "epochs": EPOCHS}),
}


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """One thread, and a current folder of its own."""
    torch.set_num_threads(1)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def build(folder: Path, declared: dict, config: dict, work: Path, seed: int = 3):
    model = from_declaration(Declaration.model_validate(declared), folder / "mine.yaml", ("mine.yaml", None))
    model = model_of(model.name, model.reference.model_dump(mode="json"), "reference", work)
    parsed = model.parse(config, "config")
    return model.build(parsed, model.prepare(model.parse_data({}, parsed, "data"), parsed), seed)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # the libraries' own
@pytest.mark.parametrize("way", CASES)
def test_paused_and_resumed_at_every_epoch_is_never_paused(way, tmp_path):
    pytest.importorskip({"huggingface": "transformers", "lightning": "lightning"}[way])
    declared, config = CASES[way]
    whole = build(EXAMPLES / way, declared, config, tmp_path / "whole")
    expected = [dict(whole.train(epoch)) for epoch in range(1, EPOCHS + 1)]
    whole.close()
    parted = build(EXAMPLES / way, declared, config, tmp_path / "parted")
    found = [dict(parted.train(1))]
    for epoch in range(2, EPOCHS + 1):
        state = parted.state()
        parted.close()
        torch.manual_seed(99)
        parted = build(EXAMPLES / way, declared, config, tmp_path / f"parted-{epoch}")
        parted.restore(state)
        found.append(dict(parted.train(epoch)))
    parted.close()
    assert found == expected
    assert len({metrics[next(iter(declared["objective"]))] for metrics in expected}) == EPOCHS
    other = build(EXAMPLES / way, declared, config, tmp_path / "other", seed=4)
    assert dict(other.train(1)) != expected[0]
    other.close()
    assert not list(Path.cwd().iterdir())  # trials would write over each other's


STOPPING = {
    "huggingface": (
        "finetune.py",
        [
            ("from transformers import ", "from transformers import EarlyStoppingCallback, "),
            ('eval_strategy="epoch", ', 'eval_strategy="epoch", metric_for_best_model="eval_flat", '),
            ("use_cpu=True", "use_cpu=True, load_best_model_at_end=True"),
            ('return {"accuracy"', 'return {"flat": 1.0, "accuracy"'),
            ("Trainer(model, args,", "Trainer(model, args, callbacks=[EarlyStoppingCallback(1)],"),
        ],
    ),
    "lightning": (
        "train.py",
        [("lightning.Trainer(", "lightning.Trainer(callbacks=[EarlyStopping('val_loss', 1e9, patience=1)], ")],
    ),
}


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", STOPPING)
def test_early_stopping_ends_a_paused_training_where_it_ends_by_hand(way, tmp_path):
    pytest.importorskip({"huggingface": "transformers", "lightning": "lightning"}[way])
    declared, config = CASES[way]
    name, changes = STOPPING[way]
    text = (EXAMPLES / way / name).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    early = "from lightning.pytorch.callbacks import EarlyStopping\n" if way == "lightning" else ""
    (tmp_path / name).write_text(early + text)
    first = build(tmp_path, declared, config, tmp_path / "first")
    first.train(1)
    assert first.ended is None
    state = first.state()
    first.close()
    second = build(tmp_path, declared, config, tmp_path / "second")
    second.restore(state)
    second.train(2)
    assert second.ended == f"the function returned after epoch 2 of {EPOCHS}"
    second.close()


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"eval_strategy": "no"}, "set eval_strategy='epoch'"),
        ({"save_strategy": "no"}, "set save_strategy='epoch'"),
        ({"save_only_model": True}, "save_only_model is on"),
    ],
)
def test_strategies_that_dont_agree_are_named(fields, says, tmp_path):
    pytest.importorskip("transformers")
    text = (EXAMPLES / "huggingface" / "finetune.py").read_text()
    for key, value in fields.items():
        text = text.replace(f'{key}="epoch", ', "").replace("use_cpu=True", f"use_cpu=True, {key}={value!r}")
    (tmp_path / "finetune.py").write_text(text)
    run = build(tmp_path, HUGGING_FACE, CASES["huggingface"][1], tmp_path / "work")
    with pytest.raises(UserCodeError, match=says):
        run.train(1)
    run.close()


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("returned", ["trainer", "(module, trainer)", "None"])
def test_a_factory_that_returns_something_else_is_told_what_to_return(returned, tmp_path):
    pytest.importorskip("lightning")
    text = (EXAMPLES / "lightning" / "train.py").read_text()
    (tmp_path / "train.py").write_text(text.replace("return trainer, module, Data", f"return {returned}\n    Data"))
    run = build(tmp_path, LIGHTNING, CASES["lightning"][1], tmp_path / "work")
    with pytest.raises(UserCodeError, match="return the trainer and what fit takes"):
        run.train(1)
    run.close()


def test_two_ways_in_are_refused():
    with pytest.raises(ValueError, match="give one of function, command, trainer, lightning, got function and trainer"):
        Declaration.model_validate({**HUGGING_FACE, "function": "train:train"})


def test_a_factory_that_isnt_there_is_named(tmp_path):
    (tmp_path / "finetune.py").write_text("def other(config): ...\n")
    with pytest.raises(BadInput, match=r"trainable\.trainer: .*has no function 'make_trainer'.*other"):
        from_declaration(Declaration.model_validate(HUGGING_FACE), tmp_path / "mine.yaml", ("mine.yaml", None))
