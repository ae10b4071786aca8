"""What a person wants to know of a running tape, all at one moment."""

from __future__ import annotations

import msgspec

from tapekeeper.app.archive.background import ArchiveStatus
from tapekeeper.app.compose import Parts
from tapekeeper.core.breaker import BreakerTally
from tapekeeper.core.skew import HostClockStatus
from tapekeeper.model.audit import AuditTally
from tapekeeper.model.depth import BookTally
from tapekeeper.model.distribution import LabelCounts
from tapekeeper.model.queue import QueueStatistics
from tapekeeper.model.snapshot import ArbiterStatistics, Census, LineTally, TickCounts, VolumeCheck
from tapekeeper.runtime.announcer import judge_tape
from tapekeeper.runtime.caretaker import CareStatistics, troubles
from tapekeeper.runtime.comparison import ComparisonStatus
from tapekeeper.runtime.feed import FeedStatistics
from tapekeeper.runtime.history import HistoryStatus
from tapekeeper.runtime.journaler import JournalStatistics
from tapekeeper.runtime.limiter import LimitsStatus
from tapekeeper.runtime.line_values import LineStatus
from tapekeeper.runtime.loop_lag import LoopLag
from tapekeeper.runtime.pool_values import PoolHealth, PoolStatus
from tapekeeper.runtime.token_keeper import TokenStatus
from tapekeeper.runtime.watch_values import WatchStatus


class TapeStatus(msgspec.Struct, frozen=True):
    """What a person wants to know of a running tape, all at one moment.

    Attributes:
        pools: one per hub: its lines, its health, and what no line covered.
        trades, quotes: what became of the ticks; each holds the first identity of the design.
            A quote that another line had told already is a duplicate; no other quote is left out.
        checks: the second identity, for every contract and timeframe.
        rejected: quarantined ticks by reason.
        rejected_contracts: the same ticks by contract, as the wire names it.
        flags: accepted ticks that were remarkable, by `Flag`.
        depth: what became of the rows of depth; the same identity.
        books: the published order books.
        history: what was asked of the gateway's own bars; how far every warm-up is.
        journal, feed: counters of the journal and of the hand-over.
        token: what became of the token.
        census: what the tape holds on to; flat, however long it runs.
        token_forms: how each address takes the token ("header" or "query"), once it has.
        watch: how fresh every followed stream is.
        loop: how long something held the event loop.
        host_clock: by how much this computer's clock is ahead of the gateway's.
        fastest_ms: the smallest receive less exchange time of the last minutes, ms: this
            computer's clock is ahead of the exchange's by at most so much. None before the first
            tick. No bar depends on this or on `host_clock`.
        rest: how the gateway answers over REST, and whether it is being left alone.
        tallies: what each of the latest market connections brought, was first with and lacked,
            in the order in which they joined; `LineTally.line` is `LineStatus.connection`.
        arbiter: what is kept to merge them, and what had to be given up.
        audit: of every contract, whether its prints account for the volume that its quotes tell.
        queues: one for each subscriber: what became of the events that it was offered.
        comparison: what comparing closed bars with the gateway's own has come to.
        care: what became of sealed segments: read back, and removed.
        archive: what became of archiving beside the tape.
        limits: what is measured of the machine, and which limits are lower than they are set.
    """

    pools: tuple[PoolStatus, ...]
    trades: TickCounts
    quotes: TickCounts
    checks: tuple[VolumeCheck, ...]
    rejected: dict[str, int]
    journal: JournalStatistics
    feed: FeedStatistics
    token: TokenStatus
    census: Census
    token_forms: dict[str, str] = {}
    watch: WatchStatus = WatchStatus()
    loop: LoopLag = LoopLag()
    host_clock: HostClockStatus = HostClockStatus()
    fastest_ms: float | None = None
    rest: BreakerTally = BreakerTally()
    tallies: tuple[LineTally, ...] = ()
    arbiter: ArbiterStatistics = ArbiterStatistics()
    depth: TickCounts = TickCounts()
    books: tuple[BookTally, ...] = ()
    audit: tuple[AuditTally, ...] = ()
    comparison: ComparisonStatus = ComparisonStatus()
    flags: dict[str, int] = {}
    history: HistoryStatus = HistoryStatus()
    queues: tuple[QueueStatistics, ...] = ()
    care: CareStatistics = CareStatistics()
    archive: ArchiveStatus = ArchiveStatus()
    rejected_contracts: LabelCounts = LabelCounts()
    limits: LimitsStatus = LimitsStatus()

    @property
    def lines(self) -> tuple[LineStatus, ...]:
        """The present connections of all hubs."""
        return tuple(line for pool in self.pools for line in pool.lines)

    @property
    def health(self) -> PoolHealth:
        """The health of what is worst off: a hub with its streams, the token, or the journal."""
        return self._judged[0]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is not well, a sentence for each: of a hub with its streams, token or journal."""
        return self._judged[1]

    @property
    def _judged(self) -> tuple[PoolHealth, tuple[str, ...]]:
        found = (*troubles(self.journal, self.care), *self.limits.troubles)
        return judge_tape(self.pools, self.token, found)

    @property
    def holds(self) -> bool:
        """Whether both identities of the design hold, and that of every queue."""
        counts = (self.trades, self.quotes, self.depth)
        return (
            all(each.holds for each in counts)
            and all(each.holds for each in self.checks)
            and all(each.holds for each in self.queues)
        )


def status_of(parts: Parts) -> TapeStatus:
    """The status of a tape that is made of these parts."""
    pipeline = parts.feed.pipeline
    fastest_ns = pipeline.fastest_ns()
    return TapeStatus(
        pools=tuple(pool.status() for pool in parts.pools),
        trades=pipeline.trade_counts(),
        quotes=pipeline.quote_counts(),
        checks=tuple(pipeline.checks()),
        rejected=pipeline.reasons(),
        rejected_contracts=pipeline.rejections.by_contract(),
        journal=parts.journaler.statistics(),
        care=parts.care.statistics(),
        feed=parts.feed.statistics(),
        token=parts.keeper.status(),
        census=parts.census(),
        token_forms=dict(parts.forms.proven()),
        watch=parts.watch.status(),
        archive=ArchiveStatus() if parts.archiving is None else parts.archiving.status(),
        loop=LoopLag() if parts.loop is None else parts.loop.lag(),
        host_clock=parts.dates.status(),
        fastest_ms=None if fastest_ns is None else fastest_ns / 1e6,
        rest=parts.rest.health(),
        tallies=pipeline.line_tallies(),
        audit=pipeline.audit.tallies(),
        comparison=(ComparisonStatus() if parts.comparison is None else parts.comparison.status()),
        arbiter=pipeline.arbiter_statistics(),
        depth=pipeline.depth.counts(),
        books=pipeline.depth.tallies(),
        flags=pipeline.flags(),
        queues=parts.feed.dispatch.statistics(),
        history=HistoryStatus() if parts.history is None else parts.history.status(),
        limits=LimitsStatus() if parts.limiter is None else parts.limiter.status(),
    )
