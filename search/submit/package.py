"""The archive that takes a working tree to a cluster."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from search.persistence.checkpoint_retention import shown
from search.submit.tree import Tree
from spaces.problems import BadInput

LIMIT = 100 * 2**20  # bytes before packing: every node unpacks it, and Ray holds it in the head's memory
NAMED = 5
_PRIVATE = 0o600
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def check_size(tree: Tree) -> None:
    """Raise BadInput, naming the largest files, where the tree is too large to be sent."""
    size = tree.size()
    if size > LIMIT:
        largest = ", ".join(f"{name} ({shown(bytes_)})" for name, bytes_ in tree.largest(NAMED))
        what = f"{shown(size)} to send, but at most {shown(LIMIT)} can be. The largest: {largest}. Put data where the "
        what += "nodes see it, and list what to leave out in .gitignore"
        raise BadInput.of(str(tree.root), what)


def write(tree: Tree, notes: Mapping[str, str], place: Path) -> int:
    """Pack the tree and `notes` (name -> text, readable by their owner only) into the zip file `place`; its bytes.

    Equal contents make equal archives, whatever the files' times: Ray names the package by its content, and sends it
    once. Raises BadInput for a file that can't be read.
    """
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(tree.files.items()):
            try:
                content, mode = path.read_bytes(), path.stat().st_mode & 0o755 | 0o644
            except OSError as error:
                raise BadInput.of(str(path), f"can't be read ({error.strerror})") from error
            _add(archive, name, content, mode)
        for name, text in sorted(notes.items()):
            _add(archive, name, text.encode(), _PRIVATE)
    return place.stat().st_size


def _add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    entry = zipfile.ZipInfo(name, _LONG_AGO)
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
