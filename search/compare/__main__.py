"""`python -m search.compare results/a results/b … [--mlflow EXPERIMENT …]`: searches side by side."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from search.common.command_line import argument_parser, command, say
from search.common.exit_codes import Exit
from search.common.store_uri import mask, resolve_uri
from search.compare.page import compare, html
from search.compare.sources import Source, from_experiment, from_folders, shown
from search.compare.text import screens
from spaces.problems import BadInput, Problem, raise_any
from trainables.files import write_text
from trainables.screen import Screen

PAGE = "compare.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of `search.common.exit_codes`."""
    options = _options(arguments)

    def body(console: Console, screen: Screen) -> int:  # noqa: ARG001
        say(console, f"comparison   {_run(options, console)}")
        return Exit.DONE

    return command(body)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argument_parser(
        "search.compare",
        "Compare searches: one page and a table. Searches that differ only in their seed are averaged.",
        (Exit.DONE, Exit.BAD_INPUT, Exit.INTERRUPTED),
        "results/tpe-* results/forest-*",
        "results/* --out all.html",
    )
    parser.add_argument("folder", type=Path, nargs="*", metavar="DIR", help="a search's folder, such as results/demo")
    parser.add_argument(
        "--mlflow", nargs="+", default=[], metavar="EXPERIMENT", help="compare all searches in these experiments, too"
    )
    parser.add_argument("--uri", help="of the experiments; default: MLFLOW_TRACKING_URI, else results/mlflow.db")
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"default: {PAGE} beside the first search")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, console: Console) -> Path:
    sources, notes = _sources(options)
    if len(sources) < 2:
        given = f"only {sources[0].name} is given" if sources else "no search is given"
        raise BadInput.of("", f"a comparison takes two searches or more, {given}; name another one")
    out: Path = options.out or (options.folder[0].parent if options.folder else Path("results")) / PAGE
    found = compare(sources, notes)
    replaced = out.exists()
    _write(out, html(found, _command(options)))
    for each in found.tables:
        for screen in screens(each.table, each.found, each.costs, each.gaps):
            console.print(screen)
        say(console, f"{each.story.headline}: {each.story.sentence}")
    for note in (*found.notes, *(warning for each in found.tables for warning in each.warnings)):
        say(console, f"warning: {note}")
    if replaced:
        say(console, f"{out} was there and is replaced; --out FILE keeps both")
    return out


def _sources(options: argparse.Namespace) -> tuple[list[Source], list[str]]:
    """All searches that are asked for; what a folder and an experiment both hold is taken from the folder."""
    problems: list[Problem] = []
    found: list[Source] = []
    notes: list[str] = []
    try:
        found, notes = from_folders(options.folder)
    except BadInput as error:
        problems += error.problems
    uri = resolve_uri(options.uri, Path("results"))
    for experiment in dict.fromkeys(options.mlflow):
        try:
            tracked, said = from_experiment(experiment, uri)
        except BadInput as error:
            problems += error.problems
            continue
        known = {(source.name, source.material.digest) for source in found}
        found += [source for source in tracked if (source.name, source.material.digest) not in known]
        notes += said
    raise_any(problems)
    return found, notes


def _command(options: argparse.Namespace) -> str:
    words = [shown(folder) for folder in options.folder]
    words += ["--mlflow", *options.mlflow] if options.mlflow else []
    words += ["--uri", mask(options.uri)] if options.uri else []
    words += ["--out", shown(options.out)] if options.out else []
    return shlex.join(["python", "-m", "search.compare", *words])


def _write(path: Path, text: str) -> None:
    """Replace the page whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise BadInput.of(str(path), f"can't be written ({error.strerror}); give another --out") from error


if __name__ == "__main__":
    sys.exit(main())
