"""Notes of people on a search and its trials: in `notes:` of the YAML, and in `notes.json` of the search's folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spaces.problems import BadInput
from trainables.files import write_text

FILE = "notes.json"
SEARCH = "search"


def of_search(folder: Path, settings: Mapping[str, Any]) -> str:
    """What was noted of the search: in its YAML, then later."""
    return "; ".join(text for text in (settings.get("notes") or "", _read(folder).get(SEARCH, "")) if text)


def of_trials(folder: Path) -> dict[str, str]:
    """What was noted of trials, by number."""
    found = _read(folder)
    return {key: found[key] for key in sorted(found.keys() - {SEARCH}, key=int)}


def told(folder: Path, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Everything people wrote on the search, as (what, text): its notes, its tags, notes on its trials."""
    notes, tags = of_search(folder, settings), settings.get("tags") or {}
    return [
        *([("notes", notes)] if notes else []),
        *([("tags", ", ".join(f"{key} {value}" for key, value in tags.items()))] if tags else []),
        *((f"note on trial {number}", text) for number, text in of_trials(folder).items()),
    ]


def put(folder: Path, trial: int | None, text: str) -> None:
    """Note `text` on a trial, or on the search (None), in place of what was noted before; nothing: take it away."""
    found, key = _read(folder), SEARCH if trial is None else str(trial)
    found = {**found, key: text} if text else {each: said for each, said in found.items() if each != key}
    write_text(folder / FILE, json.dumps(found, indent=2) + "\n")


def _read(folder: Path) -> dict[str, str]:
    file = folder / FILE
    if not file.is_file():
        return {}
    try:
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput.of(str(file), f"is damaged ({error}); mend or delete it") from error
    whole = isinstance(found, dict) and all(key == SEARCH or key.isdecimal() for key in found)
    if not whole or not all(isinstance(text, str) for text in found.values()):
        raise BadInput.of(str(file), "is damaged: notes by number of a trial, or by `search`; mend or delete it")
    return found
