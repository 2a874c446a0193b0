"""What a config trains on: a user's days or simulated ones, both read by the same code, less what CTC can't align."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from spaces.problems import BadInput, Problem, raise_any
from spaces.schema import Located, parse
from trainables.builtin import Source
from trainables.diphone_rnn.config import Config, Network, init_path
from trainables.diphone_rnn.generate import TRAIN_FILE, VAL_FILE, Generate, generated
from trainables.diphone_rnn.phonemes import needed_frames
from trainables.diphone_rnn.recordings import Recordings, Wanted, in_memory, recordings
from trainables.diphone_rnn.trials import Trial
from trainables.run import Prepared
from trainables.start import with_start

IN_MEMORY = 1 << 30  # bytes of features that are held; more stay in their files
SHOWN = 5  # dropped trials that a summary names


class Data(Source):
    """Where the trials come from: exactly one of the two."""

    folder_key = "dataset_dir"
    generate: Generate | None = None
    dataset_dir: Located | None = None
    """A folder of days; the config's `sessions` names those that count."""


@dataclass(frozen=True)
class Dropped:
    """A trial that CTC can't align: its diphones need more frames than its bins give."""

    name: str
    needed: int
    frames: int

    def __str__(self) -> str:
        return f"{self.name} (needs {self.needed} frames, has {self.frames})"


@dataclass(frozen=True, eq=False)
class Corpus:
    """The trials of some days."""

    sessions: tuple[str, ...]
    channels: int  # C
    train: tuple[Trial, ...]
    """By day, then in the order of the file; every one can be aligned."""
    validation: tuple[Trial, ...]
    """All of them, whatever the config: they are what trials of a search are compared by."""
    dropped: tuple[Dropped, ...] = ()
    """Training trials that are left out."""
    unaligned: tuple[Dropped, ...] = ()
    """Validation trials whose diphones can't be aligned: decoded and scored, but without a finite CTC loss."""
    left_out: tuple[str, ...] = ()
    """Trials that `bad_trials_dict` names, as day/file/group."""


def n_frames(n_bins: int, network: Network) -> int:
    """T', the patches of `patch_size` bins, `patch_stride` apart, that fit into `n_bins` bins; 0 if none does."""
    return max(0, (n_bins - network.patch_size) // network.patch_stride + 1)


def prepare_data(data: Data, config: Config) -> Prepared:
    """The data on this machine, all of it checked: simulated (once, then cached) or the user's folder, in place.

    A checkpoint to start from belongs to the digest, too. Raises BadInput for files that can't be used.
    """
    folder = data.folder(lambda spec: generated(_with_channels(spec, config)))
    days = recordings(folder, Wanted.by(config))
    prepared = Prepared(folder, days.digest, summary(aligned(days, config)))
    start = init_path(config)
    if start is None:
        return prepared
    from trainables.diphone_rnn.model import checked_start  # lazy: torch takes seconds to import

    return with_start(prepared, checked_start(config, len(days.sessions), start))


def read(folder: Path, config: Config) -> Corpus:
    """What `config` trains on in `folder`, with the features in memory where they take at most `IN_MEMORY` bytes.

    Raises BadInput naming file, trial and what was expected.
    """
    days = recordings(folder, Wanted.by(config))
    return aligned(in_memory(days) if days.n_bytes <= IN_MEMORY else days, config)


def aligned(days: Recordings, config: Config) -> Corpus:
    """`days` less the training trials that CTC can't align once augmentation has cut `random_cut` bins off.

    Raises BadInput where nothing is left to train on, of any day, or to validate on.
    """
    dropped = _unaligned(days.train, config.model, config.dataset.data_transforms.random_cut)
    short = {item.name for item in dropped}
    train = tuple(trial for trial in days.train if trial.name not in short)
    corpus = Corpus(
        days.sessions,
        days.wanted.channels,
        train,
        days.validation,
        dropped,
        _unaligned(days.validation, config.model, 0),
        days.left_out,
    )
    _check_enough(days.folder, corpus, config.model.patch_size)
    return corpus


def summary(corpus: Corpus) -> str:
    """One line for people: counts, and the trials that are left out."""
    days = f"{len(corpus.sessions)} day{'s' if len(corpus.sessions) > 1 else ''}"
    bins = sum(trial.n_bins for trial in (*corpus.train, *corpus.validation))
    text = (
        f"{len(corpus.train)} training and {len(corpus.validation)} validation trials of {days}, {corpus.channels} "
        f"channels, {bins * 0.02 / 3600:.1f} h"
    )
    if corpus.left_out:
        text += f"; {len(corpus.left_out)} left out as bad_trials_dict says"
    for items, what in ((corpus.dropped, "dropped from training"), (corpus.unaligned, "kept for validation")):
        if items:
            shown = ", ".join(map(str, items[:SHOWN])) + (", …" if len(items) > SHOWN else "")
            text += f"; {len(items)} {what} which CTC can't align: {shown}"
    return text


def _unaligned(trials: Iterable[Trial], network: Network, cut: int) -> tuple[Dropped, ...]:
    """Those of `trials` whose diphones need more frames than there are."""
    needs = ((t, needed_frames(t.diphones), n_frames(t.n_bins - cut, network)) for t in trials)
    return tuple(Dropped(trial.name, needed, frames) for trial, needed, frames in needs if frames < needed)


def _check_enough(folder: Path, corpus: Corpus, patch_size: int) -> None:
    """There is something to train on, on each day, and to validate on."""
    days = {trial.session for trial in corpus.train}
    problems = [
        Problem(
            str(folder / name / TRAIN_FILE),
            f"no trial is left to train on{_because(corpus.dropped, folder / name)}; your script learns nothing from "
            "that day: take it out of sessions",
        )
        for index, name in enumerate(corpus.sessions)
        if index not in days
    ]
    if not corpus.validation:
        problems.append(
            Problem(
                str(folder),
                f"no trial to validate on, which your script chooses its best checkpoint by; add a {VAL_FILE} to a day",
            )
        )
    problems += [
        Problem(
            trial.name,
            f"holds {trial.n_bins} bins; one patch takes patch_size = {patch_size}, in your script, too: lower it",
        )
        for trial in corpus.validation
        if trial.n_bins < patch_size
    ]
    raise_any(problems)


def _because(dropped: Iterable[Dropped], day: Path) -> str:
    mine = [item for item in dropped if item.name.startswith(f"{day}/")]
    return f": CTC can't align any of its {len(mine)}, as {mine[0]}" if mine else ""


def _with_channels(spec: Generate, config: Config) -> Generate:
    """`spec` with the config's number of channels filled in where it names none; checked again as a whole."""
    subset, wanted = config.dataset.feature_subset, config.model.n_input_features
    if subset is not None:  # as few as hold them all, in pairs of crossings and power; reading checks others
        filled = spec.channels or 2 * (max(subset) // 2 + 1)
    elif spec.channels not in (None, wanted):
        what = f"is {spec.channels}, but the config's n_input_features is {wanted}; make them equal, or leave it out"
        raise BadInput.of("data.generate.channels", what)
    else:
        filled = wanted
    return parse(Generate, {**spec.model_dump(), "channels": filled}, "data.generate")
