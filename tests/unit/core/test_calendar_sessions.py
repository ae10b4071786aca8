"""Sessions year by year, and the wall clock over clock changes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from tapekeeper.core.calendar import KNOWN, CalendarSpec
from tapekeeper.core.calendar.sessions import Sessions, date_of_ns, wall_ns
from tapekeeper.model.session import SessionKind
from tapekeeper.model.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS

CHICAGO = ZoneInfo("America/Chicago")


def at(text: str) -> int:
    """`YYYY-MM-DDTHH:MM` in UTC, as ns."""
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * SECOND_NS


@pytest.mark.parametrize(
    ("date", "minutes", "instant"),
    [
        ("2024-07-01", 17 * 60, "2024-07-01T22:00"),
        ("2024-01-02", 17 * 60, "2024-01-02T23:00"),
        ("2024-07-01", -7 * 60, "2024-06-30T22:00"),
        ("2024-07-01", 24 * 60, "2024-07-02T05:00"),
        # 02:30 is skipped on 2024-03-10: with the offset before the change it is 08:30 UTC.
        ("2024-03-10", 150, "2024-03-10T08:30"),
        # 01:30 comes twice on 2024-11-03: the first is in summer time.
        ("2024-11-03", 90, "2024-11-03T06:30"),
    ],
)
def test_the_wall_clock(date: str, minutes: int, instant: str) -> None:
    """Wall times become instants, over midnight and over both clock changes."""
    assert wall_ns(dt.date.fromisoformat(date), minutes, CHICAGO) == at(instant)


def test_the_date_of_an_instant() -> None:
    """The last nanosecond of a day is of that day."""
    assert date_of_ns(0) == dt.date(1970, 1, 1)
    assert date_of_ns(DAY_NS - 1) == dt.date(1970, 1, 1)
    assert date_of_ns(DAY_NS) == dt.date(1970, 1, 2)


def test_sessions_are_found_from_either_side_of_a_year() -> None:
    """At the turn of a year the neighbours of a session are in the other year."""
    sessions = Sessions(KNOWN["cme"])
    last = sessions.on(dt.date(2024, 12, 31))
    first = sessions.on(dt.date(2025, 1, 2))
    assert last is not None
    assert first is not None
    assert sessions.on(dt.date(2025, 1, 1)) is None
    assert sessions.after(last) == first
    assert sessions.before(first.date) == last
    assert sessions.from_date(dt.date(2025, 1, 1)) == first
    assert sessions.at(first.open_ns) == first
    assert sessions.at(first.open_ns - 1) == last
    assert sessions.between(last.date, first.date) == [last, first]
    assert sessions.between(first.date, last.date) == []


def test_a_session_that_opens_in_the_old_year_is_found() -> None:
    """Where 1 January is a trading day, its session opens on 31 December."""
    everyday = Sessions(CalendarSpec("x", "America/Chicago", "17:00", "16:00"))
    new_year = everyday.on(dt.date(2025, 1, 1))
    assert new_year is not None
    assert new_year.kind is SessionKind.REGULAR
    assert new_year.open_ns == at("2024-12-31T23:00")
    assert everyday.at(at("2024-12-31T23:30")) == new_year
    assert everyday.at(at("2024-12-31T22:59")).date == dt.date(2024, 12, 31)


def test_years_are_forgotten_and_found_again() -> None:
    """Walking through more years than are kept gives the same sessions as asking afresh."""
    walked = Sessions(KNOWN["cme"])
    opens = [walked.at(at(f"{year}-06-15T12:00")).open_ns for year in range(1990, 2040)]
    again = [walked.at(at(f"{year}-06-15T12:00")).open_ns for year in range(1990, 2040)]
    fresh = [Sessions(KNOWN["cme"]).at(at(f"{year}-06-15T12:00")).open_ns for year in (1990, 2039)]
    assert opens == again
    assert [opens[0], opens[-1]] == fresh


def test_a_day_of_a_clock_change_is_shorter_or_longer() -> None:
    """On a calendar of local days the day of a change has 23 or 25 hours."""
    local = Sessions(CalendarSpec("local", "America/Chicago"))
    spring, autumn = local.on(dt.date(2024, 3, 10)), local.on(dt.date(2024, 11, 3))
    assert spring is not None
    assert autumn is not None
    assert spring.close_ns - spring.open_ns == 23 * HOUR_NS
    assert autumn.close_ns - autumn.open_ns == 25 * HOUR_NS
    assert local.after(spring).open_ns == spring.close_ns
    assert local.at(autumn.close_ns - MINUTE_NS) == autumn
