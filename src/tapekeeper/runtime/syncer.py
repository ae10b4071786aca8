"""Forces what the journal has written to the disk, without holding the event loop.

A sync of 16 MB takes 10 ms on a fast disk and a second on a slow one. Nothing waits for it: the
writer goes on, and how far the disk has confirmed is told beside, as a position.

A sync that failed is final. The system forgets which pages it could not write as soon as it has
told of it once, so a second sync that succeeds says nothing of them (Linux, and others).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from tapekeeper.core.journal import Position
from tapekeeper.core.measuring import Histogram
from tapekeeper.errors import JournalError
from tapekeeper.model.distribution import Distribution
from tapekeeper.ports import Clock, SegmentFile
from tapekeeper.runtime.slowness import DiskStatistics, Slowness

InThread: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Calls something in a thread, and returns or raises what it does."""

WAITING_MAX = 4
"""Sealed segments that may wait; beyond it the disk is behind, and the writer waits for it."""

SEALED_MAX = 64
"""Sealed segments that are remembered for who reads them back; beyond it the oldest are not."""

_SYNC = "sync the journal"
_NO_ANSWER = f"cannot {_SYNC}: the disk has not answered"


class Durability(StrEnum):
    """What the journal survives."""

    PROCESS = "process"  # the death of the process, with all that was appended
    POWER = "power"  # the death of the machine, with all that the disk has confirmed


class Mark(msgspec.Struct, frozen=True):
    """How far something goes.

    Attributes:
        position: behind its last entry.
        ts_ns: host time of that entry, ns UTC; 0 where there is none.
    """

    position: Position
    ts_ns: int = 0


NOTHING = Mark(Position(0, 0))
"""Behind nothing at all."""


class SyncStatistics(msgspec.Struct, frozen=True):
    """What the disk was asked for, and what it has confirmed.

    Attributes:
        durable: position behind the last entry of this run that the disk has confirmed; whatever
            is in front of it survives a power cut. (0, 0) before the first confirmation.
        durable_ts_ns: host time of that entry, ns UTC; 0 before the first confirmation.
        disk: whether it answers in time.
        took_ns: of each confirmation, how long the disk took, ns; 0 where segments are synced in
            their place, which is a part of the time that writing takes.
    """

    durable: Position = NOTHING.position
    durable_ts_ns: int = 0
    disk: DiskStatistics = DiskStatistics()
    took_ns: Distribution = Distribution()

    @property
    def syncs(self) -> int:
        """Confirmations."""
        return self.took_ns.count

    @property
    def slowest_ms(self) -> float:
        """The longest that one took."""
        return self.took_ns.most / 1_000_000


class Settle(Protocol):
    """Syncs what the journal writes, and closes sealed segments."""

    def follow(self, latest: Callable[[], tuple[SegmentFile, Mark] | None]) -> None:
        """Ask this for the open segment, and how far it is written; None if there is none."""
        ...

    def __call__(self, file: SegmentFile, mark: Mark, /) -> None:
        """Take a sealed segment over; what it raises is a failure of the journal."""
        ...

    def finish(self) -> None:
        """Have all of them synced and closed when this returns."""
        ...

    def sealed(self) -> list[Mark]:
        """The ends of the segments that were confirmed and closed since this was asked last."""
        ...

    def renew(self) -> None:
        """Begin anew with another run; what the one before did not confirm is given up."""
        ...

    @property
    def failure(self) -> str:
        """Why the disk can be believed no more; "" as long as it can."""
        ...

    def statistics(self) -> SyncStatistics:
        """What the disk has confirmed."""
        ...


class SyncAtOnce:
    """Syncs and closes a segment where it is sealed."""

    def __init__(self) -> None:
        self._failure = ""
        self._durable = NOTHING
        self._took_ns = Histogram()
        self._sealed: deque[Mark] = deque(maxlen=SEALED_MAX)

    def follow(self, latest: Callable[[], tuple[SegmentFile, Mark] | None]) -> None:
        """Open segments are not synced."""

    def __call__(self, file: SegmentFile, mark: Mark) -> None:
        """Take over a sealed segment.

        Raises:
            JournalError: the disk did not confirm it.
        """
        try:
            if not self._failure:
                file.sync()
                self._durable = mark
                self._took_ns.record(0)
                self._sealed.append(mark)
        except JournalError as error:
            self._failure = str(error)
        finally:
            file.close()
        self.finish()

    def finish(self) -> None:
        """Nothing is left to do, unless the disk has failed.

        Raises:
            JournalError: the disk did not confirm a segment.
        """
        if self._failure:
            raise JournalError(self._failure)

    def sealed(self) -> list[Mark]:
        """The ends of the segments that were confirmed since this was asked last."""
        return _taken(self._sealed)

    def renew(self) -> None:
        """Begin anew with another run."""
        self._failure = ""

    @property
    def failure(self) -> str:
        """Why the disk can be believed no more."""
        return self._failure

    def statistics(self) -> SyncStatistics:
        """What the disk has confirmed."""
        return SyncStatistics(
            self._durable.position, self._durable.ts_ns, took_ns=self._took_ns.view()
        )


class Syncer:
    """Syncs sealed segments in a thread, in order, and closes them; at `power` the open one, too.

    Args:
        in_thread: see `InThread`.
        clock: of the interval.
        slowness: says what takes too long, and is told of it: `power` promises less then. A sync
            that is not answered at all has failed, and nothing is synced until it is answered.
        every_s: seconds between two syncs of the open segment; None leaves it alone until it is
            sealed, which is the level `process`.
        goes_on: whether a failure is left to the journal, which may begin anew, instead of ending
            the task.
    """

    def __init__(
        self,
        in_thread: InThread,
        *,
        clock: Clock,
        slowness: Slowness,
        every_s: float | None = None,
        goes_on: bool = False,
    ) -> None:
        self._goes_on = goes_on
        self._in_thread = in_thread
        self._clock = clock
        self._slowness = slowness
        self._is_unanswered = False
        self._every_s = every_s
        self._waiting: deque[tuple[SegmentFile, Mark]] = deque()  # bound: WAITING_MAX
        self._news = asyncio.Event()
        self._latest: Callable[[], tuple[SegmentFile, Mark] | None] = _nothing
        self._durable = NOTHING
        self._failure = ""
        self._took_ns = Histogram()
        self._sealed: deque[Mark] = deque(maxlen=SEALED_MAX)

    @property
    def waiting(self) -> int:
        """How many sealed segments wait."""
        return len(self._waiting)

    @property
    def failure(self) -> str:
        """Why the disk can be believed no more."""
        return self._failure

    def statistics(self) -> SyncStatistics:
        """What the disk has confirmed."""
        durable = self._durable
        return SyncStatistics(
            durable.position,
            durable.ts_ns,
            self._slowness.statistics(),
            self._took_ns.view(),
        )

    def follow(self, latest: Callable[[], tuple[SegmentFile, Mark] | None]) -> None:
        """Ask this for the open segment."""
        self._latest = latest

    def sync_every(self, every_s: float) -> None:
        """Have another interval, after the present one; without one there is none to change."""
        if self._every_s is not None:
            self._every_s = every_s

    def __call__(self, file: SegmentFile, mark: Mark) -> None:
        """Take over a sealed segment.

        Raises:
            JournalError: too many waited, and the disk did not confirm one of them.
        """
        if len(self._waiting) >= WAITING_MAX:
            self.finish()
        self._waiting.append((file, mark))
        self._news.set()

    async def run(self) -> None:
        """Sync what there is, until cancelled.

        Raises:
            JournalError: the disk did not confirm what it was asked to.
        """
        while True:
            if self._every_s is None:
                await self._news.wait()
                self._news.clear()
            else:
                await self._clock.sleep_s(self._every_s)
            try:
                await self._sync_all()
            except JournalError:
                if not self._goes_on:
                    raise

    async def _sync_all(self) -> None:
        while self._waiting and not self._failure:
            await self._sync(*self._waiting[0])
            # Otherwise `finish` has done it meanwhile. Closed here, by this thread alone.
            if self._waiting and self._waiting[0][1].position <= self._durable.position:
                done, mark = self._waiting.popleft()
                done.close()
                self._sealed.append(mark)
        latest = None if self._every_s is None or self._failure else self._latest()
        if latest is not None:
            await self._sync(*latest)

    def finish(self) -> None:
        """Sync and close all that wait, now.

        Raises:
            JournalError: the disk did not confirm one of them, now or before.
        """
        while self._waiting:
            file, mark = self._waiting.popleft()
            start_ns = self._clock.monotonic_ns()
            try:
                if not self._failure:
                    file.sync()
                    self._confirmed(mark, self._clock.monotonic_ns() - start_ns)
                    self._sealed.append(mark)
            except JournalError as error:
                self._failure = str(error)
            finally:
                file.close()
        if self._failure:
            raise JournalError(self._failure)

    def sealed(self) -> list[Mark]:
        """The ends of the segments that were confirmed and closed since this was asked last."""
        return _taken(self._sealed)

    def renew(self) -> None:
        """Begin anew with another run; what the one before did not confirm is given up.

        Raises:
            JournalError: a sync of that one is still not answered.
        """
        if self._is_unanswered:
            raise JournalError(self._failure or _NO_ANSWER)
        while self._waiting:
            file, _ = self._waiting.popleft()
            with suppress(JournalError):
                file.close()
        self._failure = ""

    async def _sync(self, file: SegmentFile, mark: Mark) -> None:
        if mark.position <= self._durable.position:
            return
        start_ns = self._clock.monotonic_ns()
        try:
            await self._ask(file)
        except JournalError as error:
            # A thread that comes too late finds the file closed, after `finish` has synced it.
            if mark.position > self._durable.position:
                self._failure = self._failure or str(error)
                raise
        took_ns = self._clock.monotonic_ns() - start_ns
        if took_ns > self._slowness.limits.slow_s * 1e9:
            self._slowness.takes_long(_SYNC)  # where nothing could be told meanwhile
            self._slowness.answered(_SYNC, took_ns)
        else:
            self._slowness.look()
        self._confirmed(mark, took_ns)

    async def _ask(self, file: SegmentFile) -> None:
        """Sync a file in a thread, which may never come back."""
        if self._is_unanswered:
            raise JournalError(_NO_ANSWER)
        limits = self._slowness.limits

        def work() -> None:
            try:
                file.sync()
            finally:
                self._is_unanswered = False

        self._is_unanswered = True
        loop = asyncio.get_running_loop()
        soon = loop.call_later(limits.slow_s, self._slowness.takes_long, _SYNC)
        try:
            async with asyncio.timeout(limits.stuck_s):
                await self._in_thread(work)
        except TimeoutError:
            self._slowness.gave_up(_SYNC)
            raise JournalError(f"{_NO_ANSWER} for {limits.stuck_s:g} s") from None
        finally:
            soon.cancel()

    def _confirmed(self, mark: Mark, took_ns: int) -> None:
        # Never back: a thread may come in behind what the end of the journal has synced.
        if mark.position > self._durable.position and not self._failure:
            self._durable = mark
            self._took_ns.record(took_ns)


def _taken(sealed: deque[Mark]) -> list[Mark]:
    marks = list(sealed)
    sealed.clear()
    return marks


def _nothing() -> None:
    """No segment is open."""
