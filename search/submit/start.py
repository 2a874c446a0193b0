"""The search's process on a cluster: `search.run`, with what the client handed over in its environment.

Ray writes the environment variables of a job into its logs and shows them to every client. So what a search needs from
the client's environment travels as a file in the package, which only its owner can read, and is taken up here: by the
driver, and as Ray's setup hook by every worker.
"""

import json
import os
import sys
from pathlib import Path

HANDED = ".handed-over.json"


def load() -> None:
    """Take over what the package in the working folder holds for the environment."""
    file = Path(HANDED)
    if file.is_file():
        os.environ.update(json.loads(file.read_text(encoding="utf-8")))


if __name__ == "__main__":
    load()
    from search.run import main  # only now: importing may read the environment

    sys.exit(main())
