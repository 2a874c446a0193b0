"""What the live page may do to a search, where it was allowed to: stop it as Ctrl-C does, and go on with it."""

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from search.persistence.standing import at_work, owner
from spaces.problems import BadInput
from trainables.layout import AGAIN

SCREEN = "gone-on.txt"


def stop(folder: Path) -> str:
    """Interrupt the search in `folder`: its trials keep their last evaluation. Raises BadInput where none runs here."""
    host, process = owner(folder)
    if process is None:
        if at_work(folder):
            raise BadInput.of(str(folder), f"runs on {host}; stop it there")
        raise BadInput.of(str(folder), "is not running")
    try:
        process.send_signal(signal.SIGINT)
    except psutil.Error as error:
        raise BadInput.of(str(folder), f"can't be stopped from here: {error}") from error
    return "stopping: trials keep their last evaluation"


def go_on(folder: Path) -> str:
    """Type the search's command again, in the folder where it was typed; what it says goes to `SCREEN`.

    Raises BadInput where it runs already, or nobody knows its command.
    """
    if at_work(folder):
        raise BadInput.of(str(folder), "is running")
    try:
        known = json.loads((folder / AGAIN).read_text(encoding="utf-8"))
        cwd, words = Path(known["cwd"]), shlex.split(known["command"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput.of(str(folder / AGAIN), "holds no command; type the search's command again yourself") from error
    if words[1:3] != ["-m", "search.run"] or not cwd.is_dir():
        raise BadInput.of(str(folder / AGAIN), f"can't be followed here: {known['command']} in {cwd}; type it yourself")
    with (folder / SCREEN).open("ab") as screen:
        subprocess.Popen(  # noqa: S603 - our own module, with the words that its user typed
            [sys.executable, *words[1:]],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
            start_new_session=True,  # it outlives this page
        )
    return f"goes on; what it says is in {folder / SCREEN}"
