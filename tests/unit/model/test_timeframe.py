"""What a timeframe's text means, and which timeframes nest in which."""

from __future__ import annotations

import pickle

import pytest

from tapekeeper.errors import UsageError
from tapekeeper.model.timeframe import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    SECOND_NS,
    Anchor,
    Timeframe,
    Unit,
)


def tf(text: str) -> Timeframe:
    """A timeframe by its text."""
    return Timeframe.parse(text)


@pytest.mark.parametrize(
    ("text", "count", "unit", "length_ns", "anchor"),
    [
        ("1s", 1, Unit.SECOND, SECOND_NS, Anchor.EPOCH),
        ("15m", 15, Unit.MINUTE, 15 * MINUTE_NS, Anchor.EPOCH),
        ("1h", 1, Unit.HOUR, HOUR_NS, Anchor.EPOCH),
        ("60m", 60, Unit.MINUTE, HOUR_NS, Anchor.EPOCH),
        ("61m", 61, Unit.MINUTE, 61 * MINUTE_NS, Anchor.SESSION),
        ("4h", 4, Unit.HOUR, 4 * HOUR_NS, Anchor.SESSION),
        ("1d", 1, Unit.DAY, DAY_NS, Anchor.DATE),
        ("2w", 2, Unit.WEEK, 14 * DAY_NS, Anchor.DATE),
        ("1mo", 1, Unit.MONTH, 30 * DAY_NS, Anchor.DATE),
    ],
)
def test_a_text_says_length_and_anchor(
    text: str, count: int, unit: Unit, length_ns: int, anchor: Anchor
) -> None:
    """Up to 1h is counted from the epoch, below a day from the open, the rest in dates."""
    timeframe = tf(text)
    assert (timeframe.count, timeframe.unit) == (count, unit)
    assert (timeframe.length_ns, timeframe.anchor) == (length_ns, anchor)
    assert str(timeframe) == text
    assert timeframe.is_fixed == (anchor is not Anchor.DATE)


@pytest.mark.parametrize("text", ["", "m", "0m", "01m", "1", "-1m", "1.5h", "1M", "1y", "10000s"])
def test_any_other_text_is_refused(text: str) -> None:
    """What is no whole number from 1 to 9999 and a unit is refused with an example."""
    with pytest.raises(UsageError, match="such as 1s"):
        tf(text)


@pytest.mark.parametrize("text", ["24h", "1440m", "9999m"])
def test_a_day_is_not_written_in_hours(text: str) -> None:
    """A fixed length of a day or more is refused, because a session day varies."""
    with pytest.raises(UsageError, match="write it in d, w or mo"):
        tf(text)


def test_timeframes_sort_by_length() -> None:
    """Sorting goes by length, and equal lengths have a fixed order."""
    texts = ["1mo", "1d", "4h", "90m", "1h", "60m", "5m", "60s", "1m", "1s", "1w"]
    expected = ["1s", "1m", "60s", "5m", "1h", "60m", "90m", "4h", "1d", "1w", "1mo"]
    assert [str(item) for item in sorted(map(tf, texts))] == expected


def test_a_timeframe_is_a_value() -> None:
    """Equal by count and unit, usable as a key, and the same after pickling."""
    assert tf("1m") == Timeframe(1, Unit.MINUTE)
    assert tf("1m") != tf("60s")
    assert len({tf("1m"), tf("1m"), tf("60s")}) == 2
    copy = pickle.loads(pickle.dumps(tf("4h")))  # noqa: S301 - our own bytes
    assert (copy, copy.length_ns, copy.anchor) == (tf("4h"), 4 * HOUR_NS, Anchor.SESSION)


@pytest.mark.parametrize(
    ("small", "large", "alignment_ns", "nests"),
    [
        ("1s", "5s", HOUR_NS, True),
        ("2s", "3s", HOUR_NS, False),
        ("1m", "60s", HOUR_NS, True),
        ("7m", "1h", HOUR_NS, False),
        ("1m", "7m", 15 * MINUTE_NS, True),
        ("1h", "4h", HOUR_NS, True),
        ("1h", "4h", 30 * MINUTE_NS, False),
        ("1h", "90m", HOUR_NS, False),
        ("30m", "90m", HOUR_NS, True),
        ("7m", "1d", HOUR_NS, False),
        ("1h", "1d", HOUR_NS, True),
        ("1h", "1d", 15 * MINUTE_NS, False),
        ("2h", "4h", HOUR_NS, True),
        ("4h", "6h", HOUR_NS, False),
        ("7h", "1d", 15 * MINUTE_NS, True),
        ("4h", "1h", HOUR_NS, False),
        ("1d", "2d", HOUR_NS, True),
        ("2d", "3d", HOUR_NS, False),
        ("1d", "1w", HOUR_NS, True),
        ("7d", "1w", HOUR_NS, False),
        ("1d", "1mo", HOUR_NS, True),
        ("2d", "1mo", HOUR_NS, False),
        ("1w", "2w", HOUR_NS, True),
        ("1w", "1mo", HOUR_NS, False),
        ("1mo", "3mo", HOUR_NS, True),
        ("1d", "4h", HOUR_NS, False),
        ("1mo", "4h", HOUR_NS, False),
    ],
)
def test_what_nests_in_what(small: str, large: str, alignment_ns: int, nests: bool) -> None:  # noqa: FBT001 - a column of the table above
    """A timeframe nests where no bar of it can lie over a boundary of the larger one."""
    assert tf(small).nests_in(tf(large), alignment_ns) is nests
