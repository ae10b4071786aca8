"""What the gateway's history puts in the place of bars, and what is made anew of it above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tapekeeper.core.bars.gathered import is_over
from tapekeeper.core.bars.node import Node, joined
from tapekeeper.core.bars.quiet import is_flat, traded
from tapekeeper.core.bars.values import Grid
from tapekeeper.model.bar import Bar, BarState


def put(
    nodes: Sequence[Node], given: Mapping[str, Mapping[int, Bar]], grid: Grid, high_ns: int
) -> dict[tuple[str, int], Bar | None]:
    """Replace closed bars, and make those above anew; what was in the place of each.

    Args:
        nodes: all of a contract, by length.
        given: closed bars by timeframe and open.
        grid: says which interval a bar covers.
        high_ns: the latest event time.
    """
    replaced: dict[tuple[str, int], Bar | None] = {}
    anew: dict[str, set[int]] = {}  # opens of bars whose parts changed
    for node in nodes:
        new = dict(given.get(node.name, {}))
        for start_ns in sorted(anew.get(node.name, set()) - set(new)):
            interval = grid.interval(node.timeframe, start_ns)
            assert node.feeder is not None  # noqa: S101 - only what is fed is made of parts
            within = node.feeder.kept.between(interval.start_ns, interval.end_ns)
            parts = [bar for bar in within if not is_flat(bar)]
            if is_over(node, interval, high_ns):
                new[start_ns] = joined(node, interval, parts, BarState.CLOSED)
            else:
                node.rebuild(interval, parts)
        for start_ns, bar in sorted(new.items()):
            before = node.kept.get(start_ns)
            node.count_backfill(traded(before), bar)
            if start_ns in given.get(node.name, ()):
                node.vouched.add(start_ns)
            # Nothing is trimmed before the bars above are made.
            node.kept.put(bar)
            replaced[node.name, start_ns] = before
            for fed in node.fed:
                above = grid.interval(fed.timeframe, start_ns)
                if above.start_ns >= node.whole_ns:  # else parts of it were never here
                    anew.setdefault(fed.name, set()).add(above.start_ns)
    return replaced
