"""The numbers of one bar that is measured by its prints."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.tick import Side

Row: TypeAlias = tuple[int, float, int, int, int, int]
"""Event time (ns UTC), price, size, side, price in ticks (0 where nobody asks), turnover_e9."""

# Plain numbers: comparing with an enumeration's member costs three times as much per print.
_BUY, _SELL = int(Side.BUY), int(Side.SELL)


class Sums:
    """What the prints of one bar come to, whatever their order.

    Attributes:
        open, high, low, close: prices as received.
        high_ticks, low_ticks: the same in ticks of price.
        n, volume, buy, sell, turnover: as `Bar` has them.
        first_ns, last_ns: event times, ns UTC.
    """

    __slots__ = (
        "buy",
        "close",
        "first_ns",
        "high",
        "high_ticks",
        "last_ns",
        "low",
        "low_ticks",
        "n",
        "open",
        "sell",
        "turnover",
        "volume",
    )

    def __init__(self, row: Row) -> None:
        ts_ns, price, size, side, ticks, turnover = row
        self.first_ns = self.last_ns = ts_ns
        self.open = self.high = self.low = self.close = price
        self.high_ticks = self.low_ticks = ticks
        self.n = 1
        self.volume = size
        self.buy = size if side == _BUY else 0
        self.sell = size if side == _SELL else 0
        self.turnover = turnover

    def take(self, row: Row) -> None:
        """Add a print."""
        ts_ns, price, size, side, ticks, turnover = row
        if price > self.high:
            self.high, self.high_ticks = price, ticks
        elif price < self.low:
            self.low, self.low_ticks = price, ticks
        if ts_ns >= self.last_ns:  # the order is (time, arrival), so of equal times the later
            self.last_ns, self.close = ts_ns, price
        elif ts_ns < self.first_ns:
            self.first_ns, self.open = ts_ns, price
        self.n += 1
        self.volume += size
        self.turnover += turnover
        if side == _BUY:
            self.buy += size
        elif side == _SELL:
            self.sell += size

    def bar(self, contract_id: str, name: str, ordinal: int, state: BarState) -> Bar:
        """The same as a value, over [first print, last print]."""
        return Bar(
            contract_id,
            name,
            self.first_ns,
            self.last_ns + 1,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.n,
            self.buy,
            self.sell,
            self.first_ns,
            self.last_ns,
            state,
            turnover_e9=self.turnover,
            ordinal=ordinal,
        )


def with_row(bar: Bar, row: Row, *, fixed: bool) -> Bar:
    """A closed bar with one more print of its time, or of the lull behind it.

    Args:
        bar: it begins at or before the print.
        row: the print.
        fixed: whether its prices are edges, which no print moves.
    """
    ts_ns, price, size, side, _, turnover = row
    if not fixed:
        bar = msgspec.structs.replace(
            bar,
            high=max(bar.high, price),
            low=min(bar.low, price),
            close=price if ts_ns >= bar.ts_last else bar.close,
        )
    return msgspec.structs.replace(
        bar,
        ts_end=max(bar.ts_end, ts_ns + 1),
        ts_last=max(bar.ts_last, ts_ns),
        n=bar.n + 1,
        volume=bar.volume + size,
        buy_vol=bar.buy_vol + (size if side == _BUY else 0),
        sell_vol=bar.sell_vol + (size if side == _SELL else 0),
        turnover_e9=bar.turnover_e9 + turnover,
    )
