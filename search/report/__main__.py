"""`python -m search.report results/demo …`: make a search's report again, from its folder alone."""

import sys
from collections.abc import Sequence
from pathlib import Path

from search.common.command_line import argument_parser, complain
from search.common.exit_codes import Exit
from search.report.build import write
from spaces.problems import BadInput


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0 done, 2 bad input (the other folders' reports are made all the same)."""
    parser = argument_parser(
        "search.report",
        "Make report.html and figures/ of a search from its folder alone, also while it runs.",
        (Exit.DONE, Exit.BAD_INPUT),
        "results/demo",
    )
    parser.add_argument("folder", type=Path, nargs="+", metavar="DIR", help="a search's folder, such as results/demo")
    code = Exit.DONE
    for folder in parser.parse_args(arguments).folder:
        try:
            print(f"report   {write(folder)}")  # noqa: T201
        except BadInput as error:
            complain(f"error: {error}")
            code = Exit.BAD_INPUT
        except OSError as error:
            complain(f"error: {folder}: the report can't be written ({error.strerror})")
            code = Exit.BAD_INPUT
    return code


if __name__ == "__main__":
    sys.exit(main())
