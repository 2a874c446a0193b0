"""Trials that begin alike train their common part once: keys, the prediction, what is kept and what is deleted. Pure.

May import: search.history and below.
"""
