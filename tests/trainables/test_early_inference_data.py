"""Recorded kinetic curves: what is read, padded and split, and its digest."""

import pickle
import struct

import numpy as np
import pytest
from recorded_curves import KNOWN, RANGES, changed, content, metadata, npy, put, refusal, write
from refusing import refusing

from spaces.problems import BadInput
from trainables.early_inference import pickled_npz
from trainables.early_inference.data import Data, folder_digest, prepare_data, prior_sd, read, split


def test_reads_what_numpy_wrote(tmp_path):
    expected = content()
    curves = read(write(tmp_path / "d"), 30)
    assert np.array_equal(curves.ph, expected["pH_prefix"])
    assert np.array_equal(curves.t, expected["t_prefix"])
    assert np.array_equal(curves.known, expected["known_inputs"])
    assert np.array_equal(curves.target, expected["target_params"])
    assert curves.known_names == tuple(KNOWN)
    assert curves.target_names == ("E0_g_per_L", "k_d")
    assert curves.ranges == {k: (float(v[0]), float(v[1])) for k, v in RANGES.items()} | {"volume_L": (0.2, 0.2)}
    assert {a.dtype for a in (curves.ph, curves.t, curves.known, curves.target)} == {np.dtype(np.float64)}
    assert not curves.ph.flags.writeable


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_reads_every_protocol_and_both_names_of_numpys_core(tmp_path, protocol, module):
    data = content() | {"n": np.int64(6), "names": np.array(["a", "bc"]), "note": "x", "pair": (1, 2.5), "none": None}
    data["pH_prefix"] = np.asfortranarray(data["pH_prefix"])
    data["t_prefix"] = data["t_prefix"].astype(">f4")
    data["empty"] = np.zeros((0, 3))
    payload = pickle.dumps(np.array(data, dtype=object), protocol=protocol)
    if protocol < 4:  # names are not length-prefixed there
        payload = payload.replace(b"numpy._core.multiarray", module)
    folder = write(tmp_path / "d", entries={"prefix_30s": npy(payload)})
    curves = read(folder, 30.0)
    assert np.array_equal(curves.ph, data["pH_prefix"])
    assert np.array_equal(curves.t, data["t_prefix"])
    rest = pickled_npz.read_dict(folder / "training_data.npz", "prefix_30s")
    assert rest["n"] == 6 and rest["names"].tolist() == ["a", "bc"] and rest["pair"] == (1, 2.5)
    assert rest["empty"].shape == (0, 3)


def test_reads_compressed_archives_and_either_spelling_of_a_length(tmp_path):
    folder = write(tmp_path / "d")
    np.savez_compressed(folder / "training_data.npz", **{"prefix_7.5s": content(), "prefix_60.0s": content()})
    assert read(folder, 7.5).ph.shape == read(folder, 60).ph.shape == (6, 10)
    message = refusal(folder, 30.0)
    assert (
        "without which your script ends; prefix lengths there, in s: 7.5, 60. Set prefix_length to one of them"
        in message
    )


def test_names_and_counts_come_from_the_metadata(tmp_path):
    """6 known inputs, 4 targets, k_d from 0, a volume fixed in param_ranges, uneven t, the probe's ranges elsewhere."""
    rng = np.random.default_rng(1)
    data = content()
    data["t_prefix"] = np.cumsum(rng.uniform(0.1, 3.0, (6, 10)), axis=1)
    data["known_inputs"] = rng.random((6, 6)).astype(np.float32)
    data["target_params"] = np.stack([rng.random(6), np.zeros(6), rng.random(6), 0.1 * rng.random(6)], axis=1)
    meta = metadata() | {
        "known_input_names": [*KNOWN, "powder_activity_frac"],
        "infer_params": ["activity_scale", "k_d", "tau_probe", "pH_offset"],
        "param_ranges": RANGES
        | {"k_d": [0.0, 5e-3], "activity_scale": [0, 2], "volume_L": [0.25, 0.25], "powder_activity_frac": 0.9},
        "fixed_params": {},
        "measurement_model": {"tau_probe": [0, 5], "pH_offset": [-0.1, 0.1]},
        "prefix_n_points": {"30.0": 10},
    }
    curves = read(write(tmp_path / "d", data, meta), 30.0)
    assert curves.known.shape == (6, 6) and curves.target.shape == (6, 4)
    assert curves.ranges["k_d"] == (0.0, 5e-3)
    assert curves.ranges["powder_activity_frac"] == (0.9, 0.9)
    assert curves.ranges["volume_L"] == (0.25, 0.25)
    assert curves.ranges["tau_probe"] == (0.0, 5.0)
    assert prior_sd(curves.target_names, curves.ranges) == pytest.approx(np.array([2, 5e-3, 5, 0.2]) / 12**0.5)


def padded(counts, length=12):
    """Curves of 30 s of which the last `counts` readings repeat the one before them."""
    data = content(len(counts), length)
    for row, count in enumerate(counts):
        last = length - count - 1
        data["t_prefix"][row] = np.linspace(0, 30, length - count).tolist() + [30.0] * count
        data["pH_prefix"][row, last + 1 :] = data["pH_prefix"][row, last]
    return data


def test_padding_at_the_end_is_left_out_and_told_once(tmp_path):
    data = padded([4] * 6)
    folder = write(tmp_path / "d", data, metadata() | {"prefix_n_points": [12]})
    curves = read(folder, 30)
    assert np.array_equal(curves.t, data["t_prefix"][:, :8]) and np.array_equal(curves.ph, data["pH_prefix"][:, :8])
    assert list(curves.readings) == [8] * 6
    told = prepare_data(Data(data_dir=str(folder)), 30).summary
    assert "8 readings each, after 4 padded readings (equal times) at the end of each curve were left out" in told


def test_curves_padded_to_different_lengths_keep_their_own(tmp_path):
    curves = read(write(tmp_path / "d", padded([0, 3, 5, 3, 0, 1])), 30)
    assert curves.t.shape == (6, 12) and list(curves.readings) == [12, 9, 7, 9, 12, 11]
    told = prepare_data(Data(data_dir=str(tmp_path / "d")), 30).summary
    assert "after 0 to 5 padded readings (equal times) at the end of 4 of the curves were left out" in told


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([0, 10, 10, 20, 30, 30], "column 2: expected a time after the previous one; only the last may repeat"),
        ([0, 10, 20, 30, 20, 20], "column 4: expected a time after the previous one"),
        ([30] * 6, "column 0: expected at least two different times in a curve"),
    ],
)
def test_times_that_fall_or_stand_still_before_the_end_are_refused(tmp_path, times, said):
    data = content(length=6)
    data["t_prefix"][3] = times
    assert f"t_prefix: sample 3, {said}" in refusal(write(tmp_path / "d", data))


def test_a_range_of_three_values_or_more_is_the_set_of_them(tmp_path):
    ranges = RANGES | {"temperature_C": [35, 25, 40, 30], "E0_g_per_L": [0.05, 0.25, 1.25]}
    curves = read(write(tmp_path / "d", meta=metadata() | {"param_ranges": ranges}), 30)
    assert curves.ranges["temperature_C"] == (25.0, 40.0) and curves.ranges["E0_g_per_L"] == (0.05, 1.25)
    assert curves.sets == {"temperature_C": (25.0, 30.0, 35.0, 40.0), "E0_g_per_L": (0.05, 0.25, 1.25)}
    sd = prior_sd(curves.target_names, curves.ranges, curves.sets)
    assert sd == pytest.approx([np.std([0.05, 0.25, 1.25]), (5e-3 - 1e-5) / 12**0.5])


# Digest and split


def test_digest_follows_the_content_of_both_files(tmp_path):
    one, other = write(tmp_path / "a"), write(tmp_path / "b")
    assert folder_digest(one) == folder_digest(other) == read(one, 30).digest
    assert prepare_data(Data(data_dir=str(one)), 30).digest == folder_digest(one)
    write(one, changed("pH_prefix", put(0, 0, value=7.0)))
    assert folder_digest(one) != folder_digest(other)
    write(other, meta=metadata() | {"t_max": 1})
    third = write(tmp_path / "c")
    assert folder_digest(other) != folder_digest(third)


def test_prepare_checks_a_users_folder_in_place(tmp_path):
    folder = write(tmp_path / "d")
    prepared = prepare_data(Data(data_dir=str(folder)), 30)
    assert prepared.path == folder
    assert prepared.summary == (
        "6 curves of 30 s, 10 readings each; known substrate_mM, grams_urease_powder, temperature_C, initial_pH, "
        "volume_L; to infer E0_g_per_L, k_d"
    )
    with refusing("no such folder"):
        prepare_data(Data(data_dir=str(tmp_path / "other")), 30)


@pytest.mark.parametrize(("n", "share", "held"), [(2, 0.2, 1), (10, 0.2, 2), (1000, 0.2, 200), (3, 0.99, 2)])
def test_split_is_fixed_complete_and_disjoint(n, share, held):
    train, val = split(n, share, 42)
    assert len(val) == held
    assert sorted([*train, *val]) == list(range(n))
    again = split(n, share, 42)
    assert np.array_equal(train, again[0]) and np.array_equal(val, again[1])


def test_split_depends_on_the_seed_and_refuses_what_cannot_be_split():
    assert not np.array_equal(split(100, 0.2, 0)[1], split(100, 0.2, 1)[1])
    with pytest.raises(BadInput, match=r"val_split: 1.0 is outside \(0, 1\)"):
        split(10, 1.0, 0)


def test_prior_sd_makes_the_midpoint_score_866():
    ranges = {"a": (0.0, 4.0), "b": (1.0, 2.0)}
    values = np.random.default_rng(0).uniform([0, 1], [4, 2], (200_000, 2))
    score = np.mean(np.abs(values - [2.0, 1.5]).mean(axis=0) / prior_sd(("a", "b"), ranges))
    assert score == pytest.approx(0.866, abs=2e-3)


def test_struct_is_not_fooled_by_a_header_that_lies(tmp_path):
    """An npy header of an absurd length is refused, not allocated."""
    entry = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{}"
    assert "no npy file" in refusal(write(tmp_path / "d", entries={"prefix_30s": entry}))
