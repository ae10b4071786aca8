"""The scalar cascade: all bars of one contract from one pass over its prints.

Only the smallest bars take prints. A bar that closes is folded into the larger ones that hang
from it, so that a print costs the same however many timeframes there are. Each timeframe hangs
from the largest smaller one that nests in it; one in which none nests (5m beside 7m) is a
further root, which takes prints as well.

Invariants, with `high` the largest event time seen and `floor` the largest end of a closed bar:
- every open bar ends after `high`, so a root's open bar lies within the open bars above it;
- a print below `floor` is late and folded nowhere, so no closed bar can change;
- what is folded into a node covers later time than all that was folded into it before, except
  into a node that was a root until a smaller timeframe was added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tapekeeper.core.bars.node import Node, Row, with_bar
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.session import Interval
from tapekeeper.model.snapshot import VolumeCheck
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe

_NEVER_NS = 1 << 63
_LONG_AGO_NS = -_NEVER_NS
# Bound once: reading a member off its enumeration costs as much as folding a print.
_FORMING, _CLOSED = BarState.FORMING, BarState.CLOSED


class Grid(Protocol):
    """Says which interval a bar covers; a session calendar does.

    Where one timeframe nests in another, its bars' due times must not be later than those of the
    bar around them.
    """

    @property
    def alignment_ns(self) -> int:
        """A length that divides every session open, counted from 1970-01-01T00:00:00Z."""
        ...

    def interval(self, timeframe: Timeframe, ts_ns: int) -> Interval:
        """The interval of the bar of `timeframe` that a print at `ts_ns` belongs to."""
        ...


@dataclass(slots=True)
class Folded:
    """What folding a batch brought.

    Attributes:
        closed: bars that it closed, in the order of their ends, small before large.
        late: indexes of rows below the end of a bar that has closed; they were not folded.
    """

    closed: list[Bar]
    late: list[int]


class ContractBars:
    """All bars of one contract."""

    def __init__(self, contract_id: str, timeframes: Iterable[Timeframe], grid: Grid) -> None:
        self.contract_id = contract_id
        self._grid = grid
        self._nodes: list[Node] = []  # by length, so a feeder comes before what it feeds
        self._roots: list[Node] = []
        self._fed: list[Node] = []
        self._ranks: dict[str, int] = {}
        self._branched = False
        self._high_ns = self._floor_ns = _LONG_AGO_NS
        # Rows in [low, limit) lie within the open bars of all roots and need no decision.
        self._low_ns = self._limit_ns = _LONG_AGO_NS
        self._fed_end_ns = _NEVER_NS  # the earliest end of an open bar of `_fed`
        self.add(timeframes)

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """The timeframes, by length."""
        return tuple(node.timeframe for node in self._nodes)

    @property
    def floor_ns(self) -> int | None:
        """Prints below this event time (ns UTC) are late; None while no bar has closed."""
        return None if self._floor_ns == _LONG_AGO_NS else self._floor_ns

    def add(self, timeframes: Iterable[Timeframe], accepted_volume: int = 0) -> None:
        """Add timeframes; those that are there already are left as they are.

        Existing bars do not change. A new timeframe's first bar starts from what the forming
        bars below it know, and so may lack the beginning of its interval.

        Args:
            timeframes: any.
            accepted_volume: the contract's accepted volume so far (as for `checks`).
        """
        have = set(self.timeframes)
        added = [Node(self.contract_id, item) for item in set(timeframes) - have]
        self._nodes = sorted([*self._nodes, *added], key=lambda node: node.timeframe)
        self._hang(added)
        forming = {bar.timeframe: bar.volume for bar in self.forming_all()}
        for node in added:
            node.count_from(accepted_volume - forming.get(node.name, 0))

    def _hang(self, added: list[Node]) -> None:
        """Give every node its feeder.

        A node that is there already holds all that its feeder has closed, and nothing of what
        its feeder has open. So it moves only to a new node through which its old feeder's open
        bar will come (or, as a root, to where nothing is open yet); moved elsewhere (60s from 2s
        to a new 3s) it would lose that bar.
        """
        alignment_ns = self._grid.alignment_ns
        for node in self._nodes:
            node.fed = []
        for index, node in enumerate(self._nodes):
            nesting = (
                item
                for item in reversed(self._nodes[:index])
                if item.timeframe.nests_in(node.timeframe, alignment_ns)
            )
            best = next(nesting, None)
            if node in added or node.feeder is None or node.feeder in _chain(best):
                node.feeder = best
            if node.feeder is not None:
                node.feeder.fed.append(node)
        self._roots = [node for node in self._nodes if node.feeder is None]
        self._fed = [node for node in self._nodes if node.feeder is not None]
        self._ranks = {node.name: rank for rank, node in enumerate(self._nodes)}
        self._branched = len(self._roots) > 1 or any(len(node.fed) > 1 for node in self._nodes)
        self._bound()
        self._bound_fed()

    def fold(self, batch: TradeBatch) -> Folded:
        """Fold a batch of this contract's prints, in arrival order."""
        if batch.contract_id != self.contract_id:
            raise ValueError(f"prints of {batch.contract_id} in the bars of {self.contract_id}")
        closed: list[Bar] = []
        late: list[int] = []
        if len(batch) == 1 and self._low_ns <= batch.ts_event[0] < self._limit_ns:
            self._fold_one(batch)
        elif self._roots:
            self._fold_rows(batch, closed, late)
        return Folded(closed, late)

    def _fold_one(self, batch: TradeBatch) -> None:
        """Fold a single print within the open bars: what most batches of a quiet market are."""
        row = (0, batch.ts_event[0], batch.price[0], batch.size[0], batch.side[0])
        for root in self._roots:
            root.take_one(row)
        self._high_ns = max(self._high_ns, row[1])

    def _fold_rows(self, batch: TradeBatch, closed: list[Bar], late: list[int]) -> None:
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
                ts_ns = times[ended]
                if ts_ns < self._floor_ns:
                    late.append(ended)
                else:
                    row = (ended, ts_ns, prices[ended], sizes[ended], sides[ended])
                    self._turn(row, closed)
            first = ended + 1

    def close_due(self, exchange_now_ns: int) -> list[Bar]:
        """Close every bar that is due at this exchange time (ns UTC), without a later print.

        The caller subtracts the grace it gives to late prints. Prints that come nevertheless,
        below the end of a bar that was closed, are late.
        """
        closed: list[Bar] = []
        for node in self._complete():
            if node.due_ns() <= exchange_now_ns:
                self._hand_out(node, node.shut(), closed)
        if closed:
            self._bound()
            self._bound_fed()
            self._order(closed, 0)
        return closed

    def due_ns(self) -> int | None:
        """The earliest exchange time (ns UTC) at which a bar is due; None if none is open."""
        return min((node.due_ns() for node in self._complete()), default=None)

    def forming(self, timeframe: Timeframe) -> Bar | None:
        """The forming bar of a timeframe with every print so far, or None if there is none.

        Raises:
            UsageError: the timeframe is not among those of this contract.
        """
        node = next((node for node in self._nodes if node.timeframe == timeframe), None)
        if node is None:
            raise UsageError(f"{self.contract_id} has no bars of {timeframe}")
        return self._forming(node)

    def forming_all(self) -> list[Bar]:
        """The forming bars of all timeframes that have one, small before large."""
        bars = (self._forming(node) for node in self._nodes)
        return [bar for bar in bars if bar is not None]

    def checks(self, accepted_volume: int) -> list[VolumeCheck]:
        """The volume identity of every timeframe.

        Args:
            accepted_volume: sum of the sizes of the contract's accepted prints, in contracts,
                counted where they were accepted: late rows are not among them.
        """
        return [node.check(accepted_volume, self._forming(node)) for node in self._nodes]

    def _turn(self, row: Row, closed: list[Bar]) -> None:
        """Take a row that is not within the open bars of all roots, and not late."""
        ts_ns = row[1]
        mark = len(closed)
        if ts_ns < self._high_ns:
            self._take_early(row, closed)
            self._close_over(self._roots, closed)
            self._bound()
        else:
            self._high_ns = ts_ns
            self._take_latest(row, closed)
        if self._fed_end_ns <= self._high_ns:
            self._close_over(self._fed, closed)
            self._bound_fed()
        if self._floor_ns > self._low_ns:
            self._bound()
        self._order(closed, mark)

    def _take_latest(self, row: Row, closed: list[Bar]) -> None:
        """Take a row than which none is later: close what it ends, and begin with it."""
        ts_ns = row[1]
        low_ns, limit_ns = _LONG_AGO_NS, _NEVER_NS
        for root in self._roots:
            if root.n and ts_ns < root.end:
                root.take_one(row)
            else:
                if root.n:
                    self._hand_out(root, root.shut(), closed)
                root.begin(self._grid.interval(root.timeframe, ts_ns), row)
            low_ns = max(low_ns, root.start)
            limit_ns = min(limit_ns, root.end)
        self._low_ns, self._limit_ns = low_ns, limit_ns

    def _take_early(self, row: Row, closed: list[Bar]) -> None:
        """Take a row that is earlier than an open bar, in an interval that no bar has closed.

        Its own bar is over as soon as it is there, because a later print has been seen.
        """
        ts_ns = row[1]
        for root in self._roots:
            if root.n and root.start <= ts_ns:
                root.take_one(row)
                continue
            interval = self._grid.interval(root.timeframe, ts_ns)
            if interval.end_ns > self._high_ns:
                root.begin(interval, row)
            else:
                alone = Node(self.contract_id, root.timeframe)
                alone.begin(interval, row)
                early = alone.bar(_CLOSED)
                root.count(early)
                self._hand_out(root, early, closed)

    def _close_over(self, nodes: list[Node], closed: list[Bar]) -> None:
        """Close the bars of these nodes that end at or before the largest event time."""
        for node in nodes:
            if node.n and node.end <= self._high_ns:
                self._hand_out(node, node.shut(), closed)

    def _hand_out(self, node: Node, bar: Bar, closed: list[Bar]) -> None:
        """Give out a closed bar, and fold it into the nodes that hang from its own."""
        closed.append(bar)
        self._floor_ns = max(self._floor_ns, bar.ts_end)
        for fed in node.fed:
            if fed.n and bar.ts_first >= fed.start:
                fed.absorb(bar)
                continue
            interval = self._grid.interval(fed.timeframe, bar.ts_first)
            if fed.n:  # an early bar, below the open one of a node that was a root
                early = with_bar(fed, interval, bar, _CLOSED)
                fed.count(early)
                self._hand_out(fed, early, closed)
            else:
                fed.begin_from(interval, bar)
                self._fed_end_ns = min(self._fed_end_ns, fed.end)

    def _complete(self) -> Iterator[Node]:
        """Nodes with an open bar and no open bar below it, small before large.

        Only of these are the times of the last prints known; a bar above an open one is never
        due before it.
        """
        for node in self._nodes:
            if node.n and not any(below.n for below in _chain(node.feeder)):
                yield node

    def _forming(self, node: Node) -> Bar | None:
        below = None if node.feeder is None else self._forming(node.feeder)
        if below is None:
            return node.bar(_FORMING) if node.n else None
        interval = self._grid.interval(node.timeframe, below.ts_first)
        return with_bar(node, interval, below, _FORMING)

    def _bound(self) -> None:
        """Set the bounds of what needs no decision, after roots' bars opened or closed."""
        low_ns = self._floor_ns
        limit_ns = _NEVER_NS if self._roots else _LONG_AGO_NS
        for root in self._roots:
            if not root.n:
                self._low_ns = self._limit_ns = _LONG_AGO_NS
                return
            low_ns = max(root.start, low_ns)
            limit_ns = min(root.end, limit_ns)
        self._low_ns, self._limit_ns = low_ns, limit_ns

    def _bound_fed(self) -> None:
        """Find the earliest end again, after bars of fed nodes closed."""
        self._fed_end_ns = min((node.end for node in self._fed if node.n), default=_NEVER_NS)

    def _order(self, closed: list[Bar], mark: int) -> None:
        """Put the bars that one event closed in the order of their ends, small before large.

        In a single chain they are closed in this order.
        """
        if self._branched and len(closed) - mark > 1:
            ranks = self._ranks
            closed[mark:] = sorted(
                closed[mark:], key=lambda bar: (bar.ts_end, ranks[bar.timeframe])
            )


def _chain(node: Node | None) -> Iterator[Node]:
    """A node and everything it is fed through, down to the root."""
    while node is not None:
        yield node
        node = node.feeder
