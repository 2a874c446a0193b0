"""At the cluster: print the files that a finished search hands over, as one archive in text. Runs with any Python 3.9.

A job's output is the one thing that a head gives back to its clients, so the archive goes through it.
"""

import base64
import hashlib
import io
import sys
import tarfile
from pathlib import Path

FILES = (
    "best.yaml",
    "native",
    "report.html",
    "trials.csv",
    "search.yaml",
    "plan.json",
    "pareto.csv",
    "pareto",
    "figures",
)
BEGIN, END = "-----BEGIN SEARCH", "-----END SEARCH"
PROBLEM = "problem: "
LIMIT = 64 * 2**20  # bytes of the archive: it is held in memory on its way
_LINE = 3 * 2**10  # bytes a line, before they become text


def pack(folder: Path) -> bytes:
    """The archive (tar.gz) of what is there of FILES in `folder`. Raises LookupError where there is nothing."""
    if not folder.is_dir():
        raise LookupError(f"there is no folder {folder}")
    present = [name for name in FILES if (folder / name).exists()]
    if not present:
        raise LookupError(f"{folder} holds nothing that a search hands over")
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name in present:
            archive.add(folder / name, arcname=name)
    content = target.getvalue()
    if len(content) > LIMIT:
        raise LookupError(f"{folder}: {len(content)} bytes packed are too many to be sent this way; copy the folder")
    return content


def as_text(content: bytes) -> str:
    """`content` between two lines that carry its checksum."""
    digest = hashlib.sha256(content).hexdigest()
    lines = [base64.b64encode(content[i : i + _LINE]).decode() for i in range(0, len(content), _LINE)]
    return "\n".join([f"{BEGIN} {digest}", *lines, f"{END} {digest}", ""])


if __name__ == "__main__":
    try:
        text = as_text(pack(Path(sys.argv[1]).expanduser()))
    except (LookupError, OSError) as error:
        text = f"{PROBLEM}{error}\n"
    sys.stdout.write(text)
