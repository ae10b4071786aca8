"""Bars of time and bars measured by their prints, of one contract, behind one face.

A contract of which only bars of time are wanted has those alone, and nothing here costs it
anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter

from tapekeeper.core.bars.cascade import ContractBars
from tapekeeper.core.bars.marks import Mark
from tapekeeper.core.bars.measured import MeasuredBars
from tapekeeper.core.bars.values import Folded
from tapekeeper.model.bar import Bar
from tapekeeper.model.gap import Lack
from tapekeeper.model.measure import BarSize, Measure, measures_of, timeframes_of
from tapekeeper.model.snapshot import VolumeCheck
from tapekeeper.model.tick import TradeBatch


class AllBars:
    """The bars of one contract; of one row those of time are told before the others.

    A print is late for good for all of them, or for none: measured bars take no print from beyond
    the horizon, so neither do the bars of time beside them, open ones included.

    Args:
        time: the bars of time.
        measured: the others.
    """

    def __init__(self, time: ContractBars, measured: MeasuredBars) -> None:
        self._time = time
        self._measured = measured

    @property
    def timeframes(self) -> tuple[BarSize, ...]:
        """The bar sizes: time by length, then measures by kind and number."""
        return (*self._time.timeframes, *self._measured.measures)

    def whole_ns(self, timeframe: str | None = None) -> int | None:
        """From which event time (ns UTC) on a bar size has its prints; None means ever.

        No size asks for all bars of time.
        """
        if timeframe is not None and timeframe in map(str, self._measured.measures):
            return self._measured.whole_ns(timeframe)
        return self._time.whole_ns(timeframe)

    def lacks(self) -> dict[str, Lack]:
        """See `ContractBars.lacks`; nothing fills a measured bar in."""
        return self._time.lacks()

    def forgotten(self) -> Iterator[tuple[str, int]]:
        """See `MeasuredBars.forgotten`."""
        return self._measured.forgotten()

    def add(self, sizes: Iterable[BarSize], accepted_volume: int = 0) -> None:
        """Add bar sizes; those that are there already are left as they are.

        Raises:
            UsageError: one of them cannot be measured of this contract; none is added.
        """
        sizes = list(sizes)
        self._measured.add(measures_of(sizes), accepted_volume)
        self._time.add(timeframes_of(sizes), accepted_volume)

    def fold(self, batch: TradeBatch) -> Folded:
        """Fold a batch of this contract's prints, in arrival order."""
        late = self._measured.too_late(batch)
        rows = [index for index in range(len(batch)) if index not in late]
        if not rows:
            return Folded([], sorted(late), [])
        if late:
            batch = batch.without(late)
        folded = self._time.fold(batch)
        told_by = [rows[index] for index in folded.told_by]
        if folded.late:
            too_late = set(folded.late)
            late |= {rows[index] for index in too_late}
            batch = batch.without(too_late)
            rows = [row for index, row in enumerate(rows) if index not in too_late]
        others = self._measured.fold(batch)
        if not others.closed:
            return Folded(folded.closed, sorted(late), told_by)
        told = [
            *zip(told_by, folded.closed, strict=True),
            *zip((rows[index] for index in others.told_by), others.closed, strict=True),
        ]
        told.sort(key=itemgetter(0))  # stable, so of one row those of time stay before the others
        return Folded([bar for _, bar in told], sorted(late), [row for row, _ in told])

    def close_due(self, exchange_now_ns: int) -> list[Bar]:
        """Close every bar that is due at this exchange time (ns UTC), without a later print."""
        closed = self._time.close_due(exchange_now_ns)
        self._measured.close_due(exchange_now_ns, closed)
        return closed

    def due_ns(self) -> int | None:
        """The earliest exchange time (ns UTC) at which something is due; None if nothing is."""
        due_ns = [self._time.due_ns(), self._measured.due_ns()]
        return min((each for each in due_ns if each is not None), default=None)

    def mark(self, gap_id: int, marks: Iterable[Mark]) -> list[Bar]:
        """Learn where prints of a gap may be missing, in place of what was known of it."""
        marks = list(marks)
        closed = self._time.mark(gap_id, marks)
        self._measured.mark(gap_id, marks, closed)
        return closed

    def repair(
        self, gap_id: int, marks: Iterable[Mark], bars: Iterable[Bar], until_ns: int
    ) -> list[Bar]:
        """Put the gateway's own bars in the place of bars of time; no other can be repaired."""
        marks = list(marks)
        closed = self._time.repair(gap_id, marks, bars, until_ns)
        self._measured.close_due(until_ns, closed)
        self._measured.mark(gap_id, marks, closed)
        return closed

    def forming(self, size: BarSize) -> Bar | None:
        """The forming bar of a size with every print so far, or None if there is none.

        Raises:
            UsageError: the size is not among those of this contract.
        """
        if isinstance(size, Measure):
            return self._measured.forming(size)
        return self._time.forming(size)

    def forming_all(self) -> list[Bar]:
        """All bars that were not told yet; of a size, oldest first."""
        return self._time.forming_all() + self._measured.forming_all()

    def checks(self, accepted_volume: int) -> list[VolumeCheck]:
        """The volume identity of every size."""
        return self._time.checks(accepted_volume) + self._measured.checks(accepted_volume)
