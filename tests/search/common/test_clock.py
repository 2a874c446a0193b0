import time

import pytest

from search.common import clock
from search.history.events import Phase
from search.history.records import Records


def test_the_time_of_a_search_does_not_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    before = clock.now()
    assert abs(before - time.time()) < 5
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    assert 0 <= clock.now() - before < 60


@pytest.mark.parametrize(("jump", "told"), [(-3600, "set back by 3600 s"), (-2, None), (3600, None), (0, None)])
def test_a_clock_that_is_set_back_is_noticed(jump: float, told: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    set_back = clock.SetBack()
    assert set_back() is None
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert set_back() == (told and f"the system's clock was {told}")
    monkeypatch.setattr(time, "time", lambda: real() + jump - 10)
    assert set_back() is not None  # from wherever it stood last


def test_time_between_sittings_is_not_spent_even_where_the_clock_differs() -> None:
    sittings = [(1000.0, 1030.0), (500.0, 520.0), (9000.0, 9001.0)]  # on machines whose clocks are apart
    ends = [(name, at) for sitting in sittings for name, at in zip(("search", "confirm"), sitting, strict=True)]
    records = Records(Phase(name, at) for name, at in ends)  # type: ignore[arg-type]
    assert records.search_seconds == 0  # a phase begins a sitting; what counts is told by its events
    records.apply(Phase("search", 50.0))
    assert records.searching_for(60.0) == 10.0
