"""Which timeframe is made of which, and how an added one begins."""

from __future__ import annotations

from tapekeeper.core.bars.node import Node
from tapekeeper.core.bars.tree import begin, chain, hang
from tapekeeper.model.bar import Bar
from tapekeeper.model.gap import Span
from tapekeeper.model.session import Interval
from tapekeeper.model.timeframe import SECOND_NS, Timeframe

S = SECOND_NS


def nodes(*names: str) -> list[Node]:
    """By length."""
    return [Node("X", each) for each in sorted(map(Timeframe.parse, names))]


def shape(all_nodes: list[Node]) -> dict[str, str | None]:
    """Each timeframe with its feeder."""
    return {node.name: node.feeder.name if node.feeder else None for node in all_nodes}


def test_each_hangs_from_the_largest_that_nests() -> None:
    """And what nests in none takes prints itself."""
    made = nodes("1s", "1m", "5m", "7m", "1h")
    hang(made, made, 60 * S)
    assert shape(made) == {"1s": None, "1m": "1s", "5m": "1m", "7m": "1m", "1h": "5m"}
    assert [node.name for node in chain(made[-1])] == ["1h", "5m", "1m", "1s"]
    assert list(chain(None)) == []


def test_what_is_there_keeps_its_feeder_and_a_root_moves_to_a_new_root() -> None:
    """What a larger bar has already would come to it twice by way of a new one between."""
    made = nodes("1m", "1h")
    hang(made, made, 60 * S)
    added = nodes("1s", "5m")
    every = sorted([*made, *added], key=lambda node: node.timeframe)
    hang(every, added, 60 * S)
    assert shape(every) == {"1s": None, "1m": "1s", "5m": "1m", "1h": "1m"}
    assert [node.name for node in made[0].fed] == ["5m", "1h"]


def closed(second: int, volume: int) -> Bar:
    """A bar of ten seconds."""
    start_ns = second * S
    return Bar("X", "10s", start_ns, start_ns + 10 * S, 1.0, 1.0, 1.0, 1.0, volume, 1, 0, 0,
               start_ns + 1, start_ns + 1)  # fmt: skip


def test_an_added_one_begins_with_what_is_kept() -> None:
    """It is whole from there on, or from the begin of its interval, and knows what it lacks."""
    minute = Interval(0, 60 * S, 60 * S)
    for oldest, whole_ns in ((0, 0), (10, 10 * S)):
        made = nodes("10s", "1m")
        hang(made, made, 60 * S)
        small, large = made
        for second in range(oldest, 30, 10):
            small.kept.put(closed(second, 5))
        begin(large, minute, 30 * S, is_over=False)
        assert (large.open_volume, large.whole_ns) == (15 - oldest // 2, whole_ns)
        assert large.lacks == Span(0, oldest * S)


def test_one_that_is_over_or_has_nothing_below_begins_with_nothing() -> None:
    """The next print is its first."""
    made = nodes("10s", "1m")
    hang(made, made, 60 * S)
    made[0].kept.put(closed(0, 5))
    for node, is_over in ((made[0], False), (made[1], True)):
        begin(node, Interval(0, 60 * S, 60 * S), 30 * S, is_over=is_over)
        assert (node.is_open, node.whole_ns, node.lacks) == (False, 30 * S + 1, None)


def test_one_above_another_that_is_new_begins_where_that_does() -> None:
    """Whether that has an open bar yet or not; what that lacks is its own."""
    for oldest, has_open in ((30, True), (70, False)):
        made = nodes("10s", "1m", "1h")
        hang(made, made, 60 * S)
        small, middle, large = made
        for second in range(30 if has_open else 130, 140, 10):
            small.kept.put(closed(second, 5))
        minute = Interval(oldest // 60 * 60 * S, (oldest // 60 + 1) * 60 * S, 0)
        begin(middle, minute, 140 * S, is_over=False)
        begin(large, Interval(0, 3_600 * S, 0), 140 * S, is_over=False)
        assert middle.lacks is not None
        assert large.lacks == Span(0, minute.start_ns)
        assert large.whole_ns == max(minute.start_ns, middle.whole_ns)
