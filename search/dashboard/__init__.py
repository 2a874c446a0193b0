"""All searches in a browser: our live page, MLflow's pages and Optuna's.

May import: search.execution and below.
"""
