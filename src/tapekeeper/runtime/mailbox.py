"""A subscriber's bounded queue."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Generic, Self, TypeVar, cast

from tapekeeper.errors import FellBehindError, JournalError
from tapekeeper.model.queue import OnFull, QueueLimits, QueueStatistics, Shed
from tapekeeper.ports import Clock, Log
from tapekeeper.runtime.backlog import Backlog, TellLevel, nobody_listens
from tapekeeper.runtime.delay import NEVER, Delay
from tapekeeper.runtime.spill import Spill

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A bounded queue that never makes its producer wait.

    What becomes of an event that does not fit is the subscriber's choice, and never a stream with
    holes that nobody notices:

    - `fail`: what fits is delivered, then one `FellBehindError` says how many events were missed;
    - `spill`: it goes to the disk and is delivered in its place. Where the disk refuses, that is
      logged at once, and the stream ends as with `fail`;
    - `shed`: the oldest are given up, down to the low watermark, and a `Shed` stands for them;
    - `conflate`: all that wait are merged.

    To block was rejected: one subscriber would slow the tape for everybody.

    Args:
        name: for messages.
        limits: of memory.
        log: told when a watermark is crossed, and of what is lost to the subscriber.
        on_full: see above.
        size_of: bytes of memory that an event takes.
        spill: for `spill`, which cannot be without, and for that alone.
        merge: the same for `conflate`: makes fewer of what waits.
        clock: measures how long events wait; None measures nothing.
        tell: told when a watermark is crossed, as the log is.
    """

    def __init__(
        self,
        name: str,
        limits: QueueLimits,
        log: Log,
        on_full: OnFull = OnFull.FAIL,
        *,
        size_of: Callable[[T], int],
        spill: Spill[T] | None = None,
        merge: Callable[[list[T]], list[T]] | None = None,
        clock: Clock | None = None,
        tell: TellLevel = nobody_listens,
    ) -> None:
        self._name = name
        self._limits = limits
        self._log = log
        self._on_full = on_full
        self._spill = spill
        self._merge = merge
        self._tell = tell
        self._items: Backlog[T] = Backlog(limits, size_of, spill)
        self._changed = asyncio.Event()
        self._closed = False
        self._ended = False
        self._offered = 0
        self._delivered = 0
        self._conflated = 0
        self._shed = 0
        self._missed = 0
        self._because = ""  # why events are missed
        self._given_up: Shed | None = None  # not told yet
        self._delay = Delay(clock)
        if spill is not None:
            # Who lets go of a stream says nothing; its disk must be given back all the same.
            weakref.finalize(self, spill.close)

    @property
    def ended(self) -> bool:
        """Whether the stream has come to its end, so that nothing is taken any more."""
        return self._ended

    def put(self, item: T) -> None:
        """Offer one event; counted as missed once the stream must fail."""
        if self._closed or self._ended:
            return
        self._offered += 1
        if self._because:
            self._missed += 1
        elif self._spill is None and self._items.is_full:
            self._overflow(item)
        else:
            if self._delay.due == NEVER:
                self._delay.follow(self._delivered + len(self._items))
            if self._items.put(item):
                self._tell_level()
            if self._spill is not None and self._spill.refused:
                self._refuse(self._spill.refused)
        self._changed.set()

    def _overflow(self, item: T) -> None:
        self._delay.forget()
        if self._merge is not None:
            self._items.put(item)
            waited = self._items.all()
            merged = self._merge(waited)
            self._conflated += len(waited) - len(merged)
            self._items.swap(merged)
        elif self._on_full is OnFull.SHED:
            self._give_up_oldest()
            self._items.put(item)
        else:
            self._missed += 1
            self._refuse(f"{self._items.waiting:,} events waited")

    def _give_up_oldest(self) -> None:
        """Make room down to the low watermark, so that one `Shed` stands for many."""
        # What waits are the last that were offered, before the present one.
        first = self._offered - len(self._items)
        count = 0
        while len(self._items) and not self._items.is_low:
            self._items.get()
            count += 1
        # Only a reader relieves it; otherwise every round of this would be told anew.
        self._items.is_high = True
        self._shed += count
        if self._given_up is None:
            self._log("queue_shed", level="warning", queue=self._name, first=first)
            self._given_up = Shed(0, first, first - 1)
        known = self._given_up
        self._given_up = Shed(known.count + count, known.first, known.last + count)

    def _refuse(self, because: str) -> None:
        self._because = because
        self._log("queue_missed", level="error", queue=self._name, reason=because)

    def _tell_level(self) -> None:
        is_high, reason = self._items.is_high, self._items.level()
        self._log(
            "queue_high" if is_high else "queue_low",
            level="warning" if is_high else "info",
            queue=self._name,
            reason=reason,
            on_full=self._on_full.value,
        )
        self._tell(self._name, reason, self._on_full, is_high=is_high)

    def close(self) -> None:
        """End the stream after what waits has been read."""
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next event; of a queue that sheds, also a `Shed`.

        Raises:
            StopAsyncIteration: the stream has ended.
            FellBehindError: events were missed; those that fitted have been delivered. The
                stream has ended with it.
        """
        while not self._ended:
            if self._given_up is not None:
                given_up, self._given_up = self._given_up, None
                # The type of the stream is that of what is offered; who sheds knows more.
                return cast("T", given_up)
            if len(self._items):
                item = self._next()
                if item is not None:
                    return item
                continue
            if self._because:
                self._ended = True
                raise FellBehindError(
                    f"{self._name} did not keep up: {self._because}, and {self._missed:,} more "
                    "came; the journal has them all",
                    missed=self._missed,
                )
            if self._closed:
                self._ended = True
                break
            self._changed.clear()
            await self._changed.wait()
        raise StopAsyncIteration

    def _next(self) -> T | None:
        """The oldest event; None where the disk did not give it back."""
        was_high = self._items.is_high
        try:
            item = self._items.get()
        except JournalError as error:
            # What waits behind it would come out of order, so all of it is missed.
            self._delay.forget()
            self._missed += self._items.give_up()
            self._refuse(str(error))
            return None
        if self._delivered == self._delay.due:
            self._delay.taken()
        self._delivered += 1
        if was_high is not self._items.is_high:
            self._tell_level()
        return item

    def statistics(self) -> QueueStatistics:
        """A frozen view of the counters."""
        return QueueStatistics(
            name=self._name,
            on_full=self._on_full,
            offered=self._offered,
            delivered=self._delivered,
            waiting=self._items.waiting,
            waiting_bytes=self._items.waiting_bytes,
            spilled=self._items.spilled,
            spilled_bytes=self._items.spilled_bytes,
            conflated=self._conflated,
            shed=self._shed,
            missed=self._missed,
            is_high=self._items.is_high,
            delay_ns=self._delay.view(),
        )
