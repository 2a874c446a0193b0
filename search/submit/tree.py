"""The working tree of a search: which files a cluster needs to run it."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import search
from search.common.git import git
from search.submit import ignore
from spaces.problems import BadInput

MOST_FILES = 20_000  # a folder with more is no source tree: somebody's home, most likely
CODE = ("search", "spaces", "trainables")
_BULK = {"results", "data", "mlruns"}
"""Folders at the top of the tree that stay at home: outputs, and data, which the nodes read from where they see it."""
_NEVER = (
    ".git",
    "__pycache__",
    "*.pyc",
    ".env",
    ".env.*",
    ".netrc",
    ".pgpass",
    ".ssh",
    ".aws",
    ".ray",
    "*.pem",
    "*.key",
)
"""Whatever the ignore files say: secrets have their own way (`environment.handed`)."""


@dataclass(frozen=True)
class Tree:
    """Files to be sent: their names at the cluster and where they are here."""

    root: Path
    config: str
    """The search's YAML, relative to `root`."""
    files: Mapping[str, Path]

    def largest(self, count: int) -> list[tuple[str, int]]:
        """The names and sizes in bytes of the `count` largest files."""
        sizes = {name: path.stat().st_size for name, path in self.files.items()}
        return sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:count]

    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())


def working_tree(config: Path, needed: Iterable[Path] = ()) -> Tree:
    """The tree that `config` lies in: its git repository, else the present folder, else the config's own.

    `needed`: files that the config names; they and the config are sent even where git ignores them. The service's own
    code joins them unless the tree is its clone. Raises BadInput for a needed file outside of the tree, and for a tree
    that can't be sent.
    """
    config = config.absolute()
    root = _root(config)
    files = {path.relative_to(root).as_posix(): path for path in listed(root)}
    for path in (config, *needed):
        path = path.parent.resolve() / path.name  # `..` in it would leave the tree at the cluster
        if not path.is_relative_to(root):
            what = f"lies outside of {root}, the folder that is sent; move it there, or submit from a folder with both"
            raise BadInput.of(str(path), what)
        files[path.relative_to(root).as_posix()] = path
    relative = (config.parent.resolve() / config.name).relative_to(root).as_posix()
    return Tree(root, relative, {**files, **_own_code(root)})


def code_root() -> Path:
    """The folder in which the service's packages, and in a clone its pinned requirements, lie."""
    return Path(search.__file__).resolve().parents[1]


def listed(root: Path) -> list[Path]:
    """The files of a tree that may be sent. Raises BadInput where there are too many to be a source tree."""
    found = _ofgit(root)
    if found is None:
        found = list(islice(ignore.walk(root), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        what = f"holds more than {MOST_FILES} files; submit from the folder of your search, or list what to leave out"
        raise BadInput.of(str(root), f"{what} in {ignore.IGNORE_FILE}")
    relative = [path.relative_to(root) for path in found]
    environments = {path.parent for path in relative if path.name == "pyvenv.cfg"}
    return [root / path for path in relative if not _stays(path) and not environments & set(path.parents)]


def _stays(path: Path) -> bool:
    if len(path.parts) > 1 and path.parts[0] in _BULK:
        return True
    return any(fnmatch.fnmatchcase(part, pattern) for part in path.parts for pattern in _NEVER)


def _root(config: Path) -> Path:
    folder = config.parent.resolve()
    top = git(folder, "rev-parse", "--show-toplevel")
    if top is not None:
        return Path(top.strip()).resolve()
    here = Path.cwd().resolve()
    return here if folder.is_relative_to(here) else folder


def _ofgit(root: Path) -> list[Path] | None:
    """What git tracks or would; None outside of a repository. Submodules and links to folders are no files."""
    names = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if names is None:
        return None
    return [root / name for name in sorted(set(names.split("\0"))) if name and (root / name).is_file()]


def _own_code(root: Path) -> dict[str, Path]:
    """The service's packages, where the tree doesn't hold them itself."""
    home = code_root()
    if home == root:
        return {}
    taken = [name for name in CODE if (root / name).exists()]
    if taken:
        what = f"holds {', '.join(taken)}, where the service's own packages would go; submit from another folder"
        raise BadInput.of(str(root), what)
    paths = (path for name in CODE for path in sorted((home / name).rglob("*")) if path.is_file())
    return {p.relative_to(home).as_posix(): p for p in paths if not _stays(p.relative_to(home))}
