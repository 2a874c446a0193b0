"""Telling somebody that the search has ended or stopped itself: by a command of theirs, or by a webhook."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search.common.exit_codes import Exit
from search.common.store_uri import mask
from search.report import listing
from search.spec.config import Notify
from spaces.problems import cause

SECONDS = 30.0
"""The command, or the server, may take so long."""


def tell(notify: Notify | None, folder: Path, code: int, say: Callable[[str], None]) -> None:
    """Tell how the search in `folder` stands after its process ended with `code`. What goes wrong is one warning.

    Nobody is told of an interruption, which somebody has just typed.
    """
    if notify is None or code == Exit.INTERRUPTED:
        return
    try:
        message = describe(folder, code)
        if notify.command is not None:
            _run(notify.command, message)
        if notify.webhook is not None:
            _post(os.environ[notify.webhook], message)
    except Exception as error:  # whatever it is: the search matters more
        say(f"warning: nobody was notified: {mask(cause(error))}")


def describe(folder: Path, code: int) -> Mapping[str, Any]:
    """What is told: the keys of `schedule-search show NAME --json`, the exit code, and `text` for people."""
    row, story = listing.shown(folder)
    text = f"{row.name}: {story.status}. {story.headline}. {story.sentence}"
    return {**row.as_dict(), "exit_code": code, "text": text}


def _run(command: list[str], message: Mapping[str, Any]) -> None:
    done = subprocess.run(  # noqa: S603 - what the user named for this, without a shell
        command, input=json.dumps(message).encode(), timeout=SECONDS, capture_output=True, check=False
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}" + (f": {last[0]}" if last else ""))


def _post(address: str, message: Mapping[str, Any]) -> None:
    request = urllib.request.Request(  # noqa: S310 - checked by `check`
        address, data=json.dumps(message).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        urllib.request.urlopen(request, timeout=SECONDS).close()  # noqa: S310
    except OSError as error:  # its text may hold the address, which is a secret
        status = getattr(error, "code", None)
        raise RuntimeError(f"the webhook answered {status}" if status else "the webhook could not be reached") from None
