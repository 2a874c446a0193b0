"""What must lie on this machine for a search to begin here: its data, an earlier search, variables, folders."""

import os
from pathlib import Path

from search.common.store_uri import unusable_folder
from search.history import journal
from search.spec.config import Notify, Settings, WarmStart
from search.spec.problems import Problems
from search.spec.storage import JOURNAL, Home, located
from spaces.problems import BadInput, Problem, nearest
from spaces.schema import Section, located_in


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
    problems = [
        Problem(f"{where} data.{key}", f"{found}: no such folder; a relative path is from where the command runs")
        for key, text in located_in(data)
        if not (found := Path(text).expanduser().absolute()).exists()
    ]
    if problems:
        raise BadInput(problems)


def check_notify(notify: Notify | None, source: str) -> None:
    """Raise BadInput where the webhook's address is missing."""
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
