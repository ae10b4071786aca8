"""Breaks inside a session, earlier hours, opens by another clock and on another day."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import msgspec
import pytest

from tapekeeper.core.bars import ContractBars
from tapekeeper.core.calendar import (
    BreakRule,
    Calendar,
    CalendarSpec,
    EarlierHours,
    SessionException,
    calendar_by_name,
)
from tapekeeper.errors import ConfigError
from tapekeeper.model.session import SessionKind
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import HOUR_NS, MINUTE_NS, SECOND_NS, Timeframe

TOKYO = ZoneInfo("Asia/Tokyo")
CHICAGO = ZoneInfo("America/Chicago")
OSE, CME = calendar_by_name("ose"), calendar_by_name("cme")
CASH = CalendarSpec(
    "cash", "Asia/Tokyo", "09:00", "15:30", breaks=(BreakRule("11:30", "12:30", restarts=False),)
)
EARLY = SessionKind.EARLY_CLOSE


def at(text: str, zone: ZoneInfo = TOKYO) -> int:
    """`YYYY-MM-DDTHH:MM[:SS]` on the wall, as ns."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * SECOND_NS


def bar_of(calendar: Calendar, timeframe: str, ts_ns: int, zone: ZoneInfo = TOKYO) -> list[str]:
    """Start, end and due of a bar on the wall."""
    found = calendar.interval(Timeframe.parse(timeframe), ts_ns)
    times = (found.start_ns, found.end_ns, found.due_ns)
    return [dt.datetime.fromtimestamp(item // SECOND_NS, zone).strftime("%H:%M") for item in times]


def test_there_is_no_trading_in_a_break() -> None:
    """A break is closed time inside a session; trading opens next at its end."""
    session = OSE.session_of(at("2026-03-04T07:00"))
    assert session.date == dt.date(2026, 3, 4)
    assert OSE.is_open(at("2026-03-04T05:59:59"))
    assert not OSE.is_open(at("2026-03-04T06:00"))
    assert not OSE.is_open(at("2026-03-04T08:44:59"))
    assert OSE.is_open(at("2026-03-04T08:45"))
    assert OSE.next_open_ns(at("2026-03-04T01:00")) == at("2026-03-04T08:45")
    assert OSE.next_open_ns(at("2026-03-04T08:45")) == at("2026-03-04T17:00")
    assert session.opened_ns(at("2026-03-04T05:00")) == at("2026-03-03T17:00")
    assert session.opened_ns(at("2026-03-04T09:00")) == at("2026-03-04T08:45")


def test_open_time_leaves_the_break_out() -> None:
    """Night and day are two spans; a span is cut where the question ends."""
    assert OSE.open_spans(at("2026-03-04T05:00"), at("2026-03-04T09:00")) == [
        (at("2026-03-04T05:00"), at("2026-03-04T06:00")),
        (at("2026-03-04T08:45"), at("2026-03-04T09:00")),
    ]
    assert OSE.open_time_ns(at("2026-03-03T17:00"), at("2026-03-04T17:00")) == 20 * HOUR_NS
    assert OSE.open_spans(at("2026-03-04T06:00"), at("2026-03-04T08:45")) == []
    assert OSE.open_spans(at("2026-03-04T09:00"), at("2026-03-04T09:00")) == []


@pytest.mark.parametrize(
    ("timeframe", "instant", "times"),
    [
        # Up to an hour the grid is the epoch's; the last bar of the night is due when it ends.
        ("1h", "2026-03-04T05:30", ["05:00", "06:00", "06:00"]),
        ("1h", "2026-03-04T08:50", ["08:00", "09:00", "09:00"]),
        # Longer ones begin anew in the morning, and the last of the night is cut there.
        ("4h", "2026-03-04T04:59", ["01:00", "05:00", "05:00"]),
        ("4h", "2026-03-04T05:30", ["05:00", "08:45", "06:00"]),
        ("4h", "2026-03-04T08:45", ["08:45", "12:45", "12:45"]),
        ("4h", "2026-03-04T15:00", ["12:45", "16:45", "15:45"]),
        ("1d", "2026-03-04T15:00", ["17:00", "17:00", "15:45"]),
        # A print in the break belongs to the bar that it falls into.
        ("4h", "2026-03-04T07:00", ["05:00", "08:45", "06:00"]),
        ("1h", "2026-03-04T07:30", ["07:00", "08:00", "08:00"]),
        # On a Monday the night was Friday's, and the morning's bars are those of other days.
        ("4h", "2026-03-02T08:50", ["08:45", "12:45", "12:45"]),
    ],
)
def test_longer_bars_begin_anew_after_a_night(
    timeframe: str, instant: str, times: list[str]
) -> None:
    """A break that restarts is like an open; one day's bars are cut as every other day's."""
    assert bar_of(OSE, timeframe, at(instant)) == times


@pytest.mark.parametrize(
    ("timeframe", "instant", "times"),
    [
        ("5m", "2015-10-06T15:12", ["15:10", "15:15", "15:15"]),
        # Trading goes on in the same bar, so it is not due when the halt begins.
        ("1h", "2015-10-06T15:12", ["15:00", "16:00", "16:00"]),
        ("4h", "2015-10-06T15:12", ["13:00", "17:00", "16:00"]),
        ("30m", "2015-10-06T15:05", ["15:00", "15:30", "15:15"]),
        # A bar that ends within the halt is due when it begins.
        ("8m", "2015-10-06T15:13", ["15:08", "15:16", "15:15"]),
        # The grid of longer bars does not notice the halt.
        ("90m", "2015-10-06T15:40", ["15:30", "17:00", "16:00"]),
        ("150m", "2015-10-06T15:40", ["15:30", "17:00", "16:00"]),
        ("67m", "2015-10-06T15:40", ["15:20", "16:27", "16:00"]),
    ],
)
def test_a_halt_lies_inside_longer_bars(timeframe: str, instant: str, times: list[str]) -> None:
    """The halt of equity products until 2021 ends no bar in which trading goes on after it."""
    assert bar_of(CME, timeframe, at(instant, CHICAGO), CHICAGO) == times


def test_starts_leave_out_what_lies_in_a_break() -> None:
    """Bars without any trading have no start; one that begins in a break and outlasts it has."""
    session = OSE.session_on(dt.date(2026, 3, 4))
    assert session is not None
    hours = OSE.starts(Timeframe.parse("1h"), session)
    assert at("2026-03-04T05:00") in hours
    assert at("2026-03-04T08:00") in hours
    assert at("2026-03-04T06:00") not in hours
    assert at("2026-03-04T07:00") not in hours
    fours = ["03T17:00", "03T21:00", "04T01:00", "04T05:00", "04T08:45", "04T12:45"]
    assert OSE.starts(Timeframe.parse("4h"), session) == [at(f"2026-03-{text}") for text in fours]
    assert OSE.starts(Timeframe.parse("1d"), session) == [session.open_ns]


def test_a_timer_closes_a_bar_at_the_break_and_makes_none_in_it() -> None:
    """The bars of the night are over when it ends; in the morning new ones begin."""
    bars = ContractBars("X", [Timeframe.parse(text) for text in ("1m", "1h", "4h", "1d")], OSE)
    night = TradeBatch("X")
    night.append(at("2026-03-04T05:59:30"), 100.0, 1, 0, 0, 0)
    assert bars.fold(night).closed == []
    assert bars.close_due(at("2026-03-04T06:00") - 1) == []
    assert [bar.timeframe for bar in bars.close_due(at("2026-03-04T06:00"))] == ["1m", "1h", "4h"]
    assert bars.close_due(at("2026-03-04T08:45")) == []
    assert [bar.timeframe for bar in bars.forming_all()] == ["1d"]
    morning = TradeBatch("X")
    morning.append(at("2026-03-04T08:45"), 101.0, 1, 0, 0, 1)
    assert bars.fold(morning).late == []
    four, day = bars.forming(Timeframe.parse("4h")), bars.forming(Timeframe.parse("1d"))
    assert four is not None
    assert day is not None
    assert (four.ts_open, four.n) == (at("2026-03-04T08:45"), 1)
    assert (day.ts_open, day.n) == (at("2026-03-03T17:00"), 2)


def test_a_print_after_a_halt_is_not_late() -> None:
    """The timer leaves the hour open in which the halt lies."""
    bars = ContractBars("X", [Timeframe.parse("5m"), Timeframe.parse("1h")], CME)
    before, after = TradeBatch("X"), TradeBatch("X")
    before.append(at("2015-10-06T15:14", CHICAGO), 100.0, 1, 0, 0, 0)
    bars.fold(before)
    assert [bar.timeframe for bar in bars.close_due(at("2015-10-06T15:29", CHICAGO))] == ["5m"]
    after.append(at("2015-10-06T15:30", CHICAGO), 101.0, 1, 0, 0, 1)
    assert bars.fold(after).late == []
    assert [bar.n for bar in bars.close_due(at("2015-10-06T16:00", CHICAGO))] == [1, 2]


@pytest.mark.parametrize(
    ("exception", "opens", "closes", "breaks"),
    [
        # An early close before, within and after the break.
        ({"kind": EARLY, "close": "11:00"}, "09:00", "11:00", []),
        ({"kind": EARLY, "close": "12:00"}, "09:00", "11:30", []),
        ({"kind": EARLY, "close": "12:30"}, "09:00", "11:30", []),
        ({"kind": EARLY, "close": "13:00"}, "09:00", "13:00", ["11:30"]),
        # A late open, likewise.
        ({"kind": EARLY, "close": "15:00", "open": "11:00"}, "11:00", "15:00", ["11:30"]),
        ({"kind": EARLY, "close": "15:00", "open": "11:30"}, "12:30", "15:00", []),
        ({"kind": EARLY, "close": "15:00", "open": "12:30"}, "12:30", "15:00", []),
    ],
)
def test_other_hours_leave_out_a_break_that_they_do_not_reach(
    exception: dict[str, object], opens: str, closes: str, breaks: list[str]
) -> None:
    """A break touches neither end of its session, whatever the day's hours are."""
    date = dt.date(2026, 3, 4)
    special = msgspec.convert({"date": date, **exception}, SessionException)
    session = Calendar(CASH.with_exceptions([special])).session_on(date)
    assert session is not None
    assert (session.open_ns, session.close_ns) == (
        at(f"2026-03-04T{opens}"),
        at(f"2026-03-04T{closes}"),
    )
    assert [item.start_ns for item in session.breaks] == [at(f"2026-03-04T{x}") for x in breaks]


def test_a_session_may_open_on_another_day_for_once() -> None:
    """A day without its night opens in the morning, and has no break."""
    date = dt.date(2026, 3, 4)
    morning = SessionException(date, SessionKind.REGULAR, open="08:45", opens_on=date)
    calendar = Calendar(OSE.spec.with_exceptions([morning]))
    session = calendar.session_on(date)
    assert session is not None
    assert (session.open_ns, session.breaks) == (at("2026-03-04T08:45"), ())
    assert calendar.session_of(at("2026-03-04T01:00")).date == dt.date(2026, 3, 3)


def test_a_break_in_the_evening_is_on_the_day_of_the_open() -> None:
    """Breaks of a session over midnight are on either day, in order of time."""
    evening = CalendarSpec(
        "evening",
        "Asia/Tokyo",
        "17:00",
        "15:00",
        breaks=(
            BreakRule("19:00", "20:00"),
            BreakRule("23:30", "00:30"),
            BreakRule("06:00", "09:00"),
        ),
    )
    session = Calendar(evening).session_on(dt.date(2026, 3, 4))
    assert session is not None
    assert [(item.start_ns, item.end_ns) for item in session.breaks] == [
        (at("2026-03-03T19:00"), at("2026-03-03T20:00")),
        (at("2026-03-03T23:30"), at("2026-03-04T00:30")),
        (at("2026-03-04T06:00"), at("2026-03-04T09:00")),
    ]


def test_a_break_that_a_clock_change_skips_is_not_there() -> None:
    """From 02:00 to 03:00 there is nothing to break off on the day on which it is skipped."""
    spec = CalendarSpec("x", "America/New_York", breaks=(BreakRule("02:00", "03:00"),))
    calendar = Calendar(spec)
    lengths = []
    for date in (dt.date(2026, 3, 7), dt.date(2026, 3, 8), dt.date(2026, 11, 1)):
        session = calendar.session_on(date)
        assert session is not None
        lengths.append([item.end_ns - item.start_ns for item in session.breaks])
    assert lengths == [[HOUR_NS], [], [HOUR_NS]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"breaks": (BreakRule("08:00", "09:30"),)}, "does not come after the open at 09:00"),
        ({"breaks": (BreakRule("12:30", "11:30"),)}, "break from 12:30 to 11:30"),
        ({"breaks": (BreakRule("15:00", "15:30"),)}, "does not end before the close at 15:30"),
        ({"breaks": (BreakRule("12", "13:00"),)}, "'12' is not a wall time"),
        ({"open_zone": "Mars/Olympus"}, "unknown time zone 'Mars/Olympus'"),
        ({"opens_on_session_before": True}, "have a break that lasts until their own date"),
        (
            {
                "earlier": (
                    EarlierHours(dt.date(2020, 1, 1), "09:00", "15:00"),
                    EarlierHours(dt.date(2019, 1, 1), "09:00", "14:00"),
                )
            },
            "in the order of their last dates",
        ),
        (
            {"earlier": (EarlierHours(dt.date(2020, 1, 1), "9", "15:00"),)},
            "'9' is not a wall time",
        ),
    ],
)
def test_hours_that_cannot_be_are_refused(changes: dict[str, object], said: str) -> None:
    """Every mistake is a sentence that names the calendar and the mistake."""
    with pytest.raises(ConfigError, match="calendar 'cash'") as caught:
        CalendarSpec(**{**msgspec.structs.asdict(CASH), **changes})
    assert said in str(caught.value)


def test_ends_of_breaks_that_restart_are_in_the_alignment() -> None:
    """An hour does not lie within bars that begin anew at a quarter to nine, so it says so."""
    assert OSE.alignment_ns == 15 * MINUTE_NS
    halted = msgspec.structs.replace(CASH, open="08:00", breaks=())
    for restarts, minutes in ((True, 15), (False, 60)):
        rule = BreakRule("12:00", "12:45", restarts=restarts)
        calendar = Calendar(msgspec.structs.replace(halted, breaks=(rule,)))
        assert calendar.alignment_ns == minutes * MINUTE_NS
    one, four = Timeframe.parse("1h"), Timeframe.parse("4h")
    assert not one.nests_in(four, OSE.alignment_ns)
    assert Timeframe.parse("15m").nests_in(four, OSE.alignment_ns)


@pytest.mark.parametrize(
    ("zone", "date", "hours", "opens_utc"),
    [
        # Midnight itself is skipped: the day begins at 01:00, which is an hour after 23:59.
        ("America/Sao_Paulo", "2018-11-04", 23, "2018-11-04T03:00"),
        ("Africa/Cairo", "2024-04-26", 23, "2024-04-25T22:00"),
        # Midnight comes twice: the first one begins the day, so the day before has its 24 hours.
        ("America/Havana", "2024-11-03", 25, "2024-11-03T04:00"),
        ("America/Sao_Paulo", "2018-02-17", 25, "2018-02-17T02:00"),
        # Half an hour.
        ("Australia/Lord_Howe", "2024-04-07", 24.5, "2024-04-06T13:00"),
        # A day that a whole country skipped.
        ("Pacific/Apia", "2011-12-31", 24, "2011-12-30T10:00"),
    ],
)
def test_local_days_over_midnights_that_are_missing_or_double(
    zone: str, date: str, hours: float, opens_utc: str
) -> None:
    """Days of a zone follow each other without gap or overlap, however its clock jumps."""
    calendar = calendar_by_name(f"24x7@{zone}")
    session = calendar.session_on(dt.date.fromisoformat(date))
    assert session is not None
    assert session.open_ns == at(opens_utc, ZoneInfo("UTC"))
    assert session.close_ns - session.open_ns == hours * HOUR_NS
    assert calendar.session_of(session.open_ns - 1).close_ns == session.open_ns
    assert calendar.session_of(session.close_ns).open_ns == session.close_ns


def test_a_zone_that_is_none_is_refused() -> None:
    """The name of a calendar around the clock ends in a zone."""
    with pytest.raises(ConfigError, match="unknown time zone 'Europe/Atlantis'"):
        calendar_by_name("24x7@Europe/Atlantis")
