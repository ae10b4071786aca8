"""What the gateway's history puts in the place of bars, and what is made anew of it above them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tapekeeper.core.bars.gathered import is_over
from tapekeeper.core.bars.node import Node, joined
from tapekeeper.core.bars.quiet import is_flat, traded
from tapekeeper.core.bars.values import Grid
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.gap import Lack, Span
from tapekeeper.model.session import Interval


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
            parts = _parts(node, interval)
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


def _parts(node: Node, interval: Interval) -> list[Bar]:
    """What a bar of a node is made of, as far as it is there."""
    assert node.feeder is not None  # noqa: S101 - only what is fed is made of parts
    prefix, lacks = node.prefix, node.lacks
    within = node.feeder.kept.between(interval.start_ns, interval.end_ns)
    parts = [bar for bar in within if not is_flat(bar)]
    if prefix is not None and prefix.ts_open == interval.start_ns:
        return [prefix, *(bar for bar in parts if bar.ts_open >= prefix.ts_end)]
    if lacks is not None and lacks.from_ns == interval.start_ns:
        # What its feeder has not had until now, history may have given it.
        oldest_ns = node.feeder.kept.oldest_ns
        if oldest_ns is not None and oldest_ns < lacks.to_ns:
            node.lacks = Span(lacks.from_ns, max(lacks.from_ns, oldest_ns))
            node.made_whole()
    return parts


def prefill(node: Node, interval: Interval, bar: Bar, high_ns: int) -> None:
    """Put what history has of the beginning of the open bar into it, if that is what it lacks.

    Args:
        node: whose bar it is.
        interval: that of the bar.
        bar: over the beginning of it.
        high_ns: the latest event time.
    """
    lacks = Span(bar.ts_open, bar.ts_end)
    if node.lacks == lacks and node.prefix is None and not is_over(node, interval, high_ns):
        node.prefill(interval, bar)


def lack_of(node: Node, grid: Grid, high_ns: int) -> Lack | None:
    """What the bar that forms lacks of its beginning; None if that cannot be filled in."""
    lacks, feeder = node.lacks, node.feeder
    if lacks is None or feeder is None:
        return None
    interval = grid.interval(node.timeframe, lacks.from_ns)
    if is_over(node, interval, high_ns):
        return None
    begun_ns = lacks.from_ns if node.prefix is not None else lacks.to_ns
    return Lack(
        lacks.from_ns,
        begun_ns,
        interval.end_ns,
        feeder.name,
        goes_on=feeder.whole_ns <= max(lacks.from_ns, lacks.to_ns),
    )
