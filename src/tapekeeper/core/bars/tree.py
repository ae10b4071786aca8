"""Which timeframe is made of which smaller one, and how one that is added begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tapekeeper.core.bars.node import Node
from tapekeeper.core.bars.quiet import is_flat
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
    if node.feeder is None or is_over:
        return
    parts = list(node.feeder.kept.between(interval.start_ns, interval.end_ns))
    solid = [bar for bar in parts if not is_flat(bar)]
    if solid:
        node.fill(interval, solid)
    oldest_ns = node.feeder.kept.oldest_ns
    begun_ns = oldest_ns if oldest_ns is not None else node.feeder.start
    if max(begun_ns, node.feeder.whole_ns) <= interval.start_ns:
        node.whole_ns = interval.start_ns


def chain(node: Node | None) -> Iterator[Node]:
    """A node and everything it is fed through, down to the root."""
    while node is not None:
        yield node
        node = node.feeder
