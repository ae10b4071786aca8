"""A clock that moves only when it is told to, for tests that use real sockets.

Virtual time would jump while bytes are still under way in the kernel; here a test moves time
itself, once it has seen what it waited for.
"""

from __future__ import annotations

import asyncio

from tapekeeper.sim.session import SECOND_NS

DEFAULT_START_NS = 1_795_186_800 * SECOND_NS
"""2026-11-20T15:00:00Z, a Friday within the session."""


class ManualClock:
    """Fills `ports.Clock`.

    Args:
        start_ns: wall clock at the beginning, ns UTC; monotonic time begins at 0.
    """

    def __init__(self, start_ns: int = DEFAULT_START_NS) -> None:
        self._start_ns = start_ns
        self._passed_ns = 0
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []  # bound: waiting tasks

    def now_ns(self) -> int:
        """Wall clock, ns UTC."""
        return self._start_ns + self._passed_ns

    def monotonic_ns(self) -> int:
        """Ns that were advanced so far."""
        return self._passed_ns

    async def sleep_s(self, delay_s: float) -> None:
        """Wait until time has been advanced by `delay_s`; zero or less lets other tasks run."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._passed_ns + round(delay_s * SECOND_NS), woken))
        await woken

    def set_by(self, by_s: float) -> None:
        """Set the wall clock alone."""
        self._start_ns += round(by_s * SECOND_NS)

    def advance(self, by_s: float) -> None:
        """Let time pass at once; a task that slept in small steps wakes one time, at the end."""
        self._passed_ns += round(by_s * SECOND_NS)
        due = [woken for at_ns, woken in self._sleepers if at_ns <= self._passed_ns]
        self._sleepers = [one for one in self._sleepers if one[0] > self._passed_ns]
        for woken in due:
            if not woken.done():
                woken.set_result(None)
