"""Request limits: so many in a sliding window, per caller."""

from __future__ import annotations

import math
from collections import deque

from tapekeeper.ports import Clock
from tapekeeper.sim.session import SECOND_NS

CALLERS_MAX = 1_000
"""Callers whose windows are kept; the one seen first is forgotten first."""


class RateLimit:
    """At most `requests` in any `window_s` seconds, counted per caller.

    A refused request does not count, so a caller who waits as told gets through.
    """

    def __init__(self, requests: int, window_s: float, clock: Clock) -> None:
        self._requests = requests
        self._window_ns = round(window_s * SECOND_NS)
        self._clock = clock
        self._seen: dict[str, deque[int]] = {}  # bound: CALLERS_MAX windows of `requests` times

    def admit(self, caller: str) -> int | None:
        """None if the request may pass, else whole seconds after which it may (at least 1)."""
        now_ns = self._clock.monotonic_ns()
        seen = self._window(caller)
        while seen and now_ns - seen[0] >= self._window_ns:
            seen.popleft()
        if len(seen) >= self._requests:
            return max(1, math.ceil((seen[0] + self._window_ns - now_ns) / SECOND_NS))
        seen.append(now_ns)
        return None

    def _window(self, caller: str) -> deque[int]:
        if caller not in self._seen:
            if len(self._seen) >= CALLERS_MAX:
                del self._seen[next(iter(self._seen))]
            self._seen[caller] = deque(maxlen=self._requests)
        return self._seen[caller]
