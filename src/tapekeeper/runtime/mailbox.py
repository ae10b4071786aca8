"""A subscriber's bounded queue."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Generic, Self, TypeVar, cast

from tapekeeper.errors import FellBehindError, JournalError
from tapekeeper.model.queue import OnFull, QueueLimits, QueueStatistics, Shed
from tapekeeper.ports import Clock, Log
from tapekeeper.runtime.backlog import Backlog, TellLevel, nobody_listens, scaled
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

    One that is `optional` can be paused. What waits in memory then is given up, and nothing is put
    into it, for which a `Shed` comes when it goes on, behind what waits on the disk. Where events
    are conflated the latest alone waits meanwhile, so nothing need be given up.

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
        optional: whether it may be paused.
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
        optional: bool = False,
    ) -> None:
        self._name = name
        self._limits = limits
        self._log = log
        self._on_full = on_full
        self._spill = spill
        self._merge = merge
        self._tell = tell
        self._optional = optional
        self._paused = False
        self._goes_on = False  # paused until what waits has been read
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
            self._leave_out()
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

    def _leave_out(self) -> None:
        """Take one event for offered, and not in: because it is paused, or will fail."""
        if self._paused:
            self._tell_later(self._offered, 1)
        else:
            self._missed += 1

    # -- pressure of memory ----------------------------------------------------------------------

    def limit_memory(self, share: float) -> None:
        """Let so much of the limits wait in memory, if the rest may go to the disk."""
        if self._spill is not None:
            self._items.limit(scaled(self._limits, share))

    def move_surplus(self) -> bool:
        """See `Backlog.move_surplus`."""
        return self._items.move_surplus()

    def pause(self, reason: str) -> None:
        """Take nothing more in, if it is optional; "" goes on."""
        if not self._optional or self._closed or self._ended:
            return
        if self._merge is not None:
            self._items.limit(QueueLimits(1, self._limits.bytes) if reason else self._limits)
        elif not reason:
            self._goes_on = self._paused
            if self._paused:
                self._go_on()
        elif self._paused:
            self._goes_on = False
        elif not self._because:
            self._paused, self._because = True, reason
            self._log("queue_paused", level="warning", queue=self._name, reason=reason)
            if self._spill is None and len(self._items):
                self._delay.forget()
                first = self._offered - len(self._items) + 1
                self._tell_later(first, self._items.give_up())

    def _go_on(self) -> None:
        """Take events in again, once what waited before has been read."""
        if not len(self._items):
            self._paused = self._goes_on = False
            self._because = ""
            count = 0 if self._given_up is None else self._given_up.count
            self._log("queue_resumed", queue=self._name, events=count)
            self._changed.set()

    def _tell_later(self, first: int, count: int) -> None:
        """Let a `Shed` stand for so many events; what it stood for so far was right before."""
        self._shed += count
        known = self._given_up or Shed(0, first, first - 1)
        self._given_up = Shed(known.count + count, known.first, known.last + count)

    # -- what does not fit -----------------------------------------------------------------------

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
        if self._given_up is None:
            self._log("queue_shed", level="warning", queue=self._name, first=first)
        self._tell_later(first, count)

    def _refuse(self, because: str) -> None:
        self._paused = self._goes_on = False
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
            if self._given_up is not None and not self._has_before():
                given_up, self._given_up = self._given_up, None
                # The type of the stream is that of what is offered; who sheds knows more.
                return cast("T", given_up)
            if len(self._items):
                item = self._next()
                if item is not None:
                    return item
                continue
            if self._because and not self._paused:
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

    def _has_before(self) -> bool:
        """Whether something waits, or may come, in front of the `Shed`: only while paused."""
        return self._paused and (len(self._items) > 0 or not self._closed)

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
        if self._goes_on:
            self._go_on()
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
            is_paused=self._paused,
        )
