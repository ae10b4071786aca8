"""The last word on the most recent closed bars, and the most recent quotes, for reading."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import Quote


class RecentBars:
    """A bounded window of closed bars; older ones stay in the journal.

    A revised bar takes the place of what was told of it before.

    Args:
        keep: bars per contract and timeframe; None keeps all.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._bars: dict[tuple[str, str], _Window] = {}

    def add(self, bars: Iterable[Bar]) -> None:
        """Take bars in the order in which they are told."""
        for bar in bars:
            key = (bar.contract_id, bar.timeframe)
            window = self._bars.get(key)
            if window is None:
                window = self._bars[key] = _Window(self._keep)
            window.add(bar)

    def of(self, contract_id: str, timeframe: str) -> tuple[Bar, ...]:
        """The kept bars, oldest first."""
        window = self._bars.get((contract_id, timeframe))
        return () if window is None else window.in_order()

    def count(self, contract_id: str, timeframe: str) -> int:
        """How many bars are kept."""
        window = self._bars.get((contract_id, timeframe))
        return 0 if window is None else len(window)

    def __len__(self) -> int:
        """How many bars are kept of all contracts and timeframes."""
        return sum(map(len, self._bars.values()))

    def all(self) -> list[Bar]:
        """Every kept bar, by contract and timeframe in order of first appearance."""
        return [bar for window in self._bars.values() for bar in window.in_order()]


class _Window:
    """Bars by their open and ordinal.

    Nearly all come in order, so they are sorted only after one did not.
    """

    __slots__ = ("_bars", "_keep", "_latest", "_sorted")

    def __init__(self, keep: int | None) -> None:
        self._keep = keep
        self._bars: dict[tuple[int, int], Bar] = {}
        self._latest = (0, 0)
        self._sorted = True

    def __len__(self) -> int:
        return len(self._bars)

    def add(self, bar: Bar) -> None:
        key = (bar.ts_open, bar.ordinal)
        if key >= self._latest:
            self._latest = key
        elif key not in self._bars:
            self._sorted = False
        self._bars[key] = bar
        if self._keep is not None and len(self._bars) > self._keep:
            self._sort()
            del self._bars[next(iter(self._bars))]

    def in_order(self) -> tuple[Bar, ...]:
        self._sort()
        return tuple(self._bars.values())

    def _sort(self) -> None:
        if not self._sorted:
            self._bars = dict(sorted(self._bars.items()))
            self._sorted = True


class RecentQuotes:
    """A bounded window of accepted quotes; older ones stay in the journal.

    Every accepted update is kept as a row of its own until the window moves on; what leaves it
    is counted.

    Args:
        keep: quotes per contract.

    Attributes:
        forgotten: quotes that are in no window any more.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._quotes: dict[str, deque[Quote]] = {}
        self.forgotten = 0

    def limit(self, keep: int) -> None:
        """Keep so many of each contract from now on; what exceeds that is forgotten at once."""
        self._keep = keep
        for contract_id, window in self._quotes.items():
            self.forgotten += max(0, len(window) - keep)
            self._quotes[contract_id] = deque(window, maxlen=keep)

    def add(self, quotes: Iterable[Quote]) -> None:
        """Append quotes in order of arrival."""
        for quote in quotes:
            window = self._quotes.get(quote.contract_id)
            if window is None:
                window = self._quotes[quote.contract_id] = deque(maxlen=self._keep)
            self.forgotten += len(window) == self._keep
            window.append(quote)

    def of(self, contract_id: str) -> tuple[Quote, ...]:
        """The kept quotes, oldest first."""
        return tuple(self._quotes.get(contract_id, ()))
