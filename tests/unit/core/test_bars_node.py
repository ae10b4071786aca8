"""One open bar: how prints and smaller bars come into it, and when it is due."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from tapekeeper.core.bars.node import Node, Row, with_bar
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.session import Interval
from tapekeeper.model.timeframe import Timeframe

MINUTE = Timeframe.parse("1m")
SPAN = Interval(0, 100, 60)
ROWS: tuple[Row, ...] = ((0, 10, 5.0, 1, 0), (1, 20, 9.0, 2, 1), (2, 15, 3.0, 4, -1))


def node_with(*rows: Row) -> Node:
    """A node whose open bar holds these prints."""
    node = Node("X", MINUTE)
    node.begin(SPAN, rows[0])
    for row in rows[1:]:
        node.take_one(row)
    return node


@pytest.mark.parametrize("rows", list(permutations(ROWS)))
def test_a_run_and_single_prints_make_the_same_bar(rows: tuple[Row, ...]) -> None:
    """`take` and `take_one` are two writings of one rule."""
    run = Node("X", MINUTE)
    run.begin(SPAN, rows[0])
    numbered = [(index, *row[1:]) for index, row in enumerate(rows)]
    assert run.take(iter(numbered[1:]), 1, 3, 0, 100) == 3
    assert run.bar(BarState.FORMING) == node_with(*rows).bar(BarState.FORMING)


@pytest.mark.parametrize(("ts_ns", "ended"), [(99, 2), (100, 1), (4, 1), (5, 2)])
def test_a_run_ends_at_a_row_out_of_bounds(ts_ns: int, ended: int) -> None:
    """The row below the lower or at the upper bound is named and not folded."""
    node = node_with(ROWS[0])
    assert node.take(iter([(1, ts_ns, 7.0, 1, 0)]), 1, 2, 5, 100) == ended
    assert node.n == ended


def part(ts_first: int, ts_last: int, opened: float, close: float) -> Bar:
    """A smaller bar of two prints."""
    high, low = max(opened, close), min(opened, close)
    return Bar("X", "1s", ts_first, ts_last + 1, opened, high, low, close, 2, 2, 1, 1,
               ts_first, ts_last)  # fmt: skip


@pytest.mark.parametrize(
    ("bar", "opened", "close"),
    [
        (part(30, 40, 4.0, 6.0), 5.0, 6.0),
        (part(2, 4, 4.0, 6.0), 4.0, 9.0),
        (part(2, 40, 4.0, 6.0), 4.0, 6.0),
        (part(12, 14, 4.0, 6.0), 5.0, 9.0),
        (part(10, 20, 4.0, 6.0), 5.0, 6.0),
    ],
)
def test_times_decide_whose_open_and_close_count(bar: Bar, opened: float, close: float) -> None:
    """A smaller bar that lies before, after, around or between gives what its times say."""
    node = node_with(ROWS[0], ROWS[1])
    node.absorb(bar)
    whole = node.bar(BarState.FORMING)
    assert (whole.open, whole.close) == (opened, close)
    assert (whole.high, whole.low) == (9.0, 4.0)
    assert (whole.n, whole.volume, whole.buy_vol, whole.sell_vol) == (4, 5, 2, 3)


def test_a_print_at_or_after_the_due_time_defers_it_to_the_end() -> None:
    """A bar with a print after its session's close is due at its end."""
    assert node_with((0, 59, 5.0, 1, 0)).due_ns() == 60
    assert node_with((0, 60, 5.0, 1, 0)).due_ns() == 100


def test_reading_with_another_bar_changes_nothing() -> None:
    """`with_bar` gives a bar that holds both, and the node stays as it was."""
    node = node_with(*ROWS)
    before = node.bar(BarState.FORMING)
    both = with_bar(node, SPAN, part(30, 40, 4.0, 6.0), BarState.FORMING)
    assert (both.n, both.close, both.ts_last) == (5, 6.0, 40)
    assert node.bar(BarState.FORMING) == before


def test_a_bar_of_another_interval_is_not_mixed_in() -> None:
    """With an interval that is not the open one's, the bar stands alone."""
    alone = with_bar(
        node_with(*ROWS), Interval(-100, 0, 0), part(-30, -20, 4.0, 6.0), BarState.CLOSED
    )
    expected = msgspec.structs.replace(
        part(-30, -20, 4.0, 6.0), timeframe="1m", ts_open=-100, ts_end=0
    )
    assert alone == expected


def test_shutting_counts_the_bar() -> None:
    """A closed bar leaves the node empty and stays in its volume."""
    node = node_with(*ROWS)
    bar = node.shut()
    assert (bar.state, node.is_open) == (BarState.CLOSED, False)
    check = node.check(7, below_volume=0, is_forming=False)
    assert (check.bars, check.bar_volume, check.holds) == (1, 7, True)
    node.count_from(3)
    assert node.check(7, below_volume=0, is_forming=False).accepted_volume == 4
