"""A network on noisy inputs, whose noise fades and whose rate warms up; the whole protocol in one file and its run.

Nothing here imports torch before a run is built: planning a search takes no seconds for it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from spaces.schema import NativeSection, Real, Section, Whole, parse
from trainables.handover import handed_over
from trainables.keys import documented
from trainables.native import plain
from trainables.run import Metrics, Native, Objective, Prepared, Run


class Config(NativeSection):
    """The keys of the training script's file, with their documented values."""

    lr: Real = Field(default=0.03, gt=0)
    warmup_steps: Whole = Field(default=10, ge=0)
    noise: Real = Field(default=0.5, ge=0)  # standard deviation of what is added to the inputs at the beginning
    noise_steps: Whole = Field(default=60, ge=1)  # by then it has faded
    steps: Whole = Field(default=80, ge=1)


class Data(Section):
    """How much is drawn."""

    points: Whole = Field(default=256, ge=2)


class Faded:
    """The model."""

    name: str = "faded"
    unit: Literal["epoch", "step"] = "step"
    objective: Objective = Objective("val_mse", "min", worst=3.0, unit="squared error")  # 3: what predicting 0 scores
    length_key: str = "steps"
    unsearchable: Mapping[str, str] = {"steps": "it is the run's length"}
    changeable: frozenset[str] = frozenset({"lr"})

    def documented(self) -> Native:
        """The defaults."""
        return documented(Config)

    def parse(self, native: Native, where: str) -> Config:
        """The typed config; raises BadInput with the key of each wrong value."""
        return parse(Config, native, where)

    def parse_data(self, data: Native, config: Config, where: str) -> Data:
        """The typed data section."""
        return parse(Data, data, where)

    def prepare(self, data: Data, config: Config) -> Prepared:
        """Nothing lies on disk: the points follow from their number."""
        return Prepared(Path(str(data.points)), f"drawn-{data.points}", f"{data.points} points")

    def knobs(self, config: Config, step: int) -> Metrics:
        """The rate warms up, the noise fades: both pure functions of the step."""
        warm = min(1.0, (step + 1) / (config.warmup_steps + 1))
        return {"lr": config.lr * warm, "noise": config.noise * max(0.0, 1.0 - step / config.noise_steps)}

    def static(self, config: Config) -> Native:
        """All of it: whatever two configs differ in trains differently."""
        return plain(config)

    def settles(self, config: Config) -> int:
        """When both schedules have come to rest."""
        return max(config.warmup_steps, config.noise_steps)

    def build(self, config: Config, prepared: Prepared, seed: int) -> Run:
        """A run at step 0."""
        from faded.run import FadedRun  # lazy: it imports torch

        return FadedRun(self, config, int(prepared.path.name), seed)

    def write_native(self, source: str | None, name: str, config: Config) -> Mapping[str, str]:
        """The user's file made to say `config`; without one, the whole config."""
        return handed_over(source, name, config, lambda native: self.parse(native, name), "config.yaml")


MODEL: Any = Faded()
