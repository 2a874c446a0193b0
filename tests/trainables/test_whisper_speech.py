"""whisper_child on real speech: spoken digits of six speakers, two of them held out (Free Spoken Digit Dataset).

The recordings are no part of the project: they lie beside it, or where FSDD_DIR says.
"""

import os
from pathlib import Path

import pytest
from synthetic_children import row, write_manifest

from trainables.registry import model_named
from trainables.whisper_child.data import corpus_at

FOLDER = Path(os.environ.get("FSDD_DIR") or Path(__file__).parents[3] / "shared" / "data" / "fsdd")
DIGITS = "zero one two three four five six seven eight nine".split()  # noqa: SIM905 - shorter so
BUCKETS = {"george": "5-7", "jackson": "5-7", "lucas": "5-7", "nicolas": "8-11", "theo": "8-11", "yweweler": "8-11"}

pytestmark = pytest.mark.skipif(
    not (FOLDER / "recordings").is_dir(),
    reason=f"the recordings of spoken digits are not in {FOLDER}; set FSDD_DIR to the folder that has `recordings`",
)

NATIVE = {
    "model": {
        "pretrained": None,
        "random_init": {"d_model": 64, "layers": 2, "heads": 4, "ffn_dim": 256, "max_target_positions": 16},
        "gradient_checkpointing": False,
        "freeze_encoder_steps": 0,
    },
    "data": {
        "target_length": 1.0,
        "train_utterances": 600,
        "normalize_text": True,
        "normalize_audio": True,
        "time_mask_param": 10,
        "curriculum_learning": False,
    },
    "training": {
        "batch_size": 8,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-3,
        "warmup_steps": 40,
        "num_epochs": 15,
        "max_epochs": 15,
        "early_stopping_patience": 0,
        "optim": "adamw_torch_fused",
        "logging_steps": 1000,
    },
    "inference": {"max_length": 12},
}


def trained(folder, epochs, seed):
    """A run of `epochs` epochs, its learning rate planned for as many."""
    paths = sorted((FOLDER / "recordings").glob("*.wav"))
    rows = []
    for path in paths:
        digit, speaker, _ = path.stem.split("_")
        text = DIGITS[int(digit)]
        rows.append(row(path.stem, child=speaker, age=BUCKETS[speaker], text=text, audio_path=path.name))
    model = model_named("whisper_child")
    native = {**NATIVE, "training": {**NATIVE["training"], "num_epochs": epochs}}
    config = model.parse(native, "fsdd")
    manifest = write_manifest(folder / "digits.jsonl", rows)
    data = model.parse_data({"train_manifest": str(manifest), "audio_dirs": [str(FOLDER)]}, config, "fsdd")
    prepared = model.prepare(data, config)
    run = model.build(config, prepared, seed)
    run.train(epochs)
    return run, corpus_at(prepared.path, prepared.digest, config)


@pytest.mark.slow
def test_some_digits_of_unheard_speakers_are_understood(tmp_path):
    """Saying always the same digit scores .9, which the first epochs do."""
    run, corpus = trained(tmp_path, 5, 0)
    speakers = [{corpus.utterances[i].child for i in side} for side in (corpus.train, corpus.validation)]
    assert not speakers[0] & speakers[1] and len(speakers[1]) == 2
    assert run.evaluate()["val_wer"] < 0.75


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [0, 1])
def test_more_than_half_of_the_digits_within_15_epochs(tmp_path, seed):
    run, _ = trained(tmp_path, 15, seed)
    assert run.evaluate()["val_wer"] < 0.5
