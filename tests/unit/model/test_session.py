"""Sessions and intervals are values that cannot be changed."""

from __future__ import annotations

import datetime as dt

import pytest

from tapekeeper.model.session import Interval, Session, SessionKind


def test_a_session_cannot_be_changed() -> None:
    """Calendars hand the same session to everybody, so nobody may change it."""
    date = dt.date(2024, 7, 1)
    session = Session(date, 0, 10, SessionKind.REGULAR, date)
    with pytest.raises(AttributeError):
        session.close_ns = 20  # type: ignore[misc]  # that it is refused is the point
    assert session == Session(date, 0, 10, SessionKind.REGULAR, date)


def test_intervals_are_equal_by_value() -> None:
    """Two intervals of equal times are the same interval."""
    assert Interval(0, 10, 10) == Interval(0, 10, 10)
    assert Interval(0, 10, 10) != Interval(0, 10, 9)


def test_kinds_are_written_as_in_the_verified_list() -> None:
    """The texts of the kinds are part of the public data, so they are fixed."""
    assert [kind.value for kind in SessionKind] == [
        "regular",
        "early_close",
        "holiday_halt",
        "holiday_trading",
    ]
