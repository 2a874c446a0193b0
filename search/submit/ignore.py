"""The rules of `.gitignore` files, for folders that are no git repository (gitignore(5))."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

IGNORE_FILE = ".gitignore"


@dataclass(frozen=True)
class Rule:
    """One line of a `.gitignore`."""

    pattern: re.Pattern[str]
    """Matches a path relative to the folder of the file, with slashes."""
    only_folders: bool
    keeps: bool
    """Whether it takes back what an earlier rule left out (`!`)."""


def rules(text: str) -> tuple[Rule, ...]:
    """The rules in a `.gitignore`'s text, in order: the last one that matches decides."""
    found = (_rule(line) for line in text.splitlines())
    return tuple(rule for rule in found if rule is not None)


def walk(root: Path, limit: int) -> Iterator[Path]:
    """The files under `root`, sorted, that no `.gitignore` there leaves out; at most `limit` of them.

    As git does: what lies in a folder that is left out can't be taken back, and `.git` is never looked into.
    """
    files = _walk(root, "", [])
    for _, file in zip(range(limit), files, strict=False):
        yield file


def _walk(root: Path, here: str, outer: Sequence[tuple[str, tuple[Rule, ...]]]) -> Iterator[Path]:
    own = root / here / IGNORE_FILE
    levels = [*outer, (here, rules(own.read_text(encoding="utf-8", errors="replace")))] if own.is_file() else outer
    for entry in sorted((root / here).iterdir()):
        path = f"{here}{entry.name}"
        folder = entry.is_dir() and not entry.is_symlink()
        if entry.name == ".git" or _left_out(path, folder, levels):
            continue
        if folder:
            yield from _walk(root, f"{path}/", levels)
        elif entry.is_file():
            yield entry


def _left_out(path: str, folder: bool, levels: Sequence[tuple[str, tuple[Rule, ...]]]) -> bool:
    for base, lines in reversed(levels):
        relative = path[len(base) :]
        for rule in reversed(lines):
            if (folder or not rule.only_folders) and rule.pattern.fullmatch(relative):
                return not rule.keeps
    return False


def _rule(line: str) -> Rule | None:
    text = re.sub(r"(?<!\\) +$", "", line)  # a trailing space counts only after a backslash
    keeps = text.startswith("!")
    text = text[1:] if keeps else text
    if not text or line.startswith("#"):
        return None
    only_folders = text.endswith("/")
    text = text[:-1] if only_folders else text
    anchored = "/" in text
    text = text.removeprefix("/")
    if not text:
        return None
    prefix = "" if anchored else "(?:.*/)?"
    try:
        return Rule(re.compile(prefix + _expression(text), re.DOTALL), only_folders, keeps)
    except re.error:  # such as [z-a]: git lets it match nothing
        return None


def _expression(text: str) -> str:
    """A regular expression for a pattern without its leading and trailing slash."""
    out, at = "", 0
    while at < len(text):
        if at == 0 and text.startswith("**/"):
            out, at = out + "(?:.*/)?", at + 3
        elif text.startswith("/**/", at):
            out, at = out + "/(?:.*/)?", at + 4
        elif text[at:] == "/**":
            out, at = out + "/.+", len(text)
        elif text[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif text[at] == "?":
            out, at = out + "[^/]", at + 1
        elif text[at] == "[" and (end := _bracket_end(text, at)) is not None:
            inside = text[at + 1 : end]
            negated = inside[0] in "!^"
            inside = inside[1:] if negated else inside
            escaped = inside.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace("^", "\\^")
            out, at = out + f"(?!/)[{'^' if negated else ''}{escaped}]", end + 1
        elif text[at] == "\\" and at + 1 < len(text):
            out, at = out + re.escape(text[at + 1]), at + 2
        else:
            out, at = out + re.escape(text[at]), at + 1
    return out


def _bracket_end(text: str, at: int) -> int | None:
    """Where the bracket expression that opens at `at` closes; a `]` right at its beginning is one of its characters."""
    first = at + 2 if text[at + 1 : at + 2] in ("!", "^") else at + 1
    end = text.find("]", first + 1)
    return end if end > 0 else None
