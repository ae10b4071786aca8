"""Which session and which interval an instant belongs to."""

from __future__ import annotations

import datetime as dt

import pytest

from tapekeeper.core.calendar import Calendar, CalendarSpec, calendar_by_name
from tapekeeper.errors import UsageError
from tapekeeper.model.session import Interval, SessionKind
from tapekeeper.model.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Timeframe

CME = calendar_by_name("cme")
ALWAYS = calendar_by_name("24x7")


def at(text: str) -> int:
    """`YYYY-MM-DDTHH:MM[:SS]` in UTC, as ns."""
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * SECOND_NS


def span(calendar: Calendar, timeframe: str, text: str) -> tuple[int, int, int]:
    """Start, end and due of a bar."""
    interval = calendar.interval(Timeframe.parse(timeframe), at(text))
    return interval.start_ns, interval.end_ns, interval.due_ns


def test_an_instant_outside_hours_belongs_to_the_session_that_opened_last() -> None:
    """From its open to the next open is one session, over the break, weekends and holidays."""
    for text, date in [
        ("2024-07-01T20:59:59", "2024-07-01"),
        ("2024-07-01T21:30:00", "2024-07-01"),
        ("2024-07-01T22:00:00", "2024-07-02"),
        ("2024-07-06T12:00:00", "2024-07-05"),
        ("2024-12-25T12:00:00", "2024-12-24"),
        ("2024-12-31T23:30:00", "2024-12-31"),
        ("2025-01-01T23:00:00", "2025-01-02"),
    ]:
        assert CME.session_of(at(text)).date == dt.date.fromisoformat(date), text


def test_going_back_in_time_is_answered_as_well() -> None:
    """The remembered session is no trap: questions may come in any order."""
    later, earlier = at("2024-07-02T15:00:00"), at("2013-10-07T15:00:00")
    first = CME.session_of(later)
    assert CME.session_of(earlier).date == dt.date(2013, 10, 7)
    assert CME.session_of(later) == first


def test_there_is_no_trading_in_the_break_and_at_the_weekend() -> None:
    """Trading hours are half-open: the close itself is outside."""
    assert CME.is_open(at("2024-07-01T20:59:59"))
    assert not CME.is_open(at("2024-07-01T21:00:00"))
    assert CME.is_open(at("2024-07-01T22:00:00"))
    assert not CME.is_open(at("2024-07-06T12:00:00"))
    assert CME.next_open_ns(at("2024-07-06T12:00:00")) == at("2024-07-07T22:00:00")
    assert CME.next_open_ns(at("2024-07-07T22:00:00")) == at("2024-07-08T22:00:00")


@pytest.mark.parametrize(
    ("timeframe", "instant", "start", "end", "due"),
    [
        ("1m", "2024-07-01T15:00:59", "2024-07-01T15:00", "2024-07-01T15:01", "2024-07-01T15:01"),
        # An early close at 12:15 in Chicago makes the hour's bar due although its end is later.
        ("1h", "2024-07-03T17:10:00", "2024-07-03T17:00", "2024-07-03T18:00", "2024-07-03T17:15"),
        # After the close there is nothing to be due at but the end.
        ("15m", "2024-07-03T17:20:00", "2024-07-03T17:15", "2024-07-03T17:30", "2024-07-03T17:30"),
        ("4h", "2024-07-01T02:00:00", "2024-07-01T02:00", "2024-07-01T06:00", "2024-07-01T06:00"),
        # The last 4h bar of a day is cut by the next open and due at the close.
        ("4h", "2024-07-01T20:59:59", "2024-07-01T18:00", "2024-07-01T22:00", "2024-07-01T21:00"),
        ("4h", "2024-07-05T21:30:00", "2024-07-05T18:00", "2024-07-05T22:00", "2024-07-05T21:00"),
        ("90m", "2024-07-01T21:59:59", "2024-07-01T20:30", "2024-07-01T22:00", "2024-07-01T21:00"),
        # 7 hours: 22, 05, 12, 19 and then cut at 22.
        ("7h", "2024-07-01T20:00:00", "2024-07-01T19:00", "2024-07-01T22:00", "2024-07-01T21:00"),
        ("1d", "2024-07-01T03:00:00", "2024-06-30T22:00", "2024-07-01T22:00", "2024-07-01T21:00"),
        # Friday's bar lasts until Sunday evening.
        ("1d", "2024-07-12T15:00:00", "2024-07-11T22:00", "2024-07-14T22:00", "2024-07-12T21:00"),
        ("1w", "2024-07-10T15:00:00", "2024-07-07T22:00", "2024-07-14T22:00", "2024-07-12T21:00"),
        # 2024-03-10 is a clock change: the week is an hour shorter.
        ("1w", "2024-03-06T15:00:00", "2024-03-03T23:00", "2024-03-10T22:00", "2024-03-08T22:00"),
        ("1mo", "2024-07-10T15:00:00", "2024-06-30T22:00", "2024-07-31T22:00", "2024-07-31T21:00"),
        ("3mo", "2024-07-10T15:00:00", "2024-06-30T22:00", "2024-09-30T22:00", "2024-09-30T21:00"),
        # 1 January has no session, so January and the year begin with the one of the 2nd.
        ("12mo", "2024-07-10T15:00:00", "2024-01-01T23:00", "2025-01-01T23:00", "2024-12-31T22:00"),
        # Days since 1970-01-01: 2024-07-10 is the 19,914th, so it is the first of a pair.
        ("2d", "2024-07-10T15:00:00", "2024-07-09T22:00", "2024-07-11T22:00", "2024-07-11T21:00"),
        # Weeks since 1970-01-05: that of 2024-07-08 is the 2,844th, the first of a pair.
        ("2w", "2024-07-10T15:00:00", "2024-07-07T22:00", "2024-07-21T22:00", "2024-07-19T21:00"),
    ],
)
def test_a_bar_starts_ends_and_is_due(
    timeframe: str, instant: str, start: str, end: str, due: str
) -> None:
    """Every anchor by example, on the calendar of Chicago."""
    assert span(CME, timeframe, instant) == (at(start), at(end), at(due))


def test_a_pair_of_days_without_the_second_ends_at_the_next_open() -> None:
    """Groups of days are counted in days, not in sessions, so a Friday may stand alone."""
    # Days 19,908 and 19,909 are Thursday the 4th and Friday the 5th; 19,910 is a Saturday and
    # 19,911 a Sunday; then comes Monday the 8th with Tuesday the 9th.
    assert span(CME, "2d", "2024-07-04T15:00")[:2] == (
        at("2024-07-03T22:00"),
        at("2024-07-07T22:00"),
    )
    assert span(CME, "2d", "2024-07-08T15:00")[:2] == (
        at("2024-07-07T22:00"),
        at("2024-07-09T22:00"),
    )


def test_a_short_bar_is_never_cut_by_an_open() -> None:
    """Up to an hour the grid is the epoch's: a 7-minute bar may lie over an open."""
    start_ns, end_ns, due_ns = span(CME, "7m", "2024-07-01T22:01:00")
    assert start_ns < at("2024-07-01T22:00") < end_ns == due_ns
    assert start_ns % (7 * MINUTE_NS) == 0
    assert span(CME, "7m", "2024-07-01T21:59:30") == (start_ns, end_ns, due_ns)


def test_days_without_sessions_are_those_of_utc() -> None:
    """On 24x7 a day is midnight to midnight, is over at midnight, and never closes."""
    midnight = at("2024-08-08T00:00")
    session = ALWAYS.session_of(midnight + 5)
    assert (session.open_ns, session.close_ns) == (midnight, midnight + DAY_NS)
    assert (session.date, session.kind) == (dt.date(2024, 8, 8), SessionKind.REGULAR)
    assert span(ALWAYS, "1d", "2024-08-08T23:59:59") == (
        midnight,
        midnight + DAY_NS,
        midnight + DAY_NS,
    )
    assert span(ALWAYS, "4h", "2024-08-08T23:59:59")[0] == at("2024-08-08T20:00")
    assert ALWAYS.is_open(midnight + DAY_NS - 1)
    assert ALWAYS.alignment_ns == DAY_NS
    assert ALWAYS.name == "24x7"


def test_a_bar_over_an_open_without_a_break_is_due_at_its_end() -> None:
    """A session's close makes nothing due that the next session may go on filling."""
    start_ns, end_ns, due_ns = span(ALWAYS, "7m", "2024-08-09T00:00:30")
    assert start_ns < at("2024-08-09T00:00") < end_ns
    assert due_ns == end_ns


def test_starts_are_those_of_bars_that_start_within_trading_hours() -> None:
    """Starts of a session, by anchor; a longer period starts in one session only."""
    monday = CME.session_on(dt.date(2024, 7, 8))
    tuesday = CME.session_on(dt.date(2024, 7, 9))
    assert monday is not None
    assert tuesday is not None
    week, hours4, minutes7 = (Timeframe.parse(text) for text in ("1w", "4h", "7m"))
    assert CME.starts(week, monday) == [monday.open_ns]
    assert CME.starts(week, tuesday) == []
    assert CME.starts(hours4, monday) == [monday.open_ns + 4 * k * HOUR_NS for k in range(6)]
    starts = CME.starts(minutes7, monday)
    assert all(start % (7 * MINUTE_NS) == 0 for start in starts)
    assert monday.open_ns <= starts[0] < monday.open_ns + 7 * MINUTE_NS
    assert monday.close_ns - 7 * MINUTE_NS <= starts[-1] < monday.close_ns


@pytest.mark.parametrize(
    ("zone", "opens", "alignment_ns"),
    [
        ("America/Chicago", "17:00", HOUR_NS),
        ("Asia/Kolkata", "09:15", 45 * MINUTE_NS),
        ("Asia/Kolkata", "09:30", 4 * HOUR_NS),
        ("Asia/Kathmandu", "11:00", 15 * MINUTE_NS),
        ("Australia/Lord_Howe", "10:00", 30 * MINUTE_NS),
        ("UTC", "00:00", DAY_NS),
    ],
)
def test_alignment_divides_every_open(zone: str, opens: str, alignment_ns: int) -> None:
    """The alignment is a fact of zone and hours: every open of thirty years is on its grid."""
    calendar = Calendar(CalendarSpec("mine", zone=zone, open=opens, close="24:00"))
    opens_ns = {
        item.open_ns for item in calendar.sessions(dt.date(2000, 1, 1), dt.date(2029, 12, 31))
    }
    assert all(item % calendar.alignment_ns == 0 for item in opens_ns)
    assert calendar.alignment_ns == alignment_ns


@pytest.mark.parametrize("ts_ns", [-1, -(1 << 70), 1 << 63, 1 << 70])
def test_a_time_that_no_tape_has_is_refused(ts_ns: int) -> None:
    """Outside 1970-2200 there are no sessions, and the error says so."""
    with pytest.raises(UsageError, match="not in 1970-2200"):
        CME.session_of(ts_ns)


def test_a_repeated_question_gives_the_same_interval() -> None:
    """Every instant of an interval has that interval."""
    for timeframe in ("1s", "7m", "1h", "90m", "4h", "1d", "3d", "1w", "1mo"):
        start_ns, end_ns, due_ns = span(CME, timeframe, "2024-11-01T19:17:23")
        for ts_ns in (start_ns, (start_ns + end_ns) // 2, end_ns - 1):
            interval = CME.interval(Timeframe.parse(timeframe), ts_ns)
            assert interval == Interval(start_ns, end_ns, due_ns)
