"""The real clock tells time and the real randomness differs."""

from __future__ import annotations

import time

import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom

_YEAR_2025_NS = 1_735_689_600_000_000_000


def test_the_wall_clock_is_in_ns_since_1970() -> None:
    """Its unit and epoch are those of the ports."""
    assert _YEAR_2025_NS < SystemClock().now_ns() < 3 * _YEAR_2025_NS


def test_the_monotonic_clock_never_steps_back() -> None:
    """It is the one of the operating system."""
    clock = SystemClock()
    readings = [clock.monotonic_ns() for _ in range(1000)]
    assert readings == sorted(readings)
    assert readings[0] <= time.monotonic_ns()


@pytest.mark.asyncio
async def test_sleeping_no_time_lets_others_run() -> None:
    """Zero and less return at once."""
    await SystemClock().sleep_s(0)
    await SystemClock().sleep_s(-1)


def test_random_numbers_are_in_range_and_differ() -> None:
    """A number in [0, 1), and no two machines in step."""
    source = SystemRandom()
    drawn = [source.random() for _ in range(100)]
    assert all(0 <= number < 1 for number in drawn)
    assert len(set(drawn)) > 90
