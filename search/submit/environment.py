"""What a search needs beside its files: Python packages, pinned, and a few variables of the client's environment."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from search.common.git import git_commit
from search.common.store_uri import mask, sqlite_file
from search.spec.config import Settings
from spaces.problems import BadInput, Problem, raise_any
from trainables.registry import VARIABLE

COMMIT = "SCHEDULE_SEARCH_COMMIT"
INSTALL_SECONDS = 3600  # torch alone is gigabytes where there are GPUs
_EXTRAS = {"diphone_rnn": "diphone", "tts": "tts", "whisper_child": "whisper"}
_TRACKING = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_STORE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "MLFLOW_S3_ENDPOINT_URL",
)
_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?")


@dataclass(frozen=True)
class Packages:
    """The Python packages of a job."""

    requirements: tuple[str, ...]
    """As in a requirements file, each pinned."""
    notes: Mapping[str, str]
    """Files that the requirements refer to, by their names in the package."""


def packages(root: Path, model: str) -> Packages:
    """What `pyproject.toml` in `root` asks for to train `model`, in the versions of `constraints.txt` beside it.

    Raises BadInput where the two aren't there or a direct requirement isn't pinned.
    """
    project, pinned = root / "pyproject.toml", root / "constraints.txt"
    if not (project.is_file() and pinned.is_file()):
        what = "pyproject.toml and constraints.txt, which say what to install, are not here; with --no-install the "
        raise BadInput.of(str(root), what + "nodes' own environment is used")
    asked = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extra = _EXTRAS.get(model)
    wanted = [*asked["dependencies"], *(asked["optional-dependencies"][extra] if extra else [])]
    text = pinned.read_text(encoding="utf-8")
    pins = dict(_pin(line) for line in text.splitlines() if "==" in line)
    parts = {_canonical(match[1]): match[2] or "" for each in wanted if (match := _NAME.match(each))}
    missing = [name for name in parts if name not in pins]
    if missing:
        raise BadInput.of(str(pinned), f"no version is given for {', '.join(missing)}; add NAME==VERSION")
    # Named by its content: Ray knows an environment that it has made by the text of its requirements.
    file = f".constraints-{hashlib.sha256(text.encode()).hexdigest()[:12]}.txt"
    lines = [f"{name}{extras}=={pins[name]}" for name, extras in parts.items()]
    return Packages((f"-c ${{RAY_RUNTIME_ENV_CREATE_WORKING_DIR}}/{file}", *lines), {file: text})


def handed(settings: Settings, results: str, given: Mapping[str, str], asked: Sequence[str]) -> dict[str, str]:
    """The variables of the client's environment `given` that the search needs at the cluster.

    The tracking server's address and credentials where a server is tracked to; S3's where the search names S3 or MLflow
    has an S3 endpoint; models from outside; and those `asked` for by name. Raises BadInput for one of these that isn't
    set, and for a tracking file, which the nodes don't see.
    """
    missing = [Problem(f"--env {name}", "is not set in this environment") for name in asked if name not in given]
    raise_any(missing)
    names = [*asked, VARIABLE]
    uri = settings.tracking.uri or given.get("MLFLOW_TRACKING_URI", "")
    served = bool(uri) and sqlite_file(uri) is None and not uri.startswith("file:") and "://" in uri
    if served:
        names += ["MLFLOW_TRACKING_URI"] if settings.tracking.uri is None else []
        names += _TRACKING if uri.startswith("http") else ()
    stored = "s3://" in results + json.dumps(settings.model_dump(mode="json"))
    if stored or (served and "MLFLOW_S3_ENDPOINT_URL" in given):
        names += _STORE
    found = {name: given[name] for name in names if given.get(name)}
    commit = git_commit()
    return {**found, **({COMMIT: commit} if commit else {})}


def own_host(settings: Settings, given: Mapping[str, str]) -> str | None:
    """A warning where the tracking server's address means another machine to the nodes than here."""
    uri = settings.tracking.uri or given.get("MLFLOW_TRACKING_URI", "")
    if urlsplit(uri).hostname in ("localhost", "127.0.0.1", "::1"):
        return f"to the cluster's head {mask(uri)} is the head itself; give an address that it can reach, if it isn't"
    return None


def _pin(line: str) -> tuple[str, str]:
    name, _, version = line.partition("==")
    return _canonical(name), version.strip()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
