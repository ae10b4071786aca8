"""The window of recent closed bars."""

from __future__ import annotations

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
