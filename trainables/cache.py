"""Generated data on disk, built once per content: the key is a hash of everything that the content depends on.

An entry is a folder. It is built beside its place and renamed into it, so it is complete or absent; a lock keeps two
processes from building the same one; its manifest holds the SHA-256 of every file, so damage is found and the entry
is built again.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from spaces.problems import BadInput
from trainables.files import FOLDER_MODE
from trainables.storage import FULL

MANIFEST = "manifest.json"

Stamp = tuple[str, int, int, int]
"""What changes when a file does: its absolute path, inode, bytes and time of change in ns (zeros: no such file)."""

_hashes: dict[Stamp, str] = {}  # SHA-256 by stamp, for this process


def cache_root() -> Path:
    """Where entries lie: $SCHEDULE_SEARCH_CACHE, else schedule-search in $XDG_CACHE_HOME, else in ~/.cache."""
    if own := os.environ.get("SCHEDULE_SEARCH_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "schedule-search"


def content_key(spec: Mapping[str, Any]) -> str:
    """The key of what `spec` (JSON-like values) describes: equal specs, in whatever key order, have equal keys."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cached(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder of entry `kind`/`key`; `build(folder)` fills an empty folder where there is no intact entry yet.

    Raises BadInput where the cache can't be written, and whatever `build` raises.
    """
    place = cache_root() / kind / key
    if _intact(place):  # without the lock: a shared cache may be read-only
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{key}.lock")):
            if not _intact(place):
                _build(place, build)
    except OSError as error:
        room = "free some space there, or " if error.errno in FULL else ""
        remedy = f"{room}set SCHEDULE_SEARCH_CACHE to a folder that can be written"
        raise BadInput.of(
            str(place.parent), f"generated data can't be kept: {error.strerror or error}; {remedy}"
        ) from error
    return place


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file: a key for what this process keeps of its content."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return str(path.absolute()), 0, 0, 0
    return str(path.absolute()), stat.st_ino, stat.st_size, stat.st_mtime_ns


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, read once per stamp in this process."""
    key = stamp_of(path)
    if key not in _hashes:
        with path.open("rb") as file:
            _hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _hashes[key]


def _build(place: Path, build: Callable[[Path], None]) -> None:
    """Build the entry at `place`; the caller holds its lock, so what another process left half-built is litter."""
    for litter in place.parent.glob(f".{place.name}.part-*"):
        shutil.rmtree(litter, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f".{place.name}.part-", dir=place.parent))
    try:
        part.chmod(FOLDER_MODE)  # a cache may be shared
        build(part)
        files = {str(p.relative_to(part)): sha256_of(p) for p in sorted(part.rglob("*")) if p.is_file()}
        (part / MANIFEST).write_text(json.dumps({"sha256": files}, indent=1), encoding="utf-8")
        if place.exists():  # damaged: out of the way first, since a folder can't be renamed over another
            place.replace(part.with_name(part.name + "-damaged"))
        part.replace(place)
    finally:
        for litter in place.parent.glob(f"{part.name}*"):
            shutil.rmtree(litter, ignore_errors=True)


def _intact(place: Path) -> bool:
    """Whether every file of the entry's manifest is there with its SHA-256."""
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest["sha256"]) and all(
            sha256_of(place / name) == expected for name, expected in manifest["sha256"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
