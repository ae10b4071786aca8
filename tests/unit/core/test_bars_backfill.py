"""The gateway's bars in the place of ours, and what is made anew of them."""

from __future__ import annotations

from tapekeeper.core.bars.backfill import put
from tapekeeper.core.bars.node import Node
from tapekeeper.core.bars.tree import hang
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.bar import Bar
from tapekeeper.model.session import Interval
from tapekeeper.model.timeframe import SECOND_NS, Timeframe

S = SECOND_NS
ALWAYS = calendar_by_name("24x7")


def made(*names: str) -> list[Node]:
    """Nodes that hang from each other, by length."""
    nodes = [Node("X", each) for each in sorted(map(Timeframe.parse, names))]
    hang(nodes, nodes, 60 * S)
    return nodes


def second(start_s: int, volume: int) -> Bar:
    """A bar of a second."""
    start_ns = start_s * S
    return Bar("X", "1s", start_ns, start_ns + S, 1.0, 2.0, 1.0, 1.0, volume, 1, 0, 0,
               start_ns, start_ns + S - 1)  # fmt: skip


def test_a_bar_takes_the_place_of_ours_and_the_larger_one_is_made_anew() -> None:
    """What was there is told, and the gateway's own is vouched for."""
    small, large = made("1s", "1m")
    small.kept.put(second(1, 5))
    large.fill(Interval(0, 60 * S, 60 * S), [second(1, 5)])
    given = {"1s": {2 * S: second(2, 7), S: second(1, 6)}}
    assert put([small, large], given, ALWAYS, 30 * S) == {
        ("1s", S): second(1, 5),
        ("1s", 2 * S): None,
    }
    assert small.vouched == {S, 2 * S}
    assert (large.open_volume, large.kept.get(0)) == (13, None)


def test_a_larger_bar_that_is_over_is_told_anew() -> None:
    """It is made of the smaller ones that are kept."""
    small, large = made("1s", "1m")
    small.kept.put(second(1, 5))
    replaced = put([small, large], {"1s": {2 * S: second(2, 7)}}, ALWAYS, 60 * S)
    assert replaced == {("1s", 2 * S): None, ("1m", 0): None}
    whole = large.kept.get(0)
    assert whole is not None
    assert (whole.volume, whole.ts_end) == (12, 60 * S)


def test_a_larger_bar_of_which_parts_were_never_here_is_left_alone() -> None:
    """Made anew it would lose what it has."""
    small, large = made("1s", "1m")
    small.whole_ns = S
    large.fill(Interval(0, 60 * S, 60 * S), [second(0, 5)])
    put([small, large], {"1s": {2 * S: second(2, 7)}}, ALWAYS, 30 * S)
    assert large.open_volume == 5
