"""What the user asked for, resolved: settings, space, base config, budget, resources, the plan.

May import: search.common, search.history, search.stopping, search.sampling.
"""
