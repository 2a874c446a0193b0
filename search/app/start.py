"""What a search's trials start from: put where workers find it, or trained, before the first of them runs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.schedulers import FIFOScheduler

from search.app.context import RunContext
from search.common.clock import now
from search.common.quantities import decimals
from search.execution.admission import Slots
from search.execution.engine import Stage, run_stage
from search.history.chain import End
from search.history.events import Event, Proposed, Reported, Retried, StartReady
from search.history.journal import Journal, read
from search.history.ledger import Ledger
from search.history.records import Records, Trial
from search.persistence.folder import JOURNAL
from search.spec.search import Search
from search.spec.start import StartPoint, with_weights
from spaces.problems import BadInput
from trainables import checkpoints, start
from trainables.checkpoints import Place
from trainables.files import write_text
from trainables.layout import CODE, OWNER, checkpoint_folder
from trainables.own.model import OwnModel
from trainables.start import StartAt
from trainables.storage import when_there_is_room

SAY_SECONDS = 10.0  # between two lines about a training that leads to the start


def ready(context: RunContext, seeds: Sequence[int]) -> StartAt | None:
    """Where trials of `seeds` start, its states being where workers find them; None where they start at step 0, or
    where a halt has ended the training that leads there.

    Raises BadInput where a state is lost that trials have started from, and what there is now is another one.
    """
    point, records = context.search.start, context.folder.records
    if point is None:
        return None
    keys: list[int | None] = [*seeds] if point.trained else [None]
    missing = [key for key in keys if not _there(context, point, key)]
    seeds_left = [key for key in missing if key is not None]
    if seeds_left:
        _train(context, point, seeds_left)
    if context.halt.reason is not None:
        return None
    digests = {seed: records.starts[seed if point.trained else None].digest for seed in seeds}
    return StartAt(point.step, digests, not point.trained)


def _home(context: RunContext) -> Place:
    store = context.folder.store
    return context.folder.path / start.FOLDER if store is None else store / start.FOLDER


def _there(context: RunContext, point: StartPoint, key: int | None) -> bool:
    """Whether the state is where workers find it; copied from where it comes from, if it need not be trained."""
    place, known = start.place(_home(context), key), context.folder.records.starts.get(key)
    if known is None or not _in_place(context, point, key):
        data = _source(context, point, key)
        if data is None:
            return False
        _check_same(point, key, known, data)
        held = data
        when_there_is_room(lambda: checkpoints.put(place, point.step, held), context.cluster.say)
        if known is None:
            digest = checkpoints.digest_of(data)
            context.folder.ledger.emit(
                StartReady(key, point.step, digest, point.source, 0, 0.0, point.objective, now())
            )
    return True


def _in_place(context: RunContext, point: StartPoint, key: int | None) -> bool:
    """Whether a state is where workers find it, whole, and the one that is known, if one is."""
    known = context.folder.records.starts.get(key)
    data = checkpoints.taken(start.place(_home(context), key), point.step)
    return data is not None and (known is None or checkpoints.digest_of(data) == known.digest)


def _check_same(point: StartPoint, key: int | None, known: StartReady | None, data: bytes) -> None:
    if known is not None and checkpoints.digest_of(data) != known.digest:
        whose = "" if key is None else f" with seed {key}"
        what = f"the state of {point.source}{whose}, from which this search's trials have started, is gone or damaged, "
        raise BadInput.of("start", what + "and what there is now is another one; begin anew with another --name")


def _source(context: RunContext, point: StartPoint, key: int | None) -> bytes | None:
    """The bytes of a state that need not be trained; None of one that must be."""
    if point.given is not None:
        return _from_users(context, point, point.given) if point.weights else point.given.read_bytes()
    file = point.kept.get(key) if key is not None else None
    data = file.read_bytes() if file is not None and file.is_file() else None
    return data if data is not None and checkpoints.whole(data) is not None else None


def _from_users(context: RunContext, point: StartPoint, file: Path) -> bytes:
    """A run's state at the step with what `file` holds: a network's weights, or a command's own checkpoint."""
    search = context.search
    if isinstance(search.model, OwnModel):
        from trainables.own import held_files  # imports torch

        name = search.model.declared.checkpoint_at(file.name, point.step)
        assert name is not None, "a start that the command can't go on from was refused"
        state: Mapping[str, Any] = held_files.given(name, file.read_bytes(), point.step)
    else:
        state = {**_fresh(search, file), "step": point.step}  # its optimizer has seen nothing yet
    described = start.described(search.model.name, search.base, search.data_dump, search.settings.sampler.seed)
    return checkpoints.packed({"run": state, start.CONFIG: described})


def _fresh(search: Search, file: Path) -> Mapping[str, Any]:
    """The state of a run at its beginning with the weights in `file`."""
    config = search.model.parse(with_weights(search.model.name, search.base, file), "the base")
    run = search.model.build(config, search.model.prepare(search.data, config), search.settings.sampler.seed)
    try:
        return run.state()
    finally:
        run.close()


def _train(context: RunContext, point: StartPoint, seeds: Sequence[int]) -> None:
    """Train the baseline to the step with each of `seeds`: trials of their own, below the folder `start/`."""
    folder = context.folder.path / start.FOLDER
    folder.mkdir(exist_ok=True)
    write_text(folder / OWNER, context.folder.owner)
    journal = folder / JOURNAL
    history, end = read(journal) if journal.exists() else ([], End())
    with Journal(journal, end, context.cluster.say) as file:
        ledger = Ledger(file, Records(history))
        # In an earlier sitting, cut off before it told
        done = {seed for seed in seeds if _in_place(context, point, seed)}
        trials = {
            trial.proposed.seed: trial
            for trial in ledger.records.trials.values()
            if not trial.over or (trial.status == "completed" and trial.proposed.seed in done)
        }
        for seed in seeds:
            if seed not in trials:
                number = len(ledger.records.trials)
                ledger.emit(Proposed(number, {}, seed, "search", "start", now()))
                trials[seed] = ledger.records.trials[number]
        ledger.listen(_Told(context, ledger.records))
        if left := [trials[seed].number for seed in seeds if not trials[seed].over]:
            run_stage(_stage(context, point, ledger, left))
        for seed in seeds:
            _hand_on(context, point, trials[seed])


def _stage(context: RunContext, point: StartPoint, ledger: Ledger, numbers: list[int]) -> Stage:
    job, store, path = context.job(), context.folder.store, context.folder.path
    return Stage(
        job=replace(
            job,
            horizon=point.step,
            folder=str((path / start.FOLDER).resolve()),
            storage=None if store is None else (store / start.FOLDER).uri,
            code=str((path / CODE).resolve()),
            hands_on=True,
        ),
        ledger=ledger,
        cluster=context.cluster,
        gate=Slots(context.cluster.room, lambda: True, numbers),
        scheduler=FIFOScheduler(),
        propose=lambda: None,
        checks={"folder": context.trouble, "clock": context.set_back},
        halt=context.halt,
        max_failures=context.search.settings.max_failures,
    )


def _hand_on(context: RunContext, point: StartPoint, trial: Trial) -> None:
    """Make the state that a training has left known, or say why there is none: the search can't begin then."""
    seed, halt = trial.proposed.seed, context.halt
    data = checkpoints.taken(start.place(_home(context), seed), point.step)
    if trial.status != "completed" or data is None:
        if halt.reason is not None:
            return
        unit = context.search.model.unit
        why = trial.reason or trial.status
        halt.call(f"the training up to the start, {unit} {point.step}, ended at {unit} {trial.step}: {why}", "failures")
        return
    known = context.folder.records.starts.get(seed)
    _check_same(point, seed, known, data)
    store = context.folder.store
    below = None if store is None else store / start.FOLDER
    checkpoints.remove(checkpoint_folder(context.folder.path / start.FOLDER, trial.number, below))
    if known is None:
        digest, cost, value = checkpoints.digest_of(data), trial.seconds, trial.objective
        context.folder.ledger.emit(StartReady(seed, point.step, digest, point.source, point.step, cost, value, now()))


class _Told:
    """Says how the trainings get on, now and then."""

    def __init__(self, context: RunContext, records: Records) -> None:
        self._context, self._records, self._said = context, records, time.monotonic()

    def __call__(self, event: Event) -> None:
        say, model = self._context.cluster.say, self._context.search.model
        if isinstance(event, Retried):
            say(f"the training up to the start starts again from {model.unit} {event.step}: {event.reason}")
        due = time.monotonic() - self._said > SAY_SECONDS
        if isinstance(event, Reported) and due:
            self._said = time.monotonic()
            seed, value = self._records.trials[event.trial].proposed.seed, event.metrics["objective"]
            say(f"up to the start, seed {seed}: {model.unit} {event.step}, {model.objective.metric} {decimals(value)}")
