"""The search service: plan, propose, stop early, track, confirm and export."""

from trainables.own.local import local_run

__all__ = ["local_run"]
