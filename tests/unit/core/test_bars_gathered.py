"""What is open, with what is open below it."""

from __future__ import annotations

from tapekeeper.core.bars.gathered import complete, gathered, is_over
from tapekeeper.core.bars.node import Node
from tapekeeper.core.bars.tree import hang
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.session import Interval
from tapekeeper.model.timeframe import SECOND_NS, Timeframe

S = SECOND_NS
ALWAYS = calendar_by_name("24x7")


def made(*names: str) -> list[Node]:
    """Nodes that hang from each other, by length."""
    nodes = [Node("X", each) for each in sorted(map(Timeframe.parse, names))]
    hang(nodes, nodes, 60 * S)
    return nodes


def test_an_open_bar_is_gathered_from_all_below_it() -> None:
    """A larger bar that has nothing itself yet is what the smallest one has."""
    small, middle, large = made("1s", "1m", "1h")
    small.begin(Interval(0, S, S), (0, 5, 10.0, 3, 0))
    bar = gathered(large, ALWAYS, 5)
    assert bar is not None
    assert (bar.timeframe, bar.ts_open, bar.ts_end, bar.volume) == ("1h", 0, 3_600 * S, 3)
    assert not large.is_open
    assert gathered(middle, ALWAYS, 90 * S) is None  # that minute is over


def test_a_bar_is_over_by_a_print_or_by_a_timer() -> None:
    """Whichever comes first."""
    (node,) = made("1s")
    interval = Interval(0, S, S)
    assert not is_over(node, interval, S - 1)
    assert is_over(node, interval, S)
    node.passed_ns = S
    assert is_over(node, interval, 0)


def test_only_bars_above_no_open_one_are_complete() -> None:
    """Of the others the last prints are not known yet."""
    small, large = made("1s", "1m")
    small.begin(Interval(0, S, S), (0, 5, 10.0, 3, 0))
    large.begin(Interval(0, 60 * S, 60 * S), (0, 1, 10.0, 3, 0))
    assert list(complete([small, large])) == [small]
    small.shut()
    assert list(complete([small, large])) == [large]
