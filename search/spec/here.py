"""What must lie on this machine for a search to begin here: its data, an earlier search, a checkpoint that its training
config starts from, variables, folders. All is found missing before data is read or generated."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.common.store_uri import unusable_folder
from search.history import journal
from search.spec.config import Notify, Settings, WarmStart
from search.spec.problems import Problems
from search.spec.search import Search
from search.spec.storage import JOURNAL, Home, located
from spaces.paths import get, has
from spaces.problems import BadInput, Problem, nearest, raise_any
from spaces.schema import Section, located_in
from trainables.start import WEIGHTS

NOT_NAMED = (None, "", "None")  # users' files write None, which YAML reads as text


def check(settings: Settings, path: Path, results: Path, name: str, problems: Problems) -> None:
    """Look for what the search `name`, of the YAML `path`, needs here; what is missing goes to `problems`."""
    where = str(path)
    home = problems.checked(lambda: located(settings.storage, results, name), "storage")
    problems.checked(lambda: check_notify(settings.notify, where), "notify")
    if home is None:
        return
    folder = home.path
    if not (settings.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI")):
        problems.checked(lambda: _check_results(folder.parent), "tracking")
    if home.store is None:  # with a store the folder may still have to be made from it
        problems.checked(lambda: _check_warm_start(settings.warm_start, home, path.parent), "warm_start")


def check_data(data: Section, where: str) -> None:
    """Raise BadInput for each folder or file that the section `data:` names and that is not there."""
    raise_any(
        Problem(f"{where} data.{key}", f"{found}: no such folder; a relative path is from where the command runs")
        for key, text in located_in(data)
        if not (found := Path(text).expanduser().absolute()).exists()
    )


def check_weights(search: Search) -> None:
    """Raise BadInput for a checkpoint that the base starts from and that is not there."""
    keys: Mapping[str, Any] = WEIGHTS.get(search.model.name, {})
    held = {key: get(search.base, key) for key in keys if has(search.base, key)}
    wanted = [key for key, value in keys.items() if value is None and held.get(key) not in NOT_NAMED]
    if not wanted or any(value is not None and held.get(key) != value for key, value in keys.items()):
        return
    from trainables.start_weights import Start  # lazy: torch takes seconds to import, and few searches need it

    for key in wanted:
        try:
            Start(key, str(held[key])).file()
        except BadInput as error:
            named = [Problem(f"{search.base_name} {each.where}", each.what) for each in error.problems]
            raise BadInput(named) from error


def check_notify(notify: Notify | None, source: str) -> None:
    """Raise BadInput where the program is missing, or the webhook's address."""
    if notify is not None and notify.command is not None and shutil.which(notify.command[0]) is None:
        what = f"there is no program {notify.command[0]} here (looked for in PATH, a path from where the command runs)"
        raise BadInput.of(f"{source} notify.command", what)
    if notify is None or notify.webhook is None:
        return
    address = os.environ.get(notify.webhook)
    if address is None or not address.startswith(("https://", "http://")):
        what = "is not set" if address is None else "holds no http:// or https:// address"
        where = f"{source} notify.webhook"
        raise BadInput.of(where, f"the environment variable {notify.webhook} {what}; export it before the search")


def earlier_folder(start: WarmStart, path: Path, beside: Path) -> Path:
    """The folder of the search that the one at `path` starts from; `beside`: the YAML's folder. Raises BadInput where
    there is none."""
    assert start.search is not None, "an experiment has no folder"
    folder = beside / start.search if "/" in start.search else path.parent / start.search
    if folder.resolve() == path.resolve():
        raise BadInput.of("warm_start.search", f"{start.search} is this search itself; name an earlier one")
    if not folder.is_dir():
        near = nearest(folder.name, [found.parent.name for found in folder.parent.glob(f"*/{JOURNAL}")])
        what = f"there is no such search to start from{near.replace('valid keys', 'there are')}"
        raise BadInput.of(str(folder), what)
    if not (folder / JOURNAL).exists():
        raise BadInput.of(str(folder), "holds no search to start from")
    return folder


def _check_warm_start(start: WarmStart | None, home: Home, beside: Path) -> None:
    if start is not None and start.search is not None and not journal.begun(home.path / JOURNAL):
        earlier_folder(start, home.path, beside)


def _check_results(results: Path) -> None:
    if odd := unusable_folder(results):
        raise BadInput.of(str(results), odd)
