"""What the bars that are open come to, with everything below them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tapekeeper.core.bars.node import Node, with_bar
from tapekeeper.core.bars.tree import chain
from tapekeeper.core.bars.values import Grid
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.session import Interval

_FORMING = BarState.FORMING


def is_over(node: Node, interval: Interval, high_ns: int) -> bool:
    """Whether no bar of this interval is opened any more, with `high_ns` the latest event time."""
    return interval.end_ns <= high_ns or interval.end_ns <= node.passed_ns


def gathered(node: Node, grid: Grid, high_ns: int) -> Bar | None:
    """The open bar of a node with what is open below it folded in."""
    below = None if node.feeder is None else gathered(node.feeder, grid, high_ns)
    if below is None:
        return node.bar(_FORMING) if node.is_open else None
    interval = grid.interval(node.timeframe, below.ts_first)
    if is_over(node, interval, high_ns):
        # A timer has closed it, and a print came nevertheless; it is revised when that of
        # the smaller bar is over.
        return node.bar(_FORMING) if node.is_open else None
    return with_bar(node, interval, below, _FORMING)


def complete(nodes: Iterable[Node]) -> Iterator[Node]:
    """Nodes with an open bar and no open bar below it, in their order.

    Only of these are the times of the last prints known; a bar above an open one is never
    due before it.
    """
    for node in nodes:
        if node.is_open and not any(below.is_open for below in chain(node.feeder)):
            yield node
