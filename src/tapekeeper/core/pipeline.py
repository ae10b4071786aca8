"""The one place that knows the order of the stages.

    records -> decode -> validate -> bars -> outputs

The same object runs live, in replay and in simulation. It is pure and synchronous: everything
it may depend on comes in through its methods, so feeding it the same inputs in the same order
gives the same outputs. What one call receives is one burst; where bursts are cut does not
change a bar.

With one line alive every print is passed on as it came, because real prints repeat and only a
second line can tell a repeat from a duplicate. The `duplicate` and `shed` counts of the
identity are therefore 0 here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from tapekeeper.core.bars import ContractBars
from tapekeeper.core.calendar import Calendar
from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.gateway.user import UserEvent, decode_user
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.skew import Skew
from tapekeeper.core.validate import quote_fault, rejected_quote, rejected_row, trade_faults
from tapekeeper.model.bar import Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.snapshot import TickCounts, VolumeCheck
from tapekeeper.model.tick import Quote, Reason, Rejected, Trade, TradeBatch
from tapekeeper.model.timeframe import Timeframe


class Subscription(msgspec.Struct, frozen=True):
    """What is wanted of one contract."""

    instrument: Instrument
    timeframes: tuple[Timeframe, ...]
    calendar: Calendar


@dataclass(slots=True)
class Outputs:
    """What one step produced, in the order in which it happened within each list."""

    closed: list[Bar] = field(default_factory=list)
    trades: list[TradeBatch] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    user: list[UserEvent] = field(default_factory=list)


@dataclass(slots=True)
class _Contract:
    """The state of one contract; owned by the pipeline alone."""

    instrument: Instrument
    bars: ContractBars
    subscribed: bool = True
    accepted_volume: int = 0
    quote: Quote | None = None
    last: Trade | None = None
    traded_ns: int = 0  # when `last` was processed, monotonic


@dataclass(slots=True)
class _Tally:
    received: int = 0
    accepted: int = 0
    quarantined: int = 0

    def counts(self) -> TickCounts:
        return TickCounts(
            received=self.received, accepted=self.accepted, quarantined=self.quarantined
        )


class Pipeline:
    """Turns records into validated ticks and bars.

    Args:
        grace_ns: how long after a bar's due time (exchange time) a timer still waits for prints.
        discover: asked for a subscription when data of an unknown contract arrives; None
            quarantines such data. Only replay of sources without metadata uses it.
    """

    def __init__(
        self, *, grace_ns: int, discover: Callable[[str], Subscription | None] | None = None
    ) -> None:
        self._grace_ns = grace_ns
        self._discover = discover
        self._decoder = MarketDecoder()
        self._burst = Burst()
        self._contracts: dict[str, _Contract] = {}
        self._skew = Skew()
        self._trades = _Tally()
        self._quotes = _Tally()
        self._reasons: Counter[Reason] = Counter()

    # -- what comes in -----------------------------------------------------------------------

    def subscribe(self, subscription: Subscription) -> None:
        """Accept a contract's ticks from now on, or add timeframes to it."""
        contract_id = subscription.instrument.contract_id
        known = self._contracts.get(contract_id)
        if known is None:
            bars = ContractBars(contract_id, subscription.timeframes, subscription.calendar)
            self._contracts[contract_id] = _Contract(subscription.instrument, bars)
            return
        known.subscribed = True
        known.bars.add(subscription.timeframes, accepted_volume=known.accepted_volume)

    def unsubscribe(self, contract_id: str) -> None:
        """Quarantine a contract's ticks from now on; its bars stay as they are."""
        if contract_id in self._contracts:
            self._contracts[contract_id].subscribed = False
            self._decoder.forget(contract_id)

    def take(self, calls: Iterable[Invocation], recv_ns: int) -> None:
        """Decode the hub's calls of one frame into the current burst."""
        for call in calls:
            self._decoder.decode(call, recv_ns, self._burst)

    def take_user(self, calls: Iterable[Invocation], recv_ns: int) -> Outputs:
        """Decode the user hub's calls of one frame; they pass no other stage."""
        outputs = Outputs()
        for call in calls:
            for item in decode_user(call, recv_ns):
                if isinstance(item, Rejected):
                    self._reasons[item.reason] += item.ticks
                    outputs.rejected.append(item)
                else:
                    outputs.user.append(item)
        return outputs

    def take_garbled(self, raw: bytes, detail: str, recv_ns: int) -> None:
        """Count bytes that are no record; what they might have held cannot be known."""
        self._burst.trades_received += 1
        self._burst.rejected_trades.append(Rejected(Reason.MALFORMED, detail, raw, recv_ns))

    def take_trades(self, batch: TradeBatch) -> None:
        """Add decoded trades to the current burst."""
        self._burst.trades_received += len(batch)
        self._burst.trades[batch.contract_id] = batch

    # -- what happens to it ------------------------------------------------------------------

    def step(self, now_ns: int = 0) -> Outputs:
        """Carry the current burst through all stages.

        Args:
            now_ns: monotonic; only `due_limits` makes use of it, so a replay has none.
        """
        burst, self._burst = self._burst, Burst()
        outputs = Outputs()
        self._trades.received += burst.trades_received
        self._quotes.received += burst.quotes_received
        self._quarantine(self._trades, burst.rejected_trades, outputs)
        self._quarantine(self._quotes, burst.rejected_quotes, outputs)
        for batch in burst.trades.values():
            self._step_trades(batch, now_ns, outputs)
        for quote in burst.quotes:
            self._step_quote(quote, outputs)
        return outputs

    def _step_trades(self, batch: TradeBatch, now_ns: int, outputs: Outputs) -> None:
        contract = self._contract(batch.contract_id)
        if contract is None:
            self._quarantine(self._trades, _unwanted_rows(batch), outputs)
            return
        faults = trade_faults(batch, contract.instrument.tick_size)
        if faults:
            rejected = [rejected_row(batch, row, *fault) for row, fault in faults.items()]
            self._quarantine(self._trades, rejected, outputs)
            batch = batch.without(set(faults))
            if not len(batch):
                return
        folded = contract.bars.fold(batch)
        if folded.late:
            late = [
                rejected_row(batch, row, Reason.LATE, "its bar has closed") for row in folded.late
            ]
            self._quarantine(self._trades, late, outputs)
            batch = batch.without(set(folded.late))
        outputs.closed.extend(folded.closed)
        if not len(batch):
            return
        self._skew.observe(batch.ts_event[-1], batch.ts_recv[-1])
        contract.accepted_volume += sum(batch.size)
        contract.last = batch.row(-1)
        contract.traded_ns = now_ns
        self._trades.accepted += len(batch)
        outputs.trades.append(batch)

    def _step_quote(self, quote: Quote, outputs: Outputs) -> None:
        contract = self._contract(quote.contract_id)
        fault = (
            (Reason.NOT_SUBSCRIBED, "nobody asked for this contract")
            if contract is None
            else quote_fault(quote)
        )
        if contract is None or fault is not None:
            assert fault is not None  # noqa: S101 - tells the type checker what the line above says
            self._quarantine(self._quotes, [rejected_quote(quote, *fault)], outputs)
            return
        contract.quote = quote
        self._quotes.accepted += 1
        outputs.quotes.append(quote)

    def _contract(self, contract_id: str) -> _Contract | None:
        contract = self._contracts.get(contract_id)
        if contract is None and self._discover is not None:
            wanted = self._discover(contract_id)
            if wanted is not None:
                self.subscribe(wanted)
                contract = self._contracts[contract_id]
        return contract if contract is not None and contract.subscribed else None

    def _quarantine(self, tally: _Tally, rejected: list[Rejected], outputs: Outputs) -> None:
        for item in rejected:
            tally.quarantined += item.ticks
            self._reasons[item.reason] += item.ticks
        outputs.rejected.extend(rejected)

    # -- time --------------------------------------------------------------------------------

    def due_limits(self, now_ns: int, awake_ns: int = 0) -> list[tuple[str, int]]:
        """Which contracts have bars that may be closed now, and up to which exchange time each.

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
            due_ns = contract.bars.due_ns()
            if due_ns is None or contract.last is None:
                continue
            quiet_ns = now_ns - max(contract.traded_ns, awake_ns)
            limit_ns = contract.last.ts_event + quiet_ns - self._grace_ns
            if due_ns <= limit_ns:
                limits.append((contract_id, limit_ns))
        return limits

    def close_due(self, contract_id: str, limit_ns: int) -> Outputs:
        """Close every bar of a contract that is due at or before exchange time `limit_ns`."""
        contract = self._contracts.get(contract_id)
        return Outputs() if contract is None else Outputs(contract.bars.close_due(limit_ns))

    # -- what can be read --------------------------------------------------------------------

    def forming(self, contract_id: str, timeframe: Timeframe) -> Bar | None:
        """The open bar, computed now; None if there is none or the contract is unknown."""
        contract = self._contracts.get(contract_id)
        return None if contract is None else contract.bars.forming(timeframe)

    def timeframes(self, contract_id: str) -> tuple[Timeframe, ...]:
        """The timeframes of a contract, shortest first; empty if it is unknown."""
        contract = self._contracts.get(contract_id)
        return () if contract is None else contract.bars.timeframes

    def quote(self, contract_id: str) -> Quote | None:
        """The latest accepted quote of a contract."""
        contract = self._contracts.get(contract_id)
        return None if contract is None else contract.quote

    def forming_all(self) -> list[Bar]:
        """All open bars, by contract in order of subscription, small before large."""
        return [bar for each in self._contracts.values() for bar in each.bars.forming_all()]

    def last_trade(self, contract_id: str) -> Trade | None:
        """The trade of a contract that was accepted last, in order of arrival."""
        contract = self._contracts.get(contract_id)
        return None if contract is None else contract.last

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

    def trade_counts(self) -> TickCounts:
        """What became of the trades."""
        return self._trades.counts()

    def quote_counts(self) -> TickCounts:
        """What became of the quotes."""
        return self._quotes.counts()

    def reasons(self) -> dict[str, int]:
        """Quarantined ticks by reason; at most one entry per `Reason`."""
        return {str(reason): count for reason, count in sorted(self._reasons.items())}

    def checks(self) -> list[VolumeCheck]:
        """The volume identity of every contract and timeframe."""
        return [
            check
            for contract in self._contracts.values()
            for check in contract.bars.checks(contract.accepted_volume)
        ]


def _unwanted_rows(batch: TradeBatch) -> list[Rejected]:
    return [
        rejected_row(batch, row, Reason.NOT_SUBSCRIBED, "nobody asked for this contract")
        for row in range(len(batch))
    ]
