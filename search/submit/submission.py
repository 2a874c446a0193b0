"""One submission: a search checked here, packed, and sent to a cluster that can run it."""

import argparse
import json
import os
import shlex
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search.common.commands import python
from search.common.exit_codes import Exit
from search.common.store_uri import mask
from search.persistence.checkpoint_retention import shown
from search.spec import storage
from search.spec.plan import make_plan
from search.spec.plan_text import describe
from search.spec.resolve import check_registered, resolve
from search.spec.resources import refusal
from search.spec.search import Search
from search.submit import environment, package, start
from search.submit.follow import Client, show
from search.submit.head import RESULTS, SEARCH, Head, Order, Unreachable, asked, head_at
from search.submit.tree import code_root, working_tree
from spaces.problems import BadInput, Problem, raise_any

DEFAULT_RESULTS = "~/schedule-search"
STOP_SECONDS = 90  # a search that is stopped keeps what it has, and tells MLflow so; Ray would give it 3

Say = Callable[[str], None]


def run(options: argparse.Namespace, say: Say) -> int:
    """Submit the search that `options` name and stay with it; the exit code. Raises BadInput before it is sent."""
    kept = [storage.override(options.storage)] if options.storage is not None else []
    search = resolve(options.config, [*options.overrides, *kept], options.name, options.fork)
    plan = make_plan(search)
    place = _place(options.results, search.settings.storage)
    _check_words(options, place)
    check_registered(options.register)
    say(describe(search, plan))
    for warning in search.warnings:
        say(f"warning: {warning}")
    tree = working_tree(options.config, needed(search, options.config.parent))
    _check_data(search, tree.root)
    package.check_size(tree)
    handed = environment.handed(search.settings, options.results, os.environ, options.env)
    packages = None if options.no_install else environment.packages(code_root(), search.model.name)
    head = head_at(options.address)
    for note in _checked(head, search, place):
        say(note)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "search.zip"
        notes = {start.HANDED: json.dumps(handed, sort_keys=True), **(packages.notes if packages else {})}
        size = package.write(tree, notes, archive)
        say(f"sends {len(tree.files)} files of {tree.root}, {shown(tree.size())}, packed {shown(size)}")
        shared = sorted(name for name in handed if name != environment.COMMIT)
        if shared:
            say(f"hands over {', '.join(shared)}")
        runtime_env = _runtime_env(archive, packages)
        metadata = {SEARCH: search.name, RESULTS: place}
        order = Order(entrypoint(tree.config, options, search.name, place), runtime_env, metadata)
        return _handed_in(head, search, order, options, say)


def needed(search: Search, folder: Path) -> list[Path]:
    """The files that a search whose YAML lies in `folder` reads: the user's config, and their own code."""
    base, known = search.settings.base, search.trainable
    code = [Path(known["folder"]) / name for name in known["code"]] if known is not None else []
    return [*([folder / base] if base is not None else []), *code]


def command(head: str, *words: str) -> str:
    """A command of this module, as it can be typed."""
    return python("search.submit", [*words, "--address", head])


def entrypoint(config: str, options: argparse.Namespace, name: str, kept: str) -> str:
    """The job's command, for a shell: search.run on `config`, which goes on with the search where it has begun. `kept`:
    the folder or store that the search is in.
    """
    words = [config]
    given = {"--name": options.name if options.fork else name, "--fork": options.fork, "--register": options.register}
    given["--storage"] = options.storage
    for flag, value in given.items():
        words += [flag, value] if value is not None else []
    words += [word for override in options.overrides for word in ("--set", override)]
    command = f"exec python -m {start.__name__} {shlex.join(words)}"
    results: str = options.results
    if "://" not in kept and kept != results:
        return command
    place = f"~/{shlex.quote(results[2:])}" if results.startswith("~/") and results[2:] else shlex.quote(results)
    return f"{command} --results {place}"


def _place(results: str, stored: str | None) -> str:
    """Where searches are kept, as the cluster reads it. Raises BadInput where two folders are named."""
    if stored is None:
        return results
    if "://" not in stored and results not in (DEFAULT_RESULTS, stored):
        raise BadInput.of("--results", f"{results}, but storage says {stored}: a search is kept in one; drop one")
    return stored


def _handed_in(head: Head, search: Search, order: Order, options: argparse.Namespace, say: Say) -> int:
    client = Client(head, search.settings.resources, say, show)
    look = command(head.address, "logs", "-f", search.name)
    try:
        job_id = client.submit(search.name, order)
        say(f"job {job_id} at {head.address}")
        if options.no_wait:
            say(f"look at it with: {look}")
            return Exit.DONE
        code = client.stay(search.name, job_id, order, options.retries)
    except Unreachable as error:
        say(f"{head.address} doesn't answer any more ({error}); the same command goes on when it does")
        return Exit.FAILED
    except KeyboardInterrupt:
        say(f"left; the search goes on. Back to it: {look}\nend it: {command(head.address, 'stop', search.name)}")
        return Exit.INTERRUPTED
    if code == Exit.DONE:
        to = str(Path("results") / search.name)
        say(f"fetch the result: {command(head.address, 'fetch', search.name, '--to', to)}")
    return code


def _checked(head: Head, search: Search, place: str) -> list[str]:
    """What people should know before the search is sent there. Raises BadInput where it can't run there, or does."""
    nodes, jobs = asked(head, head.nodes), asked(head, head.jobs)
    running = [job for job in jobs if (job.search, job.results, job.over) == (search.name, place, False)]
    why = refusal(search.settings.resources, nodes)
    problems = [Problem("resources", why)] if why is not None else []
    if running:
        what = f"is running there as job {running[0].id}; look at it with: "
        problems.append(Problem(search.name, what + command(head.address, "logs", "-f", running[0].id)))
    raise_any(problems)
    notes = []
    own_host = environment.own_host(search.settings, os.environ)
    if own_host is not None:
        notes.append(f"warning: {own_host}")
    if len(nodes) > 1:
        what = f"must reach {place}" if "://" in place else f"must see {place}, on NFS for instance"
        notes.append(f"{len(nodes)} nodes: each {what}")
    return notes


def _runtime_env(place: Path, packages: environment.Packages | None) -> Mapping[str, Any]:
    installed = {"pip": {"packages": list(packages.requirements), "pip_check": False}} if packages is not None else {}
    return {
        "working_dir": str(place),
        "worker_process_setup_hook": f"{start.__name__}.load",
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
        "config": {"setup_timeout_seconds": environment.INSTALL_SECONDS},
        **installed,
    }


def _check_words(options: argparse.Namespace, place: str) -> None:
    """Raise BadInput for results that no node could find, and for secrets in what the cluster shows to everybody."""
    problems = []
    for folder, word in {place: "storage", options.results: "--results"}.items():
        relative = not folder.startswith(("/", "~/")) and (word == "--results" or "://" not in folder)
        if relative or "\n" in folder:
            what = f"{folder!r} is relative to nothing at the cluster; give a folder that every node sees, as in "
            problems.append(Problem(word, f"{what}/nfs/searches or {DEFAULT_RESULTS}"))
    for text in options.overrides:
        if mask(text) != text:
            what = "carries credentials, and a job's command is shown to everybody on the cluster; set "
            problems.append(Problem(f"--set {mask(text)}", f"{what}MLFLOW_TRACKING_URI here, it is handed over unseen"))
    raise_any(problems)


def _check_data(search: Search, root: Path) -> None:
    """Raise BadInput for data in the client's folders: they are not sent."""
    problems = [
        Problem(
            f"data.{key}", f"{value} is a relative path; data is not sent along: give the path at which nodes see it"
        )
        for key, value in search.data_dump.items()
        if isinstance(value, str) and value and not Path(value).is_absolute()
        if (root / value).exists() or Path(value).exists()
    ]
    raise_any(problems)
