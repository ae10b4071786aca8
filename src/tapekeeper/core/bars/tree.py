"""Which timeframe is made of which smaller one, and how one that is added begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tapekeeper.core.bars.node import Node
from tapekeeper.core.bars.quiet import is_flat
from tapekeeper.model.gap import Span
from tapekeeper.model.session import Interval


def hang(nodes: Sequence[Node], added: Sequence[Node], alignment_ns: int) -> None:
    """Give every node its feeder.

    A node that is there already holds all that its feeder has closed, and nothing of what its
    feeder has open. So it keeps its feeder: moved to a new node it would get what it has twice,
    or never get what is open. Only a root moves, to a new root, which has nothing yet.

    Args:
        nodes: all of a contract, by length.
        added: those of them that are new.
        alignment_ns: see `Timeframe.nests_in`.
    """
    for node in nodes:
        node.fed = []
    for index, node in enumerate(nodes):
        nesting = (
            item
            for item in reversed(nodes[:index])
            if item.timeframe.nests_in(node.timeframe, alignment_ns)
        )
        best = next(nesting, None)
        if node in added or node.feeder is None:
            node.feeder = best
        if node.feeder is not None:
            node.feeder.fed.append(node)


def begin(node: Node, interval: Interval, high_ns: int, *, is_over: bool) -> None:
    """Let an added node begin with what is kept of its first interval.

    Args:
        node: with its feeder.
        interval: of the node, that of the latest print.
        high_ns: event time of that print, ns UTC.
        is_over: whether a timer has closed it.
    """
    node.whole_ns = high_ns + 1
    feeder = node.feeder
    if feeder is None or is_over:
        return
    parts = list(feeder.kept.between(interval.start_ns, interval.end_ns))
    solid = [bar for bar in parts if not is_flat(bar)]
    if solid:
        node.fill(interval, solid)
    from_ns = _holds_from_ns(feeder)
    if from_ns is not None:
        begun_ns = max(from_ns, interval.start_ns)
        node.lacks = Span(interval.start_ns, begun_ns)
        node.whole_ns = max(begun_ns, feeder.whole_ns)


def _holds_from_ns(node: Node) -> int | None:
    """The open of the earliest bar that a node has, or will have by what is open below it."""
    oldest_ns = node.kept.oldest_ns
    if oldest_ns is None and node.is_open:
        return node.start
    if oldest_ns is None and node.lacks is not None:  # it was added just before
        return node.lacks.from_ns
    return oldest_ns


def chain(node: Node | None) -> Iterator[Node]:
    """A node and everything it is fed through, down to the root."""
    while node is not None:
        yield node
        node = node.feeder
