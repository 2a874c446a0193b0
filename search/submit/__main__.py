"""`python -m search.submit CONFIG --address http://HEAD:8265`: a search as a job on a Ray cluster."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from search.common.command_line import argument_parser, command, say
from search.common.exit_codes import Exit
from search.submit import look, submission
from search.submit.submission import DEFAULT_RESULTS

RETRIES = 3
COMMANDS = ("submit", "status", "logs", "stop", "list", "fetch")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of `search.common.exit_codes`: those of the search where it ended."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] not in (*COMMANDS, "-h", "--help"):
        words.insert(0, "submit")
    options = _parser().parse_args(words)
    return command(lambda console, _: int(options.run(options, partial(say, console))))


def _parser() -> argparse.ArgumentParser:
    parser = argument_parser(
        "search.submit",
        "Run searches on a Ray cluster. Without a command: submit.",
        list(Exit),
        "mine.yaml --address http://HEAD:8265",
        "status mine",
        "fetch mine --to results",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--address", metavar="URL", help="the head's dashboard; default: RAY_API_SERVER_ADDRESS")
    submit = commands.add_parser("submit", parents=[where], help="send a search and stay with it")
    submit.set_defaults(run=submission.run)
    submit.add_argument("config", type=Path, metavar="CONFIG", help="the search's YAML")
    submit.add_argument("--name", help="the search's folder under --results")
    submit.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    submit.add_argument("--fork", metavar="NAME", help="begin a new search with the trials of the one that exists")
    submit.add_argument("--register", metavar="NAME", help="make the winner a version of this registered MLflow model")
    shared = f"a folder that every node sees; default: {DEFAULT_RESULTS}"
    submit.add_argument("--results", default=DEFAULT_RESULTS, metavar="DIR", help=shared)
    kept = "where the search is kept in place of --results: such a folder, or s3://BUCKET/PREFIX"
    submit.add_argument("--storage", metavar="WHERE", help=kept)
    submit.add_argument("--no-wait", action="store_true", help="send it and leave")
    again = f"hand the search in again when the cluster loses it, at most so often; default: {RETRIES}"
    submit.add_argument("--retries", type=_count, default=RETRIES, metavar="N", help=again)
    submit.add_argument("--no-install", action="store_true", help="the nodes have the packages already")
    submit.add_argument("--env", action="append", default=[], metavar="NAME", help="hand over this variable, too")
    for name, run, what in (
        ("status", look.status, "how a job stands"),
        ("logs", look.logs, "what a job has printed"),
        ("stop", look.stop, "end a job; the same submission goes on with its search"),
    ):
        command = commands.add_parser(name, parents=[where], help=what)
        command.set_defaults(run=run)
        command.add_argument("job", metavar="ID", help="a job's id, or a search's name for its newest job")
        if name == "logs":
            command.add_argument("-f", "--follow", action="store_true", help="until the job ends")
    commands.add_parser("list", parents=[where], help="the searches on the cluster").set_defaults(run=look.listing)
    fetch = commands.add_parser("fetch", parents=[where], help="bring a search's result here")
    fetch.set_defaults(run=look.fetch)
    fetch.add_argument("name", metavar="NAME", help="the search")
    fetch.add_argument("--to", type=Path, required=True, metavar="DIR", help="a folder here")
    fetch.add_argument("--results", metavar="DIR", help="as it was submitted with, where the cluster has forgotten it")
    fetch.add_argument("--storage", metavar="WHERE", help="likewise; s3://BUCKET/PREFIX is read without the cluster")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
