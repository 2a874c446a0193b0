"""The probe as one act: measure, or remember, and refuse what can't be searched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.check.cache import keep, kept, key_of
from search.check.findings import Finding, failure, findings
from search.check.measure import measure
from search.check.protocol import protocol
from search.common.quantities import seconds
from search.spec.search import Search
from spaces.problems import BadInput

LIMIT = 60.0
"""Seconds that a probe may take unless asked for more."""


def check(search: Search, within: float = LIMIT, again: bool = False) -> list[Finding]:
    """What is found of a search's training code.

    Args:
        search: The search, resolved.
        within: Seconds that measuring may take.
        again: Measure even where code, config and versions are those of an earlier probe.

    Raises:
        BadInput: where the baseline can't be trained, with file and line of the user's code.

    """
    key = key_of(search)
    known = None if again else kept(key)
    if known is not None:
        return known
    measured = measure(search, within)
    wrong = failure(measured)
    if wrong is not None:
        raise BadInput.of(f"{search.source} trainable", wrong)
    found = [*protocol(search), *findings(search, measured)]
    keep(key, found)
    return found


def before_search(search: Search, say: Callable[[str], None]) -> Search:
    """The search with what is found of its code. Raises BadInput where it can't be searched, or confirmed."""
    limit = search.settings.check
    if search.trainable is None or limit is None:
        return search
    allowed = seconds(limit, "check")
    if kept(key_of(search)) is None:
        say(f"check: the baseline is trained first, for at most {allowed:.0f} s …")
    found = check(search, allowed)
    refuse_void(search, found)
    for line in lines(found):
        say(line)
    return checked(search, found)


def known_findings(search: Search) -> list[Finding] | None:
    """What an earlier probe found of the same code, if there was one."""
    return kept(key_of(search)) if search.trainable is not None else None


def checked(search: Search, found: Sequence[Finding]) -> Search:
    """The search that carries what was found into plan, report and best.yaml."""
    return replace(search, checked=as_mapping(found))


def as_mapping(found: Sequence[Finding]) -> Mapping[str, Any]:
    """What was found, by question."""
    return {finding.about: finding.found for finding in found}


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
