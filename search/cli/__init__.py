"""One command, `schedule-search` (or `python -m search`), for all that a search is asked to do.

May import: every package of search.
"""
