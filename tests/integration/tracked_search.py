"""A finished search in an MLflow store and an Optuna study beside it, made without training."""

from pathlib import Path

import optuna
from optuna.study import StudyDirection
from tracking_thread import Tracking

from search.history.events import Ended, Event, Phase, Proposed, Reported, Started, Status
from search.sampling.study import StudyFile
from search.tracking.mlflow_store import MlflowStore
from search.tracking.run_table import run_table
from search.tracking.types import Pace, Registration, SearchStatus, TrackingInfo

EXPERIMENT, NAME, TRIALS = "fits", "demo", 7
AT = 1_760_000_000.0
NOTE = "**demo**: switch to the new config – paired gain 0.1 [0.05, 0.15] mae over 3 fresh seeds: above zero"
DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cf00000003"
    "0101005cc2d5440000000049454e44ae426082"
)


def make(results: Path) -> str:
    """Fill `results`; returns the id of the search's run."""
    folder = results / NAME
    folder.mkdir(parents=True)
    for name, text in {"best.yaml": "lr: 0.1\n", "report.html": "<h1>The report of demo</h1>"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "figures").mkdir()
    (folder / "figures" / "best_so_far.png").write_bytes(DOT)
    uri = f"sqlite:///{results}/mlflow.db"
    info = TrackingInfo(
        uri, EXPERIMENT, NAME, folder, {"model": "fit"}, {"sampler": "tpe"}, {"model": "fit"}, (1, 3, 9)
    )
    events = _events()
    said: list[str] = []
    tracker = Tracking(
        info, MlflowStore(uri, EXPERIMENT, run_table(["lr", "batch_size"], "min")), events, said, Pace(gather=0.05)
    )
    tracker.start()
    place = "winner/trial-1-seed-1"
    verdict = SearchStatus(
        "done",
        NOTE,
        {"confirmed_mean": 0.3, "baseline_mean": 0.4, "gain": 0.1},
        {"verdict": "switch"},
        [folder / "best.yaml", folder / "report.html", folder / "figures"],
        place,
        [folder / "best.yaml"],
        Registration("fits-best", place, NOTE, {"search": NAME, "trial": 1}),
    )
    summary = tracker.finish(verdict, 120)
    assert summary.closed and summary.parent is not None and summary.version == "1" and not said, (summary, said)
    _study(folder / "study.journal")
    return summary.parent


def _events() -> list[Event]:
    found: list[Event] = [Phase("search", AT)]
    statuses: list[Status] = ["completed", "completed", "stopped", "stopped", "diverged", "failed", "stopped"]
    for number, status in enumerate(statuses):
        values = {"lr": 10.0 ** -(number % 4 + 1), "batch_size": 16 * 2 ** (number % 3), "warmup_epochs": number % 2}
        origin = "baseline" if number == 0 else "tpe"
        at = AT + 10 * number
        found += [Proposed(number, values, 0, "search", origin, at), Started(number, "box", 7, "", at)]
        for step in (1, 3, 9) if status == "completed" else (1,):
            metrics = {"objective": 1 / (number + step), "val_loss": 2 / (number + step)}
            found.append(Reported(number, step, metrics, 0.5, at + step / 2))
        found.append(Ended(number, status, "", at + 9))
    return [*found, Phase("done", AT + 100)]


def _study(path: Path) -> None:
    domain = optuna.distributions.FloatDistribution(1e-5, 1, log=True)
    trials = []
    for number in range(3):
        made = optuna.trial.create_trial(
            params={"lr": 0.1**number}, distributions={"lr": domain}, value=0.5 - 0.1 * number
        )
        made.number = made._trial_id = number
        trials.append(made)
    StudyFile(path, NAME, StudyDirection.MINIMIZE, "objective").write(trials)


def runs(results: Path) -> list[str]:
    """Ids of the trials' runs, by trial."""
    from search.tracking.mlflow_reader import MlflowReader

    found = [run for run in MlflowReader(f"sqlite:///{results}/mlflow.db", EXPERIMENT).runs() if "trial" in run.tags]
    return [run.id for run in sorted(found, key=lambda run: int(run.tags["trial"]))]
