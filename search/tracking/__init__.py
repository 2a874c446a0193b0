"""MLflow: every trial as a run, sent by a process beside the search.

May import: search.spec and below.
"""
