"""The report of one search, `report.html` and `figures/`, from its folder alone: `python -m search.report DIR`.

May import: search.simulate and below, but neither Ray nor MLflow.
"""
