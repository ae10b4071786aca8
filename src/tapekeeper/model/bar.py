"""Bars: OHLCV over [open, open + timeframe), or from print to print, stamped by their open."""

from __future__ import annotations

from enum import StrEnum

import msgspec

PRICE_SCALE = 1_000_000_000
"""Units of `Bar.turnover_e9` in one price: finer than any tick size on a futures exchange."""


class BarState(StrEnum):
    """What a bar is at the moment it is read."""

    FORMING = "forming"  # more prints may come
    CLOSED = "closed"  # event time or the timer passed its end
    REVISED = "revised"  # closed, and changed afterwards; see `Bar.revision`


class Completeness(StrEnum):
    """What a bar knows of itself."""

    COMPLETE = "complete"  # every print of it was received, as far as anybody can tell
    PARTIAL_START = "partial_start"  # it began before the contract was followed
    GAP = "gap"  # prints of it may be missing
    BACKFILLED = "backfilled"  # what was missing was filled in from the gateway's own bars
    QUIET = "quiet"  # nothing was traded, and nothing was missed; it repeats the last close


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One bar of one contract and timeframe, or measure.

    Only trades make bars. Order inside a bar is (event time, arrival), so `open` is the first
    print and `close` the last one by that order.

    Attributes:
        contract_id: the gateway's contract id.
        timeframe: its name, such as `1m`; of a measured bar that of the measure, such as `500tick`.
        ts_open: start of the interval, ns UTC; the interval is half-open. A measured bar opens
            with its first print, and ends 1 ns after its last one.
        ts_end: end of the interval, ns UTC (exclusive). Longer than 1h it is at most the next
            session's open; up to 1h the grid is that of the epoch, whatever the session.
        open, high, low, close: float64, as received.
        volume: contracts.
        n: number of prints, those of size 0 included; of the gateway's own bars it is not known
            and counts as 0.
        buy_vol, sell_vol: contracts with a buying or selling aggressor; prints whose side is
            unknown are in neither, so they may add up to less than `volume`.
        ts_first, ts_last: event times of the first and the last print, ns UTC; of the gateway's
            own bars their first and last nanosecond.
        state: forming, closed or revised.
        revision: 0 when it is first told, one more with every change after that. A bar of an
            interval that had been passed without one begins with 1, because its absence was told.
        turnover_e9: sum of price * size of all prints, in billionths of the price unit; integers,
            so that no order of adding changes it.
        completeness: see `Completeness`.
        gap_ids: the entries of the gap ledger that touch it, rising; repaired ones included.
        live_share: part of its trading time in which live lines covered it; the rest is missing
            or was filled in from the gateway's history.
        ordinal: number of a measured bar within its session, from 0, because several may open in
            one nanosecond; below 0 where a late print made a bar of its own. 0 for all others.
            Contract, timeframe, open and ordinal name a bar.
    """

    contract_id: str
    timeframe: str
    ts_open: int
    ts_end: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    n: int
    buy_vol: int
    sell_vol: int
    ts_first: int
    ts_last: int
    state: BarState = BarState.CLOSED
    revision: int = 0
    turnover_e9: int = 0
    completeness: Completeness = Completeness.COMPLETE
    gap_ids: tuple[int, ...] = ()
    live_share: float = 1.0
    ordinal: int = 0

    @property
    def vwap(self) -> float | None:
        """Average price by volume; None where nothing but prints of size 0 was traded."""
        return self.turnover_e9 / (self.volume * PRICE_SCALE) if self.volume else None
