"""Where a moment of this host's clock lies on the exchange's: between two bounds.

The fastest delivery of the last minutes says how far the two are apart (`tapekeeper.core.skew`).
That is known from data alone, and after a step of the host's clock no data have come by the new
time yet. Nor does a step say what it was: a clock that was set has moved against the exchange's, a
host that slept has not. So from a step on both are possible, until data decide; what came by the
old time is forgotten as soon as nothing that is to be placed may be from then.

            nothing has stepped    a step by S, no data since    data since took d
    low     fastest                the less of fastest and       the one of the two that
                                   fastest + S                   fits d, at most d
    high    fastest                the more of the two           the most of all

An interval in which prints may be missing begins at the earliest and ends at the latest moment that
is possible: it may be taken to be longer than it was, never shorter. Everything here is live only:
what comes of it is written to the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tapekeeper.core.skew import WINDOW_NS, Skew
from tapekeeper.model.tick import TradeBatch
from tapekeeper.ports import Clock

STEP_NS = 100_000_000
"""Time services slew what is less; looked at once a second, the drift of a clock is far below."""

STEPS_MAX = 8
"""Steps that are remembered; a clock that is set more often within minutes is not kept at all."""

REMEMBER_NS = 2 * WINDOW_NS
"""A connection that was heard last before a step is given up long before that."""

FITS_NS = 250_000_000
"""By how much the first deliveries after a step may be faster than the fastest before it."""


class _Epoch:
    """The time between two steps."""

    __slots__ = ("began_monotonic_ns", "began_ns", "offset_ns", "skew")

    def __init__(self, began_ns: int, began_monotonic_ns: int) -> None:
        self.began_ns = began_ns
        self.began_monotonic_ns = began_monotonic_ns
        self.offset_ns = began_ns - began_monotonic_ns
        self.skew = Skew()


class ExchangeTime:
    """See the module's text. All times are ns UTC.

    Args:
        clock: of the host; its steps are seen against its monotonic clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = _Epoch(clock.now_ns(), clock.monotonic_ns())
        self._past: deque[_Epoch] = deque(maxlen=STEPS_MAX)  # oldest first

    def saw(self, batches: Iterable[TradeBatch]) -> None:
        """Learn from trades that were accepted."""
        self._look()
        for batch in batches:
            # What was received before a step tells nothing of the time behind it.
            if batch.ts_recv[-1] >= self._now.began_ns or not self._past:
                self._now.skew.observe(batch.ts_event[-1], batch.ts_recv[-1])

    def earliest_ns(self, host_ns: int) -> int | None:
        """The exchange's time at `host_ns` was not before this; None before the first trade."""
        self._look()
        own_ns = self._now.skew.fastest_ns()
        delays = [*self._before(), *([] if own_ns is None else [own_ns])]
        return host_ns - max(delays) if delays else None

    def latest_ns(self, host_ns: int) -> int | None:
        """Nor after this, as far as the data tell; None before the first trade."""
        self._look()
        own_ns, delays = self._now.skew.fastest_ns(), self._before()
        if own_ns is None:
            return host_ns - min(delays) if delays else None
        fitting = [each for each in delays if each <= own_ns + FITS_NS]
        return host_ns - min(own_ns, max(fitting, default=own_ns))

    def _before(self) -> list[int]:
        """What the fastest delivery may be by what came before the last step."""
        delays = []
        for epoch in self._past:
            before_ns = epoch.skew.fastest_ns()
            if before_ns is not None:
                delays += [before_ns, before_ns + self._now.offset_ns - epoch.offset_ns]
        return delays

    def _look(self) -> None:
        """Take note of steps and of the time that has passed since the last one."""
        wall_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        offset_ns = wall_ns - monotonic_ns
        if abs(offset_ns - self._now.offset_ns) > STEP_NS:
            self._past.append(self._now)
            self._now = _Epoch(wall_ns, monotonic_ns)
        self._now.offset_ns = offset_ns
        lasts_ns = monotonic_ns - self._now.began_monotonic_ns
        if self._past and lasts_ns > REMEMBER_NS and self._now.skew.fastest_ns() is not None:
            self._past.clear()
