"""The closed bars that may still be amended: what is found, and what is forgotten."""

from __future__ import annotations

from tapekeeper.core.bars.kept import Kept
from tapekeeper.model.bar import Bar


def bar(ts_open: int) -> Bar:
    """A bar of ten nanoseconds."""
    return Bar("X", "1s", ts_open, ts_open + 10, 1.0, 1.0, 1.0, 1.0, 1, 1, 0, 0, ts_open, ts_open)


def test_bars_of_an_interval_come_in_order() -> None:
    """Those that touch it, wherever they were added; its end is exclusive."""
    kept = Kept()
    for start in (0, 30, 20, 10):
        assert not kept.put(bar(start))
    assert [each.ts_open for each in kept.between(9, 30)] == [0, 10, 20]
    assert list(kept.between(10, 10)) == []
    assert (kept.get(30), kept.get(31)) == (bar(30), None)


def test_what_is_kept_is_at_most_twice_what_is_needed() -> None:
    """`put` says when to trim, so the cost of trimming does not grow with what is kept."""
    kept = Kept()
    trims = most = 0
    for number in range(10_000):
        if kept.put(bar(10 * number)):
            kept.trim(10 * (number - 299))
            trims += 1
        most = max(most, len(kept))
    assert most < 2 * 301
    assert trims < 10_000 / 290
    assert kept.get(10 * 9_999) is not None
