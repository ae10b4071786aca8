"""Ticks: trades and quotes, one at a time and in columns.

Times are integer nanoseconds since 1970-01-01T00:00:00Z. The gateway writes up to seven
fractional digits (100 ns), which survive. Prices are the float64 nearest to the decimal text
that was received; nothing in Tapekeeper computes a price, it only compares and copies them, so
they stay exact. Sizes are whole contracts and may be 0 (such a print sets prices, not volume).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import msgspec


class Side(IntEnum):
    """The aggressor of a trade, numbered as in the gateway's TradeLogType; unknown is our own."""

    UNKNOWN = -1
    BUY = 0
    SELL = 1


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One print.

    Attributes:
        contract_id: the gateway's contract id, such as `CON.F.US.MES.Z26`.
        ts_event: exchange time, ns UTC.
        price: in the contract's quotation, as received.
        size: contracts, >= 0.
        side: aggressor: 0 buy, 1 sell, -1 unknown (see `Side`).
        ts_recv: when the frame that carried it was received, host clock, ns UTC.
        seq: arrival number within the run; with equal `ts_event` it is the order.
    """

    contract_id: str
    ts_event: int
    price: float
    size: int
    side: int
    ts_recv: int
    seq: int


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The merged quote state of one contract after a sparse update was applied.

    A member the gateway has not sent yet is None. `volume` is the session's cumulative volume,
    never the size of a trade. Prices as in `Trade`; times are ns UTC.
    """

    contract_id: str
    ts_event: int
    ts_recv: int
    seq: int
    last: float | None = None
    bid: float | None = None
    ask: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: int | None = None


class Reason(StrEnum):
    """Why an input was quarantined. The set is closed, so it may label a metric."""

    MALFORMED = "malformed"  # not JSON, or not a SignalR record
    PAYLOAD = "payload"  # a record whose members have the wrong shape or type
    TIME = "time"  # no readable time, or one outside 2000-2100
    PRICE = "price"  # not finite, not positive, or absent
    SIZE = "size"  # negative, fractional, or absent
    OFF_GRID = "off_grid"  # not a multiple of the contract's tick size
    LATE = "late"  # belongs to bars that are too old to be revised
    NOT_SUBSCRIBED = "not_subscribed"  # a contract nobody asked for
    WRONG_CONTRACT = "wrong_contract"  # said to be of another product than its contract is
    PRICE_BAND = "price_band"  # too far from recent prices, and confirmed by no other print
    FUTURE = "future"  # too far ahead of the exchange's clock as it is tracked
    ZERO_SIZE = "zero_size"  # a print of size 0, where the configuration refuses them


class Flag(StrEnum):
    """What is remarkable of a tick that was accepted. The set is closed, too."""

    UNKNOWN_SIDE = "unknown_side"  # no aggressor, or a code that nobody knows
    REPEATED = "repeated"  # a print that equals the one before it in all but its arrival
    ZERO_SIZE = "zero_size"  # a print of size 0
    CROSSED = "crossed"  # a quote with bid above ask while the market is open


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """An input that failed validation, whole, with its reason.

    Attributes:
        reason: the rule that failed.
        detail: one clause for a person.
        raw: the input as received: a record, or a print's JSON, which of a print that came in
            MessagePack is made from it. The frame itself is in the journal.
        ts_recv: host clock, ns UTC.
        contract_id: where it was addressed to, or "" if that is unreadable.
        ticks: how many ticks it stands for in the count identity.
    """

    reason: Reason
    detail: str
    raw: bytes
    ts_recv: int
    contract_id: str = ""
    ticks: int = 1


@dataclass(slots=True)
class TradeBatch:
    """Columns of trades of one contract, in arrival order (struct of arrays).

    All lists have the same length. They are plain lists because a live burst has a handful of
    rows, for which a list is the cheapest column to fill and to walk; readers that want arrays
    convert once. A batch belongs to whoever holds it and is not changed after it is handed on.

    Attributes:
        contract_id: of every row.
        ts_event: ns UTC; not necessarily sorted.
        price: float64.
        size: contracts, >= 0.
        side: -1, 0 or 1 (see `Side`).
        ts_recv: ns UTC, host clock.
        seq: arrival numbers, rising.
    """

    contract_id: str
    ts_event: list[int] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    side: list[int] = field(default_factory=list)
    ts_recv: list[int] = field(default_factory=list)
    seq: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ts_event)

    def append(
        self, ts_event: int, price: float, size: int, side: int, ts_recv: int, seq: int
    ) -> None:
        """Add one row."""
        self.ts_event.append(ts_event)
        self.price.append(price)
        self.size.append(size)
        self.side.append(side)
        self.ts_recv.append(ts_recv)
        self.seq.append(seq)

    def row(self, index: int) -> Trade:
        """The row at `index` as a value."""
        return Trade(
            self.contract_id,
            self.ts_event[index],
            self.price[index],
            self.size[index],
            self.side[index],
            self.ts_recv[index],
            self.seq[index],
        )

    def by_arrival(self) -> TradeBatch:
        """A batch of the same rows in the order of their arrival numbers."""
        made = TradeBatch(self.contract_id)
        for row in sorted(range(len(self)), key=self.seq.__getitem__):
            each = self.row(row)
            made.append(each.ts_event, each.price, each.size, each.side, each.ts_recv, each.seq)
        return made

    def without(self, rows: set[int]) -> TradeBatch:
        """A batch with the rows at these indexes left out, order kept."""
        keep = [i for i in range(len(self)) if i not in rows]
        return TradeBatch(
            self.contract_id,
            [self.ts_event[i] for i in keep],
            [self.price[i] for i in keep],
            [self.size[i] for i in keep],
            [self.side[i] for i in keep],
            [self.ts_recv[i] for i in keep],
            [self.seq[i] for i in keep],
        )


def joined_batches(batches: list[TradeBatch]) -> list[TradeBatch]:
    """The same rows in as few batches as their sequence numbers rise in."""
    joined: list[TradeBatch] = []
    ours = False  # the arbiter keeps what it let through, so only a copy may be added to
    for batch in batches:
        if not joined or batch.seq[0] < joined[-1].seq[-1]:
            joined.append(batch)
            ours = False
            continue
        if not ours:
            joined[-1] = joined[-1].without(set())
            ours = True
        last = joined[-1]
        last.ts_event += batch.ts_event
        last.price += batch.price
        last.size += batch.size
        last.side += batch.side
        last.ts_recv += batch.ts_recv
        last.seq += batch.seq
    return joined
