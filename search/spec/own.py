"""What a search of the user's own code must keep to."""

from search.spec.config import Settings
from search.stopping.asha import Asha
from spaces.problems import BadInput, Problem
from trainables.own.declaration import Declaration


def checked(settings: Settings, declared: Declaration, where: str) -> Settings:
    """The settings with a stopping rule that the user's code can be stopped by. Raises BadInput where the one asked for
    pauses trials that can't go on, and where confirmation would be void.
    """
    stopping = settings.early_stopping
    problems = []
    if declared.paused == "stop" and stopping.kind != "none":
        remedy = "use mode: stop, or declare trainable.pause: checkpoint, rerun or hold"
        if isinstance(stopping, Asha) and "mode" not in stopping.model_fields_set:
            stopping = stopping.model_copy(update={"mode": "stop"})
        elif isinstance(stopping, Asha) and stopping.mode == "promote":
            what = "promote pauses trials, and this one can't go on after a pause"
            problems.append(Problem(f"{where} early_stopping.mode", f"{what}; {remedy}"))
        elif stopping.kind in ("hyperband", "pbt"):
            what = f"{stopping.kind} pauses trials, and this one can't go on after a pause; use kind: asha"
            problems.append(Problem(f"{where} early_stopping.kind", what))
    if declared.paused == "hold" and stopping.kind == "pbt":
        what = "pbt hands one trial's state to another, and a process in memory has none to hand over"
        problems.append(Problem(f"{where} early_stopping.kind", f"{what}; use kind: asha"))
    if settings.confirm.seeds and not declared.seeded:
        what = "the command takes no {seed}, so that confirmation on fresh seeds would be void; add {seed} to it, name "
        what += "the config's key with trainable.seed, or set confirm.seeds to 0"
        problems.append(Problem(f"{where} trainable.command", what))
    if problems:
        raise BadInput(problems)
    return settings.model_copy(update={"early_stopping": stopping})
