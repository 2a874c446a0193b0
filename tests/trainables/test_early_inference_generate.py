"""Generated data: the same whatever produces it, built once, rebuilt when damaged."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from spaces.problems import BadInput
from spaces.schema import parse
from trainables import cache
from trainables.early_inference.data import Data, prepare_data, read
from trainables.early_inference.generate import Generate, generated, write
from trainables.early_inference.kinetics import simulate
from trainables.early_inference.measurement import Measurement, draw_conditions, draw_faults

SMALL = Generate(samples=8, prefix_lengths=(30.0,))
FULL = Measurement(offset_max_ph=0.05, drift_max_ph_per_s=5e-5, probe_lag_max_s=5.0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def curves(folder, spec, length=30.0, processes=1):
    folder.mkdir(exist_ok=True)
    write(spec, folder, processes)
    return read(folder, length)


def test_samples_depend_on_neither_processes_nor_their_number(tmp_path):
    many = Generate(samples=510, prefix_lengths=(3.0,), n_points=10, measurement=FULL)  # 3 chunks
    alone, together = curves(tmp_path / "a", many, 3.0), curves(tmp_path / "b", many, 3.0, processes=2)
    assert alone.digest == together.digest
    few = curves(tmp_path / "c", many.model_copy(update={"samples": 5}), 3.0)
    assert np.array_equal(few.ph, alone.ph[:5])
    assert np.array_equal(few.target, alone.target[:5])
    assert len(np.unique(alone.target[:, 0])) == 510
    other = curves(tmp_path / "d", many.model_copy(update={"samples": 5, "seed": 1}), 3.0)
    assert not np.any(other.ph == few.ph)


def test_another_prefix_leaves_this_one_as_it_is(tmp_path):
    one = curves(tmp_path / "a", SMALL)
    spec = Generate(samples=8, prefix_lengths=(60.0, 7.5, 30.0), use_adaptive_n_points=True)
    three = curves(tmp_path / "b", spec)
    assert three.ph == pytest.approx(one.ph, abs=1e-12)
    assert read(tmp_path / "b", 60.0).ph.shape == (8, 200)
    assert read(tmp_path / "b", 7.5).t[0, -1] == 7.5


def test_files_are_the_native_layout(tmp_path):
    folder = tmp_path / "native"
    one = curves(folder, SMALL)
    with np.load(folder / "training_data.npz", allow_pickle=True) as npz:  # as the user's own script reads it
        assert npz.files == ["prefix_30s"]
        content = npz["prefix_30s"].item()
    assert {key: value.shape for key, value in content.items()} == {
        "pH_prefix": (8, 100),
        "t_prefix": (8, 100),
        "known_inputs": (8, 5),
        "target_params": (8, 2),
    }
    assert np.array_equal(content["pH_prefix"], one.ph)
    metadata = json.loads((folder / "metadata.json").read_text())
    documented = "n_samples t_max n_times prefix_lengths prefix_n_points use_adaptive_n_points target_dt infer_params"
    documented += " param_ranges fixed_params measurement_model known_input_names"
    assert set(documented.split()) <= set(metadata)
    assert one.ranges["k_d"] == (1e-5, 5e-3)
    assert one.ranges["volume_L"] == (0.2, 0.2)
    assert one.known_names[-1] == "volume_L"


def test_noise_offset_drift_and_lag_are_what_they_say(tmp_path):
    exact = Measurement(noise_sd_ph=0.0)
    clean = curves(tmp_path / "a", SMALL.model_copy(update={"measurement": exact}))
    truth = simulate(draw_conditions(0, 3), clean.t[3]).ph
    assert np.array_equal(clean.ph[3], truth)
    noisy = curves(tmp_path / "b", SMALL)
    assert (noisy.ph - clean.ph).std() == pytest.approx(0.01, rel=0.1)
    faulty = curves(
        tmp_path / "c", SMALL.model_copy(update={"measurement": FULL.model_copy(update={"noise_sd_ph": 0.0})})
    )
    faults = draw_faults(FULL, 0, 3)
    assert abs(faults.offset_ph) <= 0.05 and abs(faults.drift_ph_per_s) <= 5e-5 and 0 <= faults.lag_s <= 5
    shown = simulate(draw_conditions(0, 3), clean.t[3], faults.lag_s).probe_ph
    expected = shown + faults.offset_ph + faults.drift_ph_per_s * clean.t[3]
    assert faulty.ph[3] == pytest.approx(expected, abs=1e-12)
    assert np.array_equal(faulty.target, clean.target)


@pytest.mark.parametrize(("length", "points"), [(30.0, 100), (60.0, 200), (300.0, 1000), (3.0, 100)])
def test_adaptive_points(length, points):
    spec = Generate(t_max=300.0, prefix_lengths=(length,), use_adaptive_n_points=True)
    assert spec.points(length) == points
    assert Generate(t_max=300.0, prefix_lengths=(length,)).points(length) == 100


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"prefix_lengths": [30, 400]}, "prefix_lengths holds 400.0; it must be above 0 and at most t_max = 120.0"),
        ({"prefix_lengths": [30, 30.0]}, "holds a length twice"),
        ({"prefix_lengths": []}, "prefix_lengths: "),
        ({"samples": 1}, "samples: input should be greater than or equal to 2, got 1"),
        ({"sample": 10}, "sample: unknown key; did you mean 'samples'?"),
        ({"samples": 10**7, "prefix_lengths": [30]}, "ask for fewer"),
        ({"measurement": {"noise": 0.1}}, "measurement.noise: unknown key"),
    ],
)
def test_bad_specs_name_key_value_and_bound(value, message):
    with pytest.raises(BadInput) as caught:
        parse(Generate, value, "search.yaml", "data.generate")
    assert message in str(caught.value)
    assert str(caught.value).startswith("search.yaml data.generate")


def test_data_is_generated_or_given():
    assert parse(Data, {"generate": {"samples": 20, "seed": 3}}, "x").generate == Generate(samples=20, seed=3)
    assert parse(Data, {"data_dir": "/data/urease"}, "x").data_dir == "/data/urease"
    for value, had in (({}, "neither"), ({"generate": {}, "data_dir": "d"}, "both")):
        with pytest.raises(BadInput, match=f"exactly one|expected one of generate and data_dir, got {had}"):
            parse(Data, value, "x")


def test_prepare_builds_once_and_takes_the_configs_prefix(own_cache, monkeypatch):
    data = Data(generate=Generate(samples=8))
    first = prepare_data(data, 12.0)
    assert first.path.is_relative_to(own_cache)
    assert first.summary.startswith("8 curves of 12 s, 100 readings each; known substrate_mM")
    monkeypatch.setattr("trainables.early_inference.generate.write", None)  # would fail if it built again
    assert prepare_data(data, 12.0) == first
    again = prepare_data(Data(data_dir=str(first.path)), 12.0)  # the same content as a user's folder
    assert again.digest == first.digest


def test_prepare_refuses_a_prefix_that_is_not_generated():
    with pytest.raises(BadInput, match=r"prefix_lengths: holds 30 s, but the config's prefix_length is 60"):
        prepare_data(Data(generate=SMALL), 60.0)
    with pytest.raises(BadInput, match=r"holds 130.0; it must be above 0 and at most t_max = 120.0"):
        prepare_data(Data(generate=Generate(samples=8)), 130.0)


def test_specs_have_their_own_entries():
    places = {generated(SMALL.model_copy(update=change)) for change in ({}, {"seed": 1}, {"measurement": FULL})}
    assert len(places) == 3


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "manifest"])
def test_a_damaged_entry_is_built_again(damage):
    place = generated(SMALL)
    before = read(place, 30.0)
    file = place / ("manifest.json" if damage == "manifest" else "training_data.npz")
    if damage == "remove":
        file.unlink()
    else:
        content = bytearray(file.read_bytes())
        content[200 % len(content)] ^= 255
        file.write_bytes(content if damage == "flip" else content[:100])
    assert generated(SMALL) == place
    assert read(place, 30.0).digest == before.digest
    assert not [p for p in place.parent.iterdir() if ".part-" in p.name]


def test_two_builders_build_once(own_cache):
    built, places = [], []
    start = threading.Barrier(4)

    def build(folder):
        built.append(folder)
        (folder / "a.txt").write_text("content")

    def ask():
        start.wait()
        places.append(cache.cached("kind", "key", build))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert set(places) == {own_cache / "kind" / "key"}


def test_a_failed_build_leaves_nothing(own_cache):
    def fail(folder):
        (folder / "half.txt").write_text("half")
        raise ArithmeticError("solver")

    with pytest.raises(ArithmeticError):
        cache.cached("kind", "key", fail)
    litter = own_cache / "kind" / ".key.part-killed"  # as a killed process leaves it
    litter.mkdir()
    place = cache.cached("kind", "key", lambda folder: (folder / "a.txt").write_text("x") and None)
    assert sorted(p.name for p in place.parent.iterdir() if p.suffix != ".lock") == ["key"]
    assert not litter.exists()


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput, match=r"can't be kept: Not a directory; set SCHEDULE_SEARCH_CACHE"):
        generated(SMALL)


def test_cache_root_follows_the_environment(monkeypatch, tmp_path):
    assert cache.cache_root() == tmp_path / "cache"
    monkeypatch.delenv("SCHEDULE_SEARCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(cache.cache_root()) == "/xdg/schedule-search"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(cache.cache_root()) == "/home/somebody/.cache/schedule-search"


def test_content_key_ignores_the_order_of_keys_only():
    assert cache.content_key({"a": 1, "b": 2.0}) == cache.content_key({"b": 2.0, "a": 1})
    assert cache.content_key({"a": 1}) != cache.content_key({"a": 2})


def test_nothing_here_imports_torch():
    code = (
        "import sys, trainables.early_inference.data, trainables.early_inference.limits;"
        "sys.exit(sorted({'torch', 'ray', 'mlflow'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
