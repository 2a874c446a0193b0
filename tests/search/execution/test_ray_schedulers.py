import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.execution.tune_controller import TuneController
from ray.tune.utils.object_cache import _ObjectCache

from search.execution.ray_schedulers import KeepsWorkers, MakesRoom, explore
from search.stopping.hyperband import Hyperband
from search.stopping.kind import Lengths, StoppingKind
from search.stopping.median import Median
from search.stopping.pbt import Pbt
from spaces.domain import Categorical, Float, Int, contains
from spaces.problems import BadInput

KNOBS = {
    "lr": Float(1e-4, 1e-1, log=True),
    "dropout": Float(0.0, 0.5, step=0.1),
    "width": Int(16, 256, step=16),
    "kind": Categorical(("a", "b", "c")),
}


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_explored_values_stay_in_their_domains(seed: int, resample: float) -> None:
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {"lr": 1e-2, "dropout": 0.0, "width": 256, "kind": "b", "other": 7}
    for _ in range(20):
        new = explore(values, KNOBS, resample, rng)
        assert list(new) == list(values) and new["other"] == 7
        assert all(contains(domain, new[path]) for path, domain in KNOBS.items())
        assert resample > 0 or new["kind"] == "b"
        values = new


def test_explore_is_decided_by_the_seed_and_leaves_inactive_knobs_out() -> None:
    values = {"lr": 1e-2, "width": 64}
    first, again = (explore(values, KNOBS, 0.5, np.random.default_rng(3)) for _ in range(2))
    assert first == again and set(first) == {"lr", "width"}
    assert explore({"lr": 1e-2}, KNOBS, 0.0, np.random.default_rng(0))["lr"] in (
        pytest.approx(8e-3),
        pytest.approx(1.2e-2),
    )
    assert explore({"lr": "auto"}, KNOBS, 0.0, np.random.default_rng(0))["lr"] != "auto"


LENGTHS = Lengths(100, 1, "epoch")


@pytest.mark.parametrize(
    ("stopping", "message"),
    [
        (Hyperband(kind="hyperband", reduction=200), "reduction is 200; it must be at most steps 100"),
        (Median(kind="median", grace=100), "grace is 100; it must lie below steps 100"),
        (Pbt(kind="pbt", perturb_every=100), "perturb_every is 100; it must lie below steps 100"),
    ],
)
def test_bad_options_say_what_is_wrong(stopping: StoppingKind, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        stopping.rungs(LENGTHS)


def test_a_paused_trial_is_dropped_and_the_newest_one_runs_next() -> None:
    trials = [SimpleNamespace(status=status) for status in ("RUNNING", "PENDING", "PAUSED", "PENDING", "TERMINATED")]
    stopped = list[Any]()
    controller = SimpleNamespace(get_trials=lambda: trials, stop_trial=stopped.append)
    assert MakesRoom(lambda _: True).choose_trial_to_run(controller) is trials[3]
    assert stopped == [trials[2]]


def test_a_process_is_kept_for_every_worker_and_no_more() -> None:
    """Ray's own cache of processes, which goes by trials that await one."""
    cache, workers = _ObjectCache(), [2]
    controller = SimpleNamespace(_tune_controller=SimpleNamespace(_actor_cache=cache))
    trial = SimpleNamespace(placement_group_factory="two cores")
    scheduler = KeepsWorkers(lambda: workers[0])
    scheduler.on_trial_add(controller, trial)
    scheduler.on_trial_add(controller, trial)
    kept = [cache.cache_object("two cores", number) for number in range(3)]
    assert kept == [True, True, False] and not list(cache.flush_cached_objects())
    workers[0] = 4  # the cluster has grown
    scheduler.on_trial_add(controller, trial)
    assert cache.total_max_objects == 4
    KeepsWorkers(lambda: 2).on_trial_add(SimpleNamespace(), trial)  # another version of Ray


def test_rays_controller_has_that_cache() -> None:
    assert "self._actor_cache = _ObjectCache(" in inspect.getsource(TuneController.__init__)
