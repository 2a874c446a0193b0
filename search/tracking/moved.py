"""A tracking database that was moved or copied together with its artifacts: MLflow keeps their addresses absolute."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

ARTIFACTS = "mlartifacts"
"""Folder beside the database, where this service has MLflow keep artifacts."""
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow_move(file: Path) -> None:
    """Let the addresses of artifacts follow the database `file`: where its experiments name another `mlartifacts`, and
    what is in the one beside it is theirs. Raises sqlite3.Error and OSError where the database can't be used.
    """
    here = file.resolve().parent / ARTIFACTS
    if not here.is_dir():
        return
    with closing(sqlite3.connect(file, timeout=5)) as database, database:
        known = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {table for table, _ in _ADDRESSES} <= known:
            return
        places = database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        for (place,) in places:
            before = _folder(place)
            if before is None or before.name != ARTIFACTS or before.resolve() == here:
                continue
            runs = database.execute("SELECT artifact_uri FROM runs WHERE artifact_uri LIKE ? || '/%'", (place,))
            if any((here / uri[len(place) + 1 :]).is_dir() for (uri,) in runs):
                _readdress(database, place, here.as_uri())


def _readdress(database: sqlite3.Connection, before: str, now: str) -> None:
    length = len(before)
    for table, column in _ADDRESSES:
        database.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - names of our own
            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (now, length + 1, before, length + 1, f"{before}/"),
        )


def _folder(address: str | None) -> Path | None:
    """The folder that a `file:` address or a plain path names."""
    parts = urlsplit(address or "")
    if parts.scheme == "file" and not parts.netloc:
        return Path(url2pathname(parts.path))
    return Path(address) if address and not parts.scheme else None
