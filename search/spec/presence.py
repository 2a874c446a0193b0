"""A checkpoint that a training config starts from and that is not there, found before data is read or generated."""

from collections.abc import Mapping
from typing import Any

from search.spec.search import Search
from spaces.paths import get, has
from spaces.problems import BadInput, Problem
from trainables.start import WEIGHTS

NOT_NAMED = (None, "", "None")  # users' files write None, which YAML reads as text


def check_weights(search: Search) -> None:
    """Raise BadInput for a checkpoint that the base starts from and that is not there."""
    keys: Mapping[str, Any] = WEIGHTS.get(search.model.name, {})
    held = {key: get(search.base, key) for key in keys if has(search.base, key)}
    wanted = [key for key, value in keys.items() if value is None and held.get(key) not in NOT_NAMED]
    if not wanted or any(value is not None and held.get(key) != value for key, value in keys.items()):
        return
    from trainables.start_weights import Start  # lazy: torch takes seconds to import, and few searches need it

    for key in wanted:
        try:
            Start(key, str(held[key])).file()
        except BadInput as error:
            named = [Problem(f"{search.base_name} {each.where}", each.what) for each in error.problems]
            raise BadInput(named) from error
