"""Bars of a contract that are measured by their prints: ticks, volume, dollars, range, Renko.

They begin and end with prints, so the order of the prints is all that makes them. Prints are held
back until the watermark, which is the allowed lateness behind the largest event time, has passed
them, and go on in order of (event time, arrival). So disorder within the lateness changes nothing.
A print that is later still goes into the bar that had begun last at its time: into the one that
forms, if no closed one ends behind it; else it amends a closed bar, which is told again with a
higher revision, whatever it was that ended it. The bars behind that one are not cut anew.

Invariants:
- no print is split, and each is in exactly one bar of every measure;
- counting begins anew with each session, so nothing of a day depends on the day before;
- no bar holds prints from both sides of a gap's begin, or end, that was known when they came; one
  that is found to hold some ends there and then;
- of a measure the bars do not overlap, but for equal stamps at their ends, among which the ordinal
  is the order;
- what comes of a row does not depend on the batch that it came in.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from tapekeeper.core.bars.gauges import gauge_of
from tapekeeper.core.bars.marks import LONG_AGO_NS, Mark
from tapekeeper.core.bars.measured_node import MeasuredNode
from tapekeeper.core.bars.sums import Row
from tapekeeper.core.bars.values import BarPolicy, Folded, Grid
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import PRICE_SCALE, Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import Measure
from tapekeeper.model.snapshot import VolumeCheck
from tapekeeper.model.tick import TradeBatch


class MeasuredBars:
    """All such bars of one contract.

    Args:
        instrument: whose prints they are; it says what a tick is, and what it is worth.
        grid: says when sessions are.
        policy: how long bars wait.
        marks: what is known to be missing already.
        high_ns: the largest event time (ns UTC) of the prints that came before.
    """

    def __init__(
        self,
        instrument: Instrument,
        grid: Grid,
        policy: BarPolicy,
        marks: Iterable[Mark] = (),
        high_ns: int = LONG_AGO_NS,
    ) -> None:
        self._instrument = instrument
        self._grid = grid
        self._policy = policy
        self._marks: dict[int, list[Mark]] = {}  # by gap, for what is added. Bound: see `mark`
        for mark in marks:
            self._marks.setdefault(mark.gap_id, []).append(mark)
        self._nodes: list[MeasuredNode] = []  # in order of their measures
        self._high_ns, self._cursor_ns = high_ns, LONG_AGO_NS
        # Rows that wait for the watermark, by (event time, arrival). Bound: the prints of the
        # allowed lateness.
        self._waiting: list[tuple[int, int, Row]] = []
        self._arrivals = 0
        # The price that was converted last: most prints are at the price of the one before.
        self._price, self._price_e9, self._ticks = 0.0, 0, 0

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures, in order."""
        return tuple(node.measure for node in self._nodes)

    def add(self, measures: Iterable[Measure], accepted_volume: int) -> None:
        """Add measures; those that are there already are left as they are.

        The first bar of a new one begins with the next print that goes on. Where prints have gone
        before, `whole_ns` tells, and a mark that names the measure has to say so: then its first
        bar is called a partial start, and of a measure whose bars depend on those before them
        each one of the session.

        Args:
            measures: any.
            accepted_volume: the contract's accepted volume so far (as for `checks`).

        Raises:
            UsageError: the instrument does not tell what one of them needs; none is added.
        """
        added = [
            MeasuredNode(
                self._instrument.contract_id,
                measure,
                gauge_of(measure, self._instrument),
                self._grid,
                marks=self._marks,
                policy=self._policy,
                # What waits for the watermark is still to go on, unless nobody held it back.
                lacks_ns=self._high_ns if self._cursor_ns <= LONG_AGO_NS else self._cursor_ns,
            )
            for measure in sorted(set(measures) - set(self.measures))
        ]
        waiting = sum(row[2] for _, _, row in self._waiting)
        for node in added:
            node.count_from(accepted_volume - waiting)
        self._nodes = sorted([*self._nodes, *added], key=lambda node: node.measure)

    def whole_ns(self, name: str) -> int | None:
        """From which event time (ns UTC) on a measure has its prints; None means ever."""
        return next((node.whole_ns for node in self._nodes if node.name == name), None)

    def forgotten(self) -> Iterator[tuple[str, int]]:
        """Measures of which bars within the horizon are kept no more, with their number."""
        return ((node.name, node.forgotten) for node in self._nodes if node.forgotten)

    # -- prints ----------------------------------------------------------------------------------

    def too_late(self, batch: TradeBatch) -> set[int]:
        """Indexes of the rows that are beyond the horizon: late for good."""
        times = batch.ts_event
        high_ns = max(self._high_ns, *times)
        if min(times) >= self._horizon_ns(high_ns):
            return set()
        late: set[int] = set()
        high_ns = self._high_ns
        for index, ts_ns in enumerate(times):
            if ts_ns < self._horizon_ns(high_ns):
                late.add(index)
            high_ns = max(high_ns, ts_ns)
        return late

    def _horizon_ns(self, high_ns: int) -> int:
        watermark_ns = max(high_ns - self._policy.lateness_ns, self._cursor_ns)
        return watermark_ns - self._policy.horizon_ns

    def fold(self, batch: TradeBatch) -> Folded:
        """Fold accepted prints in arrival order; none of them is late."""
        lateness_ns = self._policy.lateness_ns
        folded = Folded([], [], [])
        told: list[Bar] = []  # by one row
        for index, row in enumerate(self._rows(batch)):
            ts_ns = row[0]
            self._high_ns = max(self._high_ns, ts_ns)
            if not lateness_ns or ts_ns < self._cursor_ns:
                self._pass(row, told)
            else:
                self._arrivals += 1
                heapq.heappush(self._waiting, (ts_ns, self._arrivals, row))
                self._release(self._high_ns - lateness_ns, told)
            if told:
                folded.closed.extend(told)
                folded.told_by.extend([index] * len(told))
                told.clear()
        return folded

    def _rows(self, batch: TradeBatch) -> Iterator[Row]:
        tick_size = self._instrument.tick_size
        columns = (batch.ts_event, batch.price, batch.size, batch.side)
        for ts_ns, price, size, side in zip(*columns, strict=True):
            if price != self._price:
                self._price, self._price_e9 = price, round(price * PRICE_SCALE)
                self._ticks = round(price / tick_size) if tick_size > 0 else 0
            yield ts_ns, price, size, side, self._ticks, self._price_e9 * size

    def _release(self, until_ns: int, told: list[Bar]) -> None:
        """Let the rows go on whose time is not after `until_ns`."""
        while self._waiting and self._waiting[0][0] <= until_ns:
            self._pass(heapq.heappop(self._waiting)[2], told)

    def _pass(self, row: Row, told: list[Bar]) -> None:
        self._cursor_ns = max(self._cursor_ns, row[0])
        for node in self._nodes:
            node.take(row, told)

    # -- time and gaps -----------------------------------------------------------------------------

    def due_ns(self) -> int | None:
        """The earliest exchange time (ns UTC) at which something is due; None if nothing is."""
        due_ns = [node_ns for node in self._nodes if (node_ns := node.due_ns()) is not None]
        if self._waiting:
            due_ns.append(self._waiting[0][0])
        return min(due_ns, default=None)

    def close_due(self, exchange_now_ns: int, told: list[Bar]) -> None:
        """Let waiting rows go on, and close what is due, at this exchange time (ns UTC).

        Only the end of a session and a gap end such a bar without a print.
        """
        self._release(exchange_now_ns, told)
        for node in self._nodes:
            node.close_due(exchange_now_ns, told)

    def mark(self, gap_id: int, marks: Iterable[Mark], told: list[Bar]) -> None:
        """Learn where prints of a gap may be missing, in place of what was known of it.

        History cannot stand for them, because it does not tell where between two of its prices
        a bar would have ended.
        """
        # A print may still come that is as late as the horizon.
        late_ns = self._cursor_ns - self._policy.horizon_ns
        marks = list(marks)
        for node in self._nodes:
            if node.remark(gap_id, marks, told):
                node.forget_marks(late_ns)
        self._marks[gap_id] = marks
        self._marks = {
            each: parts
            for each, parts in self._marks.items()
            if any(mark.to_ns > late_ns for mark in parts)
        }

    # -- what can be read --------------------------------------------------------------------------

    def forming(self, measure: Measure) -> Bar | None:
        """The forming bar of a measure with every print so far, or None if there is none.

        Raises:
            UsageError: the measure is not among those of this contract.
        """
        for node in self._nodes:
            if node.measure == measure:
                return next(reversed(node.preview(self._queue())), None)
        raise UsageError(f"{self._instrument.contract_id} has no bars of {measure}")

    def forming_all(self) -> list[Bar]:
        """All bars that were not told yet, by measure, oldest first."""
        return [bar for node in self._nodes for bar in node.preview(self._queue())]

    def checks(self, accepted_volume: int) -> list[VolumeCheck]:
        """The volume identity of every measure; as for the bars of time."""
        queue = self._queue()
        return [node.check(accepted_volume, queue) for node in self._nodes]

    def _queue(self) -> list[Row]:
        return [row for _, _, row in sorted(self._waiting)]
