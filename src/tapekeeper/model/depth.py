"""Depth of book: the rows a gateway sends, and the book that they make.

Times are ns since 1970-01-01T00:00:00Z, prices are as received (see `tapekeeper.model.tick`),
sizes are whole contracts.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

Level = tuple[float, int]
"""A price and the contracts that rest at it; never 0 of them."""


class DepthKind(IntEnum):
    """What a depth row says, numbered as in the gateway's DomType."""

    UNKNOWN = 0
    ASK = 1
    BID = 2
    BEST_ASK = 3
    BEST_BID = 4
    TRADE = 5
    RESET = 6
    LOW = 7
    HIGH = 8
    NEW_BEST_BID = 9
    NEW_BEST_ASK = 10
    FILL = 11


BID_KINDS = frozenset({int(DepthKind.BID), int(DepthKind.BEST_BID)})
"""Rows that set a level of the bids."""
ASK_KINDS = frozenset({int(DepthKind.ASK), int(DepthKind.BEST_ASK)})
"""Rows that set a level of the asks."""
LEVEL_KINDS = BID_KINDS | ASK_KINDS
PRINT_KINDS = frozenset({int(DepthKind.TRADE), int(DepthKind.FILL)})
"""Executions told within the depth stream. They change no level and make no bar."""


class DepthRow(msgspec.Struct, frozen=True, gc=False):
    """One row of depth.

    Attributes:
        kind: see `DepthKind`.
        price: as received; 0 where a Reset has none.
        size: contracts that rest at the price after it (`currentVolume`); 0 removes the level.
        volume: contracts of the row's own event, as received.
        ts_event: exchange time, ns UTC; 0 where a Reset has none that is readable.
        ts_recv: when its frame was received, host clock, ns UTC.
        seq: arrival number among the depth rows of the run.
    """

    kind: int
    price: float
    size: int
    volume: int
    ts_event: int
    ts_recv: int
    seq: int


class DepthUpdate(msgspec.Struct, frozen=True):
    """What happened to the published book of a contract, in order.

    Whoever applies the rows of every update to a book of their own (a Reset clears it, the four
    kinds of levels set or remove one) has the published book at every moment.

    Attributes:
        contract_id: of all rows.
        line: number of the connection whose book is published.
        synced: whether that book is whole from here on; see `BookSnapshot`.
        restart: whether another line's book is published from here on, or this line's begins
            anew: the rows are then a Reset and every level that it has, made here.
        rows: as they came, none left out; empty where only `synced` has changed.
    """

    contract_id: str
    line: int
    synced: bool
    restart: bool
    rows: tuple[DepthRow, ...]


class BookSnapshot(msgspec.Struct, frozen=True):
    """An order book at one moment.

    Attributes:
        contract_id: of the book.
        bids: levels, highest price first.
        asks: levels, lowest price first.
        ts_event: exchange time of the latest row that had one, ns UTC.
        ts_recv: when the latest row was received, host clock, ns UTC.
        seq: arrival number of the latest row.
        synced: whether it began with a Reset or a snapshot on a connection that lives. Otherwise
            levels may be missing, or be there no more.
        line: number of the connection that it is of.
        flaws: rows since the last Reset that could not be applied, because they were quarantined
            or there were too many levels. With any, a level may be wrong.
    """

    contract_id: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    ts_event: int
    ts_recv: int
    seq: int
    synced: bool
    line: int
    flaws: int = 0

    @property
    def best_bid(self) -> Level | None:
        """The highest bid."""
        return self.bids[0] if self.bids else None

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask."""
        return self.asks[0] if self.asks else None

    @property
    def crossed(self) -> bool:
        """Whether the best bid is above the best ask: normal before an open, not in a session."""
        return bool(self.bids and self.asks and self.bids[0][0] > self.asks[0][0])

    @property
    def locked(self) -> bool:
        """Whether the best bid equals the best ask."""
        return bool(self.bids and self.asks and self.bids[0][0] == self.asks[0][0])


class BookTally(msgspec.Struct, frozen=True):
    """Counters of the published book of one contract.

    Attributes:
        contract_id: of the book.
        line: number of the connection that is published.
        lines: connections that a book is kept of.
        synced, flaws: as in `BookSnapshot`.
        bids, asks: levels now.
        resets: Reset rows of all lines.
        restarts: how often another line was published, or the same anew; 1 is the begin.
        crossed: records that left the published book crossed.
        locked: records that left it locked.
    """

    contract_id: str
    line: int
    lines: int
    synced: bool
    flaws: int
    bids: int
    asks: int
    resets: int
    restarts: int
    crossed: int
    locked: int
