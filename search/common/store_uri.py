"""Where the tracked runs are kept: which URI holds, whether it answers, and how to show it without its secrets."""

import os
import re
import shlex
import socket
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from http.client import HTTPException
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

from search.common.timeouts import within

PROBE_SECONDS = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
DATABASES = frozenset({"sqlite", *_PORTS})
"""Schemes of databases, which MLflow opens itself."""
_DEFAULT_PORTS = {**_PORTS, "http": 80, "https": 443}
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104 - compared, nothing is bound to it
_SQLITE_FORM = "sqlite:///FILE"
_FORMS = "sqlite:///FILE, http(s)://HOST:PORT, postgresql://…, mysql://… or mssql://…"
VARIABLE = re.compile(r"\$(?:\{|[A-Za-z_])")
"""A shell's variable that nobody has expanded."""
_USERINFO = re.compile(r"(?<=://)[^\s/?#]*(?::[^\s]*)?@")
_SECRET_QUERY = re.compile(r"([?&][^=&\s]*(?:pass|token|secret|key)[^=&\s]*=)[^&\s]*", re.IGNORECASE)


def resolve_uri(explicit: str | None, results: Path) -> str:
    """The store's URI: the search's own, else `MLFLOW_TRACKING_URI`, else `mlflow.db` in the folder of results."""
    return explicit or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{results / 'mlflow.db'}"


def mask(text: str) -> str:
    """`text` with the credentials of every URI in it replaced by `***`."""
    return _SECRET_QUERY.sub(r"\1***", _USERINFO.sub("***@", text))


def ui_command(uri: str) -> str:
    """What to type to look at the runs (a server's own address is opened in a browser instead)."""
    if uri.startswith(("http://", "https://")):
        return mask(uri)
    return f"mlflow ui --backend-store-uri {shlex.quote(mask(uri))}"


def sqlite_file(uri: str) -> Path | None:
    """The database file of a `sqlite:` URI; None for any other and for one in memory."""
    scheme, _, rest = uri.partition(":///")
    if scheme.partition("+")[0] != "sqlite" or not rest or rest.startswith(":memory:"):
        return None
    return Path(rest.partition("?")[0]).absolute()


def absolute(uri: str) -> str:
    """`uri` with the path of a `sqlite:` file made absolute, so that it means the same in any working folder."""
    file = sqlite_file(uri)
    if file is None:
        return uri
    head, _, rest = uri.partition(":///")
    return f"{head}:///{file}" + "".join(rest.partition("?")[1:])


def identity(uri: str, experiment: str) -> str:
    """Names the experiment that runs go to, without credentials: the same for spellings that surely mean the same."""
    file = sqlite_file(uri)
    return f"{file.resolve() if file else _normal(uri)} {experiment}"


def _normal(uri: str) -> str:
    """A server's address without credentials, driver, default port and last slash, in one spelling of this machine."""
    plain = mask(uri).replace("***@", "")
    try:
        parts = urlsplit(plain)
        port = parts.port
    except ValueError:
        return plain
    scheme = parts.scheme.partition("+")[0]
    if scheme not in _DEFAULT_PORTS or not parts.hostname:
        return plain
    host = "localhost" if parts.hostname in _THIS_MACHINE else parts.hostname
    at = "" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}"
    return f"{scheme}://{host}{at}{parts.path.rstrip('/')}" + (f"?{parts.query}" if parts.query else "")


def unusable_folder(results: Path) -> str | None:
    """Why MLflow can't keep its database in a folder: its path would be read as another one."""
    odd = next((sign for sign in "%?" if sign in str(results.absolute())), None)
    if odd is None:
        return None
    return f"MLflow keeps no database in a folder with {odd!r} in its path; choose another folder, or set tracking.uri"


def unusable(uri: str) -> str | None:
    """Why `uri` can never be a store's, with what to write instead; None where it can. Asks nobody."""
    if VARIABLE.search(uri):
        return "holds a variable that nobody expands here; leave uri out and set MLFLOW_TRACKING_URI instead"
    scheme, separator, rest = uri.partition(":")
    kind = scheme.partition("+")[0].lower()
    if kind == "sqlite":
        what = f"names no database file; write {_SQLITE_FORM}"
        file = sqlite_file(uri)
        if file is None:
            return None if rest.startswith("///:memory:") else what
        if "%" in str(file):
            return f"holds '%', which is read differently by those who open it; write {_SQLITE_FORM} without one"
        return f"is a folder, where a database file is needed; write {_SQLITE_FORM}" if file.is_dir() else None
    if kind == "databricks":
        return None
    if kind == "file" or not separator or (len(scheme) == 1 and scheme.isalpha()):
        return f"is a folder, where runs are kept in a database or by a server; write {_SQLITE_FORM}"
    if kind in ("http", "https", *_PORTS):
        try:
            parts = urlsplit(uri)
            usable = kind in _PORTS or bool(parts.hostname)  # a database may be reached by a socket's file
            usable = usable and (parts.port is None or parts.port > 0)
        except ValueError as error:
            return f"is no address: {error}; write {_FORMS}"
        return None if usable else f"names no host; write {_FORMS}"
    if kind in {entry.name for entry in entry_points(group="mlflow.tracking_store")}:  # of an installed package
        return None
    return f"begins with {scheme + ':'!r}; write {_FORMS}"


def unreachable(uri: str) -> str | None:
    """Why the store can't be used now, in words for people, or None. Returns within `PROBE_SECONDS`."""
    return within(PROBE_SECONDS, lambda: _probe(uri))


def _probe(uri: str) -> str | None:
    scheme = uri.partition(":")[0].partition("+")[0].lower()
    try:
        if scheme in ("http", "https"):
            return _probe_server(uri)
        if scheme == "sqlite":
            return _probe_sqlite(uri)
        if scheme in _PORTS:
            parts = urlsplit(uri)
            address = (parts.hostname or "localhost", parts.port or _PORTS[scheme])
            socket.create_connection(address, timeout=PROBE_SECONDS - 1).close()
            return None
    except (OSError, ValueError, sqlite3.Error) as error:
        return mask(str(error))
    return unusable(uri)


def _probe_server(uri: str) -> str | None:
    parts = urlsplit(uri)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    address = f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}/health"
    try:
        urllib.request.urlopen(address, timeout=PROBE_SECONDS - 1).close()  # noqa: S310 - http(s) checked above
    except urllib.error.HTTPError as error:
        # Something serves there; a gateway's 5xx says that MLflow behind it does not.
        return f"the server answers {error.code}" if error.code >= 500 else None
    except urllib.error.URLError as error:
        return mask(str(error.reason))
    except HTTPException:
        return "what answers there is no web server"
    return None


def _probe_sqlite(uri: str) -> str | None:
    file = sqlite_file(uri)
    if file is None or not file.exists():
        return None
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=1)) as database:
        database.execute("PRAGMA schema_version").fetchone()
    return None
