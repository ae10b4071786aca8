"""A host's clock that does not go back, for all that keeps intervals in host time.

What was covered, which connection was heard up to when, and how far the host is from the exchange
are differences of wall clock readings that may lie hours apart. If the clock is set back meanwhile
(by hand, or by a time service that finds out late), an interval would end before it began, and a
gap would seem to be nothing. So time goes on as it went, by the monotonic clock, until the wall
clock has caught up. A step forward is followed: a host that slept makes one, and is right.

Steps back of less than `SLACK_NS` are followed, too: they change no interval by more than that,
and without them this clock would run away by the drift between the two.
"""

from __future__ import annotations

from tapekeeper.ports import Clock

SLACK_NS = 1_000_000_000
"""Time services slew what is less, and no interval is known more closely."""


class ForwardClock:
    """See the module's text; a `ports.Clock`.

    Args:
        clock: of the host.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns = clock.now_ns()
        self._last_monotonic_ns = clock.monotonic_ns()

    def now_ns(self) -> int:
        """Wall clock, ns UTC, or what it would show if it had not been set back."""
        wall_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        goes_on_ns = self._last_ns + monotonic_ns - self._last_monotonic_ns
        self._last_ns = wall_ns if wall_ns >= goes_on_ns - SLACK_NS else goes_on_ns
        self._last_monotonic_ns = monotonic_ns
        return self._last_ns

    def monotonic_ns(self) -> int:
        """As it is on the host."""
        return self._clock.monotonic_ns()

    async def sleep_s(self, delay_s: float) -> None:
        """As it is on the host."""
        await self._clock.sleep_s(delay_s)
