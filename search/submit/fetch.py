"""A finished search's result, brought from the cluster to the client."""

import base64
import hashlib
import io
import secrets
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from search.commands import typed
from search.submit import handout
from search.submit.head import Head, Order
from spaces.problems import BadInput

POLL_SECONDS = 0.5
WAIT_SECONDS = 300.0
BEST = "best.yaml"


def fetch(head: Head, folder: str, to: Path, rest: Callable[[float], None] = time.sleep) -> list[Path]:
    """Bring what the search in `folder` of the cluster hands over into `to`; the files.

    A small job on the head prints it (`handout`): it works wherever a search can be submitted, also where the client
    sees none of the cluster's storage. Raises BadInput where there is nothing, or nothing whole, to bring.
    """
    text = _printed(head, folder, rest)
    return unpack(decoded(text, folder), to)


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
    to.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        names = [member.name for member in archive.getmembers() if member.isfile()]
        archive.extractall(to, filter="data")
    return [to / name for name in names]


def _printed(head: Head, folder: str, rest: Callable[[float], None]) -> str:
    job_id = f"fetch-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "handout.zip"
        with zipfile.ZipFile(place, "w") as archive:
            script = Path(handout.__file__)
            archive.writestr(zipfile.ZipInfo(script.name), script.read_bytes())
        command = f"exec python3 {typed([script.name, folder])}"
        head.submit(job_id, Order(command, {"working_dir": str(place)}))
    until = time.monotonic() + WAIT_SECONDS
    while True:
        job = head.job(job_id)
        if job is None or job.over:
            break
        if time.monotonic() > until:
            head.stop(job_id)
            raise BadInput.of(folder, f"the cluster did not hand it out within {WAIT_SECONDS:.0f} s; is it overloaded?")
        rest(POLL_SECONDS)
    text = head.logs(job_id) if job is not None else ""
    if job is not None:
        head.forget(job_id)
    return text
