"""The bars of one measure of one contract: the one that forms, and those that may be amended.

Rows come in order of (event time, arrival), but for late ones, which amend.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tapekeeper.core.bars.gauges import Edges, Gauge
from tapekeeper.core.bars.marks import LONG_AGO_NS, NEVER_NS, Mark, Marks, unrepaired
from tapekeeper.core.bars.sums import Row, Sums, with_row
from tapekeeper.core.bars.values import BarPolicy, Grid
from tapekeeper.model.bar import Bar, BarState, Completeness
from tapekeeper.model.measure import Measure
from tapekeeper.model.snapshot import VolumeCheck
from tapekeeper.model.timeframe import Timeframe, Unit

_TRIM_AT_LEAST = 256
_SESSION = Timeframe(1, Unit.DAY)
_FORMING, _CLOSED, _REVISED = BarState.FORMING, BarState.CLOSED, BarState.REVISED


class _Closed(msgspec.Struct, gc=False):
    """A closed bar, and what an amendment must know of it.

    Attributes:
        bar: its last word.
        session_ns: when its session opened, ns UTC.
        since_ns: from which event time on (ns UTC) what is missing makes it doubtful: most often
            its open.
        fixed: whether its prices are edges.
        cut_by: the gap at which it ended; None if it was not a gap that ended it.
    """

    bar: Bar
    session_ns: int
    since_ns: int
    fixed: bool
    cut_by: int | None


class MeasuredNode:
    """See the module's text.

    Args:
        contract_id: of every print.
        measure: what ends a bar.
        gauge: measures it.
        grid: says when sessions are.
        marks: where prints are missing, by gap.
        policy: how far behind the latest row a late one may be, and how many bars are kept for it.
        lacks_ns: event time (ns UTC) of the latest print before it was asked for.

    Attributes:
        measure, name: which one.
        forgotten: closed bars that were within the horizon, and are kept no more.
    """

    def __init__(
        self,
        contract_id: str,
        measure: Measure,
        gauge: Gauge,
        grid: Grid,
        *,
        marks: Mapping[int, Sequence[Mark]],
        policy: BarPolicy,
        lacks_ns: int = LONG_AGO_NS,
    ) -> None:
        self.measure = measure
        self.name = str(measure)
        self._contract_id = contract_id
        self._gauge = gauge
        self._grid = grid
        self._marks = Marks()
        self._horizon_ns, self._kept_max = policy.horizon_ns, policy.measured_max
        self.forgotten = 0
        self._lacks_ns = lacks_ns
        # Whether the bar that forms, or comes next, may have begun before: of what depends on all
        # bars of the session, each bar has.
        self._began_before = lacks_ns > LONG_AGO_NS
        self._sums: Sums | None = None
        self._ordinal = 0  # of the next bar in its session
        self._strays = 0
        self._cursor_ns = LONG_AGO_NS  # the latest row
        self._began_ns = LONG_AGO_NS  # the first row of the session, or behind the last gap
        self._floor_ns = LONG_AGO_NS  # what is before it belongs to closed bars
        self._session_ns = self._due_ns = self._end_ns = LONG_AGO_NS
        self._limit_ns = LONG_AGO_NS  # a row from here on is of another session, or behind a bound
        self._is_broken = False  # whether a gap was found in what has been taken
        self._kept: list[_Closed] = []  # rising by (open, ordinal); bound: see `_trim`
        self._full = _TRIM_AT_LEAST
        self._bars = self._volume = self._baseline = 0
        for gap_id, parts in marks.items():
            self._marks.replace(gap_id, self._of_this(parts))

    @property
    def whole_ns(self) -> int | None:
        """From which event time (ns UTC) on it has all prints; None means ever."""
        return None if self._lacks_ns <= LONG_AGO_NS else self._lacks_ns + 1

    def _of_this(self, marks: Iterable[Mark]) -> list[Mark]:
        return unrepaired(marks, self.name, was_added=self._lacks_ns > LONG_AGO_NS)

    # -- prints ----------------------------------------------------------------------------------

    def take(self, row: Row, told: list[Bar]) -> None:
        """Take a row, and tell the bars that it ends, or that it amends."""
        ts_ns, sums = row[0], self._sums
        if ts_ns < self._cursor_ns:
            if sums is None or ts_ns < self._floor_ns:
                self._amend(row, told)
                return
        else:
            self._cursor_ns = ts_ns
            if ts_ns >= self._limit_ns:
                self._turn(row, told)
                sums = self._sums
        if sums is None:
            sums = self._sums = Sums(row)
        else:
            sums.take(row)
        ended = self._gauge.ends(sums, row[4])
        if ended:
            self._end(sums, ended, told)

    def _turn(self, row: Row, told: list[Bar]) -> None:
        """Begin anew, because a session has, or there is a gap between the rows."""
        ts_ns, ticks = row[0], row[4]
        before_ns = self._session_ns if self._sums is None else self._sums.last_ns
        self._shut(ts_ns, told)
        if ts_ns >= self._end_ns:
            interval = self._grid.interval(_SESSION, ts_ns)
            self._session_ns = self._floor_ns = before_ns = interval.start_ns
            self._due_ns, self._end_ns = interval.due_ns, interval.end_ns
            self._ordinal = 0
            self._began_before = self._began_before and interval.start_ns <= self._lacks_ns
            self._gauge.begin(ticks)
        else:
            self._gauge.resume(ticks)
        bound_ns = self._marks.last_bound(before_ns, ts_ns)
        if bound_ns is not None:
            self._floor_ns = max(self._floor_ns, bound_ns)
        self._began_ns = ts_ns
        self._is_broken = False
        self._bound()

    def _bound(self) -> None:
        """Find the limit again, after the marks or the session changed."""
        if not self._is_broken:
            # What it lacks ends before it begins, and so ends no bar.
            after_ns = max(self._cursor_ns, self._lacks_ns + 1)
            self._limit_ns = min(self._end_ns, self._marks.next_bound(after_ns))

    def _end(self, sums: Sums, ended: Sequence[Edges | None], told: list[Bar]) -> None:
        """Close the bar that forms, and make those behind it that hold no print."""
        self._sums = None
        self._floor_ns = max(self._floor_ns, sums.last_ns)
        for index, edges in enumerate(ended):
            bar = sums.bar(self._contract_id, self.name, self._ordinal, _CLOSED)
            if index:
                bar = _without_prints(bar)
            self._close(self._gauge.edged(bar, edges), told, fixed=edges is not None)

    def _shut(self, now_ns: int, told: list[Bar], *, cut_by: int | None = None) -> None:
        """Close the bar that forms as it is, whatever ended it by event time `now_ns`."""
        sums, self._sums = self._sums, None
        if sums is None:
            return
        self._floor_ns = max(self._floor_ns, sums.last_ns)
        if cut_by is None:
            mark = self._marks.beginning(sums.last_ns, min(now_ns, self._over_ns(sums)))
            cut_by = None if mark is None else mark.gap_id
        bar = sums.bar(self._contract_id, self.name, self._ordinal, _CLOSED)
        self._close(self._gauge.edged(bar, None), told, cut_by=cut_by)

    def _close(
        self, bar: Bar, told: list[Bar], *, fixed: bool = False, cut_by: int | None = None
    ) -> None:
        self._ordinal += 1
        self._bars += bar.n > 0
        self._volume += bar.volume
        closed = _Closed(bar, self._session_ns, self._since_ns(bar.ts_open), fixed, cut_by)
        closed.bar = self._judged(closed)
        self._began_before = self._began_before and self._gauge.remembers
        self._kept.append(closed)
        told.append(closed.bar)
        if len(self._kept) >= self._full:
            self._trim()

    def _since_ns(self, open_ns: int) -> int:
        since_ns = min(open_ns, self._began_ns) if self._gauge.remembers else open_ns
        return min(since_ns, self._lacks_ns) if self._began_before else since_ns

    def _trim(self) -> None:
        """Forget what no print and no gap can amend any more."""
        horizon_ns = self._cursor_ns - self._horizon_ns
        needed = max(0, bisect_right(self._kept, horizon_ns, key=_open_ns) - 1)
        room = max(needed, len(self._kept) - self._kept_max)
        self.forgotten += room - needed
        del self._kept[:room]
        self._full = max(_TRIM_AT_LEAST, 2 * len(self._kept))

    # -- what has been closed --------------------------------------------------------------------

    def _amend(self, row: Row, told: list[Bar]) -> None:
        """Put a late row into the bar that had begun last at its time.

        Where that is of another session, or there is a gap between them, it makes a bar alone.
        """
        ts_ns = row[0]
        place = bisect_right(self._kept, ts_ns, key=_open_ns)
        session_ns = self._grid.interval(_SESSION, ts_ns).start_ns
        closed = self._kept[place - 1] if place else None
        if (
            closed is None
            or closed.session_ns != session_ns
            or self._marks.last_bound(closed.bar.ts_last, ts_ns) is not None
        ):
            self._strays += 1
            bar = Sums(row).bar(self._contract_id, self.name, -self._strays, _REVISED)
            bar = msgspec.structs.replace(bar, revision=1)
            closed = _Closed(bar, session_ns, ts_ns, fixed=False, cut_by=None)
            self._kept.insert(place, closed)
            self._bars += 1
        else:
            self._bars += closed.bar.n == 0
            bar = with_row(closed.bar, row, fixed=closed.fixed)
            closed.bar = msgspec.structs.replace(bar, state=_REVISED, revision=bar.revision + 1)
        self._volume += row[2]
        closed.bar = self._judged(closed)
        told.append(closed.bar)

    def remark(self, gap_id: int, marks: Iterable[Mark], told: list[Bar]) -> bool:
        """Learn the marks of a gap in place of what was known of it; whether that was news.

        Closed bars of which that changes the worth are told again; where the gap is in the midst
        of the bar that forms, that ends.
        """
        changed = self._marks.replace(gap_id, self._of_this(marks))
        if changed is None:
            return False
        from_ns, to_ns = changed
        for closed in self._kept:
            bar = closed.bar
            if closed.cut_by == gap_id or (closed.since_ns < to_ns and bar.ts_end > from_ns):
                judged = self._judged(closed)
                if judged != bar:
                    closed.bar = msgspec.structs.replace(
                        judged, state=_REVISED, revision=bar.revision + 1
                    )
                    told.append(closed.bar)
        since_ns = self._since_ns(self._cursor_ns if self._sums is None else self._sums.first_ns)
        its_marks = self._marks.of_gap(gap_id)
        bounds_ns = [bound for mark in its_marks for bound in (mark.from_ns, mark.to_ns)]
        after_ns = max(since_ns, self._lacks_ns + 1)
        if any(after_ns < bound <= self._cursor_ns for bound in bounds_ns):
            self._shut(self._cursor_ns, told, cut_by=gap_id)
            self._is_broken = True
            self._limit_ns = LONG_AGO_NS
        self._bound()
        return True

    def forget_marks(self, late_ns: int) -> None:
        """Forget the marks that matter no more, where a print may still come from `late_ns` on."""
        self._marks.forget(min(late_ns, self._oldest_ns()))

    def _oldest_ns(self) -> int:
        """From when on (ns UTC) marks matter to bars that may still be told."""
        opens_ns = [closed.since_ns for closed in self._kept[:1]]
        if self._sums is not None:
            opens_ns.append(self._since_ns(self._sums.first_ns))
        return min(opens_ns, default=NEVER_NS)

    def _judged(self, closed: _Closed) -> Bar:
        """The bar with what is known of its completeness."""
        bar = closed.bar
        if not self._marks and not bar.gap_ids:
            return bar
        open_time_ns = self._grid.open_time_ns
        worth = self._marks.worth(self.name, bar.ts_open, bar.ts_end, open_time_ns)
        live_share = worth.live_share
        if closed.since_ns < bar.ts_open:
            worth = self._marks.worth(self.name, closed.since_ns, bar.ts_end, open_time_ns)
        completeness, gap_ids = worth.completeness, worth.gap_ids
        cuts = [] if closed.cut_by is None else self._marks.of_gap(closed.cut_by)
        if cuts and closed.cut_by not in gap_ids:
            gap_ids = tuple(sorted({*gap_ids, cuts[0].gap_id}))
            if not cuts[0].is_start:
                completeness = Completeness.GAP
            elif completeness is Completeness.COMPLETE:
                completeness = Completeness.PARTIAL_START
        return msgspec.structs.replace(
            bar, completeness=completeness, gap_ids=gap_ids, live_share=live_share
        )

    # -- time ------------------------------------------------------------------------------------

    def _over_ns(self, sums: Sums) -> int:
        """When the session of the forming bar is over: at its close, if it has no print since."""
        return self._due_ns if sums.last_ns < self._due_ns else self._end_ns

    def due_ns(self) -> int | None:
        """The exchange time (ns UTC) from which on a timer may close the bar that forms."""
        return None if self._sums is None else min(self._limit_ns, self._over_ns(self._sums))

    def close_due(self, now_ns: int, told: list[Bar]) -> None:
        """Close the bar that forms if its session, or the tape before a gap, is over by now."""
        due_ns = self.due_ns()
        if due_ns is not None and due_ns <= now_ns:
            self._shut(now_ns, told)

    # -- what can be read ------------------------------------------------------------------------

    def preview(self, rows: Iterable[Row]) -> list[Bar]:
        """The bars that are not told yet if these rows come next; the last one may have room."""
        told: list[Bar] = []
        copy.copy(self).run_out(rows, told)
        return [msgspec.structs.replace(bar, state=_FORMING) for bar in told]

    def run_out(self, rows: Iterable[Row], told: list[Bar]) -> None:
        """Take these rows, and tell the last bar whether it is over or not: of a copy only."""
        self._gauge, self._sums = copy.copy(self._gauge), copy.copy(self._sums)
        self._kept = []
        for row in rows:
            self.take(row, told)
        if self._sums is not None:
            bar = self._sums.bar(self._contract_id, self.name, self._ordinal, _FORMING)
            bar = self._gauge.edged(bar, None)
            since_ns = self._since_ns(bar.ts_open)
            closed = _Closed(bar, self._session_ns, since_ns, fixed=False, cut_by=None)
            told.append(self._judged(closed))

    def count_from(self, accepted_volume: int) -> None:
        """Compare volumes from here on: what was accepted before is in none of its bars."""
        self._baseline = accepted_volume

    def check(self, accepted_volume: int, waiting: Sequence[Row]) -> VolumeCheck:
        """The volume identity.

        Args:
            accepted_volume: of the contract, in contracts, counted elsewhere.
            waiting: rows that were accepted, and wait for their turn.
        """
        untold = self.preview(waiting)
        return VolumeCheck(
            contract_id=self._contract_id,
            timeframe=self.name,
            bars=self._bars + sum(bar.n > 0 for bar in untold),
            bar_volume=self._volume + sum(bar.volume for bar in untold),
            accepted_volume=accepted_volume - self._baseline,
            forgotten_bars=self.forgotten,
        )


def _open_ns(closed: _Closed) -> int:
    return closed.bar.ts_open


def _without_prints(bar: Bar) -> Bar:
    """A bar at the end of this one that holds nothing."""
    return msgspec.structs.replace(
        bar,
        ts_open=bar.ts_last,
        ts_first=bar.ts_last,
        open=bar.close,
        high=bar.close,
        low=bar.close,
        volume=0,
        n=0,
        buy_vol=0,
        sell_vol=0,
        turnover_e9=0,
    )
