"""What all tests share: reproducible examples, and nothing of the user's own settings or files."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before torch and numpy are imported
    os.environ.setdefault(name, "1")  # small tensors: threads cost more than they save, and `-n` gives each core a test

settings.register_profile("house", deadline=None, derandomize=True, max_examples=25)
settings.register_profile("thorough", deadline=None, derandomize=True, max_examples=200)  # `make test-all`
settings.load_profile("house")

NUMERIC = ("trainables", "search/sampling", "search/stopping", "search/results")
"""Folders of tests whose results may hang on the processor, where a test computes with numpy or torch."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark what `make test-cpu` runs again with other instructions."""
    folders = [Path(__file__).parent / name for name in NUMERIC]
    for item in items:
        module = item.getparent(pytest.Module)
        computes = module is not None and {"np", "numpy", "torch"} & vars(module.obj).keys()
        if computes and any(item.path.is_relative_to(folder) for folder in folders):
            item.add_marker("numeric")


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the tests' own; no tracking server and no cluster from outside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
            patch.delenv(name, raising=False)
        # Left out, Ray's first cluster of a process decides it, and clusters with and without tokens don't mix in one.
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield
