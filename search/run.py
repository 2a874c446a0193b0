"""One search from the command line to the exported best config: `python -m search.run CONFIG`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from search.check import probe
from search.common.clock import now
from search.common.command_line import argument_parser, command, say
from search.common.commands import python
from search.common.exit_codes import Exit
from search.spec import here, sharing, storage
from search.spec.as_begun import as_begun
from search.spec.plan import Plan, make_plan
from search.spec.plan_text import describe
from search.spec.resolve import check_registered, resolve
from search.spec.search import Search, adopted
from search.spec.start import check_data
from search.spec.storage import DESCRIPTION, Home
from spaces import strict_yaml
from spaces.paths import has
from spaces.problems import BadInput, Problem
from spaces.values import show
from trainables.own.load import located
from trainables.own.model import OwnModel
from trainables.run import Prepared
from trainables.screen import Screen

if TYPE_CHECKING:  # it takes a while to import
    from search.persistence.object_store_journal import Mirror


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit codes are those of `search.common.exit_codes`."""
    options = _options(arguments)
    return command(lambda console, screen: _run(options, console, screen))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argument_parser(
        "search.run",
        "Search a training config's schedules.",
        list(Exit),
        "mine.yaml --plan",
        "mine.yaml --set budget.trials=40 --name longer",
        "mine.yaml --name longer --resume",
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the search's YAML")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="change a key of CONFIG"
    )
    parser.add_argument("--name", help="the search's folder under --results")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    kept = "a folder that every node sees, or s3://BUCKET/PREFIX, to keep the search in; default: the folder --results"
    parser.add_argument("--storage", metavar="WHERE", help=kept)
    parser.add_argument("--plan", action="store_true", help="print what would be done, and stop")
    parser.add_argument("--resume", action="store_true", help="go on with a search that exists")
    parser.add_argument("--fork", metavar="NAME", help="begin a new search with the trials of the one that exists")
    parser.add_argument("--address", metavar="ADDR", help="a Ray cluster; default: RAY_ADDRESS, else this machine")
    parser.add_argument("--seed", type=int, metavar="N", help="sampler.seed")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("-q", "--quiet", action="store_true", help="warnings, the verdict and where things are; no more")
    told.add_argument("-v", "--verbose", action="store_true", help="a line per evaluation, on a terminal, too")
    parser.add_argument("--register", metavar="NAME", help="make the winner a version of this registered MLflow model")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, console: Console, screen: Screen) -> int:
    seed = [f"sampler.seed={options.seed}"] if options.seed is not None else []
    if options.fork and options.resume:
        raise BadInput.of("--fork", "begins a new search, or goes on with it when typed again: leave --resume out")
    check_registered(options.register)
    kept = [storage.override(options.storage)] if options.storage is not None else []
    overrides = [*options.overrides, *seed, *kept]
    search = resolve(options.config, overrides, options.name, options.fork, options.results)
    plan = make_plan(search)
    aside = Console(quiet=True) if options.quiet and not options.plan else console
    say(aside, describe(search, plan))
    for warning in search.warnings:
        say(console, f"warning: {warning}")
    home = storage.located(search.settings.storage, options.results, search.name)
    if options.plan:
        _check_earlier(search, home, options.config.parent)
        for line in _known(search, options):
            say(console, line)
        here.check_weights(search)
        return Exit.DONE
    from search.persistence import (
        folder,  # pandas takes a while to import; --plan has no use for it
        local_copy,
    )

    folder.check_name(home.path, options.resume and home.store is None)
    with local_copy.held(home, lambda text: say(console, text)) as mirror:
        folder.check_name(home.path, options.resume)
        search, plan = _as_begun(search, plan, home.path, aside)
        screen.keep_in(home.path)
        return _sit(options, search, plan, home, mirror, console, aside)


def _as_begun(search: Search, plan: Plan, path: Path, console: Console) -> tuple[Search, Plan]:
    """The search with what its folder recorded where the user says nothing, planned anew if that differs."""
    recorded = strict_yaml.load(path / DESCRIPTION) if (path / DESCRIPTION).is_file() else None
    known = as_begun(search, recorded) if isinstance(recorded, dict) else search
    if known.identity() == search.identity() and known.settings.share == search.settings.share:
        return search, plan
    before, plan = describe(search, plan), make_plan(known)
    text = describe(known, plan)
    anew = f"; planned anew\n{text}" if text != before else ""
    shared = search.settings.model_copy(update={"share": known.settings.share})  # `auto` as it was decided: no change
    if anew or known.identity() != replace(search, settings=shared).identity():
        say(console, f"what the YAML leaves out stays as this search began{anew}")
    return known, plan


def _sit(
    options: argparse.Namespace,
    search: Search,
    plan: Plan,
    home: Home,
    mirror: "Mirror | None",
    console: Console,
    aside: Console,
) -> int:
    """`aside`: where what `--quiet` leaves out is told."""
    path = home.path
    # Ray, torch, Optuna and MLflow take seconds to import: only from here on, so that bad input is answered quickly.
    from search.app import notify, session
    from search.app.invocation import Detail, Invocation
    from search.persistence import folder, local_copy
    from search.warm_start import earlier, warm

    local_copy.bring_source(home, search)
    if options.fork:
        earlier.check_fork(search, path)
    old = earlier.read(search, path, options.config.parent)
    if isinstance(search.model, OwnModel):  # its data is its code: a change is told before the probe trains
        folder.check_same(path, search, _prepared(search).digest, open_=("share",))  # which the probe may withdraw
    search = probe.before_search(search, lambda text: say(aside, text))
    if (why := sharing.withdrawn(search, plan.shared)) is not None:
        say(console, f"{why}; planned anew")
        search = sharing.settled(search, sharing.NONE)
        plan = make_plan(search)
    prepared = _prepared(search)
    say(aside, f"data: {prepared.summary}")
    known = adopted(search, prepared.keys)
    if known is not search:
        search, plan = known, make_plan(known)
        told = ", ".join(f"{key}: {show(value)}" for key, value in prepared.keys.items())
        say(aside, f"the data says {told}; planned anew\n{describe(search, plan)}")
    search = sharing.settled(search, plan.shared)
    start = warm.warm_start(search, old, prepared.digest, now()) if old is not None else None
    again = _again(options)
    detail: Detail = "quiet" if options.quiet else "verbose" if options.verbose else "normal"
    asked = Invocation(
        search, plan, prepared, path, options.address, again, console, detail, start, options.register, mirror
    )
    try:
        code = session.run(asked)
    except KeyboardInterrupt:
        say(console, f"stopped at once; go on with: {again}")
        return Exit.INTERRUPTED
    notify.tell(search.settings.notify, path, code, lambda text: say(console, text))
    return code


def _prepared(search: Search) -> Prepared:
    """The data, checked, and that trials can start with it. Raises BadInput; what is wrong with a key of the base is
    said with the base's name."""
    here.check_weights(search)
    try:
        prepared = search.model.prepare(search.data, search.model.parse(search.base, "base"))
        check_data(search.start, search.model, search.base, search.data, prepared.digest)
    except BadInput as error:
        named = (
            Problem(f"{search.base_name} {found.where}", found.what) if has(search.base, found.where) else found
            for found in error.problems
        )
        raise BadInput(named) from error
    except Exception as error:
        if search.outside is None:
            raise
        what = located(error, Path(search.outside["folder"]))
        raise BadInput.of(f"{search.source} data", f"{what} (relative paths start in {Path.cwd()})") from error
    return prepared


def _check_earlier(search: Search, home: Home, beside: Path) -> None:
    """Raise BadInput where nothing can be taken over from what `warm_start:` names."""
    if search.settings.warm_start is None:
        return
    from search.warm_start import earlier  # MLflow takes seconds to import

    earlier.read(search, home.path, beside)


def _known(search: Search, options: argparse.Namespace) -> list[str]:
    """What was found of the user's own code, or how to find it."""
    if search.trainable is None:
        return []
    found = probe.kept(search)
    sets = [word for override in options.overrides for word in ("--set", override)]
    return probe.lines(found) if found else [f"not checked yet: {python('search.check', [str(options.config), *sets])}"]


def _again(options: argparse.Namespace) -> str:
    """The command that goes on with this search."""
    words = [str(options.config)]
    for override in options.overrides:
        words += ["--set", override]
    given = {"--name": options.name, "--seed": options.seed, "--address": options.address, "--storage": options.storage}
    given["--register"] = options.register
    for flag, value in given.items():
        words += [flag, str(value)] if value is not None else []
    words += ["--results", str(options.results)] if options.results != Path("results") else []
    words += ["--fork", options.fork] if options.fork else ["--resume"]
    return python("search.run", words)


if __name__ == "__main__":
    sys.exit(main())
