"""The files of a folder that is no git repository, without what its `.gitignore` files leave out (gitignore(5))."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gitignore"


def walk(root: Path, here: str = "", outer: Sequence[tuple[str, GitIgnoreSpec]] = ()) -> Iterator[Path]:
    """The files under `root`, sorted, that no `.gitignore` there leaves out. `here`: the folder to begin with, where
    the rules of `outer` hold, too.

    As git does: what lies in a folder that is left out can't be taken back, and `.git` is never looked into.
    """
    own = root / here / IGNORE_FILE
    levels = [*outer, (here, rules(own.read_text(encoding="utf-8", errors="replace")))] if own.is_file() else outer
    for entry in sorted((root / here).iterdir()):
        path = f"{here}{entry.name}"
        folder = entry.is_dir() and not entry.is_symlink()
        if entry.name == ".git" or _left_out(f"{path}/" if folder else path, levels):
            continue
        if folder:
            yield from walk(root, f"{path}/", levels)
        elif entry.is_file():
            yield entry


def rules(text: str) -> GitIgnoreSpec:
    """The rules in a `.gitignore`'s text. A line that is no pattern, such as `[z-a]`, matches nothing, as in git."""
    lines = text.splitlines()
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _left_out(path: str, levels: Sequence[tuple[str, GitIgnoreSpec]]) -> bool:
    """Whether the nearest file with a rule that matches `path` leaves it out; a folder's path ends with a slash."""
    for base, spec in reversed(levels):
        include = spec.check_file(path[len(base) :]).include
        if include is not None:
            return include
    return False
