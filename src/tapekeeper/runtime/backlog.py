"""An ordered queue with limits of number and bytes, two watermarks, and a disk behind it.

What inboxes and mailboxes have in common: what waits, how much memory that takes, whether there is
room, and when a person should know. What becomes of an event that does not fit is their owners'
business, except where a `Spill` is given: then everything behind the limits goes there, and comes
back in its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from tapekeeper.errors import JournalError
from tapekeeper.model.queue import OnFull, QueueLimits
from tapekeeper.runtime.spill import Spill

T = TypeVar("T")

HIGH_SHARE = 0.75
"""Of either limit: from here on a queue is called high."""
LOW_SHARE = 0.5
"""Of both limits: down to here it stays so, and who waits for room goes on waiting."""

SURPLUS_EVENTS = 2_048
SURPLUS_BYTES = 1_000_000
"""What is moved to the disk at once where a limit has shrunk: some 5 ms of work."""


class TellLevel(Protocol):
    """Is told when a watermark is crossed."""

    def __call__(self, name: str, reason: str, on_full: OnFull, /, *, is_high: bool) -> None:
        """The queue called `name` is high, or is not any more; `reason` says how much waits."""
        ...


def nobody_listens(_name: str, _reason: str, _on_full: OnFull, /, *, is_high: bool) -> None:
    """Nobody wants to know."""
    del is_high


class Backlog(Generic[T]):
    """See the module's text. It never refuses: ask `is_full` before `put`.

    Args:
        limits: of memory.
        size_of: bytes of memory that an event takes; the same whenever it is asked.
        spill: where what is beyond the limits goes; None leaves it to the owner.
    """

    __slots__ = (
        "_bytes",
        "_head",
        "_high",
        "_limits",
        "_low",
        "_size_of",
        "_spill",
        "is_high",
    )

    def __init__(
        self,
        limits: QueueLimits,
        size_of: Callable[[T], int],
        spill: Spill[T] | None = None,
    ) -> None:
        self._size_of = size_of
        self._spill = spill
        self._head: deque[T] = deque()  # bound: the limits, by owners that ask `is_full`
        self._bytes = 0
        self.limit(limits)
        self.is_high = False

    def limit(self, limits: QueueLimits) -> None:
        """Have other limits from now on; what exceeds them stays, until it is moved or read."""
        self._limits = limits
        self._high = QueueLimits(
            max(1, round(limits.events * HIGH_SHARE)), max(1, round(limits.bytes * HIGH_SHARE))
        )
        self._low = QueueLimits(int(limits.events * LOW_SHARE), int(limits.bytes * LOW_SHARE))

    def move_surplus(self) -> bool:
        """Put some of what exceeds the limits to the disk, in its place; whether more does.

        It stays in memory where the disk refuses, or there is none.
        """
        spill, head = self._spill, self._head
        if spill is None or spill.refused:
            return False
        moved: list[T] = []
        size = 0
        while self._exceeds() and len(moved) < SURPLUS_EVENTS and size < SURPLUS_BYTES:
            item = head.pop()
            moved.append(item)
            size += self._size_of(item)
            self._bytes -= self._size_of(item)
        if not moved:
            return False
        moved.reverse()
        try:
            spill.prepend(moved)
        except JournalError:
            head.extend(moved)
            self._bytes += size
            return False
        return self._exceeds()

    def _exceeds(self) -> bool:
        """Whether more than one event is in memory, and more than may be."""
        limits = self._limits
        return len(self._head) > max(1, limits.events) or (
            len(self._head) > 1 and self._bytes > limits.bytes
        )

    def __len__(self) -> int:
        return len(self._head) if self._spill is None else len(self._head) + len(self._spill)

    @property
    def waiting(self) -> int:
        """Events in memory."""
        return len(self._head) + (0 if self._spill is None else self._spill.unwritten)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of memory that they take."""
        return self._bytes + (0 if self._spill is None else self._spill.tail_bytes)

    @property
    def oldest(self) -> T | None:
        """The oldest event; None where nothing waits, or it is not in memory."""
        return self._head[0] if self._head else None

    @property
    def spilled(self) -> int:
        """Events on the disk."""
        return 0 if self._spill is None else self._spill.written

    @property
    def spilled_bytes(self) -> int:
        """Bytes of the disk that they take."""
        return 0 if self._spill is None else self._spill.written_bytes

    @property
    def is_full(self) -> bool:
        """Whether either limit is reached in memory."""
        return self.reaches(self._limits)

    def reaches(self, limits: QueueLimits) -> bool:
        """Whether what waits in memory is as much as either of these."""
        return len(self._head) >= limits.events or self._bytes >= limits.bytes

    @property
    def is_low(self) -> bool:
        """Whether there is room again: no more than the low watermark waits, all in memory."""
        if self._spill is not None and len(self._spill):
            return False
        return len(self._head) <= self._low.events and self._bytes <= self._low.bytes

    def put(self, item: T) -> bool:
        """Put one event behind all others; whether that made it high, which it was not before."""
        spill, head = self._spill, self._head
        if spill is not None and (len(spill) or self.is_full):
            spill.append(item)
            return self._rises()
        head.append(item)
        self._bytes += self._size_of(item)
        if self.is_high or (len(head) < self._high.events and self._bytes < self._high.bytes):
            return False
        return self._rises()

    def _rises(self) -> bool:
        """Be high; whether it was not before."""
        rises, self.is_high = not self.is_high, True
        return rises

    def take(
        self, events_max: int, weight_max: int, weight_of: Callable[[T], int], last: type[T]
    ) -> list[T]:
        """The oldest events, as many as may be taken at once; see `get`.

        Args:
            events_max: at most so many.
            weight_max: nor more than this in weight, unless one alone is heavier.
            weight_of: of one.
            last: nothing behind an event of this type is taken with it.

        Raises:
            JournalError: the disk did not give them back.
        """
        taken: list[T] = []
        weight = 0
        if not self._head:
            self._refill()
        head = self._head
        while head and len(taken) < events_max:
            weight += weight_of(head[0])
            if taken and weight > weight_max:
                break
            item = head.popleft()
            self._bytes -= self._size_of(item)
            taken.append(item)
            if type(item) is last:
                break
        if self.is_high and self.is_low:
            self.is_high = False
        return taken

    def get(self) -> T:
        """The oldest event; `is_high` ends with the one that leaves it low.

        Raises:
            IndexError: nothing waits.
            JournalError: the disk did not give it back.
        """
        if not self._head:
            self._refill()
        item = self._head.popleft()
        self._bytes -= self._size_of(item)
        if self.is_high and self.is_low:
            self.is_high = False
        return item

    def level(self) -> str:
        """How much waits, and of how much, as one clause for a person."""
        limits = self._limits
        spilled = f", and {self.spilled:,} on the disk" if self.spilled else ""
        return (
            f"{self.waiting:,} of {limits.events:,} events wait, and "
            f"{self.waiting_bytes / 1e6:,.1f} of {limits.bytes / 1e6:,.1f} MB{spilled}"
        )

    def give_up(self) -> int:
        """Forget all that waits, and what is on the disk; how many events that were."""
        count = len(self)
        self.swap([])
        if self._spill is not None:
            self._spill.give_up()
        self.is_high = False
        return count

    def swap(self, items: list[T]) -> None:
        """Let these wait in memory instead of what waits there."""
        self._head = deque(items)  # bound: as before
        self._bytes = sum(map(self._size_of, items))

    def all(self) -> list[T]:
        """What waits in memory, oldest first."""
        return list(self._head)

    def _refill(self) -> None:
        if self._spill is not None:
            for item in self._spill.take():
                self._head.append(item)
                self._bytes += self._size_of(item)


def scaled(limits: QueueLimits, share: float) -> QueueLimits:
    """A share of limits, and one event and one byte at least."""
    return QueueLimits(max(1, int(limits.events * share)), max(1, int(limits.bytes * share)))
