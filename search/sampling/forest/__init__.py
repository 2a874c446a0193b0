"""The forest sampler: a random forest over all trials and rungs, usable with any Optuna study.

May import: search.sampling.parego, search.sampling.samplers.
"""
