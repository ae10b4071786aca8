"""The closed bars of one timeframe that may still be amended."""

from __future__ import annotations

from collections.abc import Iterator

from tapekeeper.model.bar import Bar

_TRIM_AT_LEAST = 256
"""Bars below which nothing is trimmed."""


class Kept:
    """Bars by their open. What may be forgotten is said by the owner, in bulk.

    Trimming waits until there are twice as many bars as were left the last time, so that its
    cost does not depend on how many there are.
    """

    __slots__ = ("_bars", "_full")

    def __init__(self) -> None:
        self._bars: dict[int, Bar] = {}
        self._full = _TRIM_AT_LEAST

    def get(self, open_ns: int) -> Bar | None:
        """The bar that opens at this time (ns UTC)."""
        return self._bars.get(open_ns)

    @property
    def oldest_ns(self) -> int | None:
        """The earliest open (ns UTC); of what is later nothing is lacking."""
        return min(self._bars, default=None)

    def put(self, bar: Bar) -> bool:
        """Add a bar, or replace the one that opens at the same time; whether to `trim` now."""
        self._bars[bar.ts_open] = bar
        return len(self._bars) >= self._full

    def between(self, from_ns: int, to_ns: int) -> Iterator[Bar]:
        """The bars that have a part in [from, to), oldest first."""
        # Amended bars of passed intervals stand where they were added, not where they belong.
        bars = (bar for bar in self._bars.values() if bar.ts_open < to_ns and bar.ts_end > from_ns)
        yield from sorted(bars, key=lambda bar: bar.ts_open)

    def trim(self, before_ns: int) -> None:
        """Forget the bars that end at or before this time (ns UTC)."""
        self._bars = {start: bar for start, bar in self._bars.items() if bar.ts_end > before_ns}
        self._full = max(_TRIM_AT_LEAST, 2 * len(self._bars))

    def __len__(self) -> int:
        return len(self._bars)
