# What `search` offers, for type checkers; at run time it is imported on its first use.
from search.api.result import Result as Result
from search.api.result import opened as open  # noqa: A004  # used as `search.open`
from search.api.tune import tune as tune
from trainables.own.local import local_run as local_run

__all__ = ["Result", "local_run", "open", "tune"]
