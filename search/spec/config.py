"""The search YAML's schema: what a user writes, typed, frozen and checked together."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from search.common.quantities import Span, Wait
from search.sampling.kinds import SamplerName
from search.spec.resources import Resources
from search.stopping.asha import Asha
from search.stopping.kinds import EarlyStopping
from spaces.schema import Real, Section, Text, Whole
from trainables.own.declaration import Declaration

MOST_IN_TURN = 8
"""Seeds of a confirmation one at a time, if no other number is asked for."""
FEWEST_PAIRS = 2
"""Seeds with both the chosen config and the baseline before one of the two may be given up: one may be bad luck."""

Positive = Annotated[Whole, Field(ge=1, le=10**9)]


class Budget(Section):
    """What the search may spend. Whichever is reached first ends it cleanly, with confirmation and export."""

    trials: Positive | None = None
    """Configs to try, the documented baseline among them. null: as many as `total_steps` allows."""
    steps: Span | None = None
    """A trial's full length in the model's unit; null: the length that the base config names. With `start`, both count
    from there: null is what is left of that length."""
    evaluate_every: Span | None = None
    """Units between evaluations; null: a twenty-fifth of `steps`."""
    total_steps: Span | None = None
    """Units trained over all trials of the search, confirmation not counted."""
    wall: Wait | None = None
    """Time spent searching, over all sittings, confirmation not counted."""
    gpu_hours: Annotated[Real, Field(gt=0)] | None = None
    """GPU time of all trials together, confirmation not counted."""


class Sampler(Section):
    """Who proposes configs."""

    kind: SamplerName = "forest"
    """`forest`: a random forest over all trials and rungs (search/sampling/forest/sampler.py). `tpe`: Optuna's."""
    seed: Annotated[Whole, Field(ge=0)] = 0
    """Seeds the proposals and the training of every trial of the search; confirmation takes seeds that follow."""
    points: Annotated[Whole, Field(ge=2, le=10_000)] = 3
    """Grid only: values per numeric knob."""


class Confirm(Section):
    """The best configs and the documented baseline, trained in full on fresh seeds."""

    top: Annotated[Whole, Field(ge=1, le=10_000)] = 3
    """So many of the best configs are trained again."""
    seeds: Annotated[Whole, Field(ge=0, le=10_000)] | Literal["auto"] = 3
    """So many for each config. `auto`: seed after seed until it is decided, of which the first only chooses among the
    configs; more than two workers train several seeds at once. 0 skips the confirmation: the verdict then says that
    nothing is confirmed."""
    max: Annotated[Whole, Field(ge=4, le=40)] | None = None
    """Of `seeds: auto`: the most seeds; null: 8."""

    explain: bool = False
    """Where the verdict is to switch, the configs on the way from the baseline to the winner are trained on the same
    seeds, one change more in each: what every change brings."""
    parsimony: Annotated[Real, Field(ge=0, le=0.5)] | None = None
    """With `explain`: hand over the fewest changes that are surely better than the baseline and keep the winner's mean
    gain, up to this share of it: 0.1 gives up at most a tenth. null: hand over all changes."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max is not None and self.seeds != "auto":
            raise ValueError(f"max belongs to seeds: auto; drop it, or write auto instead of {self.seeds}")
        if self.parsimony is not None and not self.explain:
            raise ValueError("parsimony needs the trainings of explain: true; add it, or drop parsimony")
        if self.explain and not self.seeds:
            raise ValueError(
                "explain trains on the seeds of the confirmation, and seeds is 0; give some, or drop explain"
            )
        return self

    @property
    def most(self) -> int | None:
        """The most seeds of a confirmation one seed at a time; None where their number is fixed."""
        return None if self.seeds != "auto" else self.max if self.max is not None else MOST_IN_TURN

    @property
    def distinct(self) -> int:
        """How many seeds it may train on."""
        return self.seeds if self.seeds != "auto" else self.most or 0

    def fewest(self, configs: int) -> int:
        """How many seeds it trains on at least, to confirm so many configs."""
        if self.seeds != "auto":
            return self.seeds
        return FEWEST_PAIRS + (configs > 1) if configs else 0

    def runs(self, configs: int) -> tuple[int, int]:
        """The fewest and the most trainings that confirm so many configs, the baseline not counted."""
        if self.seeds != "auto":
            return (configs + 1) * self.seeds, (configs + 1) * self.seeds
        if configs < 1:
            return 0, 0
        most = MOST_IN_TURN if self.max is None else self.max
        if configs == 1:
            return 2 * FEWEST_PAIRS, 2 * most
        return configs + 1 + 2 * FEWEST_PAIRS, configs + 1 + 2 * (most - 1)


class Tracking(Section):
    """Where MLflow keeps the runs."""

    uri: Text | None = None
    """null: MLFLOW_TRACKING_URI if set, else `mlflow.db` beside the search's folder."""
    experiment: Text | None = None
    """null: the model's name; of a `trainable`, the name of its YAML."""


class Notify(Section):
    """Who is told when the search has ended or stopped itself; not when somebody interrupts it."""

    command: Annotated[list[Text], Field(min_length=1)] | None = None
    """A program and its arguments, run without a shell. It gets JSON on its standard input: what `schedule-search show
    NAME --json` prints, with `exit_code`, and with `text` for people."""
    webhook: Text | None = None
    """The environment variable that holds the address to which the same JSON is posted: such addresses are secrets."""

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.command is None and self.webhook is None:
            raise ValueError("expected command or webhook, got neither")
        if self.webhook is not None and not self.webhook.isidentifier():  # its text is not repeated: it may be a secret
            raise ValueError("webhook: expected the name of an environment variable that holds the address")
        return self


ObjectiveEntry = Annotated[dict[Text, Literal["min", "max"]], Field(min_length=1, max_length=1)]
"""`metric: min` or `metric: max`."""


class WarmStart(Section):
    """Earlier trials to begin with: of one search, or of all searches in an MLflow experiment."""

    search: Text | None = None
    """A search's name, beside this one; with a slash: its folder, relative to the YAML."""
    experiment: Text | None = None
    """An MLflow experiment's name, instead of a search."""
    uri: Text | None = None
    """Of the experiment. null: where this search is tracked."""
    first: Annotated[Whole, Field(ge=0, le=10**6)] = 3
    """So many of their best configs are run right after the baseline."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.search is None) == (self.experiment is None):
            raise ValueError(f"expected one of search and experiment, got {'both' if self.search else 'neither'}")
        if self.search is not None and self.uri is not None:
            raise ValueError("uri belongs to experiment; drop it, or name an experiment instead of a search")
        return self


class Start(Section):
    """Where every trial starts, in place of step 0: one of checkpoint, search and train_to."""

    checkpoint: Text | None = None
    """A trial's checkpoint, or where the model takes one, another trainer's; relative to the YAML or to where the
    command runs."""
    search: Text | None = None
    """The folder of a search; its `trial`, trained to `step`, is what goes on."""
    trial: Literal["best"] | Annotated[Whole, Field(ge=0)] = "best"
    """Of `search`: a trial's number, or the one that its best.yaml names."""
    step: Span | None = None
    """Of `search`: where its trial goes on. Of a checkpoint of another trainer: how far it was trained."""
    train_to: Span | None = None
    """Train the baseline to there, once for each seed."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in ("checkpoint", "search", "train_to") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of checkpoint, search and train_to, got {' and '.join(given) or 'none'}")
        if "trial" in self.model_fields_set and self.search is None:
            raise ValueError("trial belongs to search; drop it, or name the search")
        if self.search is not None and self.step is None:
            raise ValueError("step is missing: say from which step the trial of the search goes on")
        if self.train_to is not None and self.step is not None:
            raise ValueError("step belongs to search and checkpoint; train_to says it here")
        return self


class Settings(Section):
    """One search, as its YAML says it."""

    model: Text | None = None
    """One of the models, or the file of one, `./spec.py`; or else `trainable`."""
    trainable: Declaration | None = None
    """The user's own code, in place of a model."""
    base: Text | None = None
    """The user's native file, relative to the YAML; what it omits is what their script does. null: as documented."""
    check: Wait | None = "60s"
    """How long the probe of a `trainable` may take, before the search; null: it is left out."""
    arguments: Annotated[dict[str, Any], Field(min_length=1)] | None = None
    """The arguments of a `trainable` that reads no file, with their documented values."""
    data: dict[str, Any] | None = None
    """The model's data. A `trainable` finds its own."""
    knobs: list[Text] | None = None
    """Search only these knobs of the space; the others keep the base's values. null: all."""
    space: dict[str, Any] = Field(default_factory=dict)
    """Narrows, widens, fixes or adds to `spaces/<model>.yaml`."""
    start: Start | None = None
    """Tune from a step on: all trials start there, and lengths in `budget` and `early_stopping` count from there.
    null: from step 0."""
    budget: Budget
    """How many trials, how long each is, and what all may cost."""
    objectives: Annotated[list[ObjectiveEntry], Field(min_length=1)] | None = None
    """`[val_per: min, seconds_per_step: min]`: the model's own objective first, which decides the verdict; trials are
    promoted by non-dominated rank over all of them. null: the model's own alone."""
    early_stopping: EarlyStopping = Asha(kind="asha")
    """The rule by which trials are ended early."""
    sampler: Sampler = Sampler()
    """What proposes the next config."""
    resources: Resources = Resources()
    """What one trial occupies."""
    confirm: Confirm = Confirm()
    """How the best configs are compared with yours at the end."""
    tracking: Tracking = Tracking()
    """Where MLflow keeps the trials."""
    notify: Notify | None = None
    """Who is told at the end."""
    max_failures: Annotated[Whole, Field(ge=0, le=10**6)] = 2
    """A trial that raises is started again from its checkpoint so many times."""
    stop_after_failures: Annotated[Real, Field(ge=0, lt=1)] | None = 0.5
    """The search stops early when more than this share of its trials, and at least three, fail the same way."""
    trial_timeout: Wait | None = None
    """A trial whose next evaluation takes longer has hung, or its beginning, which has a minute at least: its worker is
    killed, the trial started again."""
    share: Literal["auto", "on", "off"] = "auto"
    """Whether trials that begin alike train their common part once, bit for bit as each would alone. `auto`: where a
    dry run over 60 drawn configs predicts that a fifth of all units is saved."""
    warm_start: WarmStart | None = None
    """What the sampler knows from the start; read once, when the search begins."""
    storage: Text | None = None
    """Where the search is kept: a folder that every node sees, or s3://BUCKET/PREFIX. null: the folder `--results`."""
    notes: Text | None = None
    """For people: why this search, what to look at."""
    tags: dict[Text, Text] = Field(default_factory=dict)
    """To find it by: in `list --json`, and on its runs in MLflow."""
    name: Text | None = None
    """The search's folder under `results/`; null: `<model>-<file's name>`."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        stopping = self.early_stopping
        self._check_model()
        if self.budget.trials is None and self.budget.total_steps is None:
            raise ValueError("budget: without trials, total_steps must say when to end; give one of them")
        if self.budget.trials is None and stopping.groups_trials:
            raise ValueError(f"budget.trials is missing: {stopping.kind} groups trials before they run; say how many")
        if len(self.objectives or ()) > 1:
            if not stopping.several_objectives:
                raise ValueError(
                    f"objectives: {stopping.kind} compares by one objective; use kind asha or none, or give one"
                )
            if self.warm_start is not None:
                raise ValueError("objectives: earlier trials are known by one objective; drop warm_start, or give one")
        return self

    def _check_model(self) -> None:
        if self.model is not None and self.trainable is not None:
            raise ValueError("model: expected one of model and trainable, got both")
        if self.trainable is None:
            if self.arguments is not None:
                raise ValueError("arguments: are a trainable's; a model's config is named by base")
        elif (self.base is None) == (self.arguments is None):
            got = "neither" if self.base is None else "both"
            raise ValueError(f"expected one of base and arguments for a trainable, got {got}")
