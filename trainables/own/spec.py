"""A model of the full protocol in a file of the user's own: `model: ./spec.py`, whose `MODEL` fulfils `run.Model`."""

import sys
from pathlib import Path
from typing import Any

from spaces.problems import BadInput
from spaces.schema import Section, Text, parse
from trainables.own import code, load
from trainables.run import Model, UserCodeError

_SUFFIX = ".py"
_NAME = "MODEL"
_NEEDED = (
    *("name", "unit", "objective", "length_key", "unsearchable", "changeable"),
    *("documented", "parse", "parse_data", "prepare", "knobs", "static", "settles", "build", "write_native"),
)

BRINGS_TORCH: set[Path] = set()
"""The models' files whose import has brought torch into this process."""


class SpecReference(Section):
    """All that is needed to load the model again, in another process or from a file."""

    name: Text
    spec: Text
    """The model's file, relative to `folder`."""
    folder: Text
    relative: Text
    """The folder, from where the search was started."""
    code: dict[Text, Text]
    """The model's files, relative to the folder, with their digests."""


def is_file(model: str) -> bool:
    """Whether a search's `model:` is a file, and no model's name."""
    return model.endswith(_SUFFIX)


def from_file(given: str, yaml: Path) -> tuple[Model[Any, Any], SpecReference]:
    """The model in the file that a search's YAML names, and what refers to it.

    Raises:
        BadInput: where there is no such file, it can't be imported, or its `MODEL` lacks something.

    """
    where = f"{yaml} model"
    path = (yaml.parent / given).resolve()
    if not path.is_file():
        raise BadInput.of(where, f"{path} is no file; give the path of the model's spec.py, from this YAML's folder")
    beside = yaml.parent.resolve()
    root = beside if path.is_relative_to(beside) else path.parent
    file = path.relative_to(root).as_posix()
    model = _loaded(root, file, where)
    relative = root.relative_to(Path.cwd()).as_posix() if root.is_relative_to(Path.cwd()) else "."
    files = code.digests(root, code.files_of(root, [file]))
    return model, SpecReference(name=model.name, spec=file, folder=str(root), relative=relative, code=files)


def from_reference(raw: Any, where: str, copy: Path | None = None) -> Model[Any, Any]:
    """The model that a file or a job refers to. Raises BadInput where its code is not what it was."""
    known = parse(SpecReference, raw, where)
    return _loaded(code.located(known.folder, known.relative, known.code, copy), known.spec, where)


def _loaded(root: Path, file: str, where: str) -> Model[Any, Any]:
    had = "torch" in sys.modules
    try:
        model: Model[Any, Any] = load.imported(root, file, _NAME)
    except UserCodeError as error:
        raise BadInput.of(where, str(error)) from error
    if not had and "torch" in sys.modules:
        BRINGS_TORCH.add(root / file)
    missing = [name for name in _NEEDED if not hasattr(model, name)]
    if missing:
        what = f"{file}: {_NAME} has no {', '.join(missing)}; trainables.run.Model says what a model needs"
        raise BadInput.of(where, what)
    return model
