"""The search service: plan, propose, stop early, track, confirm and export.

From Python: `search.tune(train, …)`, `search.open("results/demo")`, `search.local_run("config.yaml")`.
"""

import importlib
from typing import Any

_FOUND = {
    "Result": ("search.api.result", "Result"),
    "local_run": ("trainables.own.local", "local_run"),
    "open": ("search.api.result", "opened"),
    "tune": ("search.api.tune", "tune"),
}


def __getattr__(name: str) -> Any:
    """What is imported on its first use: pandas, torch and Ray take seconds."""
    if name not in _FOUND:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    module, attribute = _FOUND[name]
    return getattr(importlib.import_module(module), attribute)
