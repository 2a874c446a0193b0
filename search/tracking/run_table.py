"""How MLflow's table of runs opens from our dashboard: with the objective and the knobs, best first.

MLflow keeps a view that somebody shares as a tag of the experiment, compressed JSON by the view's key, and opens it
where the key stands in the address. Without one, its table shows no metric and no parameter.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Literal

KEY = "schedule_search"
TAG = f"mlflow.sharedViewState.{KEY}"
SHOWN = 12
"""Knobs that get a column, at most."""


def run_table(knobs: Sequence[str], mode: Literal["min", "max"]) -> str:
    """The tag's value. `mode`: the objective's."""
    objective = "metrics.`objective`"
    columns = [objective, "attributes.`Duration`", *(f"params.`{knob}`" for knob in knobs[:SHOWN])]
    view = {"selectedColumns": columns, "orderByKey": objective, "orderByAsc": mode == "min"}
    return f"deflate;{base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()}"
