"""What training code can promise: `python -m search.check mine.yaml` for a search, `… mine/spec.py` for a model."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from search.check.probe import LIMIT, check, lines, refuse_void
from search.common.commands import python
from search.spec.resolve import resolve
from spaces.problems import BadInput

DONE, FAULTS, BAD_INPUT = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0 nothing in the way of a search, 1 a model that breaks the protocol, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m search.check", description="Measure what training code promises.")
    parser.add_argument("path", type=Path, metavar="PATH", help="a search's YAML, or the spec.py of a model")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="change a key of the YAML"
    )
    parser.add_argument("--seconds", type=float, default=LIMIT, help=f"how long it may take; default: {LIMIT:g}")
    parser.add_argument("--again", action="store_true", help="measure even what is known")
    options = parser.parse_args(arguments)
    try:
        if options.path.suffix == ".py":
            return _suite(options.path)
        search = resolve(options.path, options.overrides)
        found = check(search, options.seconds, options.again)
        for line in lines(found):
            print(line)  # noqa: T201
        refuse_void(search, found)
    except BadInput as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)  # noqa: T201
        return BAD_INPUT
    print(f"search it: {python('search.run', [str(options.path)])}")  # noqa: T201
    return DONE


def _suite(path: Path) -> int:
    from trainables import conformance  # lazy: it needs torch

    faults = conformance.run(path, lambda line: print(line, flush=True))  # noqa: T201
    return FAULTS if faults else DONE


if __name__ == "__main__":
    sys.exit(main())
