"""The probe: what a user's own training code can promise, measured before a search is trained.

May import: spec, common.
"""
