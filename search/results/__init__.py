"""What a search hands over: confirmation, verdict, best config, tables, the winner.

May import: search.tracking and below.
"""
