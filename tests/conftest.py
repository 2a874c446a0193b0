"""What all tests share: reproducible examples, and nothing of the user's own settings or files."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the tests' own; no tracking server and no cluster from outside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCHEDULE_SEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
            patch.delenv(name, raising=False)
        yield
