"""Which trials pause, are promoted or stop: rungs, successive halving and Pareto ranks, as pure functions.

May import: search.common, search.history.
"""
