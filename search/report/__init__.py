"""The report of one search, `report.html` and `figures/`, from its folder alone: `python -m search.report DIR`."""

from search.report.build import write

__all__ = ["write"]
