"""Bars over REST: folded from the ticks that were made, and continued backwards from the seed.

One-second bars are kept, the smallest the gateway offers, so every larger bar is exact. Before
the market's start the seed makes four prints a minute (its open, high, low and close), walking
backwards from the price at which the market starts; bars of all sizes agree because they are
all folded from the same prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tapekeeper.model.timeframe import DAY_NS, MINUTE_NS, SECOND_NS, Timeframe
from tapekeeper.sim.contracts import Product
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.sessions import Sessions
from tapekeeper.sim.wire import Trades

SECONDS_MAX = 200_000
"""One-second bars kept per contract; the oldest are forgotten first."""


@dataclass(slots=True)
class HistoryBar:
    """One bar; `start_ns` is ns UTC, `volume` contracts."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: int

    def fold(self, price: float, volume: int) -> None:
        """Add a print behind all others."""
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += volume

    def prepend(self, earlier: HistoryBar) -> None:
        """Add what came before."""
        self.open = earlier.open
        self.high = max(self.high, earlier.high)
        self.low = min(self.low, earlier.low)
        self.volume += earlier.volume


class SeededPast:
    """The seconds before a synthetic market's start, newest first.

    Args:
        product: ticks and starting price.
        seed, name: determine the walk.
        start_ns: where the market starts; the past ends at the last whole minute before it.
        days: how far back it reaches.
        sessions: closed minutes have no prints.
    """

    def __init__(
        self,
        product: Product,
        seed: int,
        name: str,
        start_ns: int,
        days: int,
        sessions: Sessions,
    ) -> None:
        self._product = product
        self._numbers = Seeded(seed, f"past of {name}")
        self._sessions = sessions
        self._end_minute = start_ns // MINUTE_NS
        self._first_minute = (start_ns - days * DAY_NS) // MINUTE_NS

    def seconds(self) -> Iterator[HistoryBar]:
        """One-second bars from the newest to the oldest."""
        close = self._product.start_ticks
        for minute in range(self._end_minute - 1, self._first_minute - 1, -1):
            if not self._sessions.is_open(minute * MINUTE_NS):
                continue
            number = self._numbers.at
            change = int((number(4 * minute) - 0.5) * 16)
            opened = close - change if close - change > self._product.start_ticks // 2 else close
            high = max(opened, close) + int(number(4 * minute + 1) * 4)
            low = min(opened, close) - int(number(4 * minute + 2) * 4)
            volume = 1 + int(number(4 * minute + 3) * 40)
            for offset_s, ticks in ((45, close), (30, low), (15, high), (0, opened)):
                price = float(self._product.price_text(ticks))
                start_ns = minute * MINUTE_NS + offset_s * SECOND_NS
                yield HistoryBar(start_ns, price, price, price, price, volume)
            close = opened


class History:
    """The past of one contract.

    Args:
        sessions: what a day is.
        past: before the market's start.
        seconds_max: one-second bars that are kept.
    """

    def __init__(
        self,
        sessions: Sessions,
        past: SeededPast | None = None,
        *,
        seconds_max: int = SECONDS_MAX,
    ) -> None:
        self._sessions = sessions
        self._seconds_max = seconds_max
        self._past = past
        self._seconds: dict[int, HistoryBar] = {}  # bound: seconds_max

    def add(self, event: Trades) -> None:
        """Fold the prints of a record."""
        start_ns = event.ts_ns // SECOND_NS * SECOND_NS
        bar = self._seconds.get(start_ns)
        for one in event.prints:
            price = float(one.price)
            if bar is None:
                bar = HistoryBar(start_ns, price, price, price, price, one.size)
                self._seconds[start_ns] = bar
                if len(self._seconds) > self._seconds_max:
                    del self._seconds[next(iter(self._seconds))]
            else:
                bar.fold(price, one.size)

    def bars(
        self,
        timeframe: Timeframe,
        start_ns: int,
        end_ns: int,
        *,
        limit: int,
        until_ns: int | None,
    ) -> list[HistoryBar]:
        """At most `limit` bars with a start in [start_ns, end_ns], newest first.

        Args:
            timeframe: their length.
            start_ns: earliest start, ns UTC.
            end_ns: latest start, ns UTC, inclusive.
            limit: how many.
            until_ns: leave out a bar that ends after this; None keeps the unfinished one.
        """
        found: list[HistoryBar] = []
        current: HistoryBar | None = None
        kept = False
        for second in self._newest_first():
            if current is None or second.start_ns < current.start_ns:
                span = self._sessions.interval(timeframe, second.start_ns)
                if span.start_ns < start_ns or (len(found) == limit and kept):
                    break
                current = HistoryBar(
                    span.start_ns,
                    second.open,
                    second.high,
                    second.low,
                    second.close,
                    second.volume,
                )
                finished = until_ns is None or span.end_ns <= until_ns
                kept = span.start_ns <= end_ns and finished
                if kept:
                    found.append(current)
            else:
                current.prepend(second)
        return found

    def _newest_first(self) -> Iterator[HistoryBar]:
        # Sorted, because recorded data may have a stamp that steps back by a second.
        for start_ns in sorted(self._seconds, reverse=True):
            yield self._seconds[start_ns]
        if self._past is not None:
            yield from self._past.seconds()
