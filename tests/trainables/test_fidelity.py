"""A user's file means what the user's script does with it, and what is handed over trains there what was measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from search.spec.knobs import model_space
from spaces.paths import get, has, with_values
from spaces.values import thaw
from trainables.handover import changes
from trainables.key_table import PAGES, table, with_table
from trainables.keys import differing, keys, ours, without
from trainables.native import as_yaml, plain
from trainables.registry import model_named, models

# What the users' scripts take for an absent key, from their code; keys that they have no default for stand in every
# file. Written here once more, so that a slip in a schema shows.
SCRIPTS: Mapping[str, Mapping[str, Any]] = {
    "whisper_child": {
        "training.lr_scheduler_type": "linear",
        "training.early_stopping_patience": 0,
        "data.specaugment": False,
        "data.freq_mask_param": 27,
        "data.time_mask_param": 100,
        "data.curriculum_learning": False,
        "model.freeze_encoder_steps": 0,
        "model.freeze_encoder": False,
        "model.dropout": 0.1,
        "training.num_epochs": 10,
        "training.batch_size": 8,
        "training.eval_batch_size": 8,
        "training.learning_rate": 1e-5,
        "training.warmup_steps": 500,
        "training.gradient_accumulation_steps": 4,
        "training.save_steps": 1000,
        "training.eval_steps": 1000,
        "training.logging_steps": 100,
        "training.save_total_limit": 3,
        "model.gradient_checkpointing": False,
    },
    "diphone_rnn": {
        "use_composite_loss": False,
        "use_alpha_schedule": False,
        "composite_loss_alpha": 0.5,
        "alpha_schedule_start": 0.0,
        "alpha_schedule_end": 0.6,
        "alpha_schedule_step_size": 0.1,
        "alpha_schedule_step_interval": 3000,
        "model.bidirectional": False,
        "early_stopping": True,
        "save_best_checkpoint": True,
        "gpu_number": 0,
    },
}
RATES = ["training.save_steps", "training.eval_steps"]  # one is a multiple of the other: a file has both or neither
each_model = pytest.mark.parametrize("name", SCRIPTS)


def schema_keys(name):
    model = model_named(name)
    return list(keys(type(model.parse(model.documented(), "recipe"))))


@each_model
def test_an_absent_key_is_what_the_script_takes(name):
    absent = {key.path: key.absent for key in schema_keys(name)}
    assert {path: absent[path] for path in SCRIPTS[name]} == dict(SCRIPTS[name])


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in SCRIPTS for key in schema_keys(name)], ids=lambda v: getattr(v, "path", v)
)
def test_a_config_without_a_key_is_the_config_with_its_absent_value(name, key):
    model = model_named(name)
    recipe = plain(model.parse(model.documented(), "recipe"))
    together = frozenset(RATES if key.path in RATES else [key.path])
    omitted = without(recipe, together)
    absent = {k.path: k.absent for k in schema_keys(name) if k.path in together}
    if key.note:
        absent = {key.path: get(recipe, f"training.{key.note}")}
    one, other = model.parse(omitted, "omitted"), model.parse(with_values(omitted, absent), "spelt out")
    assert one == other
    assert model.static(one) == model.static(other)
    assert all(model.knobs(one, step) == model.knobs(other, step) for step in (0, 1, 7))


@pytest.mark.parametrize("name", sorted(models()))
def test_the_recipe_is_in_the_pages_table(name):
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert page == with_table(page, table(name)), "run python -m trainables.key_table"


def as_the_script_reads(name: str, text: str) -> dict[str, Any]:
    """A handed-over file as the user's script has it: PyYAML, and its own values for what is absent."""
    file = yaml.safe_load(text)
    absent = {path: value for path, value in SCRIPTS[name].items() if not has(file, path)}
    return with_values(file, absent)


def drawn(name, data):
    """A user's file that omits some keys, and a config that a search from it may find."""
    model = model_named(name)
    recipe = plain(model.parse(model.documented(), "recipe"))
    foreign = {path for path, _ in ours(model.parse(recipe, "recipe"))}
    paths = [key.path for key in schema_keys(name) if key.path not in {*foreign, *RATES}]
    omitted = set(data.draw(st.sets(st.sampled_from(paths)))) | foreign
    if data.draw(st.booleans()):
        omitted |= set(RATES)
    file = without(recipe, frozenset(omitted))
    base = plain(model.parse(file, "file"))
    space = model_space(model).in_steps(get(base, model.length_key))
    values = {
        path: thaw(value)
        for path, value in space.sample(np.random.default_rng(data.draw(st.integers(0, 10**6))), base).items()
    }
    return model, file, model.parse(with_values(base, values), "found")


@each_model
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_is_handed_over_trains_in_the_script_what_was_measured(name, data):
    model, file, found = drawn(name, data)
    source = as_yaml(file)
    (text,) = model.write_native(source, "mine.yaml", found).values()
    read, whole = model.parse(yaml.safe_load(text), "handed over"), plain(found)
    told = {line.split(":")[0].removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")}
    for path in differing(plain(read), whole):
        assert path in told or path == "training.max_epochs", path  # what the script has no key for is said
    script = as_the_script_reads(name, text)
    for path in SCRIPTS[name]:
        assert get(script, path) == get(whole, path), path
    assert not [path for path, _ in ours(found) if has(script, path)]


@each_model
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_lines_that_did_not_change_are_byte_equal(name, data):
    model, file, found = drawn(name, data)
    source = as_yaml(file)
    (text,) = model.write_native(source, "mine.yaml", found).values()
    wanted = changes(file, found, lambda native: model.parse(native, "file")).values
    lines = iter(text.splitlines())
    for line in source.splitlines():
        key = line.strip().partition(":")[0]
        if not any(path.rpartition(".")[2] == key for path in wanted):
            assert line in lines, line  # in order


def test_spelling_stays_where_the_number_does():
    source = "training: {num_epochs: 10, learning_rate: 1.0e-5, weight_decay: 5e-3, warmup_steps: 500}  # mine\n"
    model = model_named("whisper_child")
    base = plain(model.parse({"training": {"weight_decay": 5e-3}}, "base"))
    found = model.parse(with_values(base, {"training.warmup_steps": 20}), "found")
    written = model.write_native(source, "mine.yaml", found)["mine.yaml"]
    assert written == source.replace("warmup_steps: 500", "warmup_steps: 20")


def test_what_the_script_has_no_key_for_stands_at_the_top():
    model = model_named("whisper_child")
    found = model.parse({"data": {"specaugment": True, "freq_mask_count": 2}, "training": {"max_epochs": 4}}, "found")
    written = model.write_native("data: {val_ratio: 0.1}\n", "mine.yaml", found)["mine.yaml"]
    head = [line for line in written.splitlines() if line.startswith("#")]
    assert head[1:] == [
        "#   data.freq_mask_count: 2 (your script trains as with 1)",
        "#   training.max_epochs: 4 (your script trains as with 10)",
    ]
    assert written.endswith("data: {val_ratio: 0.1, specaugment: true}\n")
    files = model.write_native('{"data": {"val_ratio": 0.1}}', "mine.json", found)
    assert set(files) == {"mine.json", "mine.json.txt"}
    assert "freq_mask_count: 2" in files["mine.json.txt"]


def test_an_own_key_that_the_file_holds_is_changed_there():
    model = model_named("whisper_child")
    found = model.parse({"data": {"specaugment": True, "freq_mask_count": 2}}, "found")
    source = "data:\n  specaugment: true\n  freq_mask_count: 1  # masks\n"
    assert model.write_native(source, "mine.yaml", found)["mine.yaml"] == source.replace("1  #", "2  #")


def test_a_key_that_changes_what_absent_ones_mean_brings_them_along():
    """As in files of early_inference, whose older script is told by what is absent."""

    def parse(native: Mapping[str, Any]) -> Any:
        return model.parse({"training": {"warmup_steps": 0, "num_epochs": 3, **native.get("training", {})}}, "file")

    model = model_named("whisper_child")
    trained = model.parse({"training": {"warmup_steps": 7, "num_epochs": 10}}, "trained")
    assert changes({}, trained, parse).values == {"training.warmup_steps": 7, "training.num_epochs": 10}
