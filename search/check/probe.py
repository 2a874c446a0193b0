"""The probe as one act: measure, or remember, and refuse what can't be searched."""

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from search.check.findings import Finding, failure, findings
from search.check.measure import measure
from search.check.protocol import protocol
from search.common.git import TRAINERS, installed
from search.common.quantities import seconds
from search.spec.search import Search
from spaces.problems import BadInput
from trainables.cache import cache_root, content_key
from trainables.files import write_text

LIMIT = 60.0
"""Seconds that a probe may take unless asked for more."""
_VERSION = 6  # of what is measured and of how it is told
_PACKAGES = ("torch", "numpy", *TRAINERS)


def check(search: Search, within: float = LIMIT, again: bool = False) -> list[Finding]:
    """What is found of a search's training code.

    Args:
        search: The search, resolved.
        within: Seconds that measuring may take.
        again: Measure even where code, config and versions are those of an earlier probe.

    Raises:
        BadInput: where the baseline can't be trained, with file and line of the user's code.

    """
    known = None if again else kept(search)
    if known is not None:
        return known
    measured = measure(search, within)
    wrong = failure(measured)
    if wrong is not None:
        raise BadInput.of(f"{search.source} trainable", wrong)
    found = [*protocol(search), *findings(search, measured)]
    _keep(search, found)
    return found


def before_search(search: Search, say: Callable[[str], None]) -> Search:
    """The search with what is found of its code. Raises BadInput where it can't be searched, or confirmed."""
    limit = search.settings.check
    if search.trainable is None or limit is None:
        return search
    allowed = seconds(limit, "check")
    if kept(search) is None:
        say(f"check: the baseline is trained first, for at most {allowed:.0f} s …")
    found = check(search, allowed)
    refuse_void(search, found)
    for line in lines(found):
        say(line)
    return replace(search, checked={each.about: each.found for each in found})  # for plan, report and best.yaml


def refuse_void(search: Search, found: Sequence[Finding]) -> None:
    """Raise BadInput where confirmation is asked for and would mean nothing."""
    if not search.settings.confirm.seeds:
        return
    for finding in found:
        if finding.level == "void":
            raise BadInput.of("confirm.seeds", f"{finding.text}; mend that, or set confirm.seeds to 0")


def lines(found: Sequence[Finding]) -> list[str]:
    """The findings for a terminal: one line each, those that need attention with what they mean."""
    signs = {"good": " ", "note": " ", "warning": "!", "void": "!"}
    wide = max([10, *(len(each.about) for each in found)])
    return [
        f"{signs[each.level]} {each.about:<{wide}} {each.found}{f': {each.text}' if each.text else ''}"
        for each in found
    ]


def _place(search: Search) -> Path:
    """The file of what was found, named by all that it depends on."""
    known = {"check": _VERSION, "python": platform.python_version(), "every": search.every}
    known["packages"] = installed(_PACKAGES)
    return cache_root() / "checked" / f"{content_key({**search.identity(), **known})}.json"


def kept(search: Search) -> list[Finding] | None:
    """What an earlier probe found of the same code, config and versions, if there was one."""
    try:
        return [Finding(**each) for each in json.loads(_place(search).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return None


def _keep(search: Search, found: Sequence[Finding]) -> None:
    """Keep findings for the next search of the same code. Where nothing can be written, they are found again."""
    place = _place(search)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, json.dumps([asdict(each) for each in found], indent=1) + "\n")
    except (OSError, BadInput):
        return
