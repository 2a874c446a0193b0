"""Searches on recorded learning curves: the same stopping rule and the same samplers as on Ray, on a simulated clock.

`table`, `recorded` read curves; `clock` runs one search; `ours`, `sources` are the policy and its samplers;
`tournament` compares policies over tasks and seeds; `advice` says what another first rung would have done to a
finished search.
"""
