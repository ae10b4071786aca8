"""The clock difference, learned from what arrives."""

from __future__ import annotations

from tapekeeper.core.skew import WINDOW_NS, HostClock, HostClockStatus, Skew

SECOND = 1_000_000_000


def test_nothing_is_known_before_the_first_tick() -> None:
    """Without a tick there is no exchange time, so no timer closes anything."""
    assert Skew().exchange_now_ns(5) is None


def test_a_host_clock_behind_the_exchange_is_made_up_for() -> None:
    """A clock 1.27 s behind gives receive times before event times."""
    skew = Skew()
    skew.observe(ts_event=1_000 * SECOND, ts_recv=1_000 * SECOND - 1_270_000_000)
    assert skew.exchange_now_ns(2_000 * SECOND) == 2_000 * SECOND + 1_270_000_000


def test_slow_deliveries_do_not_move_the_estimate() -> None:
    """Only the fastest delivery of the window counts."""
    skew = Skew()
    for delay_ms in (900, 3, 5_000, 40):
        skew.observe(ts_event=1_000 * SECOND, ts_recv=1_000 * SECOND + delay_ms * 1_000_000)
    assert skew.exchange_now_ns(2_000 * SECOND) == 2_000 * SECOND - 3_000_000


def test_what_is_known_is_shifted_with_a_clock_that_was_set() -> None:
    """Both buckets, at once; nothing that is known yet stays so."""
    skew = Skew()
    skew.shift(90 * SECOND)
    assert skew.fastest_ns() is None
    start = 1_000 * SECOND
    skew.observe(start - SECOND, start)
    skew.shift(90 * SECOND)
    assert skew.fastest_ns() == 91 * SECOND
    later = start + WINDOW_NS
    skew.observe(later - 95 * SECOND, later)
    skew.shift(10 * SECOND)
    assert skew.fastest_ns() == 101 * SECOND


def test_the_estimate_follows_a_clock_that_was_set() -> None:
    """What is older than two windows is forgotten, one bucket at a time."""
    skew = Skew()
    start = 1_000 * SECOND
    skew.observe(start, start)
    later = start + WINDOW_NS
    skew.observe(later - 5 * SECOND, later)
    assert skew.exchange_now_ns(later) == later, "the older bucket still counts"
    latest = later + WINDOW_NS
    skew.observe(latest - 5 * SECOND, latest)
    assert skew.exchange_now_ns(latest) == latest - 5 * SECOND


def test_after_a_long_silence_only_the_new_counts() -> None:
    """A bucket from before a silence says nothing about the clock after it."""
    skew = Skew()
    start = 1_000 * SECOND
    skew.observe(start, start)
    later = start + 10 * WINDOW_NS
    skew.observe(later - 2 * SECOND, later)
    assert skew.exchange_now_ns(later) == later - 2 * SECOND


def test_the_smallest_delay_bounds_the_hosts_clock() -> None:
    """A clock that runs behind receives what has not happened yet, which is told as it is."""
    skew = Skew()
    assert skew.fastest_ns() is None
    skew.observe(10_000, 9_000)
    skew.observe(20_000, 19_500)
    assert skew.fastest_ns() == -1_000


def _at(host: HostClock, asked_s: float, took_s: float, date_s: int, mono_s: float) -> None:
    host.observe(
        asked_ns=round(asked_s * 1e9),
        answered_ns=round((asked_s + took_s) * 1e9),
        date_ns=date_s * 10**9,
        mono_ns=round(mono_s * 1e9),
    )


def test_answers_bound_the_difference_closer_and_closer() -> None:
    """Each is true, so all of them are."""
    host = HostClock()
    assert host.status() == HostClockStatus()
    _at(host, 100.0, 0.1, 100, 0)
    assert host.status() == HostClockStatus(-2_000.0, 100.0, 1)
    _at(host, 101.9, 0.05, 101, 1)
    assert host.status() == HostClockStatus(-1_100.0, 100.0, 2)


def test_a_clock_that_was_set_is_believed_anew() -> None:
    """What contradicts the new answer is of another time."""
    host = HostClock()
    _at(host, 100.0, 0.1, 100, 0)
    _at(host, 200.0, 0.1, 100, 1)
    assert host.status() == HostClockStatus(98_000.0, 100_100.0, 2)
    _at(host, 300.0, -0.5, 301, 2)
    assert host.status().answers == 3
    _at(host, 300.0, -5.0, 301, 3)
    assert host.status().answers == 3


def test_what_is_old_is_forgotten() -> None:
    """Clocks drift: after an hour the bounds begin anew."""
    host = HostClock()
    _at(host, 100.0, 0.1, 99, 0)
    _at(host, 4_000.0, 0.1, 4_000, 3_601)
    assert host.status() == HostClockStatus(-2_000.0, 100.0, 2)
