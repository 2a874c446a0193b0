"""Files of recorded curves that are refused: damaged, hostile, or with values that can't be."""

import os
import pickle
import subprocess
import zipfile

import numpy as np
import pytest
from recorded_curves import KNOWN, RANGES, changed, content, metadata, npy, put, refusal, write

from spaces.problems import BadInput
from trainables.early_inference import pickled_npz
from trainables.early_inference.plain_pickle import ALLOWED


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
