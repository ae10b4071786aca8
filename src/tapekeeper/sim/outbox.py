"""What waits to be written to one connection: bounded in bytes, joined into bursts."""

from __future__ import annotations

import asyncio
from collections import deque

BURST_BYTES = 65_536
"""Most bytes joined into one WebSocket message, as measured on a real server in a flood."""


class Outbox:
    """A bounded queue of records with one taker.

    Args:
        limit_bytes: records are refused while more than this waits.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._records: deque[bytes] = deque()  # bound: `put` refuses beyond `_limit_bytes`
        self._bytes = 0
        self.ended = False
        """Whether nothing more is taken."""
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, record: bytes) -> bool:
        """Queue a record; False if there was no room or the outbox has ended."""
        if self.ended or self._bytes > self._limit_bytes:
            return False
        self._records.append(record)
        self._bytes += len(record)
        self._ready.set()
        if self._bytes > self._limit_bytes // 2:
            self._room.clear()
        return True

    async def take(self) -> bytes:
        """The next burst; empty when the outbox has ended and everything was taken."""
        while not self._records:
            if self.ended:
                return b""
            self._ready.clear()
            await self._ready.wait()
        size = 0
        burst: list[bytes] = []
        while self._records and (not burst or size + len(self._records[0]) <= BURST_BYTES):
            record = self._records.popleft()
            size += len(record)
            burst.append(record)
        self._bytes -= size
        if self._bytes <= self._limit_bytes // 2:
            self._room.set()
        return b"".join(burst)

    async def room(self) -> None:
        """Wait until at most half of the limit waits, or nothing will be written any more."""
        await self._room.wait()

    @property
    def is_crowded(self) -> bool:
        """Whether `room` would wait."""
        return not self._room.is_set()

    def end(self) -> None:
        """Take no more; what waits is still written."""
        self.ended = True
        self._ready.set()
        self._room.set()

    def drop(self) -> None:
        """Forget what waits."""
        self._records.clear()
        self._bytes = 0
        self._room.set()
