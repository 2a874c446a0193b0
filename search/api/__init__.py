"""A search from Python: `search.tune` runs one, `search.open` looks at one.

May import: run, and whatever it imports.
"""
