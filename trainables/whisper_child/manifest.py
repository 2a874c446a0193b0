"""The manifest: one JSON object per line and utterance, checked whole before anything is trained. No torch."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spaces.bounds import check_regular
from spaces.problems import BadInput, Problem
from trainables.whisper_child.ages import lower_bound
from trainables.whisper_child.audio import SUFFIXES

MISSING_SHARE = 0.01  # utterances without audio that are put up with
SHOWN = 5  # items that a message names
NEEDED = ("utterance_id", "child_id", "audio_path", "age_bucket", "orthographic_text")
"""Keys that are read; session_id, audio_duration_sec, md5_hash and filesize_bytes are carried by the files."""


@dataclass(frozen=True)
class Utterance:
    """One line of a manifest."""

    number: str  # its utterance_id
    child: str
    age: str  # bucket
    text: str
    audio: Path


@dataclass(frozen=True)
class Manifest:
    """The utterances that can be trained on, in the file's order."""

    utterances: tuple[Utterance, ...]
    missing: tuple[str, ...]
    """Ids of those left out because their audio is nowhere; at most 1%."""


def read_manifest(path: Path, audio_dirs: Sequence[Path]) -> Manifest:
    """The utterances of `path` with their audio, found by basename in `audio_dirs`.

    Raises BadInput with everything wrong: no file, lines that are no JSON object, keys missing or empty, an unknown age
    bucket, an id that stands twice, a folder that isn't there, or more than 1% without audio.
    """
    problems: list[Problem] = []
    files = _files(audio_dirs, problems)
    rows = _rows(path, problems)
    found: list[Utterance] = []
    missing: list[str] = []
    seen: dict[str, int] = {}
    for line, row in rows:
        here = f"{path} line {line}"
        faults = [Problem(here, fault) for fault in _faults(row)]
        if faults:
            problems += faults
            continue
        number = str(row["utterance_id"])
        if number in seen:
            what = (
                f"utterance_id {number!r} stands in line {seen[number]}, too; your script trains on both: take one out"
            )
            problems.append(Problem(here, what))
            continue
        seen[number] = line
        audio = files.get(Path(str(row["audio_path"])).name)
        if audio is None:
            missing.append(number)
            continue
        text = " ".join(str(row["orthographic_text"]).split())
        found.append(Utterance(number, str(row["child_id"]), str(row["age_bucket"]), text, audio))
    if len(missing) > MISSING_SHARE * len(seen):
        problems.append(Problem(str(path), _too_many(missing, len(seen), audio_dirs)))
    if not problems and not found:
        problems.append(
            Problem(
                str(path), "holds no utterance; expected one JSON object per line; your script has nothing to train on"
            )
        )
    if problems:
        raise BadInput(_first(problems))
    return Manifest(tuple(found), tuple(missing))


def _files(folders: Sequence[Path], problems: list[Problem]) -> dict[str, Path]:
    """Sound files under the folders by basename; the first folder that has one wins."""
    files: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            problems.append(
                Problem(
                    str(folder),
                    "no such folder; audio_dirs hold the files that audio_path names, for your script, too: correct it",
                )
            )
            continue
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                files.setdefault(path.name, path)
    return files


def _rows(path: Path, problems: list[Problem]) -> list[tuple[int, dict[str, Any]]]:
    check_regular(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        remedy = "train_manifest names a JSONL file, one utterance per line; your script ends there: correct it"
        raise BadInput.of(str(path), f"can't be read: {error.strerror}; {remedy}") from error
    except UnicodeDecodeError as error:
        raise BadInput.of(
            str(path), f"is not UTF-8 text: {error.reason} at byte {error.start}; your script ends there: convert it"
        ) from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            problems.append(
                Problem(f"{path} line {number}", f"is not valid JSON: {error}; your script ends there: repair it")
            )
            continue
        if isinstance(row, dict):
            rows.append((number, row))
        else:
            what = f"expected an object, got {type(row).__name__}; your script finds no key in it: write it anew"
            problems.append(Problem(f"{path} line {number}", what))
    return rows


def _faults(row: dict[str, Any]) -> Iterable[str]:
    """What is wrong with the keys that are read."""
    for key in NEEDED:
        value = row.get(key)
        if value is None:
            yield f"{key} is missing; add it, or leave the utterance out: your script ends there"
        elif not str(value).strip():
            yield f"{key} is empty, and your script trains on it so; write it, or leave the utterance out"
    if str(row.get("age_bucket") or "").strip():
        try:
            lower_bound(str(row["age_bucket"]))
        except ValueError as error:
            yield f"age_bucket {error}; your script can't order it among the others"


def _too_many(missing: Sequence[str], total: int, folders: Sequence[Path]) -> str:
    shown = ", ".join(missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
    where = ", ".join(map(str, folders)) or "no folder (audio_dirs is empty)"
    return (
        f"{len(missing)} of {total} utterances have no flac or wav of the basename of their audio_path in {where}: "
        f"{shown}; at most {MISSING_SHARE:.0%} may be missing: add their folder to audio_dirs, as your script "
        "can't hear them either"
    )


def _first(problems: Sequence[Problem]) -> list[Problem]:
    """The first of many, and how many more there are."""
    most = 20
    more = [Problem("", f"… and {len(problems) - most} more problems")] if len(problems) > most else []
    return [*problems[:most], *more]
