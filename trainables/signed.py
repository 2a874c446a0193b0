"""Whose a checkpoint is: what a trial writes into it, and whether one that is found is this trial's."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables import fingerprint

OF, MACHINE = "of", "machine"  # keys of a checkpoint, beside the run's state and its report


@dataclass(frozen=True)
class Signature:
    """A trial, as its checkpoints name it."""

    trial: int
    seed: int
    config: str
    """Digest of what it trains: base, values, data and length."""
    code: str
    """Digest of the model's files."""

    @classmethod
    def of(cls, trial: int, seed: int, config: Mapping[str, Any], code: str | Mapping[str, Any]) -> "Signature":
        """Of a trial that trains `config` (JSON-like values). `code`: the module of its model, or what else says which
        code it is."""
        known = fingerprint.code_digest(code) if isinstance(code, str) else digest(code)
        return cls(trial, seed, digest(config), known)

    def signed(self, step: int, state: Mapping[str, Any]) -> dict[str, Any]:
        """`state` with whose it is, of which step, and on which machine type it came about."""
        mine = {"trial": self.trial, "seed": self.seed, "config": self.config, "code": self.code, "step": step}
        return {**state, OF: mine, MACHINE: fingerprint.fingerprint()}

    def refusal(self, step: int, state: Mapping[str, Any], exchanged: bool = False) -> str | None:
        """Why the checkpoint `state`, found as that of `step`, is not this trial's; None where it is, or where nobody
        has signed it, as in earlier versions. `exchanged`: its config may have changed in mid-run."""
        found = state.get(OF)
        if not isinstance(found, Mapping):
            return None
        wanted = {"trial": self.trial, "seed": self.seed, "step": step}
        for key, value in wanted.items():
            if found.get(key) != value:
                return f"it is that of {key} {found.get(key)}, not of {key} {value}"
        if found.get("config") != self.config and not exchanged:
            return "it is that of another config"
        return None

    def other_code(self, state: Mapping[str, Any]) -> bool:
        """Whether the model's files have changed since `state` was written."""
        found = state.get(OF)
        return isinstance(found, Mapping) and found.get("code") != self.code


def digest(what: Any) -> str:
    """Of JSON-like values, and of others by what they are called."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=repr).encode()).hexdigest()[:32]
