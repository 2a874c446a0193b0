"""The search service: plan, propose, stop early, track, confirm and export."""
