"""Compares this host's clock with the gateway's, by the `Date` header that answers carry anyway.

Nothing is asked for it, and no time service is needed. Bars do not depend on the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from tapekeeper.core.skew import HostClock, HostClockStatus
from tapekeeper.ports import Clock

_NS_PER_S = 1_000_000_000


class GatewayDates:
    """Learns from answers.

    Args:
        clock: of this host.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._host = HostClock()

    def now_ns(self) -> int:
        """The wall clock, ns UTC: to be taken when a request is sent."""
        return self._clock.now_ns()

    def learn(self, asked_ns: int, headers: Mapping[str, str]) -> None:
        """Take note of the head of an answer that has come just now.

        Args:
            asked_ns: `now_ns` when the request was sent.
            headers: of the answer; without a readable `Date` they say nothing.
        """
        try:
            date_s = parsedate_to_datetime(headers.get("Date", "")).timestamp()
        except (TypeError, ValueError, OverflowError):
            return
        self._host.observe(
            asked_ns=asked_ns,
            answered_ns=self._clock.now_ns(),
            date_ns=int(date_s) * _NS_PER_S,
            mono_ns=self._clock.monotonic_ns(),
        )

    def status(self) -> HostClockStatus:
        """What is known of this host's clock."""
        return self._host.status()
