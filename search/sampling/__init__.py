"""Which config is tried next: proposals as a pure function of the seed and the trials so far, and the samplers.

May import: search.common, search.history, search.stopping.
"""
