"""From market events to the connections that subscribed them, with exact counts."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from tapekeeper.sim.connection import HubConnection
from tapekeeper.sim.depth import DepthLadder
from tapekeeper.sim.history import History
from tapekeeper.sim.losses import PrintLosses
from tapekeeper.sim.pace import Pacer
from tapekeeper.sim.subscriptions import Stream, Subscriptions
from tapekeeper.sim.wire import (
    DepthRows,
    MarketEvent,
    QuoteDelta,
    Trades,
    depth_record,
    quote_record,
    trades_record,
)

YIELD_EVERY = 64
"""Events published before the sockets get their turn, when none has to be waited for."""


class Feed:
    """Publishes the events of all contracts.

    Args:
        subscriptions: of the market hub.
        losses: prints that nobody is sent.
    """

    def __init__(self, subscriptions: Subscriptions, losses: PrintLosses | None = None) -> None:
        self._subscriptions = subscriptions
        self._losses = losses or PrintLosses()
        # bound: one entry per contract of the configuration, here and below
        self._histories: dict[str, History] = {}
        self._pacers: dict[str, Pacer] = {}
        self._quotes: dict[str, QuoteDelta] = {}
        self._since_yield = 0
        self._ladders: dict[str, DepthLadder] = {}
        self.trades_made: Counter[str] = Counter()
        """Prints that the market made, by contract; those that were lost are among them."""
        self.trades_sent: Counter[str] = Counter()
        """Prints handed to connections, by contract; two subscribers count twice."""
        self.quotes_sent: Counter[str] = Counter()
        """Quote records handed to connections, by contract."""
        self.depth_sent: Counter[str] = Counter()
        """Rows of depth handed to connections, by contract."""
        self.depth_taps: list[Callable[[DepthRows], None]] = []
        """Called with the rows that go with an event, which every listener was sent."""
        self.taps: list[Callable[[MarketEvent], None]] = []
        """Called with every event that at least one connection was sent."""
        self.market_taps: list[Callable[[MarketEvent], None]] = []
        """Called with every event that the market made, those of prints that are lost included."""
        self.made_taps: list[Callable[[MarketEvent], None]] = []
        """Called with every event that the market made, before anybody is sent it, and without
        the prints that the gateway loses."""

    def open(
        self,
        contract_id: str,
        history: History,
        pacer: Pacer,
        ladder: DepthLadder | None = None,
    ) -> None:
        """Get ready to publish a contract; without a ladder it has no depth."""
        if ladder is not None:
            self._ladders[contract_id] = ladder
        self._histories[contract_id] = history
        self._pacers[contract_id] = pacer

    def history(self, contract_id: str) -> History | None:
        """The past of a contract; None if it never traded."""
        return self._histories.get(contract_id)

    def now_ns(self, contract_id: str) -> int:
        """Exchange time of a contract that was opened, ns UTC."""
        return self._pacers[contract_id].now_ns()

    async def run(self, sources: Mapping[str, Iterable[MarketEvent]]) -> None:
        """Publish the events of contracts of one pace when their time comes, listener or not.

        In one order of time: where the process was held up, what is late of one contract does
        not overtake what is late of another, which no exchange lets happen.
        """
        for event in heapq.merge(*sources.values(), key=lambda event: event.ts_ns):
            pacer = self._pacers[event.contract_id]
            await pacer.until(event.ts_ns)
            await self._publish_and_yield(event, waits=not pacer.is_real_time)

    async def run_together(self, sources: Mapping[str, Iterator[MarketEvent]]) -> None:
        """Publish the events of several contracts without pauses, in one order of time.

        A contract takes part while somebody has subscribed its trades, so a late subscriber
        misses nothing; the others wait until it has caught up. Contracts that ran each on its
        own would drift apart by hours of exchange time, which no real feed does.
        """
        heads = {contract_id: next(events, None) for contract_id, events in sources.items()}
        ranks = {contract_id: rank for rank, contract_id in enumerate(heads)}
        heap: list[tuple[int, int, str]] = []
        version = -1
        while any(heads.values()):
            if version != self._subscriptions.version:
                version = self._subscriptions.version
                heap = [
                    (head.ts_ns, ranks[contract_id], contract_id)
                    for contract_id, head in heads.items()
                    if head is not None and self._subscriptions.of(Stream.TRADES, contract_id)
                ]
                heapq.heapify(heap)
            if not heap:
                await self._subscriptions.changed(version)
                continue
            contract_id = heap[0][2]
            event = heads[contract_id]
            if event is None:
                heapq.heappop(heap)
                continue
            following = heads[contract_id] = next(sources[contract_id], None)
            at_ns = event.ts_ns if following is None else following.ts_ns
            heapq.heapreplace(heap, (at_ns, ranks[contract_id], contract_id))
            await self._pacers[contract_id].until(event.ts_ns)
            await self._publish_and_yield(event, waits=True)

    def push(self, stream: Stream, contract_id: str, records: bytes) -> int:
        """Send records that somebody else has made; how many connections took them.

        No tap is told of them, and the gateway's history does not have them.

        Args:
            stream: whose listeners get them.
            contract_id: the same.
            records: JSON, whole, with their separators. A connection that counts records, or is
                packed, takes one at a time alone.
        """
        return self._send(self._subscriptions.of(stream, contract_id), records)

    async def _publish_and_yield(self, event: MarketEvent, *, waits: bool) -> None:
        listeners = self._publish(event)
        if waits:
            for one in listeners:
                if one.is_crowded:
                    await one.room()
        self._since_yield += 1
        if self._since_yield >= YIELD_EVERY:
            self._since_yield = 0
            await asyncio.sleep(0)

    def greet(self, stream: Stream, contract_id: str, connection: HubConnection) -> None:
        """A new subscriber of quotes or depth gets the whole state first, if there is one."""
        state = self._quotes.get(contract_id)
        if stream is Stream.DEPTH:
            alone = self._subscriptions.of(stream, contract_id) == [connection]
            self._send_book(contract_id, [connection], anew=alone)
        elif stream is Stream.QUOTES and state is not None and connection.send(quote_record(state)):
            self.quotes_sent[contract_id] += 1

    def _publish(self, event: MarketEvent) -> list[HubConnection]:
        for tap in self.market_taps:
            tap(event)
        if isinstance(event, Trades):
            self.trades_made[event.contract_id] += len(event.prints)
            self._histories[event.contract_id].add(event)
            left = self._losses.left_of(event)
            if left is None:
                return []
            event = left
        for tap in self.made_taps:
            tap(event)
        if isinstance(event, Trades):
            listeners = self._publish_trades(event)
        else:
            listeners = self._publish_quote(event)
        return listeners + self._publish_depth(event)

    def reset_depth(self, contract_id: str) -> None:
        """Send everybody who listens a Reset and the whole book once more."""
        self._send_book(contract_id, self._subscriptions.of(Stream.DEPTH, contract_id), anew=False)

    def _publish_depth(self, event: MarketEvent) -> list[HubConnection]:
        """What a print or a quote does to the book goes out behind it."""
        contract_id = event.contract_id
        ladder = self._ladders.get(contract_id)
        listeners = self._subscriptions.of(Stream.DEPTH, contract_id)
        if ladder is None or not listeners:
            return []
        if not ladder.has_begun:
            self._send_book(contract_id, listeners, anew=True)
            return listeners
        rows = ladder.follow(event, self._quotes.get(contract_id))
        if rows is not None:
            self._send_rows(rows, listeners)
            for tap in self.depth_taps:
                tap(rows)
        return listeners

    def _send_book(self, contract_id: str, to: list[HubConnection], *, anew: bool) -> None:
        ladder = self._ladders.get(contract_id)
        rows = None if ladder is None else ladder.snapshot(self._quotes.get(contract_id), anew=anew)
        if rows is not None:
            self._send_rows(rows, to)

    def _send_rows(self, rows: DepthRows, to: list[HubConnection]) -> None:
        self.depth_sent[rows.contract_id] += self._send(to, depth_record(rows)) * len(rows.rows)

    def _publish_trades(self, event: Trades) -> list[HubConnection]:
        contract_id = event.contract_id
        listeners = self._subscriptions.of(Stream.TRADES, contract_id)
        if listeners:
            taken = self._send(listeners, trades_record(event))
            self.trades_sent[contract_id] += taken * len(event.prints)
            self._tap(event, taken)
        return listeners

    def _publish_quote(self, event: QuoteDelta) -> list[HubConnection]:
        contract_id = event.contract_id
        known = self._quotes.get(contract_id)
        members = event.members if known is None else known.members | event.members
        self._quotes[contract_id] = QuoteDelta(contract_id, event.ts_ns, members)
        listeners = self._subscriptions.of(Stream.QUOTES, contract_id)
        if listeners:
            taken = self._send(listeners, quote_record(event))
            self.quotes_sent[contract_id] += taken
            self._tap(event, taken)
        return listeners

    @staticmethod
    def _send(listeners: list[HubConnection], record: bytes) -> int:
        return sum(one.send(record) for one in listeners)

    def _tap(self, event: MarketEvent, taken: int) -> None:
        if taken:
            for tap in self.taps:
                tap(event)
