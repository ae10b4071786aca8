"""From whole frames to published outputs: the single consumer between lines and subscribers.

Lines hand frames over synchronously. One task drains whatever has arrived as one burst: first
the journal takes it in one write, then the pipeline takes it in one step, then subscribers get
what came of it. The busier it is, the larger the bursts and the cheaper each tick. Nothing
derived from a frame leaves before the journal has the frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tapekeeper.core.journal import Entry, EntryKind, Position
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.core.recent import RecentBars, RecentQuotes
from tapekeeper.core.runlog import (
    CONNECTIONS_MAX,
    USER_HUB,
    clock_entry,
    connect_entry,
    connected_entry,
    continues_entry,
    counted_entry,
    disconnected_entry,
    gap_entry,
    numbers_entry,
    readmit_entry,
    reattached_entry,
    repair_entry,
    subscribe_entry,
    unsubscribe_entry,
)
from tapekeeper.core.signalr.resume import ReceivePoint
from tapekeeper.errors import JournalError, UsageError
from tapekeeper.model.audit import AuditFinding, AuditKind, AuditState, AuditVerdict
from tapekeeper.model.gap import Gap, GapCause, Repair
from tapekeeper.model.measure import require_measurable
from tapekeeper.model.queue import QueueLimits
from tapekeeper.model.tick import Rejected, Trade
from tapekeeper.ports import Clock, Log, Scratch
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.exchange_time import ExchangeTime
from tapekeeper.runtime.intake import FeedLimits, Intake, Overflowed, Waiting
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.line_values import Arrival, Connected, Disconnected, Inbound, Reattached
from tapekeeper.runtime.stages import Stages, StageStatistics

QUOTES_KEPT = 20_000
"""Quotes of each contract that are kept for reading unless told otherwise: some 5 MB."""


class FeedStatistics(msgspec.Struct, frozen=True):
    """Counters of the hand-over.

    Attributes:
        waiting_frames: not yet processed, those on the disk included.
        waiting_bytes: memory that they take, as estimated.
        waiting_frames_max: the most that ever waited.
        quotes_forgotten: quotes that are kept for reading no more; the journal has them.
        spilled_frames, spilled_bytes: on the disk now, because they do not fit into memory.
        shed_frames, shed_bytes, shed_records: given up, because they did not fit: they are not in
            the journal, and the ledger has a gap of cause `overflow` for their prints.
        is_high: whether it was filled above its high watermark and is not yet below its low one.
        stages: how large bursts are, and how long each stage takes.
    """

    waiting_frames: int
    waiting_bytes: int
    waiting_frames_max: int
    quotes_forgotten: int = 0
    spilled_frames: int = 0
    spilled_bytes: int = 0
    shed_frames: int = 0
    shed_bytes: int = 0
    shed_records: int = 0
    is_high: bool = False
    stages: StageStatistics = StageStatistics()

    @property
    def bursts(self) -> int:
        """Steps made."""
        return self.stages.burst_frames.count


class Feed:
    """Owns the pipeline, the recent bars and the order of journal, step and publication.

    Args:
        pipeline: the stages; nobody else calls its mutating methods.
        journaler: takes every input first.
        recent: closed bars kept for reading.
        recent_quotes: quotes kept for reading; None keeps `QUOTES_KEPT` of each contract.
        dispatch: the subscribers.
        clock: stamps what is not a frame.
        limits: see `FeedLimits`.
        log: for quarantined input, once per reason and burst, and for what happens to the queue.
        scratch: where frames wait that do not fit into memory, if that is the policy.

    Raises:
        UsageError: the policy cannot be.
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        journaler: Journaler,
        recent: RecentBars,
        recent_quotes: RecentQuotes | None = None,
        dispatch: Dispatch,
        clock: Clock,
        limits: FeedLimits,
        log: Log,
        scratch: Scratch | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.recent = recent
        self.recent_quotes = RecentQuotes(QUOTES_KEPT) if recent_quotes is None else recent_quotes
        self.dispatch = dispatch
        self.exchange = ExchangeTime(clock)
        self._journaler = journaler
        self._clock = clock
        self._log = log
        self._waiting = Intake(limits, log, scratch, dispatch.publish_level)
        self._stages = Stages(clock)
        # What later entries of the journal depend on: repeated in front of every segment.
        self._subscriptions: dict[str, Subscription] = {}
        self._connected: dict[int, Connected] = {}  # by connection, oldest first
        self._points: dict[int, ReceivePoint] = {}  # of those that count what they receive
        journaler.begin_each_with(self._known)
        self._failure: BaseException | None = None
        self._listeners: list[Callable[[Outputs], None]] = []
        self._gaps: dict[int, Gap] = {}  # those that last: see `_known`
        self._opening: list[Entry] = []  # bound: one for each contract that was followed
        journaler.begin_with(lambda: self._opening)
        self._notes: list[Gap | Repair] = []  # bound: taken at the end of every step
        self._stepping = False
        self._forgetting: set[tuple[str, str]] = set()  # bound: measures of followed contracts
        self._awake_ns = 0  # since when nothing has held this process up, monotonic
        self._arrived = asyncio.Event()
        self._overflowed: Callable[[Overflowed], None] | None = None

    # -- the lines' side ---------------------------------------------------------------------

    def __call__(self, item: Arrival, /) -> bool:
        """Take one item from a line; False asks it to `wait_room` before the next."""
        room = self._waiting.put(item)
        self._arrived.set()
        return room

    def limit_burst(self, frames: int, size: int) -> None:
        """Take so many frames and bytes at once from now on, at most."""
        self._waiting.burst = QueueLimits(frames, size)

    def limit_memory(self, share: float) -> None:
        """Let so much of what may wait in memory wait there, here and for subscribers.

        Only where the rest may go to the disk; `move_surplus` takes what is there already.
        """
        self._waiting.limit_memory(share)
        self.dispatch.limit_memory(share)

    def move_surplus(self) -> bool:
        """Put some of what exceeds a limit of memory to the disk; whether more does."""
        # Not `or`: each of them is to move a part.
        return any((self._waiting.move_surplus(), self.dispatch.move_surplus()))

    def waiting_s(self) -> float:
        """How long the oldest frame has waited; 0 where none does."""
        oldest_ns = self._waiting.oldest_ns
        return 0.0 if oldest_ns is None else max(0, self._clock.now_ns() - oldest_ns) / 1e9

    async def wait_room(self) -> None:
        """Wait until less than half of the limits is waiting."""
        await self._waiting.wait_room()

    # -- the consumer ------------------------------------------------------------------------

    async def run(self) -> None:
        """Process what arrives, until cancelled.

        A step that failed on behalf of somebody else (see `drain`) fails here again: the pipeline
        is in doubt, so the tape must not go on, even if that one does.

        Raises:
            JournalError: the journal cannot accept; nothing is processed beyond it.
        """
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting or self._failure is not None:
                self._step()
                # Lines and subscribers run between two bursts, however long the backlog is.
                await asyncio.sleep(0)

    def drain(self) -> None:
        """Process everything that waits, now; see `catch_up` for who can wait."""
        while self._waiting:
            self._step()

    async def catch_up(self) -> None:
        """Process everything that waits now, and let others run between the bursts of it.

        Among them is `run`: one burst in each turn of the loop, however many want to catch up.
        """
        until = self._stages.frames + len(self._waiting)
        before = -1
        while self._stages.frames < until:
            if self._stages.frames == before:
                self._step()
            before = self._stages.frames
            if before < until:
                await asyncio.sleep(0)

    def finish(self) -> None:
        """Process what waits, at the end. After a failure it is kept in the journal alone.

        Raises:
            JournalError: the journal cannot accept, and this is the first that is known of it.
        """
        if self._failure is None:
            self.drain()
            self._publish(self.pipeline.release())
        elif not isinstance(self._failure, JournalError):
            while self._waiting:
                self._journaler.append(_entries(self._waiting.take()))

    def _put_in_order(self) -> None:
        """Process what waits, before somebody changes what it means.

        A backlog on the disk may take minutes, which would hold the loop. What it holds comes
        behind the change then, in the journal as well.
        """
        if not self._waiting.spilled:
            self.drain()

    def _step(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._stepping = True
        try:
            burst = self._waiting.take()
            self._stages.begin(len(burst))
            self._journaler.append(_entries(burst))
            self._stages.written()
            self._process(burst)
            self._stages.published(burst[0].recv_ns)
            self._take_notes()
        except BaseException as error:
            self._failure = error
            self._arrived.set()
            raise
        finally:
            self._stepping = False

    def _process(self, burst: list[Waiting]) -> None:
        for item in burst:
            if isinstance(item, Connected):
                self._begin(item)
                continue
            if isinstance(item, Disconnected):
                self._end(item)
                continue
            if isinstance(item, Overflowed):
                self._overflow(item)
                continue
            if item.point is not None:
                self._points[item.line] = item.point
            if isinstance(item, Reattached):
                continue
            if item.hub == USER_HUB:
                self._publish(self.pipeline.take_user(item.calls, item.recv_ns, item.line))
            else:
                self.pipeline.take(item.calls, item.recv_ns, item.line)
            for garbled in item.garbled:
                self.pipeline.take_garbled(garbled.raw, garbled.detail, item.recv_ns)
        self._publish(self.pipeline.step(self._clock.monotonic_ns()))

    def _overflow(self, mark: Overflowed) -> None:
        # What came before it is told first: a gap begins behind the last print.
        self._publish(self.pipeline.step(self._clock.monotonic_ns()))
        if self._overflowed is not None:
            self._overflowed(mark)

    def _begin(self, item: Connected) -> None:
        self._connected[item.line] = item
        if item.point is not None:
            self._points[item.line] = item.point
        if len(self._connected) > CONNECTIONS_MAX:
            oldest = next(iter(self._connected))
            del self._connected[oldest]
            self._points.pop(oldest, None)
        if item.hub != USER_HUB:
            self.pipeline.connected(item.line, item.recv_ns)

    def _end(self, item: Disconnected) -> None:
        self._connected.pop(item.line, None)
        self._points.pop(item.line, None)
        if item.hub != USER_HUB:
            # What the connection brought goes before its end, as it will in a replay.
            self._publish(self.pipeline.step(self._clock.monotonic_ns()))
            self._publish(self.pipeline.disconnected(item.line))

    def _publish(self, outputs: Outputs, since_ns: int | None = None) -> None:
        self.recent.add(outputs.closed)
        # Of what was before a contract was followed nobody who reads bars as they close was told.
        self.dispatch.publish_bars(
            outputs.closed
            if since_ns is None
            else [bar for bar in outputs.closed if bar.revision or bar.ts_end > since_ns]
        )
        self.recent_quotes.add(outputs.quotes)
        self.dispatch.publish_quotes(outputs.quotes)
        self.dispatch.publish_depth(outputs.depth)
        self.dispatch.publish_user(outputs.user)
        self._report(outputs.rejected)
        self.exchange.saw(outputs.trades)
        for trade in outputs.readmitted:
            self._log("let_back_in", contract=trade.contract_id, price=trade.price)
        for listener in self._listeners:
            listener(outputs)
        self._report_audit(outputs.findings, outputs.verdicts)

    def _report_audit(
        self, findings: Iterable[AuditFinding], verdicts: Iterable[AuditVerdict]
    ) -> None:
        for found in findings:
            self._log(
                "audit_finding",
                level="warning" if found.kind is AuditKind.MISSING else "info",
                contract=found.contract_id,
                kind=found.kind.value,
                from_ns=found.from_ns,
                to_ns=found.to_ns,
                volume=found.volume,
                quoted=found.quoted,
            )
        for verdict in verdicts:
            self._log(
                "feed_judged",
                level="warning" if verdict.state is AuditState.INCOMPLETE else "info",
                contract=verdict.contract_id,
                state=verdict.state.value,
                missing_share=round(verdict.share, 4),
            )

    def _report(self, rejected: Iterable[Rejected]) -> None:
        first: dict[tuple[str, str], Rejected] = {}
        for item in rejected:
            first.setdefault((item.reason, item.contract_id), item)
        for item in first.values():
            self._log(
                "quarantined", reason=str(item.reason), contract=item.contract_id, why=item.detail
            )

    # -- what changes the pipeline besides frames ----------------------------------------------

    def subscribe(self, subscription: Subscription) -> None:
        """Record and apply a subscription, in order with the frames around it.

        Raises:
            UsageError: a measure is wanted that cannot be had of the contract.
        """
        # Before it is recorded, because a replay could not do it either.
        require_measurable(subscription.timeframes, subscription.instrument)
        self._put_in_order()
        self._journaler.append([subscribe_entry(subscription, self._clock.now_ns())])
        self.pipeline.subscribe(subscription)
        contract_id = subscription.instrument.contract_id
        timeframes = self.pipeline.timeframes(contract_id)
        self._subscriptions[contract_id] = msgspec.structs.replace(
            subscription,
            timeframes=timeframes,
            depth=self.pipeline.follows_depth(contract_id),
        )

    def subscription(self, contract_id: str) -> Subscription | None:
        """What is wanted of a contract now, with all its timeframes."""
        return self._subscriptions.get(contract_id)

    def unsubscribe(self, contract_id: str) -> None:
        """Record and apply the end of a subscription."""
        self._put_in_order()
        self._journaler.append([unsubscribe_entry(contract_id, self._clock.now_ns())])
        self._publish(self.pipeline.unsubscribe(contract_id))
        self._subscriptions.pop(contract_id, None)

    def listen(self, listener: Callable[[Outputs], None]) -> None:
        """Let a part of the tape see everything that is published, in order and at once."""
        self._listeners.append(listener)

    def on_overflow(self, listener: Callable[[Overflowed], None]) -> None:
        """Let a part of the tape know where frames were given up, behind what came before."""
        self._overflowed = listener

    def know(self, notes: Sequence[Gap | Repair]) -> None:
        """Record and apply gaps and repairs between two bursts, at once or at the end of this one.

        Frames that wait come behind them: a backlog is not taken in one go for their sake.
        """
        self._notes.extend(notes)
        if not self._stepping:
            self._take_notes()

    def _take_notes(self) -> None:
        while self._notes:
            note = self._notes.pop(0)
            now_ns = self._clock.now_ns()
            if isinstance(note, Repair):
                self._journaler.append([repair_entry(note, now_ns)])
                outputs = self.pipeline.repair(note.gap, note.bars(), note.until_ns)
                is_start = note.gap.cause is GapCause.START
                self._publish(outputs, since_ns=note.gap.to_ns if is_start else None)
                continue
            self._journaler.append([gap_entry(note, now_ns)])
            self._gaps.pop(note.gap_id, None)
            if note.to_ns is None:
                self._gaps[note.gap_id] = note
            self._publish(self.pipeline.know_gap(note))

    def readmit(self, trade: Trade) -> None:
        """Record and let in a print that was quarantined.

        Raises:
            UsageError: it is not among the latest that were, or its bars are too old.
        """
        self._put_in_order()
        if not any(each.trade == trade for each in self.pipeline.quarantined()):
            raise UsageError(
                f"the print of {trade.contract_id} at {trade.price!r} is not among the latest "
                "that were quarantined"
            )
        self._journaler.append([readmit_entry(trade, self._clock.now_ns())])
        outputs = self.pipeline.readmit(trade)
        self._publish(outputs)
        if not outputs.readmitted:
            raise UsageError(
                f"the print of {trade.contract_id} at {trade.price!r} is too old: its bars cannot "
                "be revised any more"
            )

    def go_on(self, since: int, through: Position, absences: Sequence[Gap]) -> None:
        """Go on with the state that the run before ended in, which `pipeline` and `recent` hold.

        Called before anything else. What is said here comes into the journal in front of the first
        entry that is written: a process that never gets as far leaves no trace.

        Args:
            since: number of the first segment that the state comes of.
            through: where the entries end that it comes of.
            absences: what the contracts that were followed lack from then on.
        """
        now_ns = self._clock.now_ns()
        self._opening.append(continues_entry(since, through, now_ns))
        self._opening.append(numbers_entry(self.pipeline.next_seq, now_ns))
        self._awake_ns = self._clock.monotonic_ns()
        for gap in absences:
            self._opening.append(gap_entry(gap, now_ns))
            self._gaps[gap.gap_id] = gap
            self._publish(self.pipeline.know_gap(gap))

    def number_from(self, next_seq: int) -> None:
        """Begin with nothing but the number of the next tick; called as `go_on`, instead of it."""
        self.pipeline.number_from(next_seq)
        self._opening.append(numbers_entry(next_seq, self._clock.now_ns()))

    def _known(self, now_ns: int) -> list[Entry]:
        """What a reader must know who has not seen the segments before."""
        return [
            numbers_entry(self.pipeline.next_seq, now_ns),
            *(subscribe_entry(each, now_ns) for each in self._subscriptions.values()),
            *(
                connected_entry(each.line, each.hub, now_ns, each.protocol)
                for each in self._connected.values()
            ),
            *(counted_entry(line, point, now_ns) for line, point in self._points.items()),
            *(gap_entry(gap, now_ns) for gap in self._gaps.values()),
        ]

    def on_time(self, now_ns: int) -> None:
        """Close the bars that are due although no print came.

        What has arrived counts before the timer does: see `catch_up`.

        Args:
            now_ns: monotonic; when it was known that nothing had held this process up. What the
                work here takes (a disk may stall for seconds) is no quiet of the market.
        """
        for contract_id, limit_ns in self.pipeline.due_limits(now_ns, self._awake_ns):
            self._journaler.append([clock_entry(contract_id, limit_ns, self._clock.now_ns())])
            self._publish(self.pipeline.close_due(contract_id, limit_ns))
        for contract_id, measure, count in self.pipeline.forgotten():
            if (contract_id, measure) not in self._forgetting:
                self._forgetting.add((contract_id, measure))
                self._log(
                    "bars_forgotten",
                    level="warning",
                    contract=contract_id,
                    timeframe=measure,
                    bars=count,
                    reason="more closed within bars.revise_for_s than bars.revise_max",
                )

    def held_up(self, now_ns: int) -> None:
        """This process did nothing for a while, up to `now_ns` (monotonic).

        Nobody can say how much of that while a contract was quiet. What came in it is read bit
        by bit from now on, in the order of arrival, so a contract may have to wait for its turn.
        """
        self._awake_ns = now_ns

    def statistics(self) -> FeedStatistics:
        """A frozen view of the counters."""
        waiting, counts = self._waiting, self._waiting.counts
        return FeedStatistics(
            waiting_frames=len(waiting),
            waiting_bytes=waiting.waiting_bytes,
            waiting_frames_max=waiting.waiting_max,
            quotes_forgotten=self.recent_quotes.forgotten,
            spilled_frames=waiting.spilled,
            spilled_bytes=waiting.spilled_bytes,
            shed_frames=counts.shed_frames,
            shed_bytes=counts.shed_bytes,
            shed_records=counts.shed_records,
            is_high=waiting.is_high,
            stages=self._stages.statistics(),
        )


def _entries(burst: Iterable[Waiting]) -> list[Entry]:
    entries: list[Entry] = []
    for item in burst:
        if isinstance(item, Inbound):
            entries.append(Entry(EntryKind.FRAME, item.line, item.recv_ns, item.data))
        elif isinstance(item, Reattached):
            entries.append(reattached_entry(item.line, item.recv_ns))
        elif isinstance(item, Disconnected):
            entries.append(disconnected_entry(item.line, item.recv_ns))
        elif isinstance(item, Connected):
            entries.append(connect_entry(item.line, item.hub, item.recv_ns, item.protocol))
            if item.point is not None:
                entries.append(counted_entry(item.line, item.point, item.recv_ns))
    return entries
