"""The scalar cascade: all bars of one contract from one pass over its prints.

Only the smallest bars take prints. A bar that is over is folded into the larger ones that hang
from it, so that a print costs the same however many timeframes there are. Each timeframe hangs
from the largest smaller one that nests in it; one in which none nests (5m beside 7m) is a
further root, which takes prints as well.

A bar is *over* when a print at or after its end was seen, or when a timer says so. It is *told*
as soon as the watermark, which is the allowed lateness behind the largest event time, has passed
its end as well. So a print that is late by less amends bars of which nobody knows yet. A print
that is later still amends its bar and every larger bar above it, and each of them is told again
with a higher revision. Order inside a bar is (event time, arrival), so one print more can be
folded into a bar without knowing the prints that made it. Beyond the horizon prints are late for
good: they are named and folded nowhere.

Invariants, with `high` the largest event time seen:
- every open bar ends after `high`, so a root's open bar lies within the open bars above it, and
  an interval has either an open bar or a kept one;
- every bar whose end is not beyond the horizon is kept, and so are all bars that the smallest
  bar above it is made of;
- what comes of a row does not depend on the batch that it came in;
- where the gateway's history stands for a smallest bar it holds all prints of its interval, so
  one that comes afterwards is folded nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tapekeeper.core.bars.backfill import lack_of, prefill, put
from tapekeeper.core.bars.gathered import complete, gathered, is_over
from tapekeeper.core.bars.marks import LONG_AGO_NS, NEVER_NS, Mark, Marks
from tapekeeper.core.bars.node import Node, Row, joined, with_print
from tapekeeper.core.bars.quiet import flat_bars, is_flat, next_interval, traded
from tapekeeper.core.bars.tree import begin, chain, hang
from tapekeeper.core.bars.values import PATIENT, BarPolicy, Folded, Grid
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar, BarState, Completeness
from tapekeeper.model.gap import Lack
from tapekeeper.model.measure import BarSize
from tapekeeper.model.snapshot import VolumeCheck
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe

# Bound once: reading a member off its enumeration costs as much as folding a print.
_FORMING, _CLOSED, _REVISED = BarState.FORMING, BarState.CLOSED, BarState.REVISED


class ContractBars:
    """All bars of one contract.

    Args:
        contract_id: of every print.
        timeframes: any, none included.
        grid: says which interval a bar covers.
        policy: how long bars wait.
    """

    def __init__(
        self,
        contract_id: str,
        timeframes: Iterable[Timeframe],
        grid: Grid,
        *,
        policy: BarPolicy = PATIENT,
    ) -> None:
        self.contract_id = contract_id
        self._grid = grid
        self._policy = policy
        self._nodes: list[Node] = []  # by length, so a feeder comes before what it feeds
        self._roots: list[Node] = []
        self._fed: list[Node] = []
        self._ranks: dict[str, int] = {}
        self._branched = False
        self._high_ns = self._passed_ns = LONG_AGO_NS
        # Rows in [low, limit) lie within the open bars of all roots and need no decision.
        self._low_ns = self._limit_ns = LONG_AGO_NS
        self._fed_end_ns = NEVER_NS  # the earliest end of an open bar of `_fed`
        # Bars that are over and not told yet: their ends. Empty where no lateness is allowed.
        self._untold: dict[tuple[str, int], int] = {}
        self._marks = Marks()
        self.add(timeframes)

    # -- what is there -------------------------------------------------------------------------

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """The timeframes, by length."""
        return tuple(node.timeframe for node in self._nodes)

    @property
    def watermark_ns(self) -> int | None:
        """Event time (ns UTC) up to which every bar has been told; None before the first print."""
        watermark_ns = self._watermark_ns()
        return None if watermark_ns <= LONG_AGO_NS else watermark_ns

    @property
    def high_ns(self) -> int:
        """The largest event time seen, ns UTC; `LONG_AGO_NS` before the first print."""
        return self._high_ns

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Where prints are known to be missing, as far as that may still matter."""
        return self._marks.all()

    def whole_ns(self, timeframe: str | None = None) -> int | None:
        """From which event time (ns UTC) on a timeframe has its prints; None means ever.

        Timeframes that are added lack what was before. No timeframe asks for all of them.
        """
        names = [timeframe] if timeframe else list(self._ranks)
        whole_ns = max((self._nodes[self._ranks[name]].whole_ns for name in names), default=0)
        return whole_ns or None

    def lacks(self) -> dict[str, Lack]:
        """What forming bars of timeframes that were added lack of their beginnings, by name."""
        found = ((node.name, lack_of(node, self._grid, self._high_ns)) for node in self._nodes)
        return {name: lack for name, lack in found if lack is not None}

    def add(self, timeframes: Iterable[Timeframe], accepted_volume: int = 0) -> None:
        """Add timeframes; those that are there already are left as they are.

        Existing bars do not change. A new timeframe's first bar is made of the smaller bars that
        are kept. Where these do not reach back to its begin, or there are none, it lacks a part:
        `whole_ns` tells, and a mark has to say so.

        Args:
            timeframes: any.
            accepted_volume: the contract's accepted volume so far (as for `checks`).
        """
        have = set(self.timeframes)
        added = [Node(self.contract_id, item) for item in set(timeframes) - have]
        self._nodes = sorted([*self._nodes, *added], key=lambda node: node.timeframe)
        self._hang(added)
        for node in sorted(added, key=lambda node: node.timeframe):
            node.since_ns = self._high_ns
            if self._high_ns > LONG_AGO_NS:
                interval = self._grid.interval(node.timeframe, self._high_ns)
                begin(node, interval, self._high_ns, is_over=is_over(node, interval, self._high_ns))
            # What is open below will come up, also where the bar that it is of is over already.
            node.count_from(accepted_volume - sum(each.open_volume for each in chain(node)))
        self._bound_fed()

    def _hang(self, added: list[Node]) -> None:
        hang(self._nodes, added, self._grid.alignment_ns)
        self._roots = [node for node in self._nodes if node.feeder is None]
        self._fed = [node for node in self._nodes if node.feeder is not None]
        self._ranks = {node.name: rank for rank, node in enumerate(self._nodes)}
        self._branched = len(self._roots) > 1 or any(len(node.fed) > 1 for node in self._nodes)
        self._bound()
        self._bound_fed()

    # -- prints --------------------------------------------------------------------------------

    def fold(self, batch: TradeBatch) -> Folded:
        """Fold a batch of this contract's prints, in arrival order."""
        if batch.contract_id != self.contract_id:
            raise ValueError(f"prints of {batch.contract_id} in the bars of {self.contract_id}")
        folded = Folded([], [], [])
        if len(batch) == 1 and self._low_ns <= batch.ts_event[0] < self._limit_ns:
            self._fold_one(batch)
        elif self._roots:
            self._fold_rows(batch, folded)
        return folded

    def _fold_one(self, batch: TradeBatch) -> None:
        """Fold a single print within the open bars: what most batches of a quiet market are."""
        row = (0, batch.ts_event[0], batch.price[0], batch.size[0], batch.side[0])
        for root in self._roots:
            root.take_one(row)
        self._high_ns = max(self._high_ns, row[1])

    def _fold_rows(self, batch: TradeBatch, folded: Folded) -> None:
        closed, told_by = folded.closed, folded.told_by
        times, prices, sizes, sides = batch.ts_event, batch.price, batch.size, batch.side
        leader, others = self._roots[0], self._roots[1:]
        stop = len(times)
        # One walk over the columns for each root, all at the same row between runs.
        walks = [zip(range(stop), times, prices, sizes, sides, strict=True) for _ in self._roots]
        walk = walks.pop()
        first = 0
        while first < stop:
            low_ns, limit_ns = self._low_ns, self._limit_ns
            ended = leader.take(walk, first, stop, low_ns, limit_ns)
            for root, its_walk in zip(others, walks, strict=True):
                root.take(its_walk, first, stop, low_ns, limit_ns)
            if ended > first:
                self._high_ns = max(self._high_ns, leader.last_ns)
            if ended < stop:
                row = (ended, times[ended], prices[ended], sizes[ended], sides[ended])
                if not self._turn(row, closed):
                    folded.late.append(ended)
                told_by.extend([ended] * (len(closed) - len(told_by)))
            first = ended + 1

    def _turn(self, row: Row, closed: list[Bar]) -> bool:
        """Take a row that is not within the open bars of all roots; False if it is too late."""
        ts_ns = row[1]
        mark = len(closed)
        if ts_ns >= self._high_ns and ts_ns >= self._passed_ns:
            self._take_latest(row, closed)
        elif self._is_late(ts_ns):
            return False
        else:
            if ts_ns >= self._high_ns:
                self._advance(ts_ns, closed)
            for root in self._roots:
                self._place(root, row, closed)
            self._bound()
        self._order(closed, mark)
        return True

    def _is_late(self, ts_ns: int) -> bool:
        """Whether a row is beyond the horizon, and not in a bar that is open or may be opened."""
        return ts_ns < self._watermark_ns() - self._policy.horizon_ns and not all(
            (root.is_open and root.start <= ts_ns < root.end)
            or not is_over(root, self._grid.interval(root.timeframe, ts_ns), self._high_ns)
            for root in self._roots
        )

    def _take_latest(self, row: Row, closed: list[Bar]) -> None:
        """Take a row than which nothing is later: close what it ends, and begin with it.

        The common way out of a bar, so it is one loop.
        """
        ts_ns = self._high_ns = row[1]
        if self._untold:
            self._tell_due(self._watermark_ns(), closed)
        low_ns, limit_ns = LONG_AGO_NS, NEVER_NS
        for root in self._roots:
            if root.is_open and ts_ns < root.end:
                root.take_one(row)
            else:
                if root.is_open:
                    self._hand_out(root, closed)
                root.begin(self._grid.interval(root.timeframe, ts_ns), row)
            low_ns = max(low_ns, root.start)
            limit_ns = min(limit_ns, root.end)
        self._low_ns, self._limit_ns = low_ns, limit_ns
        if self._fed_end_ns <= ts_ns:
            self._close_fed(closed)
        if self._policy.lateness_ns:
            self._bound()
        if self._policy.carry_max:
            self._carry_all(ts_ns, closed)

    def _advance(self, ts_ns: int, closed: list[Bar]) -> None:
        """Go on to the time of the latest row, where a timer has gone ahead of it."""
        self._high_ns = ts_ns
        self._tell_due(self._watermark_ns(), closed)
        for root in self._roots:
            if root.is_open and root.end <= ts_ns:
                self._hand_out(root, closed)
        if self._fed_end_ns <= ts_ns:
            self._close_fed(closed)
        if self._policy.carry_max:
            self._carry_all(ts_ns, closed)

    def _close_fed(self, closed: list[Bar]) -> None:
        """Close the bars of fed nodes that end at or before the largest event time."""
        for node in self._fed:
            if node.is_open and node.end <= self._high_ns:
                self._hand_out(node, closed)
        self._bound_fed()

    def _place(self, node: Node, row: Row, closed: list[Bar]) -> None:
        """Fold a row into the bar that it belongs to, and where that is over, into those above."""
        ts_ns = row[1]
        if node.prefix is not None and node.prefix.ts_open <= ts_ns < node.prefix.ts_end:
            node.leave_out_throughout(row[3])  # history has it
            return
        if node.is_open and node.start <= ts_ns < node.end:
            node.take_one(row)
            return
        interval = self._grid.interval(node.timeframe, ts_ns)
        end_ns = interval.end_ns
        if end_ns > self._high_ns and end_ns > node.passed_ns:
            # Its larger bars get it when it closes.
            node.begin(interval, row)
            if node.feeder is not None:
                self._fed_end_ns = min(self._fed_end_ns, end_ns)
            return
        is_vouched = interval.start_ns in node.vouched
        if is_vouched or end_ns <= node.since_ns:
            node.leave_out(row[3])
        else:
            before = node.kept.get(interval.start_ns)
            solid = traded(before)
            after = with_print(node, interval, solid, self.contract_id, row)
            node.count(solid, after)
            self._amend(node, before, after, closed)
        for fed in node.fed:
            if is_vouched and self._grid.interval(fed.timeframe, ts_ns).start_ns >= node.whole_ns:
                fed.leave_out_throughout(row[3])  # it was made anew of this bar
            else:
                self._place(fed, row, closed)

    def _hand_out(self, node: Node, closed: list[Bar], *, timed: bool = False) -> None:
        """Close the open bar of a node, and fold it into the nodes that hang from it."""
        bar = node.shut()
        if self._marks:
            bar = self._judged(bar)
        if node.kept.put(bar):
            node.kept.trim(self._needed_from_ns(node))
        if timed or not self._policy.lateness_ns or bar.ts_end <= self._watermark_ns():
            self._tell(node, bar, closed)
        else:
            self._untold[node.name, bar.ts_open] = bar.ts_end
        for fed in node.fed:
            self._absorb(fed, bar, closed)

    def _absorb(self, node: Node, bar: Bar, closed: list[Bar]) -> None:
        """Fold a closed bar into a larger one."""
        if node.is_open and node.start <= bar.ts_first < node.end:
            node.absorb(bar)
            return
        interval = self._grid.interval(node.timeframe, bar.ts_first)
        before = node.kept.get(interval.start_ns)
        if before is None and not node.is_open and interval.end_ns > node.passed_ns:
            node.begin_from(interval, bar)
            self._fed_end_ns = min(self._fed_end_ns, node.end)
            return
        # Closed by a timer before the smaller bar began, or below the open bar of a node that
        # took prints itself when that began.
        solid = traded(before)
        parts = [bar] if solid is None else [solid, bar]
        after = joined(node, interval, parts, _CLOSED)
        node.count(solid, after)
        self._amend(node, before, after, closed)
        for fed in node.fed:
            self._absorb(fed, bar, closed)

    # -- what has been closed --------------------------------------------------------------------

    def _amend(
        self,
        node: Node,
        before: Bar | None,
        after: Bar,
        closed: list[Bar],
        *,
        told_ns: int | None = None,
    ) -> None:
        """Put a changed closed bar in its place, and tell it again where it had been told.

        Args:
            node: whose bar it is.
            before: what was there; None if nothing was.
            after: what is there now.
            closed: takes what is told.
            told_ns: open of the first bar that had been told before; None means the node's.
        """
        revision = 0 if before is None else before.revision
        if (node.name, after.ts_open) in self._untold:
            self._keep(node, self._judged(after))
            return
        if (
            before is None
            and after.ts_end > self._watermark_ns()
            and (after.ts_end > node.passed_ns)
        ):
            self._untold[node.name, after.ts_open] = after.ts_end
            self._keep(node, self._judged(after))
            return
        # Of what lies before the first bar that was told, nobody knows that there was none.
        if before is not None or after.ts_open > (node.told_ns if told_ns is None else told_ns):
            after = msgspec.structs.replace(after, state=_REVISED, revision=revision + 1)
        after = self._judged(after)
        self._keep(node, after)
        self._tell(node, after, closed)

    def _keep(self, node: Node, bar: Bar) -> None:
        if node.kept.put(bar):
            node.kept.trim(self._needed_from_ns(node))

    def _needed_from_ns(self, node: Node) -> int:
        """Bars of a node that end at or before this time (ns UTC) cannot change any more.

        The bars that one above is made of are needed for as long as that one may change, and one
        that is not told yet until it is: what is repeated in front of it passes the horizon.
        """
        horizon_ns = self._watermark_ns() - self._policy.horizon_ns
        above = [self._grid.interval(fed.timeframe, horizon_ns).start_ns for fed in node.fed]
        untold = [start_ns for name, start_ns in self._untold if name == node.name]
        return min([horizon_ns, *above, *untold])

    def _judged(self, bar: Bar) -> Bar:
        """The bar with what is known of its completeness."""
        if not self._marks and not is_flat(bar):
            return bar
        worth = self._marks.worth(bar.timeframe, bar.ts_open, bar.ts_end, self._grid.open_time_ns)
        completeness = worth.completeness
        if completeness is Completeness.COMPLETE and is_flat(bar):
            completeness = Completeness.QUIET
        return msgspec.structs.replace(
            bar,
            completeness=completeness,
            gap_ids=worth.gap_ids,
            live_share=worth.live_share,
        )

    def _watermark_ns(self) -> int:
        return max(self._high_ns - self._policy.lateness_ns, self._passed_ns)

    def _tell_due(self, watermark_ns: int, closed: list[Bar]) -> None:
        """Tell the bars that end at or before this time (ns UTC)."""
        if not self._untold:
            return
        due = [
            (end_ns, self._ranks[name], start_ns)
            for (name, start_ns), end_ns in self._untold.items()
            if end_ns <= watermark_ns
        ]
        for _, rank, start_ns in sorted(due):
            node = self._nodes[rank]
            del self._untold[node.name, start_ns]
            bar = node.kept.get(start_ns)
            assert bar is not None  # noqa: S101 - nothing untold is beyond the horizon
            self._tell(node, bar, closed)

    def _tell(self, node: Node, bar: Bar, closed: list[Bar]) -> None:
        """Hand a bar out, and before it those of the intervals that were passed without one."""
        node.told_ns = min(node.told_ns, bar.ts_open)
        if self._policy.carry_max and (node.told is None or bar.ts_open >= node.told.ts_end):
            self._carry(node, bar.ts_open, closed)
            node.told, node.flats = bar, 0
        closed.append(bar)

    def _carry_all(self, ts_ns: int, closed: list[Bar]) -> None:
        """Repeat closes up to the intervals of a print, but not before what is not told yet."""
        for node in self._nodes:
            untold_ns = [start_ns for name, start_ns in self._untold if name == node.name]
            start_ns = self._grid.interval(node.timeframe, ts_ns).start_ns
            self._carry(node, min([start_ns, self._watermark_ns(), *untold_ns]), closed)

    def _carry(self, node: Node, until_ns: int, closed: list[Bar]) -> None:
        """Repeat the last close for intervals that are due by a time (ns UTC)."""
        if node.told is None:
            return
        last = node.kept.get(node.told.ts_open) or node.told
        for flat in flat_bars(self._grid, node.timeframe, last, until_ns):
            if node.flats >= self._policy.carry_max:
                return
            bar = self._judged(flat)
            self._pass(node, bar.ts_end)
            self._keep(node, bar)
            node.told = bar
            node.flats += 1
            closed.append(bar)

    # -- time ------------------------------------------------------------------------------------

    def close_due(self, exchange_now_ns: int) -> list[Bar]:
        """Close every bar that is due at this exchange time (ns UTC), without a later print.

        The caller subtracts the grace it gives to late prints. Prints that come nevertheless,
        below the end of a bar that was closed, revise it.
        """
        closed: list[Bar] = []
        self._tell_due(exchange_now_ns, closed)
        for node in complete(self._nodes):
            if node.due_ns() <= exchange_now_ns:
                self._pass(node, node.end)
                self._hand_out(node, closed, timed=True)
        for node in self._quiet():
            self._carry(node, exchange_now_ns, closed)
        if closed:
            self._bound()
            self._bound_fed()
            closed.sort(key=self._place_in_order)
        return closed

    def _pass(self, node: Node, end_ns: int) -> None:
        """No bar of a node that ends by now is opened any more."""
        node.passed_ns = max(node.passed_ns, end_ns)
        self._passed_ns = max(self._passed_ns, end_ns)

    def due_ns(self) -> int | None:
        """The earliest exchange time (ns UTC) at which a bar is due; None if none is open."""
        ends_ns = [node.due_ns() for node in complete(self._nodes)]
        for node in self._quiet():
            assert node.told is not None  # noqa: S101 - `_quiet` gives no other
            ends_ns.append(next_interval(self._grid, node.timeframe, node.told.ts_end).due_ns)
        return min([*ends_ns, *self._untold.values()], default=None)

    # -- gaps ------------------------------------------------------------------------------------

    def mark(self, gap_id: int, marks: Iterable[Mark]) -> list[Bar]:
        """Learn where prints of a gap may be missing, in place of what was known of it.

        Returns:
            The closed bars of which that changes the worth, told again.
        """
        closed: list[Bar] = []
        self._remark(gap_id, marks, {}, closed)
        return closed

    def repair(
        self, gap_id: int, marks: Iterable[Mark], bars: Iterable[Bar], until_ns: int
    ) -> list[Bar]:
        """Put the gateway's own bars in the place of those in which prints are missing.

        Args:
            gap_id: of the gap that is repaired.
            marks: as for `mark`, after the repair.
            bars: of timeframes of this contract, each on the grid. Those that are not over at
                `until_ns` are left out. One that ends before its interval does is the beginning
                of a bar that forms, and taken where that lacks just this (`lacks`).
            until_ns: event time (ns UTC) that has certainly passed; bars that are due by then
                are closed first.

        Returns:
            The bars that are told: those that were closed, then those that were changed.

        Raises:
            UsageError: a bar is of a timeframe that is not there.
        """
        closed = self.close_due(until_ns)
        for node in self._nodes:
            self._pass(node, self._grid.interval(node.timeframe, until_ns).start_ns)
        by_name = {node.name: node for node in self._nodes}
        given: dict[str, dict[int, Bar]] = {}
        for bar in bars:
            node = by_name.get(bar.timeframe) or self._missing(bar.timeframe)
            interval = self._grid.interval(node.timeframe, bar.ts_open)
            if bar.ts_end < interval.end_ns:
                prefill(node, interval, bar, self._high_ns)
            elif is_over(node, interval, self._high_ns):
                given.setdefault(node.name, {})[bar.ts_open] = bar
        self._remark(gap_id, marks, put(self._nodes, given, self._grid, self._high_ns), closed)
        self._bound()
        self._bound_fed()
        return closed

    def _remark(
        self,
        gap_id: int,
        marks: Iterable[Mark],
        replaced: dict[tuple[str, int], Bar | None],
        closed: list[Bar],
    ) -> None:
        """Change the marks, and tell all bars that are not what they were."""
        mark = len(closed)
        from_ns, to_ns = self._marks.replace(gap_id, marks) or (0, 0)
        for node in self._nodes:
            starts_ns = {bar.ts_open for bar in node.kept.between(from_ns, to_ns)}
            starts_ns |= {start_ns for name, start_ns in replaced if name == node.name}
            # Gathered first, because what is told may be trimmed at once.
            touched = [node.kept.get(start_ns) for start_ns in sorted(starts_ns)]
            told_ns = node.told_ns
            for after in touched:
                assert after is not None  # noqa: S101 - it was found there
                before = replaced.get((node.name, after.ts_open), after)
                if before is None or self._judged(after) != before:
                    self._amend(node, before, after, closed, told_ns=told_ns)
        closed[mark:] = sorted(closed[mark:], key=self._place_in_order)
        for node in self._nodes:
            node.forget_vouched(self._oldest_ns(node))
        self._marks.forget(min(map(self._oldest_ns, self._nodes), default=NEVER_NS))

    def _oldest_ns(self, node: Node) -> int:
        """The open of the oldest bar of a node that may still be told."""
        horizon_ns = self._watermark_ns() - self._policy.horizon_ns
        if horizon_ns <= 0:
            return LONG_AGO_NS
        return self._grid.interval(node.timeframe, horizon_ns).start_ns

    # -- what can be read ------------------------------------------------------------------------

    def forming(self, timeframe: BarSize) -> Bar | None:
        """The forming bar of a timeframe with every print so far, or None if there is none.

        Raises:
            UsageError: the timeframe is not among those of this contract.
        """
        node = next((node for node in self._nodes if node.timeframe == timeframe), None)
        return self._forming(node or self._missing(str(timeframe)))

    def forming_all(self) -> list[Bar]:
        """All bars that were not told yet, small before large; of a timeframe, oldest first."""
        bars: list[Bar] = []
        for node in self._nodes:
            for start_ns in sorted(start for name, start in self._untold if name == node.name):
                over = node.kept.get(start_ns)
                if over is not None:
                    bars.append(msgspec.structs.replace(over, state=_FORMING))
            forming = self._forming(node)
            if forming is not None:
                bars.append(forming)
        return bars

    def _missing(self, timeframe: str) -> Node:
        raise UsageError(f"{self.contract_id} has no bars of {timeframe}")

    def checks(self, accepted_volume: int) -> list[VolumeCheck]:
        """The volume identity of every timeframe.

        Args:
            accepted_volume: sum of the sizes of the contract's accepted prints, in contracts,
                counted where they were accepted: late rows are not among them.
        """
        return [
            node.check(
                accepted_volume,
                below_volume=sum(below.open_volume for below in chain(node.feeder)),
                is_forming=gathered(node, self._grid, self._high_ns) is not None,
            )
            for node in self._nodes
        ]

    def _quiet(self) -> Iterator[Node]:
        """Nodes of which nothing is open, where intervals without a print have bars."""
        for node in self._nodes if self._policy.carry_max else ():
            may_carry = node.told is not None and node.flats < self._policy.carry_max
            if may_carry and not any(each.is_open for each in chain(node)):
                yield node

    def _forming(self, node: Node) -> Bar | None:
        """The open bar with everything below it folded in."""
        bar = gathered(node, self._grid, self._high_ns)
        return None if bar is None else self._judged(bar)

    def _bound(self) -> None:
        """Set the bounds of what needs no decision, after roots' bars opened or closed."""
        low_ns = LONG_AGO_NS
        limit_ns = NEVER_NS if self._roots else LONG_AGO_NS
        for root in self._roots:
            if not root.is_open:
                self._low_ns = self._limit_ns = LONG_AGO_NS
                return
            low_ns = max(root.start, low_ns)
            limit_ns = min(root.end, limit_ns)
        if self._untold:  # a row that moves the watermark over an end tells that bar
            limit_ns = min(limit_ns, min(self._untold.values()) + self._policy.lateness_ns)
        self._low_ns, self._limit_ns = low_ns, limit_ns

    def _bound_fed(self) -> None:
        """Find the earliest end again, after bars of fed nodes closed."""
        self._fed_end_ns = min((node.end for node in self._fed if node.is_open), default=NEVER_NS)

    def _order(self, closed: list[Bar], mark: int) -> None:
        """Put the bars that one event closed in the order of their ends, small before large.

        In a single chain that nothing holds back they are closed in this order.
        """
        policy = self._policy
        is_chain = not (self._branched or policy.lateness_ns or policy.carry_max)
        if not is_chain and len(closed) - mark > 1:
            closed[mark:] = sorted(closed[mark:], key=self._place_in_order)

    def _place_in_order(self, bar: Bar) -> tuple[int, int]:
        return bar.ts_end, self._ranks[bar.timeframe]
