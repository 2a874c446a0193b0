"""The models by name. A model's module is imported when it is asked for, so that start-up stays fast."""

import importlib
from typing import Any

from spaces.problems import BadInput, nearest
from trainables.run import Model

MODELS = {"early_inference": "trainables.early_inference.spec"}
"""Model name → module whose `MODEL` fulfils `trainables.run.Model`."""


def model_named(name: str, where: str = "model") -> Model[Any, Any]:
    """The model called `name`; a name with a dot is the module of a model of one's own, which workers must be able to
    import, too. Raises BadInput naming the nearest one."""
    if name not in MODELS and "." not in name:
        raise BadInput.of(where, f"no model is called {name!r}{nearest(name, MODELS)}")
    model: Model[Any, Any] = importlib.import_module(MODELS.get(name, name)).MODEL
    return model
