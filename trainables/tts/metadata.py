"""The metadata files of the LJSpeech layout: one line per clip, `id|transcription` or `id|transcription|normalized`."""

from dataclasses import dataclass
from pathlib import Path

from spaces.bounds import check_regular
from spaces.problems import BadInput, Problem, raise_any


@dataclass(frozen=True)
class Line:
    """A clip as its metadata file has it."""

    id: str
    text: str
    """The normalised transcription where there is one."""
    where: str
    """The file and the line number, for errors."""


def read_metadata(path: Path) -> list[Line]:
    """The lines of a metadata file. Raises BadInput naming every line that is wrong and what was expected."""
    lines, problems = scan(path)
    raise_any(problems)
    return lines


def scan(path: Path) -> tuple[list[Line], list[Problem]]:
    """The lines of a metadata file that are right, and what is wrong with the others."""
    try:
        check_regular(path)
        content = path.read_text(encoding="utf-8-sig")
    except BadInput as error:
        return [], list(error.problems)
    except OSError as error:
        what = (
            f"can't be read: {error.strerror}; expected lines id|transcription|normalized; your script ends "
            "there: correct the name"
        )
        return [], [Problem(str(path), what)]
    except UnicodeDecodeError as error:
        return [], [
            Problem(
                str(path),
                f"is not UTF-8: {error.reason} at byte {error.start}, which your script reads as other letters or "
                "not at all; convert it",
            )
        ]
    lines: list[Line] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    rows = [(number, row) for number, row in enumerate(content.split("\n"), start=1) if row.strip()]
    split = [(number, [field.strip() for field in row.rstrip("\r").split("|")]) for number, row in rows]
    usual = _usual([len(fields) for _, fields in split])
    for number, fields in split:
        where = f"{path} line {number}"
        if (fault := _fault(fields, usual, seen)) is not None:
            problems.append(Problem(where, fault))
            continue
        seen[fields[0]] = number
        lines.append(Line(fields[0], fields[-1] or fields[1], where))
    if not problems and not lines:
        problems.append(
            Problem(
                str(path), "holds no clip; expected lines id|transcription|normalized; your script has nothing to read"
            )
        )
    return lines, problems


def _usual(counts: list[int]) -> int:
    """2 or 3: how many fields most lines of the file have. So a '|' within the text of a file of two fields is seen."""
    return 2 if counts.count(2) > counts.count(3) else 3


def _fault(fields: list[str], usual: int, seen: dict[str, int]) -> str | None:
    if len(fields) != usual:
        form = "id|transcription" if usual == 2 else "id|transcription|normalized"
        stray = "a stray '|' in the text splits it, take it out" if len(fields) > usual else "a part is missing, add it"
        return (
            f"has {len(fields)} fields, expected {usual} as in most of the file ({form}): {stray}; your script "
            "reads a part of it at most"
        )
    name = fields[0]
    if not name:
        return "has no id before the first '|', and your script no sound for it: write it"
    if "/" in name or "\\" in name or name in (".", ".."):
        return f"id {name!r} is no file name; it names wavs/<id>.wav, and your script looks elsewhere: rename it"
    if name in seen:
        return f"id {name!r} stands in line {seen[name]} already, and your script trains on both: take one out"
    if not any(fields[1:]):
        return (
            f"clip {name!r} has an empty text, and your script learns to read nothing aloud; write what is said, "
            "or take the line out"
        )
    return None
