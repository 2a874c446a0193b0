"""One run of a search from start to hand-over: session, stages, progress on the terminal.

May import: every package of search but submit.
"""
