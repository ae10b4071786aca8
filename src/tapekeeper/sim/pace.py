"""Exchange time against real time: real, accelerated, or none at all."""

from __future__ import annotations

from tapekeeper.ports import Clock
from tapekeeper.sim.config import Speed
from tapekeeper.sim.session import SECOND_NS


class Pacer:
    """Maps exchange time to waiting.

    Args:
        clock: its monotonic side measures, its sleep waits.
        speed: exchange seconds per second, or "max" for no waiting.
    """

    def __init__(self, clock: Clock, speed: Speed) -> None:
        self._clock = clock
        self._speed = speed
        self._origin_ns: int | None = None
        self._origin_monotonic_ns = 0
        self._reached_ns = 0

    @property
    def is_max(self) -> bool:
        """Whether time has no meaning, so that everything waits for its readers."""
        return self._speed == "max"

    @property
    def is_real_time(self) -> bool:
        """Whether a second is a second, so that nothing waits for slow readers."""
        return self._speed == 1.0

    def start(self, exchange_ns: int) -> None:
        """Exchange time is `exchange_ns` now; a second call changes nothing."""
        if self._origin_ns is None:
            self._origin_ns = self._reached_ns = exchange_ns
            self._origin_monotonic_ns = self._clock.monotonic_ns()

    def now_ns(self) -> int:
        """Exchange time, ns UTC; at "max" the latest moment that was reached."""
        if self._origin_ns is None or self._speed == "max":
            return self._reached_ns
        elapsed_ns = self._clock.monotonic_ns() - self._origin_monotonic_ns
        return self._origin_ns + round(elapsed_ns * self._speed)

    async def until(self, exchange_ns: int) -> None:
        """Wait until exchange time is `exchange_ns`; not at all where it has passed."""
        self._reached_ns = max(self._reached_ns, exchange_ns)
        if self._speed == "max":
            return
        while (missing_ns := exchange_ns - self.now_ns()) > 0:
            await self._clock.sleep_s(missing_ns / SECOND_NS / self._speed)
