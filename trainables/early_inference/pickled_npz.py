"""Reading an npz whose entries are pickled dicts of arrays: untrusted input, of which nothing is executed."""

import io
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from spaces.bounds import check_regular
from spaces.problems import BadInput
from trainables.early_inference.plain_pickle import Recorded, Refused, follow, real

ANEW = "your script loads it as it is, code and all: write numbers anew"
MAX_BYTES = 2 << 30  # of one unpacked entry: beyond any real file of curves, below what fills a machine's memory


def members(path: Path) -> list[str]:
    """The names of the arrays in the npz. Raises BadInput for a file that is missing or no zip archive."""
    with _opened(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def read_dict(path: Path, name: str) -> dict[str, Any]:
    """The pickled dict that entry `name` of the npz holds; arrays in it are numbers or text, and read-only.

    Raises BadInput naming the file and the entry for anything else, hostile pickles among it.
    """
    where = f"{path} {name}"
    try:
        content = _content(_member(path, name, where))
    except Refused as refused:
        what = (
            f"holds {refused}; expected one pickled dict of plain arrays. It was not loaded, and nothing in it "
            f"ran; {ANEW}"
        )
        raise BadInput.of(where, what) from None
    found: dict[str, Any] = {}
    for key, value in content.items():
        try:
            found[key] = real(value)
        except Refused as refused:
            raise BadInput.of(f"{where} {key}", f"holds {refused}; {ANEW}") from None
    return found


def _opened(path: Path) -> zipfile.ZipFile:
    check_regular(path)
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise BadInput.of(
            str(path),
            "missing; a data folder holds training_data.npz and metadata.json; your script ends there: add it",
        ) from None
    except OSError as error:
        raise BadInput.of(
            str(path), f"can't be read, by your script either: {error.strerror or error}; copy it again"
        ) from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise BadInput.of(
            str(path), f"is no intact npz archive: {error}; your script ends there: copy it again"
        ) from error


def _member(path: Path, name: str, where: str) -> bytes:
    """The unpacked bytes of one entry, an npy file."""
    with _opened(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            raise BadInput.of(
                where,
                f"missing; the archive holds {', '.join(archive.namelist()) or 'nothing'}; your script ends "
                "there: write it",
            )
        info = archive.getinfo(f"{name}.npy")
        if info.file_size > MAX_BYTES:
            raise BadInput.of(
                where, f"unpacks to {info.file_size} bytes, in your script, too; the bound is {MAX_BYTES}: split it"
            )
        try:
            return archive.read(info)  # at most info.file_size bytes, whatever the archive really holds
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error) as error:
            raise BadInput.of(where, f"is damaged: {error}; your script ends there, too: copy it again") from error


def _content(npy: bytes) -> dict[str, Any]:
    """The dict in an npy file's 0-dimensional object array, its arrays still recorded. Raises Refused."""
    file = io.BytesIO(npy)
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    except Exception as error:  # numpy's parser of headers lets nearly anything through
        raise Refused(f"no npy file ({error})") from error
    if dtype != np.dtype(object):
        raise Refused(f"an array of dtype {dtype}")
    array = follow(npy[file.tell() :])
    match array:
        case Recorded(shape=inner, content=list(items)) if array.holds_objects and inner == shape == ():
            if len(items) == math.prod(shape) and isinstance(items[0], dict):
                return items[0]
    raise Refused("no dict in a 0-dimensional object array")
