"""The models by name. A model's module is imported when it is asked for, so that start-up stays fast."""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.problems import BadInput, nearest
from spaces.schema import parse
from trainables.own import spec
from trainables.own.model import OwnModel, Reference
from trainables.run import Model

if TYPE_CHECKING:  # only a worker needs it
    from trainables.own.keeper import Keeper

_BUILT_IN = {
    "early_inference": "trainables.early_inference.spec",
    "diphone_rnn": "trainables.diphone_rnn.spec",
    "whisper_child": "trainables.whisper_child.spec",
    "sequence_generator": "trainables.sequence_generator.spec",
    "tts": "trainables.tts.spec",
}

VARIABLE = "SCHEDULE_SEARCH_MODELS"
"""Environment variable that adds models from outside this package: `name=module,name=module`. Workers need it, too."""


def models() -> dict[str, str]:
    """Model name → module whose `MODEL` fulfils `trainables.run.Model`."""
    added = (entry.partition("=") for entry in os.environ.get(VARIABLE, "").split(",") if entry)
    return {**_BUILT_IN, **{name.strip(): module.strip() for name, _, module in added}}


def is_built_in(name: str) -> bool:
    """Whether the model comes with this package, and is not replaced by one from outside."""
    return models().get(name) == _BUILT_IN.get(name, "")


def model_named(name: str, where: str = "model") -> Model[Any, Any]:
    """The model called `name`. Raises BadInput naming the nearest one."""
    known = models()
    if name not in known:
        raise BadInput.of(where, f"no model is called {name!r}{nearest(name, known)}")
    model: Model[Any, Any] = importlib.import_module(known[name]).MODEL
    return model


def may_be_of(name: str, model: Model[Any, Any]) -> bool:
    """Whether a checkpoint of the model `name` may be one of `model`. Training code of the user's own is called as its
    YAML is, which says nothing of it."""
    return name == model.name or (isinstance(model, OwnModel) and name not in models())


def model_of(
    name: str,
    trainable: Mapping[str, Any] | None,
    where: str = "model",
    work: Path | None = None,
    copy: Path | None = None,
    keeper: "Keeper | None" = None,
) -> Model[Any, Any]:
    """The model that a job or a file names, or the one of the user's own code that it refers to.

    Args:
        name: The model's name.
        trainable: The reference to the user's own code; None for a model by name.
        where: The file and key, for errors.
        work: The folder in which one training of the user's code may write.
        copy: The copy of the code that the search's folder keeps.
        keeper: Who keeps the commands of paused trials in memory, where someone does.

    Raises:
        BadInput: for an unknown name and a damaged reference.

    """
    if trainable is None:
        return model_named(name, where)
    if "spec" in trainable:
        return spec.from_reference(trainable, where, copy)
    return OwnModel(parse(Reference, trainable, where), work, copy, keeper)
