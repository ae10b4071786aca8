"""What waits between the lines and the pipeline, and what becomes of it when there is too much.

    policy   when a limit is reached
    -------  ---------------------------------------------------------------------------------
    block    the line is told, and reads no more until half is free; its pings go on. The gateway's
             server buffers, and drops a connection that does not read for long once that is full
    spill    what comes behind it goes to the disk, in order, and is processed in its place. Lines
             go on reading, so nothing is lost and no connection is. Where the disk refuses, it
             blocks
    shed     frames of the market are given up until half is free. What that may have cost is
             told in their place (`Overflowed`), so that the ledger has a gap, prompt, which
             history fills in. Frames of the user hub, of which nothing else tells, have as
             much room again, and block beyond it

Why the journal is not the disk that frames are spilled to, although they will be in it: its order
is that of processing. Gaps, timer closes and repairs stand in it between the frames behind which
they were found, and a replay makes the same bars because it meets them there. With frames written
ahead each of these would have to wait for the end of the backlog, and bars would be told complete
meanwhile that are known not to be. So a frame is written twice, but only where there is too much.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from tapekeeper.core.gateway.traded import ANY, traded_contract
from tapekeeper.core.runlog import USER_HUB
from tapekeeper.core.signalr.resume import ReceivePoint
from tapekeeper.errors import JournalError, UsageError
from tapekeeper.model.queue import OnFull, QueueLimits
from tapekeeper.ports import Log, Scratch
from tapekeeper.runtime.backlog import Backlog, TellLevel, nobody_listens, scaled
from tapekeeper.runtime.line_values import Arrival, Connected, Disconnected, Inbound, Reattached
from tapekeeper.runtime.spill import EventCodec, Spill

BURST_FRAMES_MAX = 512
"""Frames per step; bounds how long the event loop is held, and suffices for cheap ticks."""
BURST_BYTES_MAX = 65_536
"""Bytes of frames per step, unless a single one is larger: some 350 prints, which take 5 ms while
two lines bring them. A server that is behind puts as much into each frame, and 512 of them would
hold the loop for seconds."""

ARRIVAL_BYTES = 240
CALL_BYTES = 200
"""Of memory, beside the bytes: of an arrival, and of each call in it."""

NAME = "the frames of the lines"


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """How much may wait in memory between the lines and the pipeline.

    Attributes:
        frames: how many arrivals.
        bytes: how many of memory, that of what was read in them included.
        on_full: see the module's text.
        spill_bytes: what may wait on the disk.
    """

    frames: int
    bytes: int
    on_full: OnFull = OnFull.BLOCK
    spill_bytes: int = 0


class Overflowed(msgspec.Struct):
    """Frames of the market were given up here.

    Attributes:
        contracts: those whose prints were among them; `ANY` where that is unreadable.
        frames: how many.
        recv_ns: wall clock of the first, ns UTC.
        waited: how much waited then, one clause for a person.
    """

    recv_ns: int
    waited: str
    frames: int = 0
    contracts: set[str] = msgspec.field(default_factory=set)


Waiting: TypeAlias = Arrival | Overflowed
"""What waits for the pipeline."""


@dataclass(slots=True)
class _Cut:
    """A connection of which frames were given up: up to where it was read, and what it speaks."""

    protocol: str
    point: ReceivePoint | None


@dataclass(slots=True)
class IntakeCounts:
    """What was given up.

    Attributes:
        shed_frames, shed_bytes, shed_records: given up; records are calls of the hub.
    """

    shed_frames: int = 0
    shed_bytes: int = 0
    shed_records: int = 0


@dataclass(slots=True)
class _Shedding:
    """The state of the policy `shed`.

    Attributes:
        is_on: whether frames are given up now.
        spoken: the protocol of every connection.
        cut: connections whose next frame is not the one behind the last that was taken.
        mark: the latest evidence, while nothing waits behind it.
    """

    is_on: bool = False
    spoken: dict[int, str] = field(default_factory=dict)
    cut: dict[int, _Cut] = field(default_factory=dict)
    mark: Overflowed | None = None


def _size_of(item: Waiting) -> int:
    if isinstance(item, Inbound):
        # The arguments of its calls are copies of nearly all of its bytes.
        return ARRIVAL_BYTES + 2 * len(item.data) + CALL_BYTES * len(item.calls)
    return ARRIVAL_BYTES


def _weight_of(item: Waiting) -> int:
    return len(item.data) if isinstance(item, Inbound) else 0


def _follow(state: _Shedding, item: Arrival) -> bool:
    """Learn what becomes of connections; whether `item` is told later, with the next frame."""
    if isinstance(item, Connected):
        state.spoken[item.line] = item.protocol
    elif isinstance(item, Disconnected):
        state.spoken.pop(item.line, None)
        state.cut.pop(item.line, None)
    elif isinstance(item, Reattached):
        cut = state.cut.get(item.line)
        if cut is not None:
            cut.point = item.point
            return True
    return False


class Intake:
    """See the module's text. `put` and `take` are called in the loop's one thread.

    Args:
        limits: and the policy.
        log: told when a watermark is crossed, when frames are given up, and of the disk.
        scratch: where frames are spilled to.
        tell: told when a watermark is crossed, as the log is.

    Raises:
        UsageError: the policy cannot be.
    """

    def __init__(
        self,
        limits: FeedLimits,
        log: Log,
        scratch: Scratch | None = None,
        tell: TellLevel = nobody_listens,
    ) -> None:
        if limits.on_full not in {OnFull.BLOCK, OnFull.SPILL, OnFull.SHED}:
            raise UsageError(
                f"{NAME} cannot {limits.on_full}: choose {OnFull.BLOCK}, {OnFull.SPILL} or "
                f"{OnFull.SHED}"
            )
        memory = QueueLimits(limits.frames, limits.bytes)
        self._spill: Spill[Waiting] | None = None
        if limits.on_full is OnFull.SPILL:
            if scratch is None:
                raise UsageError(f"{NAME} cannot be spilled: there is no disk")
            self._spill = Spill(
                scratch,
                EventCodec(Inbound, Connected, Reattached, Disconnected, packed=True),
                _size_of,
                bytes_max=limits.spill_bytes,
                limits=memory,
            )
        self._limits = memory
        self._on_full = limits.on_full
        self._log = log
        self._tell = tell
        self._refused = ""
        self._items: Backlog[Waiting] = Backlog(memory, _size_of, self._spill)
        self._shedding = _Shedding() if limits.on_full is OnFull.SHED else None
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._waiting_max = 0
        self._oldest_ns: int | None = None  # receive time of the last that was taken
        self.burst = QueueLimits(BURST_FRAMES_MAX, BURST_BYTES_MAX)
        """What is taken at once, at most."""
        self.counts = IntakeCounts()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def waiting_max(self) -> int:
        """The most arrivals that ever waited: it grows until some are taken."""
        self._waiting_max = max(self._waiting_max, len(self._items))
        return self._waiting_max

    @property
    def waiting_bytes(self) -> int:
        """Bytes of memory of what waits."""
        return self._items.waiting_bytes

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest that waits was received, wall clock, ns UTC; None if nothing waits.

        Where it is on the disk, when the one before it was.
        """
        if not len(self._items):
            return None
        oldest = self._items.oldest
        return self._oldest_ns if oldest is None else oldest.recv_ns

    @property
    def spilled(self) -> int:
        """Arrivals on the disk."""
        return self._items.spilled

    @property
    def spilled_bytes(self) -> int:
        """Bytes of the disk that they take."""
        return self._items.spilled_bytes

    @property
    def is_high(self) -> bool:
        """Whether it was filled above its high watermark and is not yet below its low one."""
        return self._items.is_high

    # -- the lines' side -----------------------------------------------------------------------

    def put(self, item: Arrival) -> bool:
        """Take one arrival; whether there is room for another one."""
        if self._shedding is not None and self._sheds(self._shedding, item):
            return True
        if self._items.put(item):
            self._tell_level()
        # It is high wherever something is spilled, or refused.
        if not self._items.is_high or self._has_room(item):
            return True
        self._roomy.clear()
        return False

    def _has_room(self, item: Arrival) -> bool:
        spill = self._spill
        if spill is None:
            if self._shedding is None:
                return not self._items.is_full
            # A line whose frames are given up never waits. The others are not to be lost with it.
            twice = QueueLimits(2 * self._limits.events, 2 * self._limits.bytes)
            return item.hub != USER_HUB or not self._items.reaches(twice)
        if spill.refused and spill.refused != self._refused:
            self._log("queue_refused", level="error", queue=NAME, reason=spill.refused)
        self._refused = spill.refused
        return not spill.refused

    async def wait_room(self) -> None:
        """Wait until less than half of the limits is waiting."""
        await self._roomy.wait()

    def _tell_level(self) -> None:
        is_high, reason = self._items.is_high, self._items.level()
        self._log(
            "queue_high" if is_high else "queue_low",
            level="warning" if is_high else "info",
            queue=NAME,
            reason=reason,
            on_full=self._on_full.value,
        )
        self._tell(NAME, reason, self._on_full, is_high=is_high)

    def limit_memory(self, share: float) -> None:
        """Let so much of the limits wait in memory, if the rest may go to the disk."""
        if self._spill is not None:
            self._items.limit(scaled(self._limits, share))

    def move_surplus(self) -> bool:
        """See `Backlog.move_surplus`."""
        return self._items.move_surplus()

    # -- shedding --------------------------------------------------------------------------------

    def _sheds(self, state: _Shedding, item: Arrival) -> bool:
        """Give `item` up, if it must be; whether it was."""
        if isinstance(item, Inbound) and item.hub != USER_HUB:
            sheds = self._sheds_frame(state, item)
        else:
            sheds = _follow(state, item)
        if not sheds:
            state.mark = None
        return sheds

    def _sheds_frame(self, state: _Shedding, item: Inbound) -> bool:
        if not state.is_on and self._items.is_full:
            state.is_on = True
            self._log("queue_shed", level="warning", queue=NAME, reason=self._items.level())
        cut = state.cut.get(item.line)
        if state.is_on or (cut is not None and not item.begins_whole):
            self._give_up(state, item)
            return True
        if cut is not None:
            # Whoever reads the journal must not join it to what came before.
            del state.cut[item.line]
            self._items.put(Connected(item.line, item.hub, item.recv_ns, cut.point, cut.protocol))
        return False

    def _give_up(self, state: _Shedding, item: Inbound) -> None:
        state.cut[item.line] = _Cut(state.spoken.get(item.line, "json"), item.point)
        counts = self.counts
        counts.shed_frames += 1
        counts.shed_bytes += len(item.data)
        counts.shed_records += len(item.calls)
        mark = state.mark
        if mark is None:
            mark = state.mark = Overflowed(item.recv_ns, self._items.level())
            self._items.put(mark)
        mark.frames += 1
        for call in item.calls:
            contract_id = traded_contract(call)
            if contract_id is not None:
                mark.contracts.add(contract_id)
        if item.garbled:
            mark.contracts.add(ANY)

    # -- the consumer's side -----------------------------------------------------------------------

    def take(self) -> list[Waiting]:
        """The next burst, oldest first, which ends with an `Overflowed` at the latest.

        Raises:
            JournalError: the disk did not give back what was spilled to it.
        """
        was_high = self._items.is_high
        self._waiting_max = max(self._waiting_max, len(self._items))
        try:
            burst = self._items.take(self.burst.events, self.burst.bytes, _weight_of, Overflowed)
        except JournalError as error:
            raise JournalError(f"{NAME} are lost that waited: {error}") from error
        if burst:
            self._oldest_ns = burst[-1].recv_ns
        if self._items.is_low:
            self._roomy.set()
            if self._shedding is not None:
                self._shedding.is_on = False
        if self._shedding is not None and burst and burst[-1] is self._shedding.mark:
            self._shedding.mark = None
        if was_high and not self._items.is_high:
            self._tell_level()
        return burst
