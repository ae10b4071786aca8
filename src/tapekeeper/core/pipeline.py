"""The one place that knows the order of the stages.

    records -> decode -> stamps -> arbiter -> validate -> bars -> outputs

The same object runs live, in replay and in simulation. It is pure and synchronous: everything
it may depend on comes in through its methods, so feeding it the same inputs in the same order
gives the same outputs. What one call receives is one burst; where bursts are cut does not
change a bar.

What came by different lines is kept apart up to the arbiter, which lets each print through once.
Its prints that wait for another line to catch up are counted as received when they go on, so the
identity holds at every moment. Nothing is shed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from tapekeeper.core.arbiter import HOLD_NS, Admitted, Arbiter
from tapekeeper.core.audit import AuditStage
from tapekeeper.core.bars import AllBars, marks_of
from tapekeeper.core.brought import Brought
from tapekeeper.core.depth import DepthStage
from tapekeeper.core.echoes import EventEchoes
from tapekeeper.core.followed import Contract, Subscription
from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.gateway.user import (
    UserEvent,
    decode_user,
    object_of,
)
from tapekeeper.core.quotes import QuoteStage
from tapekeeper.core.rejections import Rejections
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.skew import Skew
from tapekeeper.core.validate import (
    EARLIEST_NS,
    LATEST_NS,
    SIZE_MAX,
    Flagged,
    Quarantine,
    Quarantined,
    rejected_trade,
    unwanted_rows,
)
from tapekeeper.model.audit import AuditFinding, AuditVerdict
from tapekeeper.model.bar import Bar
from tapekeeper.model.depth import DepthUpdate
from tapekeeper.model.gap import Gap, Lack
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize
from tapekeeper.model.snapshot import ArbiterStatistics, LineTally, TickCounts, VolumeCheck
from tapekeeper.model.tick import Flag, Quote, Reason, Rejected, Trade, TradeBatch, joined_batches

__all__ = ["Outputs", "Pipeline", "Subscription"]


_SPOILT = frozenset(Reason) - {Reason.LATE, Reason.NOT_SUBSCRIBED, Reason.ZERO_SIZE}
"""Reasons for which a bar lacks something: what is late was told of in time, and nobody misses
what nobody asked for, or what the configuration refuses."""

_WILD = frozenset({Reason.TIME, Reason.FUTURE})
"""Reasons for which the time of a print is not believed."""


@dataclass(slots=True)
class Outputs:
    """What one step produced, in the order in which it happened within each list.

    A print in `readmitted` was in `rejected` before, and is in quarantine no more.
    """

    closed: list[Bar] = field(default_factory=list)
    trades: list[TradeBatch] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)
    depth: list[DepthUpdate] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    readmitted: list[Trade] = field(default_factory=list)
    user: list[UserEvent] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    spoilt: list[Rejected] = field(default_factory=list)  # what may have been prints
    late: list[Trade] = field(
        default_factory=list
    )  # of `rejected`: bars beyond the horizon lack it
    findings: list[AuditFinding] = field(default_factory=list)
    verdicts: list[AuditVerdict] = field(default_factory=list)


@dataclass(slots=True)
class _Tally:
    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    quarantined: int = 0

    def counts(self) -> TickCounts:
        return TickCounts(
            received=self.received,
            accepted=self.accepted,
            duplicate=self.duplicate,
            quarantined=self.quarantined,
        )


class Pipeline:
    """Turns records into validated ticks and bars.

    Args:
        grace_ns: how long after a bar's due time (exchange time) a timer still waits for prints.
        discover: asked for a subscription when data of an unknown contract arrives; None
            quarantines such data. Only replay of sources without metadata uses it.

    Attributes:
        depth: the stage of the order books, for reading.
        brought: what each line brought, for whoever compares them.
        audit: the stage that compares quotes with prints, for reading.
    """

    def __init__(
        self, *, grace_ns: int, discover: Callable[[str], Subscription | None] | None = None
    ) -> None:
        self._grace_ns = grace_ns
        self._discover = discover
        self._decoder = MarketDecoder()
        self._arbiter = Arbiter(earliest_ns=EARLIEST_NS, latest_ns=LATEST_NS)
        self._event_echoes = EventEchoes()
        self._bursts: list[tuple[int, Burst]] = []  # runs of frames of one line, in order
        self._contracts: dict[str, Contract] = {}
        self.depth = DepthStage(self._depth_grid, self._may_be_negative)
        self.brought = Brought()
        self.audit = AuditStage()
        self._skew = Skew()
        self._trades = _Tally()
        self._quotes = QuoteStage()
        self.rejections = Rejections()
        self._quarantined = Quarantine()

    # -- what comes in -----------------------------------------------------------------------

    def subscribe(self, subscription: Subscription) -> None:
        """Accept a contract's ticks from now on, or add bar sizes to it.

        Raises:
            UsageError: a measure is wanted that cannot be had of it; nothing has changed then.
        """
        contract_id = subscription.instrument.contract_id
        known = self._contracts.get(contract_id)
        if known is None or known.is_outdated_by(subscription):
            self._contracts[contract_id] = Contract.of(subscription)
            self._quotes.follow(
                contract_id,
                subscription.instrument.tick_size,
                subscription.calendar,
                subscription.rules,
            )
        else:
            known.add(subscription.timeframes)
            known.subscribed, known.is_of_before = True, False
            known.depth = known.depth or subscription.depth
        self.audit.follow(contract_id, subscription.calendar)
        self._decoder.know(contract_id, subscription.instrument.symbol_id)

    def unsubscribe(self, contract_id: str) -> Outputs:
        """Quarantine a contract's ticks from now on; its bars stay as they are.

        Prints that waited came while they were wanted, so they go their way before.
        """
        outputs = Outputs()
        contract = self._contracts.get(contract_id)
        if contract is not None:
            self._release(contract_id, contract, outputs)
            contract.subscribed = contract.depth = False
            self.depth.forget(contract_id)
            self._judge(outputs)
            self.audit.end(contract_id)
            self._judge(outputs)
            self.audit.forget(contract_id)
            self._decoder.forget(contract_id)
            self._quotes.forget(contract_id)
            self._arbiter.unfollow(contract_id)
        return outputs

    def begin_process(self) -> None:
        """Learn that another process goes on from here; nothing is connected or subscribed.

        Its clock may be another one, and nobody in it was told what user events say. How contracts
        are wanted is asked anew: see `Contract.is_outdated_by`.
        """
        self._skew, self._event_echoes = Skew(), EventEchoes()
        for contract in self._contracts.values():
            contract.is_of_before = True

    def number_from(self, next_seq: int) -> None:
        """Give no arrival number below this one to the ticks that come."""
        self._decoder.number_from(next_seq)

    def connected(self, line: int, recv_ns: int) -> None:
        """Learn that a line's connection was made, at host time `recv_ns`."""
        self._arbiter.connected(line, recv_ns)
        self.depth.connected(line)

    def disconnected(self, line: int) -> Outputs:
        """Learn that a line's connection has ended; all that it brought has been stepped.

        Prints that the arbiter held back for its sake go on.
        """
        outputs = Outputs()
        for contract in self._contracts.values():
            contract.stamps.ended(line)
        held = self._arbiter.held
        let_go = self._arbiter.ended(line)
        self._trades.received += held - self._arbiter.held
        for contract_id, admitted in let_go.items():
            self._go_on(contract_id, self._contracts[contract_id], admitted, outputs)
        self.depth.disconnected(line)
        self.brought.ended(line)
        self._collect_depth(outputs)
        self._judge(outputs)
        return outputs

    def take(self, calls: Iterable[Invocation], recv_ns: int, line: int = 0) -> None:
        """Decode the hub's calls of one frame into the current burst.

        Args:
            calls: in the order of the frame.
            recv_ns: when the frame was received, host clock, ns UTC.
            line: number of the connection it came by.
        """
        burst = self._burst(line)
        for call in calls:
            if not self.depth.take(call, recv_ns, line):
                self._decoder.decode(call, recv_ns, burst, line=line)

    def take_user(self, calls: Iterable[Invocation], recv_ns: int, line: int = 0) -> Outputs:
        """Decode the user hub's calls of one frame; what another line has said is left out."""
        outputs = Outputs()
        for call in calls:
            for item in decode_user(call, recv_ns):
                if isinstance(item, Rejected):
                    self.rejections.add(item.reason, item.contract_id, item.ticks)
                    outputs.rejected.append(item)
                elif not self._is_echo(line, item):
                    outputs.user.append(item)
        return outputs

    def _is_echo(self, line: int, event: UserEvent) -> bool:
        content = msgspec.structs.replace(event, ts_recv=0)
        return self._event_echoes.is_echo(line, object_of(event), content, event.ts_recv)

    def take_garbled(self, raw: bytes, detail: str, recv_ns: int) -> None:
        """Count bytes that are no record; what they might have held cannot be known."""
        burst = self._burst(self._bursts[-1][0] if self._bursts else 0)
        burst.trades_received += 1
        burst.rejected_trades.append(Rejected(Reason.MALFORMED, detail, raw, recv_ns))

    def take_trades(self, batch: TradeBatch, line: int = 0) -> None:
        """Add decoded trades of one line to the current burst."""
        burst = Burst(trades={batch.contract_id: batch}, trades_received=len(batch))
        self._bursts.append((line, burst))

    def _burst(self, line: int) -> Burst:
        """The burst that a frame of this line goes into."""
        if not self._bursts or self._bursts[-1][0] != line:
            self._bursts.append((line, Burst()))
        return self._bursts[-1][1]

    # -- what happens to it ------------------------------------------------------------------

    def step(self, now_ns: int = 0) -> Outputs:
        """Carry the current burst through all stages.

        Args:
            now_ns: monotonic; only `due_limits` makes use of it, so a replay has none.
        """
        bursts, self._bursts = self._bursts, []
        outputs = Outputs()
        held = self._arbiter.held
        ready: dict[str, list[TradeBatch]] = {}
        for line, burst in bursts:
            self._trades.received += burst.trades_received
            self._quotes.receive(burst.quotes_received, burst.rejected_quotes)
            self._quarantine(burst.rejected_trades, outputs)
            for item in burst.rejected_trades:
                self.audit.set_aside(item.contract_id, None, None)
            self._note_rejected(burst.rejected_quotes, outputs)
            self.brought.note(line, burst.trades, (quote.contract_id for quote in burst.quotes))
            for batch in burst.trades.values():
                admitted = self._arbitrate(line, batch, now_ns, outputs)
                ready.setdefault(batch.contract_id, []).extend(admitted.batches)
        self._trades.received -= self._arbiter.held - held
        for contract_id, batches in ready.items():
            for batch in joined_batches(batches):
                self._step_trades(self._contracts[contract_id], batch, now_ns, outputs)
        for line, burst in bursts:
            for quote in burst.quotes:
                self._step_quote(line, quote, outputs)
        self._collect_depth(outputs)
        self._judge(outputs)
        return outputs

    def _judge(self, outputs: Outputs) -> None:
        findings, verdicts = self.audit.collect()
        outputs.findings += findings
        outputs.verdicts += verdicts

    def _collect_depth(self, outputs: Outputs) -> None:
        outputs.depth, rejected = self.depth.collect()
        self._note_rejected(rejected, outputs)

    def _arbitrate(self, line: int, batch: TradeBatch, now_ns: int, outputs: Outputs) -> Admitted:
        contract = self._contract(batch.contract_id)
        if contract is None:
            self._quarantine(unwanted_rows(batch), outputs)
            return Admitted()
        sifted = contract.stamps.sift(line, batch)
        if sifted is None:
            admitted = self._arbiter.admit(line, batch)
        else:
            self._count_changes(sifted.rejected, sifted.readmitted, Reason.FUTURE, outputs)
            admitted = Admitted()
            for of_line, run in sifted.runs:
                each = self._arbiter.admit(of_line, run)
                admitted.batches += each.batches
                admitted.duplicates += each.duplicates
        self._trades.duplicate += admitted.duplicates
        if not self._arbiter.holds(batch.contract_id):
            contract.held_ns = None
        elif contract.held_ns is None:
            contract.held_ns = now_ns
        return admitted

    def _step_trades(
        self, contract: Contract, batch: TradeBatch, now_ns: int, outputs: Outputs
    ) -> None:
        judged = contract.rules.judge(batch)
        if judged is not None:
            batch = judged.batch
            self._count_changes(judged.rejected, judged.readmitted, Reason.PRICE_BAND, outputs)
            if not len(batch):
                return
        folded = contract.bars.fold(batch)
        if folded.late:
            for row in folded.late:
                late = "too late to revise its bars"
                outputs.late.append(batch.row(row))
                self._set_aside(outputs.late[-1], Reason.LATE, late, outputs)
            batch = batch.without(set(folded.late))
        outputs.closed.extend(folded.closed)
        if not len(batch):
            return
        self._skew.observe(batch.ts_event[-1], batch.ts_recv[-1])
        contract.accepted_volume += sum(batch.size)
        contract.last = batch.row(-1)
        contract.traded_ns = now_ns
        self._trades.accepted += len(batch)
        let_in = judged is not None and judged.readmitted
        self.audit.take_trades(batch.by_arrival() if let_in else batch)
        outputs.trades.append(batch)

    def _step_quote(self, line: int, quote: Quote, outputs: Outputs) -> None:
        is_wanted = self._contract(quote.contract_id) is not None
        taken = self._quotes.take(line, quote, is_wanted=is_wanted)
        if isinstance(taken, Rejected):
            self._note_rejected([taken], outputs)
        elif taken is not None:
            self.audit.take_quote(taken)
            outputs.quotes.append(taken)

    def _depth_grid(self, contract_id: str) -> float | None:
        """The tick size of a contract whose depth is wanted, or None."""
        contract = self._contract(contract_id)
        return contract.instrument.tick_size if contract is not None and contract.depth else None

    def _may_be_negative(self, contract_id: str) -> bool:
        contract = self._contracts.get(contract_id)
        return contract is not None and contract.policy.negative_prices

    def _contract(self, contract_id: str) -> Contract | None:
        contract = self._contracts.get(contract_id)
        if contract is None and self._discover is not None:
            wanted = self._discover(contract_id)
            if wanted is not None:
                self.subscribe(wanted)
                contract = self._contracts[contract_id]
        return contract if contract is not None and contract.subscribed else None

    def _quarantine(self, rejected: list[Rejected], outputs: Outputs) -> None:
        """Count trades that were set aside."""
        self._trades.quarantined += sum(item.ticks for item in rejected)
        self._note_rejected(rejected, outputs)
        outputs.spoilt.extend(item for item in rejected if item.reason in _SPOILT)

    def _note_rejected(self, rejected: list[Rejected], outputs: Outputs) -> None:
        for item in rejected:
            self.rejections.add(item.reason, item.contract_id, item.ticks)
        outputs.rejected += rejected

    # -- gaps --------------------------------------------------------------------------------

    def know_gap(self, gap: Gap) -> Outputs:
        """Learn of a gap, or the last word on one: closed bars that it touches are told again."""
        outputs = Outputs(gaps=[gap])
        contract = self._contracts.get(gap.contract_id)
        if contract is not None:
            outputs.closed.extend(contract.bars.mark(gap.gap_id, marks_of(gap)))
        return outputs

    def repair(self, gap: Gap, bars: Iterable[Bar], until_ns: int) -> Outputs:
        """Put the gateway's own bars in the place of what a gap has spoilt.

        Args:
            gap: as it is after the repair.
            bars: of timeframes of its contract.
            until_ns: event time, ns UTC, that has certainly passed.
        """
        outputs = Outputs(gaps=[gap])
        contract = self._contracts.get(gap.contract_id)
        if contract is not None:
            self._release(gap.contract_id, contract, outputs)
            outputs.closed.extend(contract.bars.repair(gap.gap_id, marks_of(gap), bars, until_ns))
        return outputs

    def _count_changes(
        self,
        rejected: Iterable[tuple[Trade, Reason, str]],
        readmitted: Iterable[Trade],
        confirmed: Reason,
        outputs: Outputs,
    ) -> None:
        """Count what a stage set aside, and what it let in of that which broke a rule."""
        for refused in rejected:
            self._set_aside(*refused, outputs)
        for trade in readmitted:
            self._let_back_in(trade, confirmed, outputs)

    def _set_aside(self, trade: Trade, reason: Reason, detail: str, outputs: Outputs) -> None:
        self._quarantined.add(trade, reason, detail)
        if reason is not Reason.LATE:  # late volume is in the quotes, and its print came
            size = trade.size if 0 <= trade.size <= SIZE_MAX else None
            known_ns = None if reason in _WILD else trade.ts_event
            self.audit.set_aside(trade.contract_id, known_ns, size)
        self._quarantine([rejected_trade(trade, reason, detail)], outputs)

    def _let_back_in(self, trade: Trade, reason: Reason, outputs: Outputs) -> None:
        """Undo the count of a print that was set aside."""
        self._quarantined.remove(trade.seq)
        self.rejections.add(reason, trade.contract_id, -1)
        self._trades.quarantined -= 1
        outputs.readmitted.append(trade)
        if outputs.spoilt:
            raw = rejected_trade(trade, reason, "").raw
            outputs.spoilt = [item for item in outputs.spoilt if item.raw != raw]

    def readmit(self, trade: Trade) -> Outputs:
        """Let a quarantined print in after all; its bars are revised where they were closed.

        The caller records that. Nothing comes of it where no quarantined print equals `trade`,
        or where its bars are too old to be revised.

        Args:
            trade: as in `quarantined`; its arrival number may be another one.
        """
        outputs = Outputs()
        known = self._quarantined.find(trade)
        contract = self._contracts.get(trade.contract_id)
        if known is None or contract is None:
            return outputs
        trade = known.trade
        batch = TradeBatch(trade.contract_id)
        batch.append(trade.ts_event, trade.price, trade.size, trade.side, trade.ts_recv, trade.seq)
        folded = contract.bars.fold(batch)
        outputs.closed.extend(folded.closed)
        if folded.late:
            return outputs
        contract.stamps.forgive(trade.seq)
        contract.rules.forgive(trade.seq)
        self._let_back_in(trade, known.reason, outputs)
        contract.accepted_volume += trade.size
        self._trades.accepted += 1
        outputs.trades.append(batch)
        return outputs

    # -- time --------------------------------------------------------------------------------

    def due_limits(self, now_ns: int, awake_ns: int = 0) -> list[tuple[str, int]]:
        """Which contracts have bars that may be closed now, and up to which exchange time each.

        A contract of which the arbiter holds prints back for too long is among them.

        A contract's exchange time is taken to run on from its own last trade. So neither the
        host's wall clock nor its difference from the exchange's matters, a contract that is ahead
        or has a wild stamp closes nothing of another, and a backlog that is being worked off
        holds the timer back by itself. The caller records the answer and hands it to
        `close_due`; a replay must not compute it again.

        Args:
            now_ns: monotonic, as for `step`.
            awake_ns: monotonic; time before it does not count as quiet, because nobody was there
                to see a trade.
        """
        limits = []
        for contract_id, contract in self._contracts.items():
            held_ns = contract.held_ns
            overdue = held_ns is not None and now_ns - max(held_ns, awake_ns) >= HOLD_NS
            due_ns = contract.bars.due_ns()
            if contract.last is None:
                if overdue:
                    limits.append((contract_id, 0))
                continue
            quiet_ns = now_ns - max(contract.traded_ns, awake_ns)
            limit_ns = contract.last.ts_event + quiet_ns - self._grace_ns
            if overdue or (due_ns is not None and due_ns <= limit_ns):
                limits.append((contract_id, limit_ns))
        return limits

    def close_due(self, contract_id: str, limit_ns: int) -> Outputs:
        """Close every bar of a contract that is due at or before exchange time `limit_ns`.

        Prints that the arbiter holds back go first, because afterwards they would be late.
        """
        outputs = Outputs()
        contract = self._contracts.get(contract_id)
        if contract is None:
            return outputs
        self._release(contract_id, contract, outputs)
        outputs.closed.extend(contract.bars.close_due(limit_ns))
        self._judge(outputs)
        self.audit.passed(contract_id, limit_ns)
        self._judge(outputs)
        return outputs

    def release(self) -> Outputs:
        """Let every print go on that the arbiter holds back, because nothing comes any more."""
        outputs = Outputs()
        for contract_id, contract in self._contracts.items():
            self._release(contract_id, contract, outputs)
        self._judge(outputs)
        self.audit.end()
        self._judge(outputs)
        return outputs

    def _release(self, contract_id: str, contract: Contract, outputs: Outputs) -> None:
        """Let prints go on that the arbiter holds back."""
        if not self._arbiter.holds(contract_id):
            return
        held = self._arbiter.held
        admitted = self._arbiter.release(contract_id)
        self._trades.received += held - self._arbiter.held
        self._go_on(contract_id, contract, admitted, outputs)

    def _go_on(
        self, contract_id: str, contract: Contract, admitted: Admitted, outputs: Outputs
    ) -> None:
        """Carry prints on that the arbiter held back until now."""
        self._trades.duplicate += admitted.duplicates
        arrived_ns = contract.held_ns or 0
        if not self._arbiter.holds(contract_id):
            contract.held_ns = None
        for batch in joined_batches(admitted.batches):
            self._step_trades(contract, batch, arrived_ns, outputs)

    # -- what can be read --------------------------------------------------------------------

    def forming(self, contract_id: str, timeframe: BarSize) -> Bar | None:
        """The open bar, computed now; None if there is none or the contract is unknown."""
        contract = self._contracts.get(contract_id)
        return None if contract is None else contract.bars.forming(timeframe)

    def timeframes(self, contract_id: str) -> tuple[BarSize, ...]:
        """The bar sizes of a contract, time first, small before large; empty if it is unknown."""
        contract = self._contracts.get(contract_id)
        return () if contract is None else contract.bars.timeframes

    def whole_ns(self, contract_id: str, timeframe: str | None = None) -> int | None:
        """See `ContractBars.whole_ns`."""
        contract = self._contracts.get(contract_id)
        return None if contract is None else contract.bars.whole_ns(timeframe)

    def lacks(self, contract_id: str) -> dict[str, Lack]:
        """See `ContractBars.lacks`."""
        contract = self._contracts.get(contract_id)
        return {} if contract is None else contract.bars.lacks()

    def forgotten(self) -> Iterator[tuple[str, str, int]]:
        """Contract, measure and number of closed bars that are kept no more; see `BarPolicy`."""
        for contract_id, contract in self._contracts.items():
            if isinstance(contract.bars, AllBars):
                for name, count in contract.bars.forgotten():
                    yield contract_id, name, count

    def follows_depth(self, contract_id: str) -> bool:
        """Whether the depth of a contract is wanted."""
        contract = self._contracts.get(contract_id)
        return contract is not None and contract.depth

    def depth_seq(self, contract_id: str) -> int | None:
        """A number that is another one when depth of a contract has come; None before it."""
        return self.depth.last_seq(contract_id)

    @property
    def next_seq(self) -> int:
        """The arrival number of the next trade or quote."""
        return self._decoder.next_seq

    def quote(self, contract_id: str) -> Quote | None:
        """The latest accepted quote of a contract."""
        return self._quotes.latest(contract_id)

    def forming_all(self) -> list[Bar]:
        """All open bars, by contract in order of subscription, small before large."""
        return [bar for each in self._contracts.values() for bar in each.bars.forming_all()]

    def last_trade(self, contract_id: str) -> Trade | None:
        """The trade of a contract that was accepted last, in order of arrival."""
        contract = self._contracts.get(contract_id)
        return None if contract is None else contract.last

    def fastest_ns(self) -> int | None:
        """The smallest receive less event time of late; see `Skew.fastest_ns`."""
        return self._skew.fastest_ns()

    def lag_ns(self, contract_id: str) -> int | None:
        """How much longer the last trade took than the fastest delivery of the last minutes.

        Clocks need not agree for this; the fastest delivery itself cannot be known.
        """
        last = self.last_trade(contract_id)
        exchange_ns = None if last is None else self._skew.exchange_now_ns(last.ts_recv)
        return None if last is None or exchange_ns is None else exchange_ns - last.ts_event

    def instruments(self) -> list[Instrument]:
        """Every contract that was ever subscribed, in order."""
        return [contract.instrument for contract in self._contracts.values()]

    def followed(self) -> list[str]:
        """The ids of the contracts that are subscribed now, in order."""
        return [contract_id for contract_id, each in self._contracts.items() if each.subscribed]

    def trade_counts(self) -> TickCounts:
        """What became of the trades."""
        return self._trades.counts()

    def accepted_volumes(self) -> dict[str, int]:
        """The volume of all accepted trades, contracts, by contract id."""
        return {each: contract.accepted_volume for each, contract in self._contracts.items()}

    def quote_counts(self) -> TickCounts:
        """What became of the quotes."""
        return self._quotes.counts()

    def line_tallies(self) -> tuple[LineTally, ...]:
        """What each of the latest market lines brought, lost, and how far it was behind."""
        return self._arbiter.tallies()

    def arbiter_statistics(self) -> ArbiterStatistics:
        """What the arbiter keeps, and what it had to give up."""
        return self._arbiter.statistics()

    def reasons(self) -> dict[str, int]:
        """Quarantined ticks by reason; at most one entry per `Reason`."""
        return self.rejections.by_reason()

    def flags(self) -> dict[str, int]:
        """Accepted ticks that were remarkable, by flag; at most one entry per `Flag`."""
        flags = Counter({Flag.CROSSED: self._quotes.crossed})
        for contract in self._contracts.values():
            flags.update(contract.rules.flags.counts)
        return {str(flag): count for flag, count in sorted(flags.items()) if count}

    def flagged(self) -> list[Flagged]:
        """The latest ticks of each flag with what is remarkable of them, in order of arrival."""
        code_of = self._decoder.odd_sides.of
        prints = [each.rules.flags.latest(code_of) for each in self._contracts.values()]
        found = [*chain.from_iterable(prints), *self._quotes.flagged()]
        return sorted(found, key=lambda each: each.tick.seq)

    def quarantined(self) -> list[Quarantined]:
        """The latest quarantined prints that could be let back in, oldest first."""
        return self._quarantined.all()

    def checks(self) -> list[VolumeCheck]:
        """The volume identity of every contract and timeframe."""
        return [
            check
            for contract in self._contracts.values()
            for check in contract.bars.checks(contract.accepted_volume)
        ]
