"""The search service: plan, propose, stop early, track, confirm and export.

From Python: `search.tune(train, …)`, `search.open("results/demo")`, `search.local_run("config.yaml")`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api.result import Result as Result
    from search.api.result import opened as open  # noqa: A004  # as in `search.open`, never imported by name
    from search.api.tune import tune as tune
    from trainables.own.local import local_run as local_run

__all__ = ["Result", "local_run", "open", "tune"]

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
    import importlib

    module, attribute = _FOUND[name]
    return getattr(importlib.import_module(module), attribute)
