"""A clock that does not go back, on a host whose clock does."""

from __future__ import annotations

from tapekeeper.runtime.forward_clock import ForwardClock

_NS = 1_000_000_000


class _Host:
    """A host whose two clocks are moved by hand."""

    def __init__(self) -> None:
        self.wall_ns, self.passed_ns = 1_000 * _NS, 0

    def go(self, passed_s: float, set_by_s: float = 0.0) -> None:
        self.passed_ns += round(passed_s * _NS)
        self.wall_ns += round((passed_s + set_by_s) * _NS)

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.passed_ns

    async def sleep_s(self, delay_s: float) -> None:
        self.go(delay_s)


def test_a_clock_that_was_set_back_goes_on_until_it_has_caught_up() -> None:
    """Time passes as it did; once the wall clock is ahead again it is the wall clock."""
    host = _Host()
    clock = ForwardClock(host)
    host.go(5, set_by_s=-3_600)
    assert clock.now_ns() == 1_005 * _NS
    host.go(7)
    assert clock.now_ns() == 1_012 * _NS
    host.go(1, set_by_s=3_601)
    assert clock.now_ns() == host.now_ns() == 1_014 * _NS


def test_a_clock_that_was_set_forward_is_followed() -> None:
    """A host that slept is right about the time, and its monotonic clock is not."""
    host = _Host()
    clock = ForwardClock(host)
    host.go(1, set_by_s=28_800)
    assert clock.now_ns() == host.now_ns()


def test_small_steps_back_are_followed() -> None:
    """So the drift between the two clocks of a host does not add up over weeks."""
    host = _Host()
    clock = ForwardClock(host)
    for _ in range(100):
        host.go(60, set_by_s=-0.5)
        assert clock.now_ns() == host.now_ns()
