"""Market events of the gateway, decoded into columns of trades and merged quotes.

What comes is `(contract id, data)`. Documented as one object, live trades are a list of one or
more prints; a list with nulls and a `{"data": ...}` envelope are seen by other clients, so all of
them are read. The first argument alone names the contract: `symbolId` and `symbol` name the
product, which all its expiries share. Where that is another product's than the contract's, nobody
can say what the tick is of.

Only the shape and the address are judged here: whether a member is there, readable, and of its
type. Whether a price is positive or on the grid is for validation. One unreadable print costs
itself alone.

For every burst: trades_received = rows + the ticks of rejected_trades, and quotes_received =
quotes + the ticks of rejected_quotes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from tapekeeper.core.gateway.odd_sides import OddSides
from tapekeeper.core.gateway.packed_ticks import PackedQuote, packed_prints, packed_quote
from tapekeeper.core.gateway.shapes import (
    UNREADABLE,
    FlawError,
    Int64,
    ShapeError,
    addressed,
    as_json,
    is_of,
    items,
    time_of,
    whole,
)
from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.tick import Quote, Reason, Rejected, Side, TradeBatch

TRADE_TARGET = "GatewayTrade"
QUOTE_TARGET = "GatewayQuote"

QUOTE_STATES_MAX = 4_096
"""Contracts whose quote state is kept; the longest known goes first beyond it."""
QUOTE_LINES_MAX = 8
"""Lines that have quote states of their own; beyond it the one unused for longest goes first."""

_UNKNOWN = Side.UNKNOWN.value
_AGGRESSORS: dict[int | str | None, int] = {
    side: side for side in (Side.BUY.value, Side.SELL.value)
}
_side = _AGGRESSORS.get
"""The aggressor, or what is given for it: a code that nobody knows is unknown, never a guess."""


@dataclass(slots=True)
class Burst:
    """What a drained burst of frames held.

    Attributes:
        trades: one batch per contract with at least one readable print, in order of arrival.
        quotes: the merged state after each update, in order of arrival.
        rejected_trades, rejected_quotes: what could not be read, by what it was sent as; kept
            apart because the counts of each kind must add up by themselves.
        trades_received: prints, the rejected ones included; null padding is not counted.
        quotes_received: quote updates, the rejected ones included.
        ignored: records of other targets (depth, logout, unknown ones).
    """

    trades: dict[str, TradeBatch] = field(default_factory=dict)
    quotes: list[Quote] = field(default_factory=list)
    rejected_trades: list[Rejected] = field(default_factory=list)
    rejected_quotes: list[Rejected] = field(default_factory=list)
    trades_received: int = 0
    quotes_received: int = 0
    ignored: int = 0

    @property
    def rejected(self) -> list[Rejected]:
        """What could not be read, trades before quotes."""
        return [*self.rejected_trades, *self.rejected_quotes]


class _Print(msgspec.Struct, gc=False, rename="camel"):
    """A print as nearly all are; whatever does not fit is read member by member."""

    price: float
    volume: Int64
    timestamp: str
    type: int | None = None
    symbol_id: str | None = None


class _RawPrint(msgspec.Struct, gc=False, rename="camel"):
    """A print whose members are judged one by one; absent members are empty."""

    price: msgspec.Raw = msgspec.Raw(b"")
    volume: msgspec.Raw = msgspec.Raw(b"")
    timestamp: msgspec.Raw = msgspec.Raw(b"")
    type: msgspec.Raw = msgspec.Raw(b"")
    symbol_id: msgspec.Raw = msgspec.Raw(b"")


class _QuoteUpdate(msgspec.Struct, gc=False, rename="camel"):
    """A sparse update: absent and null members leave what is known."""

    last_price: float | None = None
    best_bid: float | None = None
    best_ask: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: Int64 | float | None = None
    last_updated: str | None = None
    timestamp: str | None = None
    symbol: msgspec.Raw = msgspec.Raw(b"")


_decode_prints = msgspec.json.Decoder(tuple[str, list[_Print | None]]).decode
_decode_float = msgspec.json.Decoder(float).decode
_decode_number = msgspec.json.Decoder(int | float).decode
_decode_int = msgspec.json.Decoder(int).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_raw_print = msgspec.json.Decoder(_RawPrint).decode
_decode_update = msgspec.json.Decoder(_QuoteUpdate).decode


class MarketDecoder:
    """Decodes the events of one run's market hubs; numbers ticks and keeps quote states.

    Args:
        next_seq: the arrival number of the next tick.

    Attributes:
        odd_sides: the codes of sides that nobody knows.
    """

    def __init__(self, *, next_seq: int = 0) -> None:
        self._next_seq = next_seq
        self._quotes: dict[str, Quote] = {}  # the latest of any line
        self._of_line: dict[int, dict[str, Quote]] = {}
        self._line: int | None = None
        self._mine: dict[str, Quote] = {}  # those of `_line`
        self.odd_sides = OddSides()
        self._symbols: dict[str, str] = {}  # bound: contracts that were ever followed

    @property
    def next_seq(self) -> int:
        """The arrival number of the next tick; every received tick takes one."""
        return self._next_seq

    def number_from(self, next_seq: int) -> None:
        """Give no number below this one to what comes."""
        self._next_seq = max(self._next_seq, next_seq)

    def decode(self, invocation: Invocation, recv_ns: int, burst: Burst, *, line: int = 0) -> None:
        """Add what `invocation` carries to `burst`; targets are compared without case.

        Quotes are sparse updates of what the same line said before. A line that has said
        nothing of a contract yet goes on from the latest that is known of it.

        Args:
            invocation: any invocation of the market hub.
            recv_ns: when its frame was received, host clock, ns UTC.
            burst: filled in place; of one line, because prints of two must stay apart.
            line: number of the connection.
        """
        target = invocation.target.lower()
        if target == "gatewaytrade":
            if invocation.packed:
                self._packed_trades(invocation, recv_ns, burst)
            else:
                self._trades(invocation.arguments, recv_ns, burst)
        elif target == "gatewayquote":
            if line != self._line:
                self._turn_to(line)
            if invocation.packed:
                self._packed_quote(invocation, recv_ns, burst)
            else:
                self._quote(invocation.arguments, recv_ns, burst)
        else:
            burst.ignored += 1

    def know(self, contract_id: str, symbol_id: str) -> None:
        """Learn what the gateway calls a contract's product, where that is not its id's middle."""
        self._symbols[contract_id] = symbol_id

    def forget(self, contract_id: str) -> None:
        """Drop the quote state of a contract, because its subscription starts anew or ended."""
        for states in (self._quotes, *self._of_line.values()):
            states.pop(contract_id, None)

    def _turn_to(self, line: int) -> None:
        self._line = line
        # Taken out and put in again, so that the first is the one unused for longest.
        self._mine = self._of_line[line] = self._of_line.pop(line, {})
        if len(self._of_line) > QUOTE_LINES_MAX:
            del self._of_line[next(iter(self._of_line))]

    # --- trades ---------------------------------------------------------------------------

    def _trades(self, arguments: bytes, recv_ns: int, burst: Burst) -> None:
        rows: list[tuple[int, _Print]] = []
        contract_id, ts_event = "", 0
        text: str | None = None  # not "", which a print may hold
        symbol: str | None = None
        try:
            contract_id, prints = _decode_prints(arguments)
            for item in prints:
                if item is not None:
                    if item.symbol_id != symbol:
                        symbol = item.symbol_id
                        self._require(contract_id, symbol)
                    if item.timestamp != text:  # prints of one record mostly share it
                        ts_event, text = parse_ns(item.timestamp), item.timestamp
                    rows.append((ts_event, item))
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors too
            contract_id = ""
        if not contract_id:
            self._trades_one_by_one(arguments, recv_ns, burst)
            return
        if not rows:
            return
        batch = burst.trades.get(contract_id)
        if batch is None:
            batch = burst.trades[contract_id] = TradeBatch(contract_id)
        seq = self._next_seq
        for ts_event, item in rows:
            side = _side(item.type, _UNKNOWN)
            if side < 0:
                self.odd_sides.note(contract_id, ts_event, item.price, item.volume, item.type)
            batch.append(ts_event, item.price, item.volume, side, recv_ns, seq)
            seq += 1
        self._next_seq = seq
        burst.trades_received += len(rows)

    def _packed_trades(self, invocation: Invocation, recv_ns: int, burst: Burst) -> None:
        try:
            contract_id, rows = packed_prints(invocation.arguments)
        except (ValueError, RecursionError):
            contract_id, rows = "", []
        if not contract_id:
            self._trades_one_by_one(as_json(invocation), recv_ns, burst)
            return
        if not rows:
            return
        batch = burst.trades.get(contract_id)
        if batch is None:
            batch = burst.trades[contract_id] = TradeBatch(contract_id)
        seq = self._next_seq
        for ts_event, price, size, kind in rows:
            side = _side(kind, _UNKNOWN)
            if side < 0:
                self.odd_sides.note(contract_id, ts_event, price, size, kind)
            batch.append(ts_event, price, size, side, recv_ns, seq)
            seq += 1
        self._next_seq = seq
        burst.trades_received += len(rows)

    def _trades_one_by_one(self, arguments: bytes, recv_ns: int, burst: Burst) -> None:
        """The slow way: any accepted shape, each print judged by itself."""
        found = self._parts(arguments, recv_ns, burst.rejected_trades)
        if found is None:
            burst.trades_received += 1
            return
        contract_id, parts = found
        for raw in parts:
            burst.trades_received += 1
            seq = self._next_seq
            self._next_seq += 1
            try:
                ts_event, price, size, kind, symbol = _print(raw)
                self._require(contract_id, symbol)
            except FlawError as flaw:
                burst.rejected_trades.append(
                    Rejected(flaw.reason, str(flaw), raw, recv_ns, contract_id)
                )
                continue
            side = _side(kind, _UNKNOWN)
            if side < 0:
                self.odd_sides.note(contract_id, ts_event, price, size, kind)
            batch = burst.trades.setdefault(contract_id, TradeBatch(contract_id))
            batch.append(ts_event, price, size, side, recv_ns, seq)

    def _parts(
        self, arguments: bytes, recv_ns: int, rejected: list[Rejected]
    ) -> tuple[str, list[bytes]] | None:
        """Contract and elements of a call; None where it is rejected whole, as one tick."""
        contract_id = ""
        try:
            contract_id, data = addressed(arguments)
            return contract_id, items(data)
        except ShapeError as error:
            self._next_seq += 1
            rejected.append(Rejected(Reason.PAYLOAD, str(error), arguments, recv_ns, contract_id))
            return None

    def _require(self, contract_id: str, symbol: str | None) -> None:
        """Refuse a tick that is said to be of another product than its contract.

        Raises:
            FlawError: it is.
        """
        if symbol is None or is_of(contract_id, symbol):
            return
        if symbol != self._symbols.get(contract_id):
            raise FlawError(Reason.WRONG_CONTRACT, f"it is of {symbol[:64]!r}")

    # --- quotes ---------------------------------------------------------------------------

    def _packed_quote(self, invocation: Invocation, recv_ns: int, burst: Burst) -> None:
        try:
            contract_id, update = packed_quote(invocation.arguments)
            quote = self._next_state(contract_id, update, update.time_ns, recv_ns, self._next_seq)
        except (ValueError, RecursionError):
            contract_id = ""
        if not contract_id:
            self._quote(as_json(invocation), recv_ns, burst)
            return
        burst.quotes_received += 1
        self._next_seq += 1
        self._keep(quote)
        burst.quotes.append(quote)

    def _quote(self, arguments: bytes, recv_ns: int, burst: Burst) -> None:
        found = self._parts(arguments, recv_ns, burst.rejected_quotes)
        if found is None:
            burst.quotes_received += 1
            return
        contract_id, parts = found
        for raw in parts:
            burst.quotes_received += 1
            seq = self._next_seq
            self._next_seq += 1
            try:
                quote = self._merged(contract_id, raw, recv_ns, seq)
            except FlawError as flaw:
                burst.rejected_quotes.append(
                    Rejected(flaw.reason, str(flaw), raw, recv_ns, contract_id)
                )
            else:
                burst.quotes.append(quote)

    def _merged(self, contract_id: str, raw: bytes, recv_ns: int, seq: int) -> Quote:
        """The new state; the old one stays where the update is unreadable."""
        try:
            update = _decode_update(raw)
        except UNREADABLE as error:
            raise FlawError(Reason.PAYLOAD, f"an unreadable quote: {error}") from error
        self._require(contract_id, _text_of(bytes(update.symbol)))
        quote = self._next_state(contract_id, update, _quote_time(update), recv_ns, seq)
        self._keep(quote)
        return quote

    def _next_state(
        self,
        contract_id: str,
        update: _QuoteUpdate | PackedQuote,
        time_ns: int | None,
        recv_ns: int,
        seq: int,
    ) -> Quote:
        """What is known with `update`, which keeps the time of the state if it has none itself."""
        known = self._mine.get(contract_id) or self._quotes.get(contract_id)
        state = known or Quote(contract_id, 0, recv_ns, seq)
        if time_ns is None:
            if known is None:
                raise FlawError(Reason.TIME, "no time, and none known")
            time_ns = known.ts_event
        return Quote(
            contract_id,
            time_ns,
            recv_ns,
            seq,
            state.last if update.last_price is None else update.last_price,
            state.bid if update.best_bid is None else update.best_bid,
            state.ask if update.best_ask is None else update.best_ask,
            state.open if update.open is None else update.open,
            state.high if update.high is None else update.high,
            state.low if update.low is None else update.low,
            state.volume if update.volume is None else whole(update.volume),
        )

    def _keep(self, quote: Quote) -> None:
        contract_id = quote.contract_id
        for states in (self._mine, self._quotes):
            if len(states) >= QUOTE_STATES_MAX and contract_id not in states:
                del states[next(iter(states))]
            states[contract_id] = quote


def _print(raw: bytes) -> tuple[int, float, int, int | str | None, str | None]:
    """Event time (ns UTC), price, size (contracts), code of the side and symbol of one print."""
    try:
        item = _decode_raw_print(raw)
    except UNREADABLE as error:
        raise FlawError(Reason.PAYLOAD, f"an unreadable print: {error}") from error
    ts_event = time_of(bytes(item.timestamp))
    price_text, size_text = bytes(item.price), bytes(item.volume)
    if price_text in {b"", b"null"}:
        raise FlawError(Reason.PRICE, "no price")
    if size_text in {b"", b"null"}:
        raise FlawError(Reason.SIZE, "no volume")
    try:
        price = _decode_float(price_text)
        number = _decode_number(size_text)
    except UNREADABLE as error:
        raise FlawError(Reason.PAYLOAD, f"price or volume is not a number: {error}") from error
    kind, symbol = _code_of(bytes(item.type)), _text_of(bytes(item.symbol_id))
    return ts_event, price, whole(number), kind, symbol


def _code_of(raw: bytes) -> int | str | None:
    """A code as it came, or its JSON: an unreadable side is no reason to lose a print."""
    if raw in {b"", b"null"}:
        return None
    try:
        return _decode_int(raw)
    except UNREADABLE:
        return raw.decode("utf-8", "replace")


def _text_of(raw: bytes) -> str | None:
    """A name; what is none names nothing."""
    try:
        return _decode_text(raw)
    except UNREADABLE:
        return None


def _quote_time(update: _QuoteUpdate) -> int | None:
    """When the state changed: `lastUpdated` before `timestamp`, which may be the last trade's.

    An update with neither happened, but does not say when.
    """
    text = update.last_updated or update.timestamp
    if text is None:
        return None
    try:
        return parse_ns(text)
    except ValueError as error:
        raise FlawError(Reason.TIME, "no readable time") from error
