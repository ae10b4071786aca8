"""Bars of intervals in which nothing was traded: they repeat the last close, and say so."""

from __future__ import annotations

from collections.abc import Iterator

from tapekeeper.core.bars.values import Grid
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.session import Interval
from tapekeeper.model.timeframe import Timeframe


def is_flat(bar: Bar) -> bool:
    """Whether a bar stands for nothing traded."""
    return bar.n == 0 and bar.volume == 0


def traded(bar: Bar | None) -> Bar | None:
    """A bar with something traded; a flat one adds nothing to what comes to its place."""
    return None if bar is None or is_flat(bar) else bar


def next_interval(grid: Grid, timeframe: Timeframe, after_ns: int) -> Interval:
    """The first interval at or after this time (ns UTC) in which there is trading."""
    interval = grid.interval(timeframe, after_ns)
    while grid.open_time_ns(interval.start_ns, interval.end_ns) == 0:
        # A weekend is left in one step, whatever the timeframe.
        open_ns = grid.next_open_ns(interval.start_ns)
        interval = grid.interval(timeframe, max(open_ns, interval.end_ns))
    return interval


def flat_bars(grid: Grid, timeframe: Timeframe, last: Bar, until_ns: int) -> Iterator[Bar]:
    """The bars that repeat `last`, from its end on, as long as they are due by `until_ns`.

    Only intervals with trading time have one. All times are ns UTC.
    """
    interval = next_interval(grid, timeframe, last.ts_end)
    while interval.due_ns <= until_ns:
        start_ns, price = interval.start_ns, last.close
        yield Bar(
            last.contract_id,
            last.timeframe,
            start_ns,
            interval.end_ns,
            price,
            price,
            price,
            price,
            0,
            0,
            0,
            0,
            start_ns,
            start_ns,
            BarState.CLOSED,
        )
        interval = next_interval(grid, timeframe, interval.end_ns)
