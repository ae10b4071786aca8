"""Delays grow, are capped, and are spread."""

from __future__ import annotations

import pytest

from tapekeeper.core.backoff import RETRY_AFTER_MAX_S, Backoff

ALMOST_ONE = 1 - 2**-53


def test_the_bound_doubles_up_to_the_cap() -> None:
    """The n-th delay is at most base * 2**n, and never above the cap."""
    backoff = Backoff(100, 1_000)
    assert [backoff.next_delay_ms(ALMOST_ONE) for _ in range(6)] == [99, 199, 399, 799, 999, 999]
    assert backoff.attempts == 6


def test_jitter_is_full() -> None:
    """The delay is the drawn share of the bound, from nothing on."""
    assert Backoff(1_000, 8_000).next_delay_ms(0.0) == 0
    assert Backoff(1_000, 8_000).next_delay_ms(0.25) == 250


def test_reset_begins_again() -> None:
    """After a healthy spell the bound is the base again."""
    backoff = Backoff(100, 10_000)
    for _ in range(5):
        backoff.next_delay_ms(0.5)
    backoff.reset()
    assert backoff.attempts == 0
    assert backoff.next_delay_ms(0.5) == 50


def test_a_long_outage_stays_at_the_cap() -> None:
    """Weeks of attempts neither overflow nor exceed the cap."""
    backoff = Backoff(1, 30_000)
    assert max(backoff.next_delay_ms(ALMOST_ONE) for _ in range(10_000)) == 29_999


def test_retry_after_is_honoured_with_jitter_on_top() -> None:
    """The delay is never shorter than what the peer asked for."""
    assert Backoff(100, 1_000).next_delay_ms(0.0, 2.5) == 2_500
    assert Backoff(100, 1_000).next_delay_ms(0.5, 2.5) == 2_550


@pytest.mark.parametrize("asked", [1e9, float("inf")])
def test_retry_after_is_bounded(asked: float) -> None:
    """A wrong header cannot silence a recorder for days."""
    assert Backoff(100, 1_000).next_delay_ms(0.0, asked) == RETRY_AFTER_MAX_S * 1_000


@pytest.mark.parametrize("asked", [0.0, -5.0, float("nan")])
def test_a_meaningless_retry_after_is_ignored(asked: float) -> None:
    """Zero, negative and unreadable numbers leave the jitter alone."""
    assert Backoff(100, 1_000).next_delay_ms(0.5, asked) == 50


@pytest.mark.parametrize(("base", "cap"), [(0, 10), (-1, 10), (11, 10)])
def test_impossible_bounds_are_refused(base: int, cap: int) -> None:
    """A base below 1 ms or above the cap is the caller's mistake."""
    with pytest.raises(ValueError, match="the base is 1 to the cap"):
        Backoff(base, cap)
