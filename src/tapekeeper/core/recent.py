"""The most recent closed bars, by contract and timeframe, for reading."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tapekeeper.model.bar import Bar


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
