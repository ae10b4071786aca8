"""The real clock and real randomness: the only place of the package that asks for either."""

from __future__ import annotations

import asyncio
import random
import time


class SystemClock:
    """Fills `ports.Clock` from the operating system and the running event loop."""

    __slots__ = ()

    def now_ns(self) -> int:
        """Wall clock, ns since 1970-01-01T00:00Z; steps when the host's clock is set."""
        return time.time_ns()  # noqa: TID251 - this is the one clock the rule points to

    def monotonic_ns(self) -> int:
        """Never steps back; on some systems it stands still while the machine sleeps."""
        return time.monotonic_ns()

    async def sleep_s(self, delay_s: float) -> None:
        """Wait `delay_s` seconds; zero or less only lets other tasks run."""
        await asyncio.sleep(delay_s)


class SystemRandom:
    """Fills `ports.Random` from the operating system, so that no two machines agree.

    Hosts that lost the same gateway must not come back in step, which a seed would make them.
    """

    __slots__ = ("_source",)

    def __init__(self) -> None:
        self._source = random.SystemRandom()

    def random(self) -> float:
        """A number in [0, 1)."""
        return self._source.random()
