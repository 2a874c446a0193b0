"""A checkpoint that a training starts from is part of what it trains on: its content goes into the data's digest."""

import hashlib
from dataclasses import replace
from pathlib import Path

from trainables.cache import sha256_of
from trainables.run import Prepared


def with_start(prepared: Prepared, file: Path) -> Prepared:
    """`prepared` with the content of the checkpoint that runs start from."""
    content = sha256_of(file)
    digest = hashlib.sha256(f"{prepared.digest}\n{content}".encode()).hexdigest()
    return replace(prepared, digest=digest, summary=f"{prepared.summary}; starts from {file.name} ({content[:16]})")
