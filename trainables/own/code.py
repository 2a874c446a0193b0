"""The user's code as files: which of them belong to a trainable, what they hold, and where they are on this machine."""

import ast
import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from spaces.problems import BadInput, Problem, raise_any

_SKIPPED = {"__pycache__", ".git"}


def files_of(root: Path, start: Iterable[str]) -> list[str]:
    """The Python files below `root` that those in `start` are or import, as paths relative to it, sorted.

    Imports are read from the syntax tree; what a program imports by a computed name must be said in `code:`.
    """
    found: set[str] = set()
    waiting = [name for name in start if (root / name).is_file()]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name.endswith(".py"):
            above = (parent / "__init__.py" for parent in Path(name).parents)
            waiting += [path.as_posix() for path in above if (root / path).is_file()]
            waiting += _imported(root, name)
    return sorted(found)


def named(root: Path, entries: Iterable[str], where: str) -> list[str]:
    """The files of `code:`: a file, a folder's files, or a pattern's matches. Raises BadInput for what isn't there."""
    found: set[str] = set()
    problems = []
    for entry in entries:
        path = root / entry
        if Path(entry).is_absolute() or ".." in Path(entry).parts:
            problems.append(Problem(where, f"{entry!r} lies outside of {root}; name files below the YAML's folder"))
            continue
        matches = [path] if path.is_file() else path.rglob("*") if path.is_dir() else root.glob(entry)
        kept = [p for p in matches if p.is_file() and not _SKIPPED & set(p.relative_to(root).parts)]
        if not kept:
            problems.append(Problem(where, f"{entry!r}: there is no such file in {root}"))
        found |= {p.relative_to(root).as_posix() for p in kept if p.suffix != ".pyc"}
    raise_any(problems)
    return sorted(found)


def digests(root: Path, files: Iterable[str]) -> dict[str, str]:
    """Each file's name and the digest of its content; files that are gone are left out."""
    return {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest()[:16] for name in files if (root / name).is_file()
    }


def together(code: Mapping[str, str]) -> str:
    """One digest of all files."""
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(code.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def changed(root: Path, code: Mapping[str, str]) -> list[str]:
    """The files that are not what they were."""
    now = digests(root, code)
    return [name for name, digest in sorted(code.items()) if now.get(name) != digest]


def located(root: str, relative: str, code: Mapping[str, str], copy: Path | None) -> Path:
    """The folder of the code on this machine: where it was, the same below a folder that Python imports from (a job's
    working folder on another node), or the copy in the search's folder. Raises BadInput naming the files that differ.
    """
    places = [Path(root), *(Path(entry or ".") / relative for entry in sys.path)]
    places += [copy] if copy is not None else []
    for place in places:
        if place.is_dir() and not changed(place, code):
            return place.resolve()
    if Path(root).is_dir():
        names = ", ".join(changed(Path(root), code))
        what = (
            f"the code has changed since the search began: {names}; undo that, or begin a new search with --fork NAME"
        )
        raise BadInput.of(root, what)
    raise BadInput.of(root, "the code is not here; restore the folder")


def function_in(path: Path, name: str, where: str) -> None:
    """Check, without running it, that the file at `path` defines `name`. Raises BadInput."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise BadInput.of(where, f"{path} can't be read: {error.strerror}; name a file beside this YAML") from error
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        told = error.msg if isinstance(error, SyntaxError) else error
        raise BadInput.of(where, f"{path}{line}: not valid Python: {told}") from error
    defined = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                defined.add(node.name)
            case ast.AsyncFunctionDef() if node.name == name:
                raise BadInput.of(where, f"{path} line {node.lineno}: {name} is async; give a plain function")
            case ast.Import() | ast.ImportFrom():
                defined |= {alias.asname or alias.name for alias in node.names}
            case ast.Name(ctx=ast.Store()):
                defined.add(node.id)
            case _:
                pass
    if name not in defined and "*" not in defined:
        has = ", ".join(n.name for n in tree.body if isinstance(n, ast.FunctionDef)) or "none"
        raise BadInput.of(where, f"{path} has no function {name!r}; its functions: {has}")


def imports_relatively(path: Path) -> bool:
    """Whether a file imports from its own package by dots."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.ImportFrom) and node.level > 0 for node in ast.walk(tree))


def _imported(root: Path, name: str) -> list[str]:
    """The files below `root` that one of its files imports."""
    try:
        tree = ast.parse((root / name).read_bytes())
    except (SyntaxError, ValueError):
        return []
    found: list[str] = []
    package = Path(name).parent
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += _module(root, package, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package
            for _ in range(node.level - 1):
                base = base.parent
            module = node.module or ""
            for alias in node.names:
                names = (f"{module}.{alias.name}".strip("."), module)
                found += next((hit for n in names if n and (hit := _module(root, base, n, node.level > 0))), [])
    return found


def _module(root: Path, package: Path, dotted: str, relative: bool = False) -> list[str]:
    """The file of the module `dotted`, imported from a file in `package`; none where it lies elsewhere."""
    inner = Path(*dotted.split("."))
    for base in (package,) if relative else dict.fromkeys((Path(), package, *package.parents)):
        place = base / inner
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if (root / file).is_file():
                return [file.as_posix()]
    return []
