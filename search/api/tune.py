"""`search.tune`: a search of a training function, from a script or a notebook."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search.api.result import Result, opened
from search.api.source import source_of
from search.common.exit_codes import Exit
from search.run import main
from search.spec.storage import JOURNAL
from spaces import strict_yaml
from trainables.files import write_text
from trainables.probe import CHILD

_LENGTHS = ("epochs", "num_epochs", "max_epochs", "num_train_epochs", "steps", "max_steps")


class SearchFailed(Exception):
    """A search that came to no result; what was wrong is printed."""


def tune(
    train: Callable[[Any], Any],
    base: Mapping[str, Any] | str | Path,
    space: Mapping[str, Any],
    budget: Mapping[str, Any],
    objective: Mapping[str, Any],
    folder: str | Path | None = None,
    more: Mapping[str, Any] | None = None,
) -> Result:
    """Search the config of a training function; called again, go on with that search, or give its result.

    Args:
        train: `train(run)`, as `trainable.function` names one.
        base: The config that is searched from, or its file.
        space: What is searched, as in a search's YAML: `{"lr": {"float": [1e-4, 1e-2], "log": True}}`.
        budget: `{"trials": 24, "steps": "20 epochs", "evaluate_every": "1 epoch"}`.
        objective: `{"val_loss": "min", "worst": 2.3}`.
        folder: The search's folder; None: `results/` and the function's name.
        more: Whatever else the YAML may hold: `{"confirm": {"seeds": 5}, "trainable": {"settles": "warmup"}}`. Without
            `settles` or `schedules` trials are compared from the first epoch on.

    Returns:
        The finished search. An interrupted one goes on with the same call.

    Raises:
        SearchFailed: for bad input and for a search of which no trial succeeded; the reasons are printed.
        TypeError: where `train` is no function, or something else no mapping.

    Example:
        >>> result = search.tune(train, {"lr": 1e-3, "epochs": 20}, {"lr": {"float": [1e-4, 1e-2], "log": True}},
        ...                      {"trials": 24}, {"val_loss": "min", "worst": 2.3})  # doctest: +SKIP
        >>> result.best  # doctest: +SKIP

    """
    if CHILD in os.environ:
        raise SystemExit("search.tune was called by a process that only wants the function")
    for name, given in {"space": space, "budget": budget, "objective": objective}.items():
        if not isinstance(given, Mapping):
            raise TypeError(f"{name}: expected a mapping as in a search's YAML, got {given!r}")
    place = Path(folder) if folder is not None else Path("results") / getattr(train, "__name__", "search")
    results, name = place.parent, place.name
    yaml = results / f"{name}.yaml"
    results.mkdir(parents=True, exist_ok=True)
    write_text(
        yaml, _yaml(train, base, {"space": space, "budget": budget}, objective, more or {}, results / f"{name}-code")
    )
    words = [str(yaml), "--name", name, "--results", str(results)]
    code = main([*words, "--resume"] if (place / JOURNAL).exists() else words)
    if code == Exit.INTERRUPTED:
        raise KeyboardInterrupt
    if code != Exit.DONE:
        raise SearchFailed(f"the search ended with exit code {int(code)}; the reason is printed above")
    return opened(place)


def _yaml(
    train: Callable[[Any], Any],
    base: Mapping[str, Any] | str | Path,
    content: Mapping[str, Any],
    objective: Mapping[str, Any],
    more: Mapping[str, Any],
    place: Path,
) -> str:
    """The search's YAML, which `python -m search.run` takes, too."""
    source = source_of(train, place)
    declared: dict[str, Any] = {
        "function": source.entry,
        "folder": str(source.folder.resolve()),
        "objective": dict(objective),
        "settles": 0,
    }
    if source.code is not None:
        declared["code"] = list(source.code)
    if isinstance(base, Mapping):
        given: dict[str, Any] = {"arguments": dict(base)}
        length = next((key for key in _LENGTHS if key in base), None)
        declared.update({"length": length} if length is not None else {})
    else:
        given = {"base": str(Path(base).resolve())}
        declared["length"] = _LENGTHS[0]
    others = {key: value for key, value in more.items() if key != "trainable"}
    trainable = {**declared, **more.get("trainable", {})}
    return "# Written by search.tune.\n" + strict_yaml.dumps({"trainable": trainable, **given, **content, **others})
