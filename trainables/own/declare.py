"""Making the model of a search's declared trainable."""

import os
import shlex
from itertools import pairwise
from pathlib import Path

from trainables.own import code
from trainables.own.declaration import Declaration
from trainables.own.model import OwnModel, Reference

_PATH = "PYTHONPATH="  # as in `env PYTHONPATH=src python -m mine.train`


def from_declaration(declared: Declaration, yaml: Path, base: tuple[str, str | None]) -> OwnModel:
    """The model of a search's `trainable:`.

    Args:
        declared: What the YAML declares.
        yaml: The search's YAML; the code lies beside it, or in the declared folder.
        base: Name and text of the user's config file; no text where there is none.

    Raises:
        BadInput: where the declared code isn't there.

    """
    root = (yaml.parent / declared.folder).resolve()
    here = Path.cwd()
    relative = root.relative_to(here).as_posix() if root.is_relative_to(here) else "."
    where = f"{yaml} trainable"
    if declared.command is None:
        file, name = declared.entry
        code.function_in(root / file, name, f"{where}.{declared.way}")
        if declared.evaluate is not None:
            file, name = declared.entry_of(declared.evaluate)
            code.function_in(root / file, name, f"{where}.evaluate")
    if declared.code is not None:
        files = code.named(root, declared.code, f"{where}.code")
    else:
        files = code.files_of(root, _started(declared))
    return OwnModel(
        Reference(
            name=yaml.stem,
            declaration=declared,
            folder=str(root),
            relative=relative,
            code=code.digests(root, files),
            base_name=base[0],
            base_text=base[1],
        )
    )


def _started(declared: Declaration) -> list[str]:
    """The files that the declared code starts with: the function's, or those that the command names."""
    if declared.command is None:
        return [declared.entry[0], *([] if declared.evaluate is None else [declared.entry_of(declared.evaluate)[0]])]
    words = shlex.split(f"{declared.command} {declared.evaluate or ''}")
    modules = [after.replace(".", "/") for word, after in pairwise(words) if word == "-m"]
    paths = [place for word in words if word.startswith(_PATH) for place in word.removeprefix(_PATH).split(os.pathsep)]
    places = ["", "src/", *(f"{place.rstrip('/')}/" for place in paths if place and place[0] not in "/.")]
    ends = (".py", "/__main__.py")
    return [
        *words,
        *(os.path.normpath(f"{place}{module}{end}") for place in places for module in modules for end in ends),
    ]
