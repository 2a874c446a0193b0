"""Trials on Ray: cluster, capacity, admission, schedulers, failures.

May import: search.warm_start and below.
"""
