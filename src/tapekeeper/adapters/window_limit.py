"""At most so many requests in any window of time, the urgent ones first."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from tapekeeper.ports import Clock

_NS_PER_S = 1_000_000_000


class WindowLimit:
    """At most `limit` requests in any window of `window_s`.

    Whoever waits is let through when a place is free: the urgent ones first, and among equals who
    came first. A place is taken at the moment the request may be sent and not before, so a caller
    that is cancelled while it waits takes none, and a login does not stand behind a thousand
    look-ups that somebody has asked for at once.

    Args:
        limit: requests in any window.
        window_s: seconds.
        clock: only its monotonic side is used.
        reserved: how many of them only urgent ones may take, fewer than `limit`.
    """

    __slots__ = ("_clock", "_moments_ns", "_ordinary", "_places", "_urgent", "_window_ns")

    def __init__(self, limit: int, window_s: float, clock: Clock, *, reserved: int = 0) -> None:
        self._places = limit - reserved  # for those that are not urgent
        self._window_ns = round(window_s * _NS_PER_S)
        self._clock = clock
        self._moments_ns: deque[int] = deque(maxlen=limit)  # of the last requests, monotonic
        # bound: one entry per waiting caller, and its event is set when it is the first
        self._urgent: OrderedDict[asyncio.Event, None] = OrderedDict()
        self._ordinary: OrderedDict[asyncio.Event, None] = OrderedDict()

    async def wait(self, *, urgent: bool = False) -> None:
        """Return when one more request may be sent."""
        turn = asyncio.Event()
        queue = self._urgent if urgent else self._ordinary
        queue[turn] = None
        try:
            while True:
                if self._first() is not turn:
                    turn.clear()
                    await turn.wait()
                    continue
                now_ns = self._clock.monotonic_ns()
                free_ns = self._free_ns(now_ns, urgent=urgent)
                if free_ns <= now_ns:
                    self._moments_ns.append(now_ns)
                    return
                # Somebody urgent may come meanwhile; then this one is not the first any more.
                await self._clock.sleep_s((free_ns - now_ns) / _NS_PER_S)
        finally:
            del queue[turn]
            following = self._first()
            if following is not None:
                following.set()

    def _first(self) -> asyncio.Event | None:
        return next(iter(self._urgent or self._ordinary), None)

    def _free_ns(self, now_ns: int, *, urgent: bool) -> int:
        """When the next place is free, monotonic."""
        places = (self._moments_ns.maxlen or 0) if urgent else self._places
        if len(self._moments_ns) < places:
            return now_ns
        return self._moments_ns[-places] + self._window_ns
