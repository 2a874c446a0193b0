"""What every package shares: the clock, commands told to people, exit codes, URIs of stores, atomic file writes.

May import: nothing of search.
"""
