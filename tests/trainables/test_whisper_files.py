"""What a run of whisper_child leaves behind, and the weights that it may start from."""

import json

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from hypothesis import given
from hypothesis import strategies as st
from refusing import refusing
from synthetic_children import config, corpus
from transformers import WhisperForConditionalGeneration

from trainables.whisper_child import tokens
from trainables.whisper_child.model import network_of
from trainables.whisper_child.run import WhisperRun
from trainables.whisper_child.saving import best_of, to_drop
from trainables.whisper_child.tokens import tokenizer_of, weights_folder

CORPUS = corpus()


def run(seed=0, data=CORPUS, **values):
    return WhisperRun(config(**values), data, seed)


def weights(one):
    return {name: value.clone() for name, value in one.network.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@given(st.dictionaries(st.integers(1, 50), st.floats(0, 2), min_size=1), st.integers(1, 5))
def test_recent_checkpoints_and_the_best_are_kept(saved, limit):
    kept = set(saved) - to_drop(saved, limit)
    assert set(sorted(saved)[-limit:]) <= kept
    assert best_of(saved) in kept and saved[best_of(saved)] == min(saved.values())
    assert len(kept) <= limit + 1


def test_checkpoints_can_be_loaded_by_transformers(tmp_path, monkeypatch):
    one = run(
        training__save_strategy="steps",
        training__output_dir=str(tmp_path),
        training__save_total_limit=2,
        training__save_steps=2,
        training__eval_steps=2,
    )
    rates = iter([0.5, 0.4, 0.6, 0.7, 0.8, 0.9])
    monkeypatch.setattr(one, "evaluate", lambda: {"val_wer": next(rates)})
    one.train(3)
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-10", "checkpoint-12", "checkpoint-4"]
    state = json.loads((folder / "checkpoint-12" / "trainer_state.json").read_text())
    assert state == {"global_step": 12, "eval_wer": 0.9, "best_model_checkpoint": "checkpoint-4"}
    loaded = WhisperForConditionalGeneration.from_pretrained(folder / "checkpoint-12")
    assert same(weights(one), loaded.state_dict())


def test_the_log_has_a_line_per_logging_steps(tmp_path):
    one = run(training__logging_dir=str(tmp_path), training__logging_steps=3)
    one.train(3)
    (file,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6, 9, 12]
    assert lines[0]["learning_rate"] == pytest.approx(2e-3) and {"train_loss", "gradient_norm"} <= set(lines[0])


# Weights from elsewhere.


@pytest.fixture
def folder(tmp_path):
    settings = config()
    tokenizer = tokenizer_of(settings.model)
    torch.manual_seed(5)
    network_of(settings, tokenizer).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def pretrained(folder, **values):
    return config(model__pretrained=str(folder), model__random_init=None, **values)


def test_pretrained_weights_are_those_of_the_folder(folder):
    one = WhisperRun(pretrained(folder, inference__max_length=8), CORPUS, 0)
    loaded = WhisperForConditionalGeneration.from_pretrained(folder)
    assert same(weights(one), loaded.state_dict())
    assert one.network.config.dropout == 0.0
    one.train(1)
    assert np.isfinite(one.evaluate()["val_wer"])
    assert not same(weights(one), loaded.state_dict())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"data__target_length": 30},
            r"data.target_length: is 30 s, the pretrained encoder, also your script's, hears 0.4 s",
        ),
        ({"data__num_mel_bins": 128}, r"data.num_mel_bins: is 128, the encoder takes 80"),
        ({"inference__max_length": 448}, r"inference.max_length: is 448, the decoder has 24 positions"),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, values, said):
    settings = pretrained(folder, **values)
    with refusing(said):
        network_of(settings, tokenizer_of(settings.model))


def test_absent_weights_say_how_to_get_them(folder, monkeypatch):
    def offline(*arguments, **named):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(tokens, "snapshot_download", offline)
    with refusing(r"openai/whisper-small is no folder here.*run `hf download openai/whisper-small"):
        weights_folder(config(model__pretrained="openai/whisper-small", model__random_init=None).model)
    with refusing(r"/nowhere/at/all is no folder, where your script ends; .*hf download openai/whisper-small"):
        weights_folder(pretrained("/nowhere/at/all").model)


def test_pickled_weights_are_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with refusing(r"lacks model.safetensors"):
        WhisperRun(pretrained(folder), CORPUS, 0)
