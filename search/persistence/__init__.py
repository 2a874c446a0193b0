"""The folder of a search: who holds it, its copy in an object store, reconciliation, checkpoints kept.

May import: search.results and below.
"""
