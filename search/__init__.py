"""The search service: plan, propose, stop early, track, confirm and export.

From Python: `search.tune(train, …)`, `search.open("results/demo")`, `search.local_run("config.yaml")`.
"""

import importlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

_FOUND = {
    "Result": ("search.api.result", "Result"),
    "local_run": ("trainables.own.local", "local_run"),
    "open": ("search.api.result", "opened"),
    "tune": ("search.api.tune", "tune"),
}


def _pin(name: str) -> None:
    """Import the package `name` that lies beside this one: `python -m` looks into the working folder first, where a
    user may have a folder or a file of that name.
    """
    folder = Path(__file__).parents[1] / name
    spec = spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    if name in sys.modules or spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        return
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


def __getattr__(name: str) -> Any:
    """What is imported on its first use: pandas, torch and Ray take seconds."""
    if name not in _FOUND:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    module, attribute = _FOUND[name]
    return getattr(importlib.import_module(module), attribute)


_pin("trainables")
