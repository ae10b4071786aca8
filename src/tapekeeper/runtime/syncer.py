"""Forces sealed segments to the disk without holding the event loop.

A sync of 64 MB takes 30 ms on a fast disk and a second on a slow one. Nothing waits for it: what
`Journaler.append` promises does not depend on it, and a sealed segment is not written any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tapekeeper.errors import JournalError
from tapekeeper.ports import SegmentFile

InThread: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Calls something in a thread, and returns or raises what it does."""

WAITING_MAX = 4
"""Sealed segments that may wait; beyond it the disk is behind, and the writer waits for it."""


class SyncAtOnce:
    """Syncs and closes a segment where it is sealed."""

    def __call__(self, file: SegmentFile) -> None:
        """Take over a sealed segment.

        Raises:
            JournalError: the disk did not confirm it.
        """
        try:
            file.sync()
        finally:
            file.close()

    def finish(self) -> None:
        """Nothing is left to do."""


class Syncer:
    """Syncs sealed segments in a thread, in order, and closes them.

    Args:
        in_thread: see `InThread`.
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._waiting: deque[SegmentFile] = deque()  # bound: WAITING_MAX
        self._news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many sealed segments wait."""
        return len(self._waiting)

    def __call__(self, file: SegmentFile) -> None:
        """Take over a sealed segment.

        Raises:
            JournalError: too many waited, and the disk did not confirm one of them.
        """
        if len(self._waiting) >= WAITING_MAX:
            self.finish()
        self._waiting.append(file)
        self._news.set()

    async def run(self) -> None:
        """Sync what there is, until cancelled.

        Raises:
            JournalError: the disk did not confirm a segment.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                file = self._waiting[0]
                try:
                    await self._in_thread(file.sync)
                except JournalError:
                    if file in self._waiting:
                        raise
                # Otherwise `finish` has done it meanwhile. Closed here, by this thread alone.
                if file in self._waiting:
                    self._waiting.remove(file)
                    file.close()

    def finish(self) -> None:
        """Sync and close all that wait, now.

        Raises:
            JournalError: the disk did not confirm one of them.
        """
        while self._waiting:
            SyncAtOnce()(self._waiting.popleft())
