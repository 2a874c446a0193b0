"""Files of recorded kinetic curves, as `early_inference` reads them."""

import io
import json
import zipfile

import numpy as np
from refusing import refusing

from trainables.early_inference.data import read

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


def changed(key, change):
    data = content()
    data[key] = change(data[key].copy())
    return data


def put(*index, value):
    def change(array):
        array[index] = value
        return array

    return change
