"""What the probe found, kept by what it depends on: code, config, space and versions."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from search.check.findings import Finding
from search.spec.search import Search
from spaces.problems import BadInput
from trainables.cache import cache_root, content_key
from trainables.files import write_text

_KIND = "checked"
_VERSION = 3  # of what is measured and of how it is told
_PACKAGES = ("torch", "numpy", "transformers", "accelerate", "lightning", "pytorch-lightning")


def key_of(search: Search) -> str:
    """The key of all that findings depend on."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    known = {"check": _VERSION, "python": platform.python_version(), "packages": packages, "every": search.every}
    return content_key({**search.identity(), **known})


def kept(key: str) -> list[Finding] | None:
    """The findings under `key`, if there are any."""
    try:
        found = json.loads((cache_root() / _KIND / f"{key}.json").read_text(encoding="utf-8"))
        return [Finding(**each) for each in found]
    except (OSError, ValueError, TypeError):
        return None


def keep(key: str, findings: Sequence[Finding]) -> None:
    """Keep findings for the next search of the same code. Where nothing can be written, they are found again."""
    place = cache_root() / _KIND / f"{key}.json"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, json.dumps([each.as_dict() for each in findings], indent=1) + "\n")
    except (OSError, BadInput):
        return
