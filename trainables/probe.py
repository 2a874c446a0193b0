"""Trainings for `python -m search.check`, in a process of their own, told as JSON lines.

The request comes on stdin, the answers go to stdout; what the user's code prints goes to stderr.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from spaces.paths import with_values
from spaces.problems import BadInput
from spaces.schema import NativeSection, Section, Text, Whole
from trainables.files import replacing
from trainables.own import rewritten
from trainables.own.command import CommandRun
from trainables.own.config import OwnConfig
from trainables.own.load import located
from trainables.own.model import OwnModel
from trainables.registry import model_of
from trainables.run import Diverged, Model, Prepared, Run, UserCodeError

if TYPE_CHECKING:  # it imports torch
    from trainables.own.seen import Seen
    from trainables.own.seen_elsewhere import Elsewhere

CHILD = "SCHEDULE_SEARCH_PROBE"
"""Environment variable by which code knows that it is imported for one of its functions only."""
_WAIT = 0.05  # seconds between looks for a file that another process writes


class Training(Section):
    """One training of a probe."""

    name: Text
    values: dict[str, Any] = Field(default_factory=dict)
    """What is changed in the base: dotted key -> value."""
    seed: Whole
    restore: Text | None = None
    """The file of a state to go on from; it may not be there yet."""
    until: Annotated[list[Whole], Field(min_length=1)]
    """Units at which it is evaluated."""
    evaluate: bool = False
    """Nothing is trained: the state is scored by the user's own evaluation."""
    save: Text | None = None
    """Where the state of the first evaluation goes."""


class Request(Section):
    """What a probe is to train."""

    model: Text
    trainable: dict[str, Any] | None = None
    base: dict[str, Any]
    data: dict[str, Any]
    length: Whole
    """Units of a full training."""
    folder: Text
    """For whatever the trainings write."""
    trainings: list[Training]


Say = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Do the trainings of the request on stdin."""
    os.environ[CHILD] = "1"
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = Request.model_validate(json.load(sys.stdin))

    def say(event: Mapping[str, Any]) -> None:
        print(json.dumps(event), file=answers, flush=True)

    import torch  # after the streams are apart; one thread, as a trial has

    torch.set_num_threads(1)
    run(request, say)


def run(request: Request, say: Say) -> None:
    """Do the trainings of a request, one after the other; the first that fails on the base is the last."""
    place = _runs_in(request.trainable)
    before = rewritten.stamps(place)
    for training in request.trainings:

        def told(event: Mapping[str, Any], name: str = training.name) -> None:
            say({"training": name, **event})

        trained = _trained(request, training, told)
        if not trained and not training.values:
            return
        if training.restore is None:
            after = rewritten.stamps(place)
            if trained:
                told({"event": "wrote", "files": rewritten.written(before, after)})
            before = after


def _runs_in(known: Mapping[str, Any] | None) -> Path:
    """The current folder of the trainings: a command's is that of its code."""
    command = (known or {}).get("declaration", {}).get("command")
    return Path.cwd() if known is None or not command else Path(known["folder"])


def _trained(request: Request, training: Training, say: Say) -> bool:
    """Do one training; whether it came to its end."""
    from trainables.own.seen import Seen  # torch, see above
    from trainables.own.seen_elsewhere import Elsewhere

    work = Path(request.folder) / training.name
    root = work
    known = request.trainable
    model = model_of(request.model, known, work=work)
    run: Run | None = None
    seen = Elsewhere(work / "seen") if (known or {}).get("declaration", {}).get("command") else Seen()
    try:
        config = model.parse(with_values(request.base, training.values), "the config")
        prepared = model.prepare(model.parse_data(request.data, config, "data"), config)
        root = prepared.path if known is None or "spec" not in known else Path(known["folder"])
        if training.evaluate:
            say({"event": "report", "metrics": _scored(model, config, prepared, training)})
            say({"event": "done"})
            return True
        run = model.build(config, prepared, training.seed)
        if training.restore is not None:
            run.restore(_awaited(Path(training.restore)))
            if isinstance(run, CommandRun) and not run.only_anew():
                say({"event": "ahead"})
                return True
        with seen:
            for until in training.until:
                _evaluated(model, run, until, request.length, training, seen, say)
    except Diverged as error:
        say({"event": "diverged", "what": str(error)})
        return False
    except BadInput as error:
        say({"event": "error", "what": "; ".join(map(str, error.problems))})
        return False
    except Exception as error:
        what = located(error, root)
        if isinstance(error, UserCodeError):
            what = what.replace(f"{type(error).__name__}: ", "", 1)
        say({"event": "error", "what": what, "at": getattr(run, "step", 0)})
        return False
    finally:
        if run is not None:
            run.close()
    say({"event": "done"})
    return True


def _scored(
    model: Model[Any, Any], config: NativeSection, prepared: Prepared, training: Training
) -> Mapping[str, float]:
    """What a state scores under a config."""
    from trainables.own.evaluate import objective_of  # torch, see above

    assert isinstance(model, OwnModel)
    assert isinstance(config, OwnConfig)
    assert training.restore is not None
    native = model.seeded(config.native, training.seed)
    state = _awaited(Path(training.restore))
    return {model.objective.metric: objective_of(model, native, state, training.seed, prepared.path)}


def _evaluated(
    model: Model[Any, Any], run: Run, until: int, length: int, training: Training, seen: "Seen | Elsewhere", say: Say
) -> None:
    from trainables.own.seen import weights_digest  # torch, see above

    began = time.perf_counter()
    metrics = {**run.train(until), **run.evaluate()}
    seconds = time.perf_counter() - began
    if model.objective.metric not in metrics:
        raise UserCodeError(f"no {model.objective.metric} is reported, but {', '.join(metrics)}")
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise Diverged(name, run.step, value)
    event: dict[str, Any] = {"event": "report", "step": run.step, "metrics": metrics, "seconds": seconds}
    event["validation"] = seen.taken()
    event["ended"] = run.ended
    event["retold"] = run.retold if isinstance(run, CommandRun) else None
    if until < length:  # at its end a training needs no state
        state = run.state()
        event["weights"] = weights_digest(state)
        if training.save is not None and until == training.until[0]:
            event["bytes"] = _stored(Path(training.save), state)
    say(event)


def _stored(path: Path, state: Mapping[str, Any]) -> int:
    import torch  # see above

    with replacing(path) as part:
        torch.save(dict(state), part)
        return part.stat().st_size


def _awaited(path: Path) -> Mapping[str, Any]:
    """The state in a file that another process of the probe writes; the probe's own time limit ends the wait."""
    import torch  # see above

    while not path.exists():
        time.sleep(_WAIT)
    state: Mapping[str, Any] = torch.load(path, weights_only=True)
    return state


if __name__ == "__main__":
    main()
