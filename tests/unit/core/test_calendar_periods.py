"""Groups of days, weeks and months are counted from fixed points."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.calendar.periods import period_of
from tapekeeper.model.timeframe import Timeframe


@pytest.mark.parametrize(
    ("timeframe", "date", "first", "following"),
    [
        ("1d", "2024-07-10", "2024-07-10", "2024-07-11"),
        ("2d", "1970-01-02", "1970-01-01", "1970-01-03"),
        ("3d", "1969-12-31", "1969-12-29", "1970-01-01"),
        ("1w", "2024-07-14", "2024-07-08", "2024-07-15"),
        ("1w", "2024-07-15", "2024-07-15", "2024-07-22"),
        ("2w", "1970-01-18", "1970-01-05", "1970-01-19"),
        ("1mo", "2024-02-29", "2024-02-01", "2024-03-01"),
        ("3mo", "2024-12-31", "2024-10-01", "2025-01-01"),
        ("12mo", "2024-07-10", "2024-01-01", "2025-01-01"),
        ("5mo", "0002-01-01", "0001-09-01", "0002-02-01"),
    ],
)
def test_a_date_is_in_its_period(timeframe: str, date: str, first: str, following: str) -> None:
    """First date of the period, and of the next, by example."""
    found = period_of(Timeframe.parse(timeframe), dt.date.fromisoformat(date))
    assert found == (dt.date.fromisoformat(first), dt.date.fromisoformat(following))


@given(
    st.sampled_from(("1d", "3d", "1w", "5w", "1mo", "7mo")).map(Timeframe.parse),
    st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1)),
)
def test_periods_follow_each_other_without_gap(timeframe: Timeframe, date: dt.date) -> None:
    """Every date is in exactly one period."""
    first, following = period_of(timeframe, date)
    assert first <= date < following
    assert period_of(timeframe, first) == (first, following)
    assert period_of(timeframe, following - dt.timedelta(days=1)) == (first, following)
    assert period_of(timeframe, following)[0] == following
