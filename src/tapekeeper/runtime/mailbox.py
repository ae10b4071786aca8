"""A subscriber's bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, Self, TypeVar

import msgspec

from tapekeeper.errors import FellBehindError

T = TypeVar("T")


class MailboxStatistics(msgspec.Struct, frozen=True):
    """Counters of one mailbox; offered = delivered + waiting + missed."""

    name: str
    offered: int
    delivered: int
    waiting: int
    missed: int


class Mailbox(Generic[T]):
    """A bounded queue that never makes its producer wait.

    A subscriber that does not keep up gets what fits, then one `FellBehindError` that says how
    many events it missed: an honest end, instead of a stream with holes nobody notices. Dropping
    the oldest was rejected for that reason, and waiting because it would slow everybody else.

    Args:
        name: for messages.
        limit: events that may wait.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._items: deque[T] = deque()  # bound: `put` refuses beyond the limit
        self._changed = asyncio.Event()
        self._closed = False
        self._ended = False
        self._offered = 0
        self._delivered = 0
        self._missed = 0

    @property
    def ended(self) -> bool:
        """Whether the stream has come to its end, so that nothing is taken any more."""
        return self._ended

    def put(self, item: T) -> None:
        """Offer one event; counted as missed once the mailbox has overflowed."""
        if self._closed or self._ended:
            return
        self._offered += 1
        if self._missed or len(self._items) >= self._limit:
            self._missed += 1
        else:
            self._items.append(item)
        self._changed.set()

    def close(self) -> None:
        """End the stream after what waits has been read."""
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next event.

        Raises:
            StopAsyncIteration: the stream has ended.
            FellBehindError: events were missed; those that fitted have been delivered. The
                stream has ended with it.
        """
        while not self._ended:
            if self._items:
                self._delivered += 1
                return self._items.popleft()
            if self._missed:
                self._ended = True
                raise FellBehindError(
                    f"{self._name} did not keep up: {self._limit:,} events waited and "
                    f"{self._missed:,} more came; the journal has them all",
                    missed=self._missed,
                )
            if self._closed:
                self._ended = True
                break
            self._changed.clear()
            await self._changed.wait()
        raise StopAsyncIteration

    def statistics(self) -> MailboxStatistics:
        """A frozen view of the counters."""
        return MailboxStatistics(
            self._name, self._offered, self._delivered, len(self._items), self._missed
        )
