"""All searches in a browser: MLflow's pages and Optuna's.

May import: search.execution and below.
"""
