"""How late data comes, although no two clocks agree.

One real capture ran 1.27 s *behind* the exchange for its whole length, so the plain difference
of receive and event time says little. The smallest difference of a recent window is the clock
difference plus the fastest delivery; what a tick took beyond that is its lag. Nothing here may
close a bar: that is decided without any wall clock.
"""

from __future__ import annotations

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
