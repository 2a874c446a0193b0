"""A finished search's result, brought from the cluster to the client."""

import base64
import hashlib
import io
import os
import secrets
import shlex
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from search.common.timeouts import in_time
from search.spec.storage import explained, located
from search.submit import handout
from search.submit.head import Head, Order
from spaces.problems import BadInput
from trainables.objects import brief

POLL_SECONDS = 0.5
WAIT_SECONDS = 300.0
BEST = "best.yaml"
ROOM, EXPANSION = 100_000_000, 200
"""An archive may expand to so many bytes, and so many times its own size beside."""


def fetch(head: Head, folder: str, to: Path, rest: Callable[[float], None] = time.sleep) -> list[Path]:
    """Bring what the search in `folder` of the cluster hands over into `to`; the files.

    A small job on the head prints it (`handout`): it works wherever a search can be submitted, also where the client
    sees none of the cluster's storage. Raises BadInput where there is nothing, or nothing whole, to bring.
    """
    text = _printed(head, folder, rest)
    return unpack(decoded(text, folder), to)


def fetch_stored(storage: str, name: str, to: Path) -> list[Path]:
    """Bring what the search `name` in an object store hands over into `to`; the files. Read from here, with the
    credentials of this environment. Raises BadInput where there is nothing, or the store can't be read.
    """
    home = located(storage, to.parent, name, "--storage")
    assert home.store is not None, "a folder is asked of the head"
    store, files = replace(home.store, tries=1), []

    def bring() -> None:
        for each in store.sizes(recursive=True):
            if each.partition("/")[0] not in handout.FILES:
                continue
            place, content = to / each, store.get(each)
            if content is not None and place.resolve().is_relative_to(to.resolve()):
                _write(to, place, content)
                files.append(place)

    try:
        in_time(WAIT_SECONDS, bring)
    except OSError as error:
        raise BadInput.of(str(store), explained(store, brief(error), os.environ)) from error
    if not files:
        raise BadInput.of(str(store), "holds nothing that a search hands over; is it the --storage it was begun with?")
    return files


def _write(to: Path, place: Path, content: bytes) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    except OSError as error:
        raise BadInput.of(str(to), f"what was fetched can't be written here: {brief(error)}") from error


def decoded(text: str, where: str) -> bytes:
    """The archive in a handout's output. Raises BadInput where it isn't there or isn't whole."""
    lines = text.splitlines()
    for line in lines:
        if line.startswith(handout.PROBLEM):
            raise BadInput.of(where, f"{line.removeprefix(handout.PROBLEM)} (on the head of the cluster)")
    begin = next((i for i, line in enumerate(lines) if line.startswith(f"{handout.BEGIN} ")), None)
    end = next((i for i, line in enumerate(lines) if line.startswith(f"{handout.END} ")), None)
    if begin is not None and end is not None:
        try:
            content = base64.b64decode("".join(lines[begin + 1 : end]), validate=True)
        except ValueError:
            content = b""
        digests = {line.rpartition(" ")[2] for line in (lines[begin], lines[end])}
        if digests == {hashlib.sha256(content).hexdigest()}:
            return content
    said = next((line for line in reversed(lines) if line.strip()), "nothing")
    raise BadInput.of(where, f"did not arrive whole; try again. The cluster said: {said[:200]}")


def unpack(content: bytes, to: Path) -> list[Path]:
    """The archive's files in the folder `to`, in place of those from an earlier time. Nothing lands outside of it."""
    try:
        to.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            members = archive.getmembers()
            if sum(member.size for member in members) > ROOM + EXPANSION * len(content):
                raise BadInput.of(
                    str(to), f"the archive of {len(content)} bytes would expand to more than is plausible"
                )
            archive.extractall(to, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        # Not an OSError's strerror alone: gzip's own errors have none.
        raise BadInput.of(str(to), f"the archive can't be unpacked here: {error}") from error
    return [to / member.name for member in members if member.isfile()]


def _printed(head: Head, folder: str, rest: Callable[[float], None]) -> str:
    job_id = f"fetch-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "handout.zip"
        with zipfile.ZipFile(place, "w") as archive:
            script = Path(handout.__file__)
            archive.writestr(zipfile.ZipInfo(script.name), script.read_bytes())
        command = f"exec python3 {shlex.join([script.name, folder])}"
        head.submit(job_id, Order(command, {"working_dir": str(place)}))
    until = time.monotonic() + WAIT_SECONDS
    while (job := head.job(job_id)) is not None and not job.over:
        if time.monotonic() > until:
            head.stop(job_id)
            raise BadInput.of(folder, f"the cluster did not hand it out within {WAIT_SECONDS:.0f} s; is it overloaded?")
        rest(POLL_SECONDS)
    if job is None:
        return ""
    text = head.logs(job_id)
    head.forget(job_id)
    return text or ""
