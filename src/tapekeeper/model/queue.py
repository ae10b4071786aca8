"""Queues: their limits, what becomes of what does not fit, and the evidence of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tapekeeper.model.distribution import Distribution
from tapekeeper.model.tick import Quote


class OnFull(StrEnum):
    """What becomes of what does not fit into a queue. The set is closed."""

    BLOCK = "block"  # who offers it waits; nobody but the lines can
    SPILL = "spill"  # it goes to the disk, and comes back in its order
    CONFLATE = "conflate"  # the latest state of each contract stands for all that wait; quotes
    SHED = "shed"  # something is given up, and what that was is told in its place
    FAIL = "fail"  # what fits is delivered, and then the stream ends with `FellBehindError`


class QueueLimits(msgspec.Struct, frozen=True):
    """How much may wait in memory; what is reached first counts.

    Attributes:
        events: how many.
        bytes: how many of memory, as estimated by kind.
    """

    events: int
    bytes: int


class QueuePolicy(msgspec.Struct, frozen=True):
    """What a subscriber wants of its queue; None leaves what the configuration says.

    Attributes:
        on_full: see `OnFull`; its name as a text will do.
        events: how many may wait in memory, at least 1.
        mb: how many megabytes of memory they may take.
        optional: whether the subscriber can do without, and is paused while memory is critical.
            What it misses is told by a `Shed` when it goes on, whatever `on_full` says.
    """

    on_full: OnFull | str | None = None
    events: int | None = None
    mb: float | None = None
    optional: bool = False


class QueueDefaults(msgspec.Struct, frozen=True):
    """What the configuration says of the queues of subscribers.

    Attributes:
        limits: of each queue.
        spill_bytes: what each may have on the disk.
        bars, quotes, depth, user, changes: what becomes of those that do not fit.
    """

    limits: QueueLimits
    spill_bytes: int = 4_000_000_000
    bars: OnFull = OnFull.FAIL
    quotes: OnFull = OnFull.FAIL
    depth: OnFull = OnFull.FAIL
    user: OnFull = OnFull.FAIL
    changes: OnFull = OnFull.FAIL


class Shed(msgspec.Struct, frozen=True, gc=False):
    """Events that a queue gave up; it stands in their place.

    Attributes:
        count: how many.
        first, last: numbers of the first and the last of them. The events that a subscriber is
            offered are numbered from 1, so none is missing in between.
    """

    count: int
    first: int
    last: int


class Conflated(msgspec.Struct, frozen=True, gc=False):
    """The latest quote of a contract, for itself and those before it that nobody read in time.

    Attributes:
        quote: the latest; it has everything that those before it told and it did not change.
        stands_for: how many quotes that are, itself included.
    """

    quote: Quote
    stands_for: int = 1


class QueueChange(msgspec.Struct, frozen=True):
    """A queue was filled above its high watermark, or emptied below its low one since.

    Attributes:
        name: what it is of.
        is_high: which of the two.
        at_ns: wall clock, ns UTC.
        reason: how much waits, of how much, one clause for a person.
        on_full: what happens when it is full.
    """

    name: str
    is_high: bool
    at_ns: int
    reason: str
    on_full: OnFull


class QueueStatistics(msgspec.Struct, frozen=True):
    """Counters of a subscriber's queue; see `holds`.

    Attributes:
        name: what it is of.
        on_full: its policy.
        offered: events.
        delivered: to the subscriber; a `Conflated` is one, a `Shed` is none.
        waiting, waiting_bytes: in memory.
        spilled, spilled_bytes: on the disk now.
        conflated: those that others stand for.
        shed: given up, with evidence; those that came while it was paused included.
        missed: not taken any more, because the stream ends with `FellBehindError`.
        is_high: whether it was filled above its high watermark, and has not been emptied below
            its low one since.
        delay_ns: from the offer of an event until the subscriber took it, ns. Of one event at a
            time: the next one is that which is offered after this was taken, given up or merged.
        is_paused: whether it is optional, and nothing is put into it now.
    """

    name: str
    on_full: OnFull
    offered: int
    delivered: int
    waiting: int
    waiting_bytes: int = 0
    spilled: int = 0
    spilled_bytes: int = 0
    conflated: int = 0
    shed: int = 0
    missed: int = 0
    is_high: bool = False
    delay_ns: Distribution = Distribution()
    is_paused: bool = False

    @property
    def holds(self) -> bool:
        """Whether offered = delivered + waiting + spilled + conflated + shed + missed."""
        return self.offered == (
            self.delivered + self.waiting + self.spilled + self.conflated + self.shed + self.missed
        )
