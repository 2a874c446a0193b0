"""A model that costs nothing to train: a closed form of three knobs. What is left of a search is the service itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from spaces.schema import NativeSection, Real, Section, Whole, parse
from trainables.keys import documented
from trainables.native import as_yaml, plain
from trainables.run import Metrics, Native, Objective, Prepared


class Config(NativeSection):
    """The native config."""

    alpha: Real = 0.5
    beta: Real = 0.5
    rate: Real = 0.01
    steps: Whole = 9


class Data(Section):
    """No data."""

    seed: Whole = Field(default=0, ge=0)


WORST = 10.0
SPACE = """\
model: trivial
data: {}
space:
  alpha: {float: [0.0, 1.0]}
  beta: {float: [0.0, 1.0]}
  rate: {float: [0.001, 1.0], log: true}
"""
"""How a search of all its knobs begins."""


def loss(alpha: float, beta: float, rate: float, step: int) -> float:
    """The objective after `step` steps: better from step to step, and the faster the larger `rate` is."""
    return float((alpha - 0.3) ** 2 + (beta - 0.7) ** 2 + 1.0 / (1.0 + 100.0 * rate * step))


class TrivialRun:
    """Counts."""

    def __init__(self, config: Config) -> None:
        self._config, self._step = config, 0

    @property
    def step(self) -> int:
        """Steps so far."""
        return self._step

    @property
    def ended(self) -> str | None:
        """Never."""
        return None

    def train(self, until: int) -> Metrics:
        """Count to `until`."""
        self._step = until
        return {"alpha": self._config.alpha}

    def evaluate(self) -> Metrics:
        """The closed form."""
        return {"loss": loss(self._config.alpha, self._config.beta, self._config.rate, self._step)}

    def state(self) -> dict[str, Any]:
        """The count."""
        return {"step": self._step}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a count."""
        self._step = state["step"]

    @property
    def worst(self) -> float:
        """The objective's own."""
        return WORST

    def artifacts(self, folder: Path) -> None:
        """Nothing: its metrics say it all."""

    def close(self) -> None:
        """Nothing is open."""


class TrivialModel:
    """Fulfils `trainables.run.Model`; known by its module, so that workers find it without being registered."""

    name: str = "trivial"
    unit: Literal["epoch", "step"] = "step"
    objective: Objective = Objective("loss", "min", WORST, "nothing")
    length_key: str = "steps"
    unsearchable: Mapping[str, str] = {"steps": "it is the run's length"}
    changeable: frozenset[str] = frozenset({"alpha", "beta", "rate"})

    def documented(self) -> Native:
        """The defaults."""
        return documented(Config)

    def parse(self, native: Native, where: str) -> Config:
        """The typed config."""
        return parse(Config, native, where)

    def parse_data(self, data: Native, config: Config, where: str) -> Data:
        """The typed data section."""
        return parse(Data, data, where)

    def prepare(self, data: Data, config: Config) -> Prepared:
        """Nothing to prepare."""
        return Prepared(Path(), "none", "no data")

    def knobs(self, config: Config, step: int) -> Metrics:
        """Constant."""
        return {"alpha": config.alpha}

    def static(self, config: Config) -> Native:
        """The whole config."""
        return plain(config)

    def settles(self, config: Config) -> int:
        """At once."""
        return 0

    def build(self, config: Config, prepared: Prepared, seed: int) -> TrivialRun:
        """A run at step 0."""
        return TrivialRun(config)

    def write_native(self, source: str | None, name: str, config: Config) -> Mapping[str, str]:
        """The whole config as YAML."""
        return {"config.yaml": as_yaml(plain(config))}


MODEL = TrivialModel()
