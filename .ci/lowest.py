"""The lowest versions that pyproject.toml allows, as pip's constraints; `make test-lowest` installs them.

A developers' tool, which has no bound, has the version of constraints.txt; what packages bring along is pip's choice.
"""

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,-]+\])?(?:>=(?P<lowest>[\w.]+))?(?:,<[\w.]+)?")


def lowest() -> dict[str, str]:
    """Package -> version, of every direct dependency and of every extra's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    known = {_normal(name): version for name, version in pins.items()}
    found: dict[str, str] = {}
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        match = REQUIREMENT.fullmatch(requirement)
        assert match is not None, f"{requirement}: expected NAME, NAME>=LOWEST or NAME>=LOWEST,<NEXT"
        name = _normal(match["name"])
        if match["lowest"]:
            found[name] = match["lowest"]
        else:
            found.setdefault(name, known.get(name, ""))
    return {name: version for name, version in found.items() if version}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in sorted(lowest().items()))
