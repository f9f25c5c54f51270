import threading

from virtual_time import VirtualTime

from data.curation.endpoint.pace import Pace


def times(pace, time, requests, tokens=0):
    """When each of so many threads may send."""

    def one():
        pace.take(tokens)
        return time.clock()

    return sorted(time.together(*[one] * requests))


def in_any_minute(at):
    """The most requests in a half-open minute that begins with one of them."""
    return max(sum(start <= other < start + 60 for other in at) for start in at)


def test_no_minute_holds_more_requests_than_allowed():
    time = VirtualTime()
    at = times(Pace(30, clock=time.clock, sleep=time.sleep), time, 100)
    assert in_any_minute(at) == 30
    assert at[-1] == 2 * 99


def test_no_minute_holds_more_tokens_than_allowed():
    time = VirtualTime()
    at = times(Pace(None, 9_000, clock=time.clock, sleep=time.sleep), time, 50, tokens=600)
    assert in_any_minute(at) * 600 <= 9_000
    assert at[-1] == 4 * 49


def test_the_stricter_limit_counts():
    time = VirtualTime()
    assert times(Pace(60, 600, clock=time.clock, sleep=time.sleep), time, 4, tokens=100) == [0, 10, 20, 30]
    time = VirtualTime()
    assert times(Pace(6, 60_000, clock=time.clock, sleep=time.sleep), time, 4, tokens=100) == [0, 10, 20, 30]


def test_without_limits_nobody_waits():
    time = VirtualTime()
    assert times(Pace(clock=time.clock, sleep=time.sleep), time, 20, tokens=10**9) == [0] * 20


def test_tokens_that_were_not_used_come_back():
    time = VirtualTime()
    pace = Pace(None, 600, clock=time.clock, sleep=time.sleep)
    pace.take(500)
    pace.correct(500, 100)
    pace.take(100)
    assert time.clock() == 10
    pace.correct(100, 300)
    pace.take(0)
    assert time.clock() == 40


def test_a_hold_reaches_those_who_wait_already():
    time = VirtualTime()
    pace, at = Pace(60, clock=time.clock, sleep=time.sleep), []

    def sender():
        for _ in range(3):
            pace.take(0)
            at.append(time.clock())

    def holder():
        time.sleep(1.5)
        pace.hold(20)

    time.together(sender, holder)
    assert at[:2] == [0, 1]
    assert at[2] == 21.5


def test_a_set_event_ends_the_wait():
    stop = threading.Event()
    pace = Pace(0.001, sleep=stop.wait)
    pace.take(0)
    stop.set()
    pace.take(0)
