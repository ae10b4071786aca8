"""What answers tell of the clocks."""

from __future__ import annotations

import pytest

from tapekeeper.adapters.dates import GatewayDates
from tapekeeper.core.skew import HostClockStatus
from tapekeeper.sim.manual_clock import ManualClock

T0_NS = 1_767_625_200_000_000_000
"""2026-01-05 15:00 UTC."""


def test_a_date_bounds_the_difference_from_both_sides() -> None:
    """Asked at :00.0, answered at :00.2, dated :58: this clock is 0 to 2.2 s ahead."""
    clock = ManualClock(T0_NS)
    dates = GatewayDates(clock)
    asked_ns = dates.now_ns()
    clock.advance(0.2)
    dates.learn(asked_ns, {"Date": "Mon, 05 Jan 2026 14:59:58 GMT"})
    assert dates.status() == HostClockStatus(least_ms=0.0, most_ms=2_200.0, answers=1)


@pytest.mark.parametrize("headers", [{}, {"Date": "noon"}, {"Date": "Mon, 99 Jan 2026 1"}])
def test_an_answer_without_a_date_tells_nothing(headers: dict[str, str]) -> None:
    """And is no error: whoever sent it may have meant something else."""
    dates = GatewayDates(ManualClock(T0_NS))
    dates.learn(T0_NS, headers)
    assert dates.status() == HostClockStatus()
