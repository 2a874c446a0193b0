"""Which version of the code this is: of the user's, and of this tool."""

import os
import subprocess
from importlib.metadata import PackageNotFoundError, version


def tool_version() -> str:
    """The version of this tool."""
    try:
        return version("schedule-search")
    except PackageNotFoundError:
        return "a checkout that is not installed"


def git_commit() -> str | None:
    """The commit of the working folder, with `+` for uncommitted changes; None outside a repository."""
    submitted = os.environ.get("SCHEDULE_SEARCH_COMMIT")  # from where the search was submitted to a cluster
    if submitted:
        return submitted

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True)  # noqa: S603, S607
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    return commit and commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
