"""Plans what to ask of the gateway's history, and joins what it answers to the live bars.

A gap lies anywhere within bars, and the gateway's history has whole bars only. So what stands for
a gap is every bar of the smallest timeframe that the gap touches: it replaces the live one, which
lacks something. Bars that no gap touches are left as they are, whatever the history says of them.
Of the replaced ones all larger bars are made anew, where what they are made of is still kept
(a gap that is younger than the horizon). Where it is not, and before the first print of all, the
larger bars are asked for themselves.

The history tells a bar without a print by its absence, so it cannot be known from it alone
whether it is short. What came live can tell: a bar that the gateway says is smaller than what was
received of it is not taken, and its interval stays a gap. And the quoted volume can: where a gap
is known to lack more than history adds, what history has no bars of stays a gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import msgspec

from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.gap import (
    Gap,
    GapCause,
    HistoryRow,
    HistoryRows,
    Lack,
    Repair,
    Span,
    merged,
)
from tapekeeper.model.session import Interval
from tapekeeper.model.timeframe import DAY_NS, Anchor, Timeframe

PAGE_ROWS_MAX = 20_000
"""Rows that one request can be answered with (the gateway's documented limit)."""

ROWS_MAX = 100_000
"""Rows of one timeframe in one repair: more than a day of seconds. What is older stays a gap."""

PAGES_MAX = 200
"""Requests for one timeframe; there are clients that report 1,000 rows to a page."""

HOLES_MAX = 100
"""Parts of one gap in which missing volume may be; each of them is in the ledger."""

_PARTS = tuple(map(Timeframe.parse, ("1h", "30m", "15m", "5m", "1m", "1s")))
"""What bars that are measured from a session's open are made of: the gateway's own longer bars
stand on a grid that is not documented."""

_CLOSED_SHARE = 5
_CLOSED_NS = 14 * DAY_NS
"""So many bars of history lie within five times their length and two weeks, whatever is closed."""


class Grid(Protocol):
    """Says which interval a bar covers; a session calendar does."""

    @property
    def alignment_ns(self) -> int:
        """A length that divides every session open."""
        ...

    def interval(self, timeframe: Timeframe, ts_ns: int) -> Interval:
        """The interval of the bar of `timeframe` that a print at `ts_ns` belongs to."""
        ...


class Ask(msgspec.Struct, frozen=True):
    """One stretch of history.

    Attributes:
        timeframe: of the bars that come of it.
        asked: of the rows that the gateway is asked for; `timeframe` is made of whole ones.
        from_ns: open of the first bar that is needed, ns UTC.
        to_ns: end of the last bar, ns UTC.
        rows_min: so many rows are wanted, even if they begin earlier.
    """

    timeframe: Timeframe
    asked: Timeframe
    from_ns: int
    to_ns: int
    rows_min: int = 0


class Beginning(msgspec.Struct, frozen=True):
    """The beginning of a bar that forms.

    Attributes:
        timeframe: of the bar.
        lack: what it lacks.
        asks: rows that cover that without overlapping, large before small; none where it cannot be
            covered.
    """

    timeframe: Timeframe
    lack: Lack
    asks: tuple[Ask, ...]


class Plan(msgspec.Struct, frozen=True):
    """How a gap is to be repaired.

    Attributes:
        gap: as it is known.
        from_ns, to_ns: what the repair is for, ns UTC; no begin means as far as history goes.
        until_ns: event time, ns UTC, that has passed; bars that end later are left alone.
        over_ns: up to where the smallest bars are over by then, at most `to_ns`.
        asks: small timeframes before large ones.
        beginnings: of bars that form.
    """

    gap: Gap
    from_ns: int | None
    to_ns: int
    until_ns: int
    over_ns: int
    asks: tuple[Ask, ...]
    beginnings: tuple[Beginning, ...] = ()

    def all_asks(self) -> list[Ask]:
        """What is to be asked for, each once."""
        parts = (ask for beginning in self.beginnings for ask in beginning.asks)
        return list(dict.fromkeys([*self.asks, *parts]))


class Joined(msgspec.Struct, frozen=True):
    """What comes of the answers.

    Attributes:
        repair: to be journalled and applied.
        is_whole: whether all that the plan is for is restored.
        has_begun: whether the bars that form have their beginnings.
        refused: rows that are on no grid of ours or contradict themselves.
        differing: rows that say something else of a bar that is complete; they are left out.
        added: contracts that history has and that did not come live; None where it is not known.
        came: contracts of the same bars that came live.
    """

    repair: Repair
    is_whole: bool
    has_begun: bool = True
    refused: int = 0
    differing: int = 0
    added: int | None = None
    came: int = 0


def roots(timeframes: Iterable[Timeframe], grid: Grid) -> list[Timeframe]:
    """The timeframes that are made of no smaller one."""
    return [one for one, feeder in _feeders(timeframes, grid).items() if feeder is None]


def _feeders(timeframes: Iterable[Timeframe], grid: Grid) -> dict[Timeframe, Timeframe | None]:
    """By length, each timeframe with the largest smaller one that nests in it."""
    ordered = sorted(set(timeframes))
    return {
        one: next(
            (
                below
                for below in reversed(ordered[:index])
                if below.nests_in(one, grid.alignment_ns)
            ),
            None,
        )
        for index, one in enumerate(ordered)
    }


def due_ns(gap: Gap, timeframes: Iterable[Timeframe], grid: Grid) -> int:
    """When the smallest bars that an ended gap touches are over, ns UTC."""
    assert gap.to_ns is not None  # noqa: S101 - the caller asks for ended gaps only
    last_ns = gap.to_ns - 1
    smallest = roots(_of_gap(gap, timeframes), grid)
    return max((grid.interval(one, last_ns).end_ns for one in smallest), default=gap.to_ns)


def _of_gap(gap: Gap, timeframes: Iterable[Timeframe]) -> list[Timeframe]:
    return [one for one in timeframes if not gap.timeframes or str(one) in gap.timeframes]


def plan(
    gap: Gap,
    timeframes: Iterable[Timeframe],
    grid: Grid,
    *,
    until_ns: int,
    horizon_ns: int,
    whole_ns: int | None = None,
    warm_up_bars: int = 0,
    lacks: Mapping[str, Lack] | None = None,
) -> Plan | None:
    """What to ask for; None where there is nothing to restore yet.

    Args:
        gap: one that has ended.
        timeframes: those of its contract; of a gap that is of some alone, these are taken.
        grid: its calendar.
        until_ns: event time, ns UTC, that has passed.
        horizon_ns: how long closed bars are kept that may still be amended.
        whole_ns: of what is before, some timeframes have not all parts of the larger ones; None
            means that there is nothing that they lack.
        warm_up_bars: bars of each timeframe that are wanted before a start.
        lacks: what forming bars lack of their beginnings, by timeframe. It is of no matter to a
            gap of all timeframes, because there larger bars are made anew of the smaller ones.
    """
    feeders = _feeders(_of_gap(gap, timeframes), grid)
    parts = gap.unrestored
    if not feeders or not parts or gap.to_ns is None:
        return None
    if parts[0][0] is None and (gap.restored or gap.cause is not GapCause.START):
        parts = parts[1:]  # what has no begin is asked for once, and of a start alone
    if not parts:
        return None
    from_ns, to_ns = parts[0][0], gap.to_ns
    smallest = [one for one, feeder in feeders.items() if feeder is None]
    until_ns = min(until_ns, max(grid.interval(one, to_ns - 1).end_ns for one in smallest))
    is_kept = from_ns is not None and from_ns >= until_ns - horizon_ns
    asks: list[Ask] = []
    for one in feeders:
        if is_kept and one not in smallest and _is_made_anew(one, grid, from_ns, whole_ns):
            continue
        asked = asked_in(one, grid)
        if asked is None:
            continue
        end_ns = _end_ns(one, grid, to_ns, until_ns)
        if from_ns is None:
            begin_ns = _begin_ns(one, feeders, grid, to_ns, until_ns)
            # At least the one in which it begins to be followed.
            rows_min = max(1, warm_up_bars) * max(1, one.length_ns // asked.length_ns)
        else:
            begin_ns, rows_min = grid.interval(one, from_ns).start_ns, 0
        if begin_ns < end_ns or rows_min:
            asks.append(Ask(one, asked, min(begin_ns, end_ns), end_ns, rows_min))
    over_ns = min(to_ns, *(_end_ns(one, grid, to_ns, until_ns) for one in smallest))
    beginnings = tuple(_beginnings(gap, feeders, grid, until_ns, lacks or {}))
    if not asks and not beginnings:
        return None
    return Plan(gap, from_ns, to_ns, until_ns, over_ns, tuple(asks), beginnings)


def _beginnings(
    gap: Gap, timeframes: Iterable[Timeframe], grid: Grid, until_ns: int, lacks: Mapping[str, Lack]
) -> Iterator[Beginning]:
    for one in timeframes if gap.timeframes and gap.cause is GapCause.START else ():
        lack = lacks.get(str(one))
        if lack is not None and lack.to_ns <= until_ns < lack.end_ns:
            yield Beginning(one, lack, tuple(_covering(one, lack, grid)))


def _covering(timeframe: Timeframe, lack: Lack, grid: Grid) -> list[Ask]:
    """Few requests and few rows: hours, and then minutes and seconds of what is left."""
    asks: list[Ask] = []
    reached_ns = lack.from_ns
    nesting = [one for one in _PARTS if one.nests_in(timeframe, grid.alignment_ns)]
    for part in dict.fromkeys([*nesting[:1], *nesting[-2:]]):
        if reached_ns < lack.to_ns:
            upto_ns = grid.interval(part, lack.to_ns).start_ns
            if upto_ns > reached_ns:
                asks.append(Ask(timeframe, part, reached_ns, upto_ns))
                reached_ns = upto_ns
    return asks if reached_ns == lack.to_ns else []


def _is_made_anew(
    timeframe: Timeframe, grid: Grid, from_ns: int | None, whole_ns: int | None
) -> bool:
    """Whether all parts are kept of the first bar that a gap touches."""
    if from_ns is None or whole_ns is None:
        return from_ns is not None
    return grid.interval(timeframe, from_ns).start_ns >= whole_ns


def asked_in(timeframe: Timeframe, grid: Grid) -> Timeframe | None:
    """In which unit the gateway is asked for bars of a timeframe; None where none fits."""
    if timeframe.anchor is Anchor.EPOCH:
        return timeframe
    return next((one for one in _PARTS if one.nests_in(timeframe, grid.alignment_ns)), None)


def _end_ns(timeframe: Timeframe, grid: Grid, to_ns: int, until_ns: int) -> int:
    """The end of the last bar that a gap touches and that is over."""
    last = grid.interval(timeframe, to_ns - 1)
    if last.end_ns > until_ns:
        last = grid.interval(timeframe, until_ns)
        return last.start_ns
    return last.end_ns


def _begin_ns(
    timeframe: Timeframe,
    feeders: Mapping[Timeframe, Timeframe | None],
    grid: Grid,
    to_ns: int,
    until_ns: int,
) -> int:
    """The earliest open of the larger bars that are not over, and are made of this timeframe."""
    begin_ns = _end_ns(timeframe, grid, to_ns, until_ns)
    for fed, feeder in feeders.items():
        if feeder == timeframe:
            around = grid.interval(fed, to_ns - 1)
            if around.end_ns > until_ns:
                begin_ns = min(begin_ns, around.start_ns)
    return begin_ns


class Pages:
    """Walks one stretch of history backwards, page by page.

    The gateway gives the newest rows of what is asked for. So the next page ends where the
    oldest row began, which comes twice, and the walk ends where a page adds nothing.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._rows: dict[int, HistoryRow] = {}
        self._pages = 0
        self._is_over = ask.to_ns <= ask.from_ns and not ask.rows_min
        length_ns = ask.asked.length_ns
        self._start_ns = ask.from_ns
        if ask.rows_min:
            reach_ns = ask.rows_min * length_ns * _CLOSED_SHARE + _CLOSED_NS
            self._start_ns = max(0, min(ask.from_ns, ask.to_ns - reach_ns))
        self._end_ns = ask.to_ns
        # One more, because whether the end is part of what is asked for is not documented.
        wanted = max(ask.rows_min, -(-(ask.to_ns - ask.from_ns) // length_ns)) + 1
        self._limit = min(PAGE_ROWS_MAX, wanted)

    def next(self) -> tuple[int, int, int] | None:
        """What to ask for next: start, end (ns UTC) and most rows; None where all is there."""
        if self._is_over:
            return None
        return self._start_ns, self._end_ns, self._limit

    def take(self, rows: Iterable[HistoryRow]) -> None:
        """Take an answer, in any order."""
        before = len(self._rows)
        for row in rows:
            if row.ts_open < self._ask.to_ns:
                self._rows.setdefault(row.ts_open, row)
        self._pages += 1
        oldest_ns = min(self._rows, default=self._ask.from_ns)
        is_enough = oldest_ns <= self._ask.from_ns and len(self._rows) >= self._ask.rows_min
        self._is_over = (
            len(self._rows) == before
            or is_enough
            or len(self._rows) >= ROWS_MAX
            or self._pages >= PAGES_MAX
        )
        self._end_ns = oldest_ns

    @property
    def rows(self) -> list[HistoryRow]:
        """What came, rising, the newest `ROWS_MAX`."""
        return [row for _, row in sorted(self._rows.items())][-ROWS_MAX:]


def join(
    plan: Plan,
    answers: Mapping[Ask, Sequence[HistoryRow]],
    live: Mapping[str, Mapping[int, Bar]],
    grid: Grid,
    *,
    missing: int = 0,
    came: int = 0,
) -> Joined:
    """Decide which rows stand for what is missing.

    Args:
        plan: what was asked for.
        answers: rows of every ask, rising.
        live: the closed bars by the name of their timeframe and their open.
        grid: the calendar of the contract.
        missing: contracts that are known to be missing in this gap and in no other.
        came: contracts that are known to have come live of the bars that it touches, at least.
    """
    history: list[HistoryRows] = []
    short: list[Span] = []
    refused = differing = 0
    added: int | None = None
    reached_ns: int | None = None
    for ask in plan.asks:
        rows, bad = _on_grid(ask, answers[ask], grid)
        refused += bad
        ours = live.get(str(ask.timeframe), {})
        touching = [row for row in rows if _touches(plan, row)]
        differing += sum(
            _differs(ours.get(row.ts_open), row) for row in rows if not _touches(plan, row)
        )
        good, lacking = _believed(plan, touching, ours)
        short += lacking
        if ask is plan.asks[0] and _can_be_added_up(plan):
            came = max(came, _came(plan, ours))
            added = sum(row.volume for row in good) - came
            if added < missing:
                short += _nowhere(plan, good)
        if good:
            history.append(HistoryRows(str(ask.timeframe), tuple(good)))
            begin_ns = good[0].ts_open
            reached_ns = begin_ns if reached_ns is None else min(reached_ns, begin_ns)
        if plan.from_ns is not None and len(rows) >= ROWS_MAX:
            short.append(Span(plan.from_ns, rows[0].ts_open))
    from_ns = reached_ns if plan.from_ns is None else plan.from_ns
    to_ns = plan.over_ns
    restored: list[Span] = []
    if from_ns is not None:
        restored = _without(Span(from_ns, to_ns), short) if from_ns < to_ns else []
    has_begun = True
    for beginning in plan.beginnings:
        made = _begun(beginning, answers, live, grid)
        if made is None:
            has_begun = False
            continue
        if made.volume:
            history = _with_row(history, str(beginning.timeframe), made)
        restored = list(merged([*restored, Span(made.ts_open, plan.to_ns)]))
        from_ns = made.ts_open if from_ns is None else from_ns
    is_whole = restored == [Span(from_ns or 0, plan.to_ns)]
    still = 0 if added is None else missing - max(0, added)
    gap = msgspec.structs.replace(
        plan.gap,
        restored=merged([*plan.gap.restored, *restored]),
        note="" if is_whole and still <= 0 else _note(plan, short, restored, still),
    )
    return Joined(
        Repair(gap, plan.until_ns, tuple(history)),
        is_whole=is_whole,
        has_begun=has_begun,
        refused=refused,
        differing=differing,
        added=added,
        came=came,
    )


def _can_be_added_up(plan: Plan) -> bool:
    """Whether the smallest bars of a repair are all that there is to a gap."""
    gap = plan.gap
    return (
        plan.from_ns is not None
        and plan.over_ns >= plan.to_ns
        and not (gap.restored or gap.timeframes)
    )


def _came(plan: Plan, ours: Mapping[int, Bar]) -> int:
    """Contracts that came live of the bars that a gap touches.

    Of a bar that is history's already that cannot be told any more. Nothing is counted then, so
    that no volume seems to be missing which is there.
    """
    return sum(
        bar.volume
        for bar in ours.values()
        if bar.n
        and bar.completeness is not Completeness.BACKFILLED
        and _touches(plan, HistoryRow(bar.ts_open, bar.ts_end, 0.0, 0.0, 0.0, 0.0, 0))
    )


def _nowhere(plan: Plan, rows: Iterable[HistoryRow]) -> list[Span]:
    """The parts of a gap of which history has no bar: what is missing may lie there."""
    whole = Span(plan.from_ns or 0, plan.to_ns)
    found = _without(whole, [Span(row.ts_open, row.ts_end) for row in rows])
    if not found:
        return []
    # Of too many the nearest are taken together, whatever is between them.
    between = sorted(range(1, len(found)), key=lambda at: found[at - 1].to_ns - found[at].from_ns)
    cuts = [0, *sorted(between[: HOLES_MAX - 1]), len(found)]
    return [Span(found[a].from_ns, found[b - 1].to_ns) for a, b in pairwise(cuts)]


def _begun(
    beginning: Beginning,
    answers: Mapping[Ask, Sequence[HistoryRow]],
    live: Mapping[str, Mapping[int, Bar]],
    grid: Grid,
) -> HistoryRow | None:
    """The beginning of a bar as one row, which ends where our own bars begin.

    None where it is not to be had: nothing answers for it, or less than came live, or the bars
    behind it lack something themselves. Of no volume where there is nothing to fill in.
    """
    lack = beginning.lack
    if not lack.goes_on:
        return None
    if lack.from_ns == lack.to_ns:
        return HistoryRow(lack.from_ns, lack.to_ns, 0.0, 0.0, 0.0, 0.0, 0)
    rows = [
        row
        for ask in beginning.asks
        for row in answers[ask]
        if ask.from_ns <= row.ts_open
        and grid.interval(ask.asked, row.ts_open).start_ns == row.ts_open
        and _is_sound(row)
    ]
    ours = live.get(lack.made_of, {}).values()
    came = sum(bar.volume for bar in ours if lack.from_ns <= bar.ts_open < lack.to_ns)
    if not rows or sum(row.volume for row in rows) < came:
        return None
    return HistoryRow(
        lack.from_ns,
        lack.to_ns,
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        sum(row.volume for row in rows),
    )


def _with_row(history: list[HistoryRows], name: str, row: HistoryRow) -> list[HistoryRows]:
    before = [each for one in history if one.timeframe == name for each in one.rows]
    others = [one for one in history if one.timeframe != name]
    return [*others, HistoryRows(name, (*before, row))]


def _on_grid(ask: Ask, rows: Iterable[HistoryRow], grid: Grid) -> tuple[list[HistoryRow], int]:
    """Rows of the timeframe that is wanted, made of those that came, and how many were refused."""
    groups: dict[int, HistoryRow] = {}
    refused = 0
    first: HistoryRow | None = None
    for row in rows:
        of_row = grid.interval(ask.asked, row.ts_open)
        if of_row.start_ns != row.ts_open or not _is_sound(row):
            refused += 1
            continue
        first = first or row
        span = grid.interval(ask.timeframe, row.ts_open)
        before = groups.get(span.start_ns)
        if before is None:
            groups[span.start_ns] = msgspec.structs.replace(
                row, ts_open=span.start_ns, ts_end=span.end_ns
            )
        else:
            groups[span.start_ns] = HistoryRow(
                span.start_ns,
                span.end_ns,
                before.open,
                max(before.high, row.high),
                min(before.low, row.low),
                row.close,
                before.volume + row.volume,
            )
    if first is not None and first.ts_open not in groups:
        # Where the walk ended within a bar, the beginning of it is not there.
        del groups[next(iter(groups))]
    return list(groups.values()), refused


def _is_sound(row: HistoryRow) -> bool:
    prices = (row.open, row.high, row.low, row.close)
    return (
        all(map(math.isfinite, prices))
        and row.low <= min(row.open, row.close)
        and row.high >= max(row.open, row.close)
        and row.volume >= 0
    )


def _touches(plan: Plan, row: HistoryRow) -> bool:
    """Whether a bar is over, and the gap has a part in it that nothing stands for."""
    return row.ts_end <= plan.until_ns and any(
        (from_ns is None or row.ts_end > from_ns) and (to_ns is None or row.ts_open < to_ns)
        for from_ns, to_ns in plan.gap.unrestored
    )


def _differs(bar: Bar | None, row: HistoryRow) -> bool:
    if bar is None or bar.completeness is not Completeness.COMPLETE:
        return False
    ours = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    return ours != (row.open, row.high, row.low, row.close, row.volume)


def _believed(
    plan: Plan, rows: list[HistoryRow], ours: Mapping[int, Bar]
) -> tuple[list[HistoryRow], list[Span]]:
    """The rows that hold at least what came live, and the intervals of which there is no such."""
    by_open = {row.ts_open: row for row in rows}
    newest_ns = max((row.ts_end for row in rows), default=None)
    short: list[Span] = []
    for bar in ours.values():
        as_row = HistoryRow(bar.ts_open, bar.ts_end, bar.open, bar.high, bar.low, bar.close, 0)
        # Where history stands for it already there are no prints.
        if not bar.n or not bar.volume or not _touches(plan, as_row):
            continue
        row = by_open.get(bar.ts_open)
        if row is None or row.volume < bar.volume:
            by_open.pop(bar.ts_open, None)
            is_behind = newest_ns is None or bar.ts_open >= newest_ns
            begin_ns = (
                min(newest_ns or plan.from_ns or 0, bar.ts_open) if is_behind else bar.ts_open
            )
            short.append(Span(begin_ns, bar.ts_end))
    return [by_open[start_ns] for start_ns in sorted(by_open)], short


def _without(whole: Span, holes: Iterable[Span]) -> list[Span]:
    left = [whole]
    for hole in holes:
        left = [
            Span(from_ns, to_ns)
            for span in left
            for from_ns, to_ns in (
                (span.from_ns, min(span.to_ns, hole.from_ns)),
                (max(span.from_ns, hole.to_ns), span.to_ns),
            )
            if from_ns < to_ns
        ]
    return left


def _note(plan: Plan, short: Sequence[Span], restored: Sequence[Span], lacking: int) -> str:
    if lacking > 0:
        return f"the gateway's history lacks {lacking:,} contracts that were quoted as traded"
    if not restored:
        return "the gateway's history has nothing that could stand for it"
    if short:
        return f"the gateway's history has less than what came live in {len(short)} bars"
    if plan.until_ns < plan.to_ns:
        return "its last bars were not over"
    return "the gateway's history does not reach all of it"
