"""What happened in a search, as events: their record in journal.jsonl, and the state folded from them.

May import: search.common.
"""
