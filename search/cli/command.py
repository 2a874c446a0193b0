"""The commands of `schedule-search`: most are handed to the module that does them.

A command's flags belong to its module (`python -m search.run --help` says the same), and modules are imported only when
they are called: Ray and torch take seconds.
"""

import importlib
import json
import shlex
import shutil
import sys
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from search.common.command_line import complain, say
from search.common.exit_codes import Exit, explained
from search.common.git import tool_version
from search.report import listing
from spaces.problems import BadInput, cause

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
MODULES = {
    "run": ("search.run", "Search: plan, train, confirm, hand over. The same command goes on with it."),
    "check": ("search.check", "Measure what your own training code can promise."),
    "report": ("search.report", "Make a search's report again, also while it runs."),
    "compare": ("search.compare", "Put searches side by side on one page."),
    "simulate": ("search.simulate", "Replay a finished search, or tables of curves, with other rungs and samplers."),
    "dashboard": ("search.dashboard", "Look at all searches in a browser."),
    "submit": ("search.submit", "Run a search as a job on a Ray cluster; also status, logs, stop, list, fetch."),
    "train": ("trainables.train", "Train one config, such as best.yaml, without a search."),
}

Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="the folder of the searches")]
AsJson = Annotated[bool, typer.Option("--json", help="as JSON, for scripts")]

app = typer.Typer(
    help="Search the schedules of a training config.",
    epilog=explained(*Exit),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command that was typed; bad input is told without a traceback."""
    try:
        app(prog_name="schedule-search")
    except BadInput as error:
        for problem in error.problems:
            complain(f"error: {problem}")
        sys.exit(Exit.BAD_INPUT)


def _module(module: str) -> Callable[[typer.Context], None]:
    def call(context: typer.Context) -> None:
        sys.exit(importlib.import_module(_command_line(module)).main(context.args))

    return call


def _command_line(module: str) -> str:
    """The module whose `main` is the command line: `__main__` of a package."""
    if module == "search.dashboard":
        return "search.dashboard.serve"
    return module if module in {"search.run", "trainables.train"} else f"{module}.__main__"


for _name, (_path, _what) in MODULES.items():
    app.command(_name, help=_what, context_settings=PASSED_ON)(_module(_path))


def _examples(*commands: str) -> str:
    """The end of a command's help; after the backspace typer keeps lines as they are."""
    return "\n".join(["\b", "examples:", *(f"  schedule-search {command}" for command in commands)])


@app.command(context_settings=PASSED_ON)
def plan(context: typer.Context) -> None:
    """Print what a search would do and cost, and stop: `run --plan`."""
    sys.exit(importlib.import_module("search.run").main([*context.args, "--plan"]))


@app.command(
    "list",
    epilog=_examples("list", """list --json | jq '.[] | select(.verdict == "switch").name'"""),
)
def list_(results: Results = Path("results"), as_json: AsJson = False) -> None:
    """All searches: state, verdict, gain, trials, age and size."""
    rows, damaged = listing.rows(results)
    if as_json:
        print(json.dumps([row.as_dict() for row in rows], indent=2))  # noqa: T201
    elif rows:
        Console().print(listing.table(rows))
    else:
        say(Console(), f"no search in {results}; begin one with {shlex.join(['schedule-search', 'run', 'CONFIG'])}")
    for problem in damaged:
        complain(f"warning: {problem}")


@app.command(epilog=_examples("show demo", "show demo --json"))
def show(name: str, results: Results = Path("results"), as_json: AsJson = False) -> None:
    """One search: what its report says first, and what to do next."""
    row, told = listing.shown(_folder(name, results))
    if as_json:
        print(json.dumps(row.as_dict(), indent=2))  # noqa: T201
        return
    for line in listing.lines(row, told):
        say(Console(), line)


@app.command(
    epilog=_examples('note demo "before the data was cleaned"', 'note demo "loss rises at the end" --trial 12')
)
def note(
    name: str,
    text: Annotated[str, typer.Argument(help="empty takes the note away")],
    trial: Annotated[int | None, typer.Option(help="a trial's number; without it the search gets the note")] = None,
    results: Results = Path("results"),
) -> None:
    """Note something on a search or on one of its trials: shown by list, show, the report and MLflow."""
    from search.cli import past  # lazy: it imports MLflow, which takes seconds

    say(Console(), past.note(_folder(name, results), trial, text))


@app.command(epilog=_examples("delete demo"))
def delete(
    name: str,
    results: Results = Path("results"),
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Delete a search: its folder, and its runs and artifacts in MLflow."""
    from search.cli import past  # lazy: it imports MLflow, which takes seconds

    order = past.prepare(_folder(name, results))
    for line in order.lines():
        say(Console(), line)
    if not yes and not typer.confirm("delete all of it?"):
        sys.exit("nothing was deleted")
    for line in past.carry_out(order):
        say(Console(), line)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a search's YAML: with it editors complete and check the keys."""
    from search.cli import reference  # lazy: it imports this module

    print(reference.schema(), end="")  # noqa: T201


@app.command()
def demo(model: Annotated[str, typer.Option(help="whose demo")] = "early_inference", to: Path = Path("demo")) -> None:
    """Copy a model's demo into a folder here and run it, as a search of the folder's name: minutes on two cores."""
    with as_file(_configs() / model) as source:
        if not (source / "demo.yaml").is_file():
            known = sorted(each.name for each in _configs().iterdir() if (each / "demo.yaml").is_file())
            raise BadInput.of("--model", f"there is no demo of {model!r}; there are {', '.join(known)}")
        if to.exists():
            raise BadInput.of(str(to), "is there already; name another folder with --to")
        try:
            shutil.copytree(source, to)
        except OSError as error:
            raise BadInput.of(str(to), f"can't be written ({cause(error)}); name another folder with --to") from error
    config = to / "demo.yaml"
    words = [str(config), "--name", to.resolve().name]
    say(Console(), f"the search is {config}; to go on with it: {shlex.join(['schedule-search', 'run', *words])}")
    sys.exit(importlib.import_module("search.run").main(words))


def _configs() -> Path:
    """The example configs: those of a checkout, else those in the installed package."""
    beside = Path(__file__).resolve().parents[2] / "configs"
    return beside if beside.is_dir() else Path(str(files("search") / "configs"))


def _folder(name: str, results: Path) -> Path:
    given = Path(name)
    return given if given.is_dir() and not (results / name).is_dir() else results / name


def _version(wanted: bool) -> None:
    if wanted:
        print(tool_version())  # noqa: T201
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and stop")] = False,
) -> None:
    """Search the schedules of a training config."""
