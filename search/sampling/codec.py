"""Our domains as Optuna's distributions, and values there and back."""

import json
from dataclasses import dataclass
from typing import Any, assert_never

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from spaces.domain import Categorical, Domain, Float, Int, snap
from spaces.values import thaw


@dataclass(frozen=True)
class Code:
    """One knob's domain beside its Optuna distribution."""

    path: str
    domain: Domain
    distribution: BaseDistribution

    def encode(self, value: Any) -> Any:
        """The value that Optuna keeps. Raises ValueError for a value of another kind than the domain's."""
        return _kept(self.domain, thaw(snap(self.domain, value)))

    def decode(self, kept: Any) -> Any:
        """The knob's value: plain bool, int, float, str, list or None, on the domain's own lattice."""
        if isinstance(self.domain, Categorical):
            assert isinstance(self.distribution, CategoricalDistribution)
            return thaw(self.domain.choices[self.distribution.choices.index(kept)])
        return snap(self.domain, kept)

    def suggest(self, trial: Trial) -> Any:
        """Ask the trial's sampler for a value of this knob."""
        match self.domain:
            case Float(low=low, high=high, log=log, step=step):
                return self.decode(trial.suggest_float(self.path, low, high, log=log, step=step))
            case Int(low=low, high=high, log=log, step=whole):
                return self.decode(trial.suggest_int(self.path, low, high, log=log, step=whole))
            case Categorical():
                assert isinstance(self.distribution, CategoricalDistribution)
                return self.decode(trial.suggest_categorical(self.path, self.distribution.choices))
            case _:
                assert_never(self.domain)


def code(path: str, domain: Domain) -> Code:
    """The code of one knob."""
    match domain:
        case Float(low=low, high=high, log=log, step=step):
            return Code(path, domain, FloatDistribution(low, high, log=log, step=step))
        case Int(low=low, high=high, log=log, step=whole):
            return Code(path, domain, IntDistribution(low, high, log=log, step=whole))
        case Categorical(choices=choices):
            kept = [_kept(domain, thaw(choice)) for choice in choices]
            return Code(path, domain, CategoricalDistribution(kept))
        case _:
            assert_never(domain)


def text_of(value: Any) -> str:
    """JSON text of a value: tells True, 1 and 1.0 apart and does not depend on the order of keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _kept(domain: Domain, value: Any) -> Any:
    """Optuna keeps None, bool, int, float and str: where a choice is a list, each choice goes by its JSON text."""
    listed = isinstance(domain, Categorical) and any(isinstance(choice, tuple) for choice in domain.choices)
    return text_of(value) if listed else value
