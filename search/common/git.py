"""Which version of the code this is: of the user's, of this tool, and of what it runs on."""

import os
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TRAINERS = ("transformers", "accelerate", "lightning", "pytorch-lightning")
"""Packages that train for the user's own code, where they are installed."""


def tool_version() -> str:
    """The version of this tool."""
    try:
        return version("schedule-search")
    except PackageNotFoundError:
        return "a checkout that is not installed"


def installed(names: Iterable[str]) -> dict[str, str]:
    """The version of each of these packages that is installed."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def git_commit() -> str | None:
    """The commit of the working folder, with `+` for uncommitted changes; None outside a repository."""
    submitted = os.environ.get("SCHEDULE_SEARCH_COMMIT")  # from where the search was submitted to a cluster
    if submitted:
        return submitted

    commit = git(Path(), "rev-parse", "HEAD", seconds=5)
    changed = commit and git(Path(), "status", "--porcelain", "--untracked-files=no", seconds=5)
    return commit and commit.strip() + ("+" if changed else "")


def git(folder: Path, *words: str, seconds: float = 60) -> str | None:
    """What a git command prints in `folder`; None where it fails or takes longer."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=seconds)  # noqa: S603, S607
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
