"""What earlier searches leave to a new one: which trials count, which run first.

May import: search.persistence and below.
"""
