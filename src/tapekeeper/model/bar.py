"""Bars: OHLCV over [open, open + timeframe), stamped by their open."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class BarState(StrEnum):
    """What a bar is at the moment it is read."""

    FORMING = "forming"  # more prints may come
    CLOSED = "closed"  # event time or the timer passed its end


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One bar of one contract and timeframe.

    Only trades make bars. Order inside a bar is (event time, arrival), so `open` is the first
    print and `close` the last one by that order.

    Attributes:
        contract_id: the gateway's contract id.
        timeframe: its name, such as `1m`.
        ts_open: start of the interval, ns UTC; the interval is half-open.
        ts_end: end of the interval, ns UTC (exclusive). Longer than 1h it is at most the next
            session's open; up to 1h the grid is that of the epoch, whatever the session.
        open, high, low, close: float64, as received.
        volume: contracts.
        n: number of prints, those of size 0 included.
        buy_vol, sell_vol: contracts with a buying or selling aggressor; prints whose side is
            unknown are in neither, so they may add up to less than `volume`.
        ts_first, ts_last: event times of the first and the last print, ns UTC.
        state: forming or closed.
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
