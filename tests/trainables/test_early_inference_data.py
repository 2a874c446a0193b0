"""Users' files: every documented form is read, every fault is named, and nothing in a file is ever executed."""

import io
import json
import os
import pickle
import struct
import subprocess
import zipfile

import numpy as np
import pytest
from refusing import refusing

from spaces.problems import BadInput
from trainables.early_inference import pickled_npz
from trainables.early_inference.data import Data, folder_digest, prepare_data, prior_sd, read, split
from trainables.early_inference.plain_pickle import ALLOWED

KNOWN = ["substrate_mM", "grams_urease_powder", "temperature_C", "initial_pH", "volume_L"]
RANGES = {
    "substrate_mM": [10, 100],
    "grams_urease_powder": [0.01, 0.1],
    "temperature_C": [25, 40],
    "initial_pH": [6.5, 7.5],
    "E0_g_per_L": [0.05, 1.25],
    "k_d": [1e-5, 5e-3],
}


def content(n=6, length=10):
    rng = np.random.default_rng(0)
    return {
        "pH_prefix": 7 + rng.random((n, length)),
        "t_prefix": np.tile(np.linspace(0, 30, length), (n, 1)),
        "known_inputs": rng.random((n, 5)),
        "target_params": np.stack([rng.uniform(0.05, 1.25, n), rng.uniform(1e-5, 5e-3, n)], axis=1),
    }


def metadata(n=6):
    return {
        "n_samples": n,
        "prefix_lengths": [30.0],
        "infer_params": ["E0_g_per_L", "k_d"],
        "param_ranges": RANGES,
        "fixed_params": {"volume_L": 0.2},
        "known_input_names": KNOWN,
    }


def npy(payload, shape=()):
    """An npy file of an object array, whose pickle is `payload`."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": shape})
    return file.getvalue() + payload


def write(folder, data=None, meta=None, key="prefix_30s", entries=None):
    """A data folder; `entries` (name → bytes of the npy file) replaces what numpy would write."""
    folder.mkdir(exist_ok=True)
    path = folder / "training_data.npz"
    if entries is None:
        np.savez(path, **{key: np.array(content() if data is None else data, dtype=object)})
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, value in entries.items():
                archive.writestr(f"{name}.npy", value)
    text = meta if isinstance(meta, str) else json.dumps(metadata() if meta is None else meta)
    (folder / "metadata.json").write_text(text)
    return folder


def refusal(folder, length=30.0):
    with refusing() as caught:
        read(folder, length)
    assert str(folder) in str(caught.value)
    return str(caught.value)


# What is read


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


# What is refused: files


def test_missing_and_damaged_files(tmp_path):
    assert "no such folder" in refusal(tmp_path / "nothing")
    folder = write(tmp_path / "d")
    whole = (folder / "training_data.npz").read_bytes()
    (folder / "training_data.npz").write_bytes(whole[: len(whole) // 2])
    assert "is no intact npz archive" in refusal(folder)
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 255
    (folder / "training_data.npz").write_bytes(middle)
    assert "prefix_30s: is damaged: Bad CRC-32" in refusal(folder)
    (folder / "training_data.npz").unlink()
    assert "training_data.npz: missing" in refusal(folder)
    (folder / "training_data.npz").mkdir()
    assert "training_data.npz: can't be read, by your script either: Is a directory" in refusal(folder)
    (folder / "metadata.json").unlink()
    assert "metadata.json: missing; a data folder holds" in refusal(folder)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (b"no npy", "no npy file"),
        (npy(b""), "can't be followed"),
        (npy(pickle.dumps(np.array({"a": 1}, dtype=object))[:-5]), "can't be followed"),
        (npy(pickle.dumps({"a": 1})), "no dict in a 0-dimensional object array"),
        (npy(pickle.dumps(np.array([{}, {}], dtype=object)), (2,)), "no dict in a 0-dimensional object array"),
        (npy(pickle.dumps(np.array([1, 2], dtype=object)), ()), "no dict in a 0-dimensional object array"),
        (npy(pickle.dumps(np.array({1: 2}, dtype=object))), "a key of type int"),
        (npy(pickle.dumps(np.array({"a": {1, 2}}, dtype=object))), "the operation EMPTY_SET"),
    ],
)
def test_entries_that_are_no_dict_of_arrays(tmp_path, entry, message):
    assert message in refusal(write(tmp_path / "d", entries={"prefix_30s": entry}))


def test_a_plain_array_where_a_dict_belongs(tmp_path):
    folder = write(tmp_path / "d")
    np.savez(folder / "training_data.npz", prefix_30s=np.zeros((3, 4)))
    assert "an array of dtype float64; expected one pickled dict" in refusal(folder)


def test_an_entry_that_unpacks_beyond_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(pickled_npz, "MAX_BYTES", 1_000_000)
    folder = write(tmp_path / "d", entries={"prefix_30s": b"\0" * 5_000_000})
    assert (folder / "training_data.npz").stat().st_size < 10_000
    assert "unpacks to 5000000 bytes, in your script, too; the bound is 1000000" in refusal(folder)


# What is refused: hostile pickles


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def dtype_program(descr):
    """A pickle of an array whose dtype numpy would have to build from `descr`."""
    return pickle.dumps(np.array({"pH_prefix": np.zeros(2, dtype=descr)}, dtype=object))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("nested", ["alone", "in the dict", "in an array", "as a key"])
@pytest.mark.parametrize("kind", ["os.system", "eval", "exec", "Popen", "getattr"])
def test_hostile_pickles_do_nothing_and_are_named(tmp_path, protocol, nested, kind):
    sentinel = tmp_path / "sentinel"
    script = f"open({str(sentinel)!r}, 'w').close()"
    attack, name = {
        "os.system": (Call(os.system, f"touch {sentinel}"), "posix.system"),
        "eval": (Call(eval, script), ".eval"),
        "exec": (Call(exec, script), ".exec"),
        "Popen": (Call(subprocess.Popen, ["touch", str(sentinel)]), ".Popen"),  # as commands.Popen up to protocol 2
        "getattr": (Call(getattr, "", "join"), ".getattr"),
    }[kind]
    value = {
        "alone": attack,
        "in the dict": np.array(content() | {"pH_prefix": attack}, dtype=object),
        "in an array": np.array(content() | {"pH_prefix": np.array([attack], dtype=object)}, dtype=object),
        "as a key": {attack: 1} if kind != "Popen" else attack,
    }[nested]
    folder = write(tmp_path / "d", entries={"prefix_30s": npy(pickle.dumps(value, protocol=protocol))})
    message = refusal(folder)
    assert not sentinel.exists()
    assert "It was not loaded, and nothing in it ran" in message
    if protocol in (2, 3, 4) or nested == "alone":  # what numpy writes is understood up to the attack
        assert f"{name};" in message
    assert len(message.splitlines()) == 1


def test_the_attack_is_real(tmp_path):
    """The same file does create the sentinel when it is loaded the usual way."""
    sentinel = tmp_path / "sentinel"
    payload = pickle.dumps(np.array({"a": Call(os.system, f"touch {sentinel}")}, dtype=object), protocol=4)
    folder = write(tmp_path / "d", entries={"prefix_30s": npy(payload)})
    refusal(folder)
    assert not sentinel.exists()
    np.load(folder / "training_data.npz", allow_pickle=True)["prefix_30s"]
    assert sentinel.exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        # Names close to allowed ones.
        (b"cnumpy\nload\n.", "calls for numpy.load"),
        (b"cnumpy\ndtype.type.mro\n.", "calls for numpy.dtype.type.mro"),
        (b"cnumpy._core.multiarray\nfromfile\n.", "calls for numpy._core.multiarray.fromfile"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "calls for numpy.ndarray.tofile"),
        (b"\x80\x04]\x8c\x06system\x93.", "calls for [].system"),
        # Operations that need a registry or an object outside of the file, or make instances.
        (b"\x80\x02\x82\x01.", "the operation EXT1"),
        (b"Pname\n.", "the operation PERSID"),
        (b"\x80\x05\x97.", "the operation NEXT_BUFFER"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "the operation NEWOBJ"),
        (b"(iposix\nsystem\n.", "calls for posix.system"),
        # Allowed names, called or changed in ways that no array needs.
        (b"\x80\x02cnumpy\nndarray\nK\x05\x85R.", "calls ndarray with arguments"),
        (b"\x80\x02cnumpy\ndtype\n]\x85R.", "calls dtype with arguments"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "calls encode with arguments"),
        (b"\x80\x02c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.", "calls bytes with arguments"),
        (b"\x80\x02cnumpy\ndtype\n}b.", "changes the state of something else"),
        (b"\x80\x02K\x01)R.", "calls something without a name"),
        # Claims of memory, and programs that fall apart.
        (b"\x80\x02Nr\xff\xff\xff\x7f0.", "the operation POP"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "can't be followed"),
        (b"\x80\x02h\x05.", "can't be followed"),
        (b"\x80\x02R.", "can't be followed"),
        (b"\x80\x02t.", "can't be followed"),
        (b"\x80\x02N", "can't be followed"),
    ],
)
def test_hostile_programs(tmp_path, program, message):
    assert message in refusal(write(tmp_path / "d", entries={"prefix_30s": npy(program)}))


def test_nested_tuples_as_a_key_are_refused_before_they_are_hashed(tmp_path):
    program = b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s."  # hashing it would take 2^60 steps
    assert "a key of type tuple" in refusal(write(tmp_path / "d", entries={"prefix_30s": npy(program)}))


@pytest.mark.parametrize("descr", [object, "f8,i4", [("a", "O")], "M8[s]", "c16", "V8"])
def test_inner_arrays_hold_plain_numbers(tmp_path, descr):
    message = refusal(write(tmp_path / "d", entries={"prefix_30s": npy(dtype_program(descr))}))
    assert "dtype" in message


def test_an_inner_array_whose_bytes_do_not_fit_its_shape(tmp_path):
    payload = pickle.dumps(np.array({"pH_prefix": np.zeros((3, 4))}, dtype=object), protocol=4)
    larger = payload.replace(b"K\x03K\x04\x86", b"K\x03K\x7f\x86")
    assert larger != payload
    message = refusal(write(tmp_path / "d", entries={"prefix_30s": npy(larger)}))
    assert "pH_prefix: holds an array of float64 and shape (3, 127) with 96 bytes where 3048 are needed" in message
    item = payload.replace(b"\x02f8", b"\x02O8")
    message = refusal(write(tmp_path / "d", entries={"prefix_30s": npy(item)}))
    assert "an array of dtype '<O8'; numbers and text are accepted" in message


def test_the_allowed_names_are_these_exactly():
    assert set(ALLOWED) == {
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
        ("_codecs", "encode"),
        ("__builtin__", "bytes"),
    }


def test_random_damage_never_does_more_than_refuse(tmp_path):
    payload = pickle.dumps(np.array(content(2, 3), dtype=object), protocol=4)
    rng = np.random.default_rng(0)
    (tmp_path / "d").mkdir()
    path = tmp_path / "d" / "training_data.npz"
    for _ in range(300):
        damaged = bytearray(npy(payload))
        for at in rng.integers(0, len(damaged), 3):
            damaged[at] = rng.integers(256)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("prefix_30s.npy", bytes(damaged))
        try:
            found = pickled_npz.read_dict(path, "prefix_30s")
        except BadInput:
            continue
        assert all(isinstance(value, np.ndarray | str | int | float | list | tuple | None) for value in found.values())


# What is refused: values


def changed(key, change):
    data = content()
    data[key] = change(data[key].copy())
    return data


def put(*index, value):
    def change(array):
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"pH_prefix": np.ones((2, 3))}, "t_prefix: missing; the entry holds pH_prefix"),
        (changed("pH_prefix", lambda a: a[:, 0]), "pH_prefix: expected a 2-dimensional array"),
        (changed("pH_prefix", lambda a: a[:0]), "pH_prefix: expected a 2-dimensional array with at least one row"),
        (changed("pH_prefix", lambda a: a.astype(str)), "pH_prefix: expected an array of numbers, got dtype <U"),
        (changed("pH_prefix", lambda a: a > 0), "pH_prefix: expected an array of numbers, got dtype bool"),
        (changed("pH_prefix", lambda a: a.tolist()[0]), "pH_prefix: expected an array of numbers, got list"),
        (
            changed("t_prefix", lambda a: a[:, :-1]),
            "t_prefix: expected shape (6, 10) (columns: the shape of pH_prefix)",
        ),
        (changed("known_inputs", lambda a: a[:, :4]), "expected shape (6, 5) (columns: known_input_names in metadata"),
        (changed("target_params", lambda a: a[:5]), "target_params: expected shape (6, 2) (columns: infer_params in"),
        (
            changed("pH_prefix", put(3, 7, value=np.nan)),
            "sample 3, column 7: expected a finite number, got nan (1 of 6",
        ),
        (
            changed("known_inputs", put(0, 0, value=np.inf)),
            "known_inputs: sample 0, column 0: expected a finite number",
        ),
        (changed("pH_prefix", put(2, 1, value=700.0)), "sample 2, column 1: expected a pH within -1…15, got 700.0"),
        (changed("t_prefix", put(4, 5, value=0.0)), "t_prefix: sample 4, column 5: expected a time after the previous"),
        (changed("t_prefix", put(4, 0, value=-1.0)), "t_prefix: sample 4, column 0: expected a time in s, 0 or later"),
        (changed("target_params", put(1, 1, value=6e-3)), "expected k_d within its range 1e-05…0.005 of metadata.json"),
    ],
)
def test_values_that_cannot_be_curves(tmp_path, data, message):
    assert message in refusal(write(tmp_path / "d", data))


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("{", "metadata.json: is not valid JSON"),
        ("[1]", "expected a JSON object of keys to values, got list"),
        ({"infer_params": []}, "infer_params: expected a list of different names, at least one; got []"),
        ({"known_input_names": ["a", "a"]}, "known_input_names: expected a list of different names"),
        ({"infer_params": ["E0_g_per_L", "volume_L"]}, "infer_params: 'volume_L' is a known input, too"),
        ({"param_ranges": None}, "param_ranges: expected name → [lowest, highest]"),
        (
            {"fixed_params": {}},
            "by it here: add 'volume_L': [lowest, highest] here, or its value to fixed_params",
        ),
        (
            {"param_ranges": RANGES | {"k_d": [5e-3, 1e-5]}},
            "param_ranges.k_d: expected [lowest, highest], one number, or a list of three values",
        ),
        ({"param_ranges": RANGES | {"k_d": [0, 10**400]}}, "param_ranges.k_d: expected [lowest, highest], one number"),
        ({"param_ranges": RANGES | {"k_d": [0, "a"]}}, "param_ranges.k_d: expected [lowest, highest], one number"),
        ({"param_ranges": RANGES | {"k_d": [0, 1, "a"]}}, "param_ranges.k_d: expected [lowest, highest], one number"),
        ({"param_ranges": RANGES | {"k_d": [1, 1, 1]}}, "'k_d' is to be inferred, but its range is the single"),
        ({"param_ranges": RANGES | {"k_d": [1e-3, 1e-3]}}, "'k_d' is to be inferred, but its range is the single"),
        ({"known_input_names": KNOWN[:1]}, "known_inputs: expected shape (6, 1)"),
        ({"n_samples": 7}, "holds 6 samples, but n_samples in metadata.json is 7"),
        ({"n_samples": "six"}, "n_samples: expected a whole number, got 'six'"),
        ({"prefix_n_points": [12]}, "pH_prefix: holds 10 readings; prefix_n_points in metadata.json says 12"),
    ],
)
def test_metadata_that_does_not_fit(tmp_path, meta, message):
    whole = meta if isinstance(meta, str) else metadata() | meta
    assert message in refusal(write(tmp_path / "d", meta=whole))


def test_all_problems_of_the_metadata_come_together(tmp_path):
    message = refusal(write(tmp_path / "d", meta={"param_ranges": {}, "infer_params": ["x"], "n_samples": 1.5}))
    assert len(message.splitlines()) == 3


# Padded prefixes and discrete sets


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
