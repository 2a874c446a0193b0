"""What names the state of a training at each evaluation: a chain over all that its bits depend on up to there.

key(s) = hash(identity, static, realised(b), …, realised(s - 1)), where b is the step that all trials start from, and
the identity is that of code, data, seed, the state at b and the interval between evaluations. What only a worker knows,
the machine type, threads and versions, joins it there (`trainables.prefix.address`).

A controller that waits for results makes two keys of it. While it has not acted its settings do not count; the state
then goes with every config whose controller would not have acted either. Once it has acted they count.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import trainables
from trainables.fingerprint import code_digest
from trainables.prefix import Sharing
from trainables.run import Model


@dataclass(frozen=True)
class Identity:
    """What the trials of a search have in common, as far as the bits of a training depend on it."""

    model: str
    code: str
    """Digest of the code that trains."""
    data: str
    seed: int
    every: int
    """Units between evaluations."""
    begins: int = 0
    """The step that all trials start from, and"""
    start: str = ""
    """the digest of the state there; empty where they start at 0."""


class Chain:
    """The keys of one config's training, worked out as far as they are asked for."""

    def __init__(self, model: Model[Any, Any], sharing: Sharing[Any], identity: Identity, config: Any) -> None:
        self._sharing, self._identity, self._config = sharing, identity, config
        own = asdict(identity)
        controller = sharing.controller
        if controller is None:
            static = (sharing.static or model.static)(config)
            self._calm = self._acted = digest([own, static])
        else:
            static = controller.unacted(config)
            self._calm = digest([own, static])
            self._acted = digest([own, static, controller.settings(config)])
        self._links = [digest([])]  # of the realised values up to each evaluation

    def keys(self, step: int) -> tuple[str, str]:
        """The keys at the evaluation `step`: while the controller has not acted, and after. Equal without one."""
        every, begins, realised = self._identity.every, self._identity.begins, self._sharing.realised
        place, odd = divmod(step - begins, every)
        assert not odd, f"step {step} is no evaluation"
        while len(self._links) <= place:
            first = begins + (len(self._links) - 1) * every
            interval = [realised(self._config, at) for at in range(first, first + every)]
            self._links.append(digest([self._links[-1], interval]))
        link = self._links[place]
        return digest([self._calm, link]), digest([self._acted, link])


def digest(what: Any) -> str:
    """Of JSON-like values; mappings by their keys' order. Floats count to the last bit."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=_listed).encode()).hexdigest()[:32]


def _listed(value: Any) -> Any:
    """Values that JSON has no name for, told apart by their spelling."""
    return sorted(map(repr, value)) if isinstance(value, frozenset | set) else repr(value)


@cache
def code_of(model: str) -> str:
    """Digest of the code that trains a model of this repository: its own files, the schedules and what all share."""
    root = Path(trainables.__file__).parent
    files = [*root.glob("*.py"), *(root / "schedules").glob("*.py"), *(root / model).glob("*.py")]
    return digest([[file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")] for file in sorted(files)])


def identity_of(model: Model[Any, Any], code: Mapping[str, str] | None, data: str, seed: int, every: int) -> Identity:
    """The identity of a search's trainings. `code`: digests of the user's own; None: a model that goes by its name."""
    own = code_digest(type(model).__module__) if code is None else dict(code)
    digests = digest([code_of(model.name if code is None else "own"), own])
    return Identity(model.name, digests, data, seed, every)
