"""A user's file means what the user's script does with it, and what is handed over trains there what was measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import SCRIPTS
from tiny_cases import CASES, fingerprint

from search.spec.knobs import model_space
from spaces.paths import get, has, leaves, with_values
from spaces.problems import BadInput
from spaces.values import thaw
from trainables.handover import changes
from trainables.key_table import PAGES, SHARES, table, with_table
from trainables.keys import differing, keys, ours, unsettled, without
from trainables.native import as_yaml, parse_native, plain
from trainables.registry import model_named
from trainables.sequence_generator.config import Phase
from trainables.sequence_generator.plan import phases_of

each_model = pytest.mark.parametrize("name", SCRIPTS)


def schema_keys(name):
    model = model_named(name)
    found = {key.path: key for key in keys(type(model.parse(model.documented(), "recipe"))) if key.path != "plan"}
    if name == "sequence_generator":
        found |= {key.path: key for key in keys(Phase) if not key.note}
    return list(found.values())


def trained(name: str, config: Any) -> dict[str, Any]:
    """What a config trains with, under the keys of the user's script."""
    whole, known = plain(config), SCRIPTS[name]
    if name == "sequence_generator":  # a phase's values under the phase's own names
        whole |= plain(phases_of(config)[0])
    if name == "tts":  # what is in force under the first level
        values = asdict(config.values(after=False))
        whole = with_values(whole, {f"training.{key}": value for key, value in values.items()})
    found = {key: get(whole, key) for key in known.absent}
    flags = {key: False for key in found if key.endswith(("_warmup_cosine_schedule", "_restarts"))}
    return known.normal({**found, **flags})


# What a file without a key trains.


@each_model
def test_a_file_without_keys_trains_what_the_script_takes_bit_for_bit_over_two_evaluations(name, tmp_path, monkeypatch):
    """All keys that the tiny network can do without are omitted at once, and spelt out as the script has them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torch.set_num_threads(1)
    model, case, script = model_named(name), CASES[name], SCRIPTS[name]
    omitted = {path for path in script.absent if path in case.live and path not in case.shapes}
    omitted -= {"scheduler_factor"}  # which tells the recent script of early_inference
    small = {**case.base, **({"scheduler_factor": 0.7} if name == "early_inference" else {})}
    if name == "sequence_generator":  # one args.json
        small = {key: value for key, value in case.base.items() if key != "plan"} | {"alpha": 0.4}
    assert len(omitted) >= 6
    files = [without(small, frozenset(omitted))]
    files.append(with_values(files[0], {path: script.absent[path] for path in omitted}))
    found = []
    for native in files:
        config = model.parse(native, "case")
        run = model.build(config, model.prepare(model.parse_data(case.data, config, "data"), config), 0)
        evaluated = []
        for until in (1, 2):
            run.train(until)
            evaluated.append(run.evaluate())
        found.append((evaluated, fingerprint(run)))
        run.close()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name in SCRIPTS for key in schema_keys(name)], ids=lambda v: getattr(v, "path", v)
)
def test_a_config_without_a_key_is_the_config_with_its_absent_value(name, key):
    """The very same config, so the same training; with what the script takes where that is known."""
    model, script = model_named(name), SCRIPTS[name]
    recipe = {"alpha": 0.8} if name == "sequence_generator" else plain(model.parse(model.documented(), "recipe"))
    together = next((group for group in script.together if key.path in group), frozenset({key.path}))
    omitted = without(recipe, together)
    absent = {k.path: script.absent.get(k.path, k.absent) for k in schema_keys(name) if k.path in together}
    if key.note:
        absent = {key.path: get(recipe, f"training.{key.note}")}
    one, other = model.parse(omitted, "omitted"), model.parse(with_values(omitted, absent), "spelt out")
    assert one == other
    assert model.static(one) == model.static(other)
    assert all(model.knobs(one, step) == model.knobs(other, step) for step in (0, 1, 7))


@each_model
def test_the_keys_whose_absence_says_nothing_are_those_that_the_script_needs(name):
    found = {path for path, _ in unsettled(model_named(name).parse(SCRIPTS[name].file(frozenset()), "whole"))}
    assert found == set()
    file = without(SCRIPTS[name].file(frozenset()), frozenset(SCRIPTS[name].needed) - {"model.decoder_dim", "alpha"})
    found = {path for path, _ in unsettled(model_named(name).parse(file, "without"))}
    assert found == set(SCRIPTS[name].needed) - {"model.decoder_dim", "alpha"}


@each_model
def test_the_recipe_is_in_the_pages_table(name):
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert page == with_table(page, table(name)), "run python -m trainables.key_table"


# What is handed over.


def as_text(native: Mapping[str, Any], suffix: str) -> str:
    return as_yaml(native) if suffix == "yaml" and native else json.dumps(native, indent=2) + "\n"


def drawn(name, data, suffix):
    """The text of a user's file that omits some keys, and a config that a search from it may find."""
    model, script = model_named(name), SCRIPTS[name]
    omitted = data.draw(st.sets(st.sampled_from(sorted(script.absent))))
    if script.older and data.draw(st.booleans()):
        omitted |= script.newer
    for group in script.together:
        omitted = omitted - group if data.draw(st.booleans()) else omitted | group
    lacking = data.draw(st.sets(st.sampled_from(sorted(set(script.needed) - {"model.decoder_dim", "alpha"} or {""}))))
    file = without(script.file(frozenset(omitted)), frozenset(lacking))
    if "existing_model" in file and data.draw(st.booleans()):
        file["existing_model"] = "best.pth"
    base = plain(model.parse(file, "file"))
    space = model_space(model).in_steps(get(base, model.length_key))
    chosen = data.draw(st.sets(st.sampled_from([knob.path for knob in space.knobs if has(base, knob.path)])))
    sampled = space.sample(np.random.default_rng(data.draw(st.integers(0, 10**6))), base)
    values = {path: thaw(value) for path, value in sampled.items() if path in chosen}
    try:
        found = model.parse(with_values(base, values), "found")
    except BadInput:  # a switch of a rule that was not drawn, a floor above the rate
        found = model.parse(base, "found")
    return as_text(file, suffix), found


def handed(name: str, source: str, suffix: str, found: Any) -> tuple[str, str]:
    """The user's own file as it comes back, and what is said beside it."""
    file = f"mine.{suffix}"
    files = model_named(name).write_native(source, file, found)
    beside = files.get(f"{file}.txt", "")
    return files[file], beside + "".join(line for line in files[file].splitlines(True) if line.startswith("#"))


@pytest.mark.parametrize("suffix", ["yaml", "json"])
@each_model
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_what_is_handed_over_trains_in_the_script_what_was_measured(name, suffix, data):
    source, found = drawn(name, data, suffix)
    text, said = handed(name, source, suffix, found)
    given, native = (parse_native(each, f"mine.{suffix}", "file") for each in (source, text))
    told = {line.strip("# ").split(":")[0] for line in said.splitlines()}
    told |= {f"plan.phase_1.{SHARES.get(path, path)}" for path in told}
    if "lr_schedule" in told:  # another kind of rate has other keys
        told |= {f"plan.phase_1.{key}" for key in ("lr_warmup", "lr_warmup_fraction", "lr_cycles")}
    wanted, script = trained(name, found), SCRIPTS[name]
    for path, value in script.takes(native).items():
        assert value == wanted[path] or (path in told and path in script.older), path
    assert all(has(native, path) and get(native, path) is not None for path in script.needed)
    before, after = set(leaves(given)), set(leaves(native))
    foreign = {path for path, _ in ours(found)} - {"alpha"}
    assert not {path for path in after - before if any(f"{path}.".startswith(f"{key}.") for key in foreign)}
    read = model_named(name).parse(native, "handed over")
    wrong = {path for path, value in trained(name, read).items() if value != wanted[path]}
    if name != "tts":  # levels of the search are values of the file
        wrong |= set(differing(plain(read), plain(found))) - {"training.max_epochs"}  # beyond num_epochs there is none
    assert wrong <= told
    same = {path for path in before & after if get(given, path) == get(native, path)}
    lines = iter(line.rstrip(",") for line in text.splitlines())
    for line, path in located(source):  # unchanged lines are byte-equal, and in order
        if path in same:
            assert line.rstrip(",") in lines, line


def located(text: str) -> list[tuple[str, str]]:
    """Each line that holds a value, with its dotted key."""
    found, sections = [], [("", -1)]
    for line in text.splitlines():
        key, _, value = line.strip().partition(":")
        indent = len(line) - len(line.lstrip())
        while sections[-1][1] >= indent:
            sections.pop()
        path = f"{sections[-1][0]}{key.strip(chr(34))}"
        if value.strip() in ("", "{"):
            sections.append((f"{path}.", indent) if key not in ("{", "}") else ("", -1))
        elif value:
            found.append((line, path))
    return found


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
    source = "data: {val_ratio: 0.1}\ntraining: {weight_decay: 0.01}\n"
    written = model.write_native(source, "mine.yaml", found)["mine.yaml"]
    head = [line for line in written.splitlines() if line.startswith("#")]
    assert head[1:] == [
        "#   data.freq_mask_count: 2 (your script trains as with 1)",
        "#   training.max_epochs: 4 (your script trains as with 10)",
    ]
    assert written.endswith(source.replace("0.1}", "0.1, specaugment: true}"))
    files = model.write_native('{"data": {"val_ratio": 0.1}}', "mine.json", found)
    assert set(files) == {"mine.json", "mine.json.txt"}
    assert "freq_mask_count: 2" in files["mine.json.txt"]


def test_an_own_key_that_the_file_holds_is_changed_there():
    model = model_named("whisper_child")
    found = model.parse({"data": {"specaugment": True, "freq_mask_count": 2}}, "found")
    source = "data:\n  specaugment: true\n  freq_mask_count: 1  # masks\ntraining: {weight_decay: 0.01}\n"
    assert model.write_native(source, "mine.yaml", found)["mine.yaml"] == source.replace("1  #", "2  #")


def test_a_key_that_changes_what_absent_ones_mean_brings_them_along():
    """As in files of early_inference, whose older script is told by what is absent."""

    def parse(native: Mapping[str, Any]) -> Any:
        given = {"warmup_steps": 0, "num_epochs": 3, "weight_decay": 0.01, **native.get("training", {})}
        return model.parse({"training": given}, "file")

    model = model_named("whisper_child")
    trained = model.parse({"training": {"warmup_steps": 7, "num_epochs": 10}}, "trained")
    assert changes({}, trained, parse).values == {"training.warmup_steps": 7, "training.num_epochs": 10}
