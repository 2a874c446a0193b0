"""What training code can promise, before it is searched: `python -m search.check mine.yaml`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from search.check.probe import LIMIT, check, lines, refuse_void
from search.common.command_line import argument_parser, command, say
from search.common.commands import python
from search.common.exit_codes import Exit
from search.common.quantities import seconds
from search.spec.plan import make_plan
from search.spec.resolve import resolve
from spaces import strict_yaml
from spaces.problems import BadInput


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argument_parser(
        "search.check",
        "Measure what training code promises.",
        (Exit.DONE, Exit.BAD_INPUT),
        "mine.yaml",
        "mine.yaml --again",
    )
    parser.add_argument("path", type=Path, metavar="CONFIG", help="the search's YAML, or the file of its model")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="change a key of the YAML"
    )
    parser.add_argument("--seconds", type=float, default=LIMIT, help=f"how long it may take; default: {LIMIT:g}")
    parser.add_argument("--again", action="store_true", help="measure even what is known")
    options = parser.parse_args(arguments)
    return command(lambda console, _screen: _check(options, console))


def _check(options: argparse.Namespace, console: Console) -> int:
    search = resolve(_search_of(options.path), options.overrides)
    make_plan(search)  # refuses what a search would
    found = check(search, seconds(options.seconds, "--seconds"), options.again)
    for line in lines(found):
        say(console, line)
    refuse_void(search, found)
    say(console, f"search it: {python('search.run', [search.source])}")
    return Exit.DONE


def _search_of(path: Path) -> Path:
    """The search's YAML: `path`, or the one beside it, or a folder above, whose `model:` is the file `path`."""
    if path.suffix != ".py":
        return path
    found = [
        yaml for folder in (path.parent, path.parent.parent) for yaml in folder.glob("*.yaml") if _names(yaml, path)
    ]
    if len(found) != 1:
        which = f"{len(found)} do: {', '.join(map(str, sorted(found)))}" if found else "none does"
        what = "a model is checked on a search's base, data and space: give the YAML that says"
        raise BadInput.of(str(path), f"{what} model: {path.name}; beside the file and in the folder above {which}")
    return found[0]


def _names(yaml: Path, path: Path) -> bool:
    try:
        given = strict_yaml.load(yaml)
    except BadInput:
        return False
    model = given.get("model") if isinstance(given, dict) else None
    return isinstance(model, str) and (yaml.parent / model).resolve() == path.resolve()


if __name__ == "__main__":
    sys.exit(main())
