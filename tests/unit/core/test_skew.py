"""The clock difference, learned from what arrives."""

from __future__ import annotations

from tapekeeper.core.skew import WINDOW_NS, Skew

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
