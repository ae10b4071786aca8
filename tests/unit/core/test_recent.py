"""The window of recent closed bars."""

from __future__ import annotations

import msgspec

from tapekeeper.core.recent import RecentBars, RecentQuotes
from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import Quote


def bar(contract_id: str, timeframe: str, ts_open: int) -> Bar:
    """A bar that differs only in its key."""
    return Bar(
        contract_id,
        timeframe,
        ts_open,
        ts_open + 1,
        1.0,
        1.0,
        1.0,
        1.0,
        1,
        1,
        0,
        0,
        ts_open,
        ts_open,
    )


def test_bars_of_one_nanosecond_are_told_apart_by_their_ordinal() -> None:
    """Each is kept, in their order, and the last word on one takes its place."""
    recent = RecentBars(3)
    bars = [msgspec.structs.replace(bar("A", "1renko", 7), ordinal=n) for n in (0, 2, 1, 3)]
    recent.add([*bars, msgspec.structs.replace(bars[1], revision=1)])
    kept = recent.of("A", "1renko")
    assert [(each.ordinal, each.revision) for each in kept] == [(1, 0), (2, 1), (3, 0)]


def test_each_contract_and_timeframe_keeps_its_newest() -> None:
    """The bound holds per key, and the oldest go first."""
    recent = RecentBars(2)
    recent.add([bar("A", "1s", n) for n in range(5)])
    recent.add([bar("B", "1s", 9), bar("A", "1m", 7)])
    assert [each.ts_open for each in recent.of("A", "1s")] == [3, 4]
    assert [each.ts_open for each in recent.of("B", "1s")] == [9]
    assert recent.of("B", "1m") == ()
    assert [each.ts_open for each in recent.all()] == [3, 4, 9, 7]


def test_each_contract_keeps_its_newest_quotes_and_the_others_are_counted() -> None:
    """Every accepted quote is a row of its own; what the window has lost is told."""
    recent = RecentQuotes(2)
    recent.add([Quote("A", 1, 1, seq) for seq in range(5)])
    recent.add([Quote("B", 1, 1, 9)])
    assert [quote.seq for quote in recent.of("A")] == [3, 4]
    assert [quote.seq for quote in recent.of("B")] == [9]
    assert recent.of("C") == ()
    assert recent.forgotten == 3


def test_a_revision_takes_the_place_of_what_was_told_before() -> None:
    """The last word on a bar is read where the first one stood."""
    recent = RecentBars(3)
    recent.add([bar("A", "1s", n) for n in (1, 2, 3)])
    revised = msgspec.structs.replace(bar("A", "1s", 2), revision=1, close=9.0)
    recent.add([revised])
    assert recent.of("A", "1s") == (bar("A", "1s", 1), revised, bar("A", "1s", 3))
    assert recent.count("A", "1s") == 3


def test_a_bar_that_comes_late_stands_where_it_belongs() -> None:
    """Also where that makes another one the oldest, which goes first."""
    recent = RecentBars(3)
    recent.add([bar("A", "1s", n) for n in (1, 5, 3)])
    assert [each.ts_open for each in recent.of("A", "1s")] == [1, 3, 5]
    recent.add([bar("A", "1s", 2), bar("A", "1s", 4)])
    assert [each.ts_open for each in recent.all()] == [3, 4, 5]
    assert RecentBars().count("A", "1s") == 0


def test_without_a_bound_everything_is_kept() -> None:
    """A replay reads the last word on every bar at its end."""
    recent = RecentBars()
    recent.add([bar("A", "1s", n) for n in range(50_000)])
    assert recent.count("A", "1s") == 50_000


def test_a_window_of_quotes_that_shrinks_forgets_the_oldest_at_once() -> None:
    """And counts them; it may grow again."""
    recent = RecentQuotes(5)
    recent.add([Quote("A", 1, 1, seq) for seq in range(5)])
    recent.limit(2)
    assert [quote.seq for quote in recent.of("A")] == [3, 4]
    assert recent.forgotten == 3
    recent.limit(3)
    recent.add([Quote("A", 1, 1, seq) for seq in (5, 6)])
    assert [quote.seq for quote in recent.of("A")] == [4, 5, 6]
    assert recent.forgotten == 4
