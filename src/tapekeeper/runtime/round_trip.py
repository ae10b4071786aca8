"""How long a WebSocket ping takes to the gateway and back.

A SignalR ping has no answer, so it measures nothing; a WebSocket ping has one that every server
must send (RFC 6455, section 5.5.2). The answer is read behind what arrived before it, so the
figure includes what waited to be read here: it is the delay that data have, too. It is a figure
and no more. A missing answer ends no connection: silence of the session does that, and whether
data come is judged by data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tapekeeper.deadline import deadline
from tapekeeper.errors import ConnectionLostError, DeadlineError
from tapekeeper.ports import Clock, Connection
from tapekeeper.runtime.line_values import RoundTrip

EVERY_S = 15.0
"""As often as the session pings."""

WAIT_S = 10.0
"""For the answer."""

_NS_PER_MS = 1_000_000


class RoundTripMeter:
    """Measures; one for all connections of a line, one after the other.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._figures = RoundTrip()

    async def measure(self, present: Callable[[], Connection], opened: asyncio.Event) -> None:
        """Ping the `present` socket when it is `opened` and then now and then, until cancelled."""
        await opened.wait()
        while True:
            before_ns = self._clock.monotonic_ns()
            try:
                async with deadline(WAIT_S, "a ping"):
                    await present().ping()
            except DeadlineError:
                self._figures = self._figures.and_none()
            except ConnectionLostError:
                pass  # the reader finds out by itself, and another socket may go on
            else:
                took_ns = self._clock.monotonic_ns() - before_ns
                self._figures = self._figures.and_one(took_ns / _NS_PER_MS)
            await self._clock.sleep_s(EVERY_S)

    def figures(self) -> RoundTrip:
        """A frozen view."""
        return self._figures
