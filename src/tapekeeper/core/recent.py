"""The most recent closed bars and quotes, for reading."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import Quote


class RecentBars:
    """A bounded window of closed bars; older ones stay in the journal.

    Args:
        keep: bars per contract and timeframe.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._bars: dict[tuple[str, str], deque[Bar]] = {}

    def add(self, bars: Iterable[Bar]) -> None:
        """Append bars in order of closing."""
        for bar in bars:
            key = (bar.contract_id, bar.timeframe)
            window = self._bars.get(key)
            if window is None:
                window = self._bars[key] = deque(maxlen=self._keep)
            window.append(bar)

    def of(self, contract_id: str, timeframe: str) -> tuple[Bar, ...]:
        """The kept bars, oldest first."""
        return tuple(self._bars.get((contract_id, timeframe), ()))

    def all(self) -> list[Bar]:
        """Every kept bar, by contract and timeframe in order of first appearance."""
        return [bar for window in self._bars.values() for bar in window]


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
