"""Commands that a person can type as they are printed on this machine.

Files that are handed on (report.html, best.yaml, MLflow's notes) hold plain `python -m …`, and no path of this machine.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def python(module: str, words: Sequence[str] = ()) -> str:
    """The command that runs `module` with this very interpreter: `python -m …` where that is what the shell finds."""
    name = "python"
    if shutil.which(name) != sys.executable:
        executable, here = Path(sys.executable), Path.cwd()
        name = os.path.relpath(executable, here) if executable.is_relative_to(here) else str(executable)
    return shlex.join([name, "-m", module, *words])
