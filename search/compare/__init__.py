"""Searches side by side: one page and a table. `python -m search.compare results/a results/b`.

May import: search.report and below.
"""
