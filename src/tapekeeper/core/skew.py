"""How late data comes, although no two clocks agree.

One real capture ran 1.27 s *behind* the exchange for its whole length, so the plain difference
of receive and event time says little. The smallest difference of a recent window is the clock
difference plus the fastest delivery; what a tick took beyond that is its lag. Nothing here may
close a bar: that is decided without any wall clock.
"""

from __future__ import annotations

import msgspec

DATE_NS = 2_000_000_000
"""How long before an answer its `Date` may have begun: it has whole seconds, and servers write it
once a second."""

HOST_CLOCK_NS = 3_600_000_000_000
"""Observations are joined for so long; clocks drift by milliseconds in it."""

WINDOW_NS = 60_000_000_000
"""Long enough to hold a fast delivery in any market, short enough to follow a drifting clock."""


class Skew:
    """The smallest delay seen in the last one to two windows; constant memory.

    Args:
        window_ns: see `WINDOW_NS`, which suits what has to follow the clocks closely.

    Two buckets instead of a sorted window: the answer covers the current bucket and the one
    before it, which bounds both the memory and the age of what it is based on.
    """

    __slots__ = ("_bucket_start_ns", "_current_ns", "_previous_ns", "_window_ns")

    def __init__(self, window_ns: int = WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._bucket_start_ns: int | None = None
        self._current_ns: int | None = None
        self._previous_ns: int | None = None

    def observe(self, ts_event: int, ts_recv: int) -> None:
        """Learn from one tick; both in ns UTC."""
        delay_ns = ts_recv - ts_event
        start_ns = self._bucket_start_ns
        if start_ns is None or self._current_ns is None:
            self._bucket_start_ns, self._current_ns = ts_recv, delay_ns
        elif ts_recv - start_ns >= self._window_ns:
            # After a silence longer than a window the older bucket says nothing any more.
            fresh = ts_recv - start_ns < 2 * self._window_ns
            self._previous_ns = self._current_ns if fresh else None
            self._bucket_start_ns, self._current_ns = ts_recv, delay_ns
        elif delay_ns < self._current_ns:
            self._current_ns = delay_ns

    def shift(self, by_ns: int) -> None:
        """The host's clock was set forward by so much: what was observed before it holds still."""
        if self._current_ns is not None:
            self._current_ns += by_ns
        if self._previous_ns is not None:
            self._previous_ns += by_ns

    def exchange_now_ns(self, now_ns: int) -> int | None:
        """The exchange time at host time `now_ns`, or None before the first tick.

        It is late by the fastest delivery, never early.
        """
        if self._current_ns is None:
            return None
        smallest = self._current_ns
        if self._previous_ns is not None and self._previous_ns < smallest:
            smallest = self._previous_ns
        return now_ns - smallest

    def fastest_ns(self) -> int | None:
        """The smallest delay of the window, or None before the first tick.

        No delivery takes less than nothing, so the host's clock is ahead of the exchange's by at
        most this; where it is negative, the host's clock is certainly behind.
        """
        now_ns = self.exchange_now_ns(0)
        return None if now_ns is None else -now_ns


class HostClockStatus(msgspec.Struct, frozen=True):
    """By how much this host's clock is ahead of the gateway's: between two bounds, ms.

    Attributes:
        least_ms, most_ms: the bounds; negative is behind. None before the first answer.
        answers: how many answers told something.
    """

    least_ms: float | None = None
    most_ms: float | None = None
    answers: int = 0


class HostClock:
    """The difference of two clocks from answers that say what time it is over there.

    The gateway wrote its time after it was asked and before the answer came, so each answer bounds
    the difference from both sides, and several together bound it closer. Where they contradict
    each other a clock was set, and only the last one counts.
    """

    __slots__ = ("_answers", "_least_ns", "_most_ns", "_since_ns")

    def __init__(self) -> None:
        self._least_ns: int | None = None
        self._most_ns = 0
        self._since_ns = 0
        self._answers = 0

    def observe(self, *, asked_ns: int, answered_ns: int, date_ns: int, mono_ns: int) -> None:
        """Learn from one answer.

        Args:
            asked_ns: this host's wall clock before it, ns UTC.
            answered_ns: and after it.
            date_ns: what the gateway says, ns UTC.
            mono_ns: this host's monotonic clock.
        """
        least_ns, most_ns = asked_ns - date_ns - DATE_NS, answered_ns - date_ns
        if least_ns > most_ns:
            return  # this host's clock was set back while the answer was on its way
        self._answers += 1
        if self._least_ns is not None and mono_ns - self._since_ns < HOST_CLOCK_NS:
            joined = max(least_ns, self._least_ns), min(most_ns, self._most_ns)
            if joined[0] <= joined[1]:
                self._least_ns, self._most_ns = joined
                return
        self._least_ns, self._most_ns, self._since_ns = least_ns, most_ns, mono_ns

    def status(self) -> HostClockStatus:
        """A frozen view."""
        if self._least_ns is None:
            return HostClockStatus()
        return HostClockStatus(self._least_ns / 1e6, self._most_ns / 1e6, self._answers)
