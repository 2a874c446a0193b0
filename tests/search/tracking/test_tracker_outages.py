"""What a store that fails, refuses or loses answers does to tracking, and what is said of it."""

import threading
import time

from tracking_store import Search, life, proposed, wait_until

from search.tracking.tracker import waiting_note
from search.tracking.types import Pace, SearchStatus


def test_a_store_that_fails_always_never_reaches_the_search(search: Search) -> None:
    search.store.down = True
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0))
    wait_until(lambda: search.store.calls.count("open") > 3)
    began = time.monotonic()
    summary = tracker.finish(SearchStatus("done"), 0.2)
    assert time.monotonic() - began < 1
    assert (summary.sent, summary.waiting, summary.closed, summary.parent) == (0, 6, False, None)
    assert "--resume" in summary.message
    assert len(search.said) == 1  # once per outage
    assert "hunter2" not in search.said[0]


def test_the_end_of_a_search_does_not_wait_for_the_next_try_of_a_long_outage(search: Search) -> None:
    search.store.down = True
    tracker = search.tracker(Pace(gather=0.0, retry=1.0, retry_most=60.0, farewell=0.9, farewell_retry=0.02))
    tracker.start()
    search.emit(*life(0))
    wait_until(lambda: "open" in search.store.calls)
    threading.Timer(0.1, lambda: setattr(search.store, "down", False)).start()
    assert tracker.finish(SearchStatus("done"), 5).closed


def test_an_outage_in_the_middle_loses_and_doubles_nothing(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0), *life(1)[:3])
    wait_until(lambda: tracker.waiting == 0)
    search.store.down = True
    search.emit(*life(1)[3:], *life(2))
    wait_until(lambda: bool(search.said))
    search.store.down = False
    summary = tracker.finish(SearchStatus("done"), 10)
    assert (summary.waiting, len(search.store.runs)) == (0, 4)
    assert [len(search.store.metrics[search.store.run(trial)]) for trial in range(3)] == [6, 6, 6]
    assert "answers again" in search.said[1]


def test_a_lost_answer_does_not_double_a_run(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    wait_until(lambda: bool(search.store.runs))
    wait_until(lambda: tracker.waiting == 0)
    search.store.lose_next_answer = True
    search.emit(*life(0))
    tracker.finish(SearchStatus("done"), 10)
    assert len(search.store.runs) == 2
    assert "find" in search.store.calls


def test_a_run_that_appears_late_is_removed(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    wait_until(lambda: bool(search.store.runs))
    find = search.store.find
    search.store.find = lambda _: []  # type: ignore[method-assign]
    search.store.lose_next_answer = True
    search.emit(*life(0))
    wait_until(lambda: tracker.waiting == 0)
    assert len(search.store.runs) == 3
    search.store.find = find  # type: ignore[method-assign]
    tracker.finish(SearchStatus("done"), 10)
    assert len(search.store.runs) == 2
    assert search.store.params[search.store.run(0)]


def test_a_verdict_that_could_not_be_sent_says_why(search: Search) -> None:
    search.store.down = True
    tracker = search.tracker()
    tracker.start()
    search.emit(*life(0))
    message = tracker.finish(SearchStatus("done"), 0.05).message
    assert "6 events and the verdict could not be sent" in message
    assert "(connection refused at http://***@host/)" in message and "--resume sends them" in message


def test_what_the_store_refuses_does_not_hold_up_the_rest(search: Search) -> None:
    tracker = search.tracker()
    tracker.start()
    search.emit(proposed(0))
    wait_until(lambda: tracker.waiting == 0)
    search.store.params[search.store.run(0)]["lr"] = "changed by hand"
    search.emit(proposed(0), *life(1))
    assert tracker.finish(SearchStatus("done"), 10).waiting == 0
    assert search.store.runs[search.store.run(1)]["status"] == "FINISHED"
    assert "refused" in search.said[0]


def test_an_unreachable_store_is_said_once(search: Search) -> None:
    search.uri, search.store.down = "http://user:hunter2@127.0.0.1:9", True
    tracker = search.tracker(down=True)  # it was said at the start
    warning = waiting_note(search.info, "connection refused")
    assert "http://***@127.0.0.1:9" in warning and "The search goes on" in warning
    tracker.start()
    wait_until(lambda: len(search.store.calls) > 2)
    tracker.finish(SearchStatus("done"), 0.05)
    assert search.said == []
