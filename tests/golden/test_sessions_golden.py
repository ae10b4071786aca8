"""The shipped CME calendar against 784 weekdays whose hours were verified one by one."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas_market_calendars as pmc
import pytest

from tapekeeper.core.calendar import Calendar, calendar_by_name
from tapekeeper.model.session import Session
from tapekeeper.model.timeframe import SECOND_NS, Timeframe

H1, H4, D1 = (Timeframe.parse(text) for text in ("1h", "4h", "1d"))


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, Any]:
    """The verified sessions of 2024-2026."""
    loaded: dict[str, Any] = json.loads((shared_data / "golden_sessions.json").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def cme() -> Calendar:
    """The calendar under test, as shipped."""
    return calendar_by_name("cme")


def ns(text: str) -> int:
    """ISO 8601 with an offset, as ns UTC."""
    return int(dt.datetime.fromisoformat(text).timestamp()) * SECOND_NS


def held(session: Session | None, date: dt.date) -> list[object]:
    """A session in the form of the golden list."""
    if session is None:
        return [date.isoformat(), "closed", None, None, None]
    return [
        session.date.isoformat(),
        session.kind.value,
        session.open_ns,
        session.close_ns,
        session.trade_date.isoformat(),
    ]


def test_every_weekday_is_as_verified(golden: dict[str, Any], cme: Calendar) -> None:
    """Kind, open, close and trade date of every weekday of 2024-2026."""
    wrong = []
    for text, kind, opened, closed, trade_date in golden["all_sessions"]:
        date = dt.date.fromisoformat(text)
        expected = [text, kind, opened and ns(opened), closed and ns(closed), trade_date]
        if held(cme.session_on(date), date) != expected:
            wrong.append(expected)
    assert wrong == []
    assert len(golden["all_sessions"]) == 784


def test_no_session_is_held_on_any_other_day(golden: dict[str, Any], cme: Calendar) -> None:
    """The calendar has the 776 sessions of the list in order, and none beside them."""
    sessions = cme.sessions(dt.date(2024, 1, 1), dt.date(2026, 12, 31))
    expected = [row[0] for row in golden["all_sessions"] if row[1] != "closed"]
    assert [item.date.isoformat() for item in sessions] == expected
    assert len(sessions) == golden["counts"]["sessions"]
    for item, following in itertools.pairwise(sessions):
        assert cme.session_after(item) == following
        assert cme.session_of(item.open_ns) == item
        assert cme.session_of(following.open_ns - 1) == item
        assert cme.is_open(item.open_ns)
        assert cme.is_open(item.close_ns - 1)
        assert not cme.is_open(item.close_ns)
        assert cme.next_open_ns(item.close_ns) == following.open_ns


def test_holiday_halts_share_the_next_trade_date(golden: dict[str, Any], cme: Calendar) -> None:
    """Two sessions are booked on one trade date exactly where the list says so."""
    merged: dict[str, list[str]] = {}
    for item in cme.sessions(dt.date(2024, 1, 1), dt.date(2026, 12, 31)):
        merged.setdefault(item.trade_date.isoformat(), []).append(item.date.isoformat())
    shared = {date: dates for date, dates in merged.items() if len(dates) > 1}
    assert shared == golden["merged_trade_dates"]


def detailed(golden: dict[str, Any]) -> list[dict[str, Any]]:
    """Sessions of which the bar starts are listed: special ones and those around clock changes."""
    around = [item for window in golden["dst_windows"] for item in window["sessions"]]
    return [item for item in golden["special_sessions"] + around if item.get("bars")]


def test_bars_start_where_the_list_says(golden: dict[str, Any], cme: Calendar) -> None:
    """Starts of 1h, 4h and 1d bars on special days and around all six clock changes."""
    rows = detailed(golden)
    assert len(rows) > 80
    for row in rows:
        session = cme.session_on(dt.date.fromisoformat(row["session_date"]))
        assert session is not None
        bars = row["bars"]
        hours = cme.starts(H1, session)
        assert hours[0] == ns(bars["h1"]["first"])
        assert hours[-1] == ns(bars["h1"]["last"])
        assert len(hours) == bars["h1"]["count"]
        assert cme.starts(H4, session) == [ns(text) for text in bars["h4_session_anchored"]]
        assert cme.starts(D1, session) == [ns(bars["d1_session"]["start"])]
        assert session.date.isoformat() == bars["d1_session"]["label"]
        assert session.trade_date.isoformat() == bars["d1_session"]["cme_trade_date"]
        assert (session.open_ns, session.close_ns) == (ns(row["open_utc"]), ns(row["close_utc"]))


def test_intervals_agree_with_starts(golden: dict[str, Any], cme: Calendar) -> None:
    """The interval of a bar's first and last instant is the one that starts there."""
    for row in detailed(golden):
        session = cme.session_on(dt.date.fromisoformat(row["session_date"]))
        assert session is not None
        next_open_ns = cme.session_after(session).open_ns
        for timeframe in (H1, H4, D1):
            for start_ns in cme.starts(timeframe, session):
                interval = cme.interval(timeframe, start_ns)
                assert interval.start_ns == start_ns
                assert interval.end_ns <= next_open_ns
                assert cme.interval(timeframe, interval.end_ns - 1) == interval
                assert cme.interval(timeframe, interval.end_ns).start_ns >= interval.end_ns
                assert interval.due_ns == min(interval.end_ns, session.close_ns)


def test_a_weekend_over_a_clock_change_has_its_true_length(
    golden: dict[str, Any], cme: Calendar
) -> None:
    """From Friday's open to Monday's it is 71 h in spring and 73 h in autumn, never 72 h."""
    for window in golden["dst_windows"]:
        change = dt.date.fromisoformat(window["us_change"])
        friday = cme.session_on(change - dt.timedelta(days=2))
        assert friday is not None
        hours = (cme.session_after(friday).open_ns - friday.open_ns) / SECOND_NS / 3600
        assert hours == window["friday_open_to_monday_open_hours"]


# Where the published calendar is known to be wrong. It takes every Good Friday since 2022 for a
# payroll day, and knows no day of mourning.
_PUBLISHED_IS_WRONG = {
    dt.date(2024, 3, 29): "closed",
    dt.date(2025, 1, 9): "08:30",
    dt.date(2025, 4, 18): "closed",
    dt.date(2027, 3, 26): "closed",
    dt.date(2028, 4, 14): "closed",
    dt.date(2029, 3, 30): "closed",
    dt.date(2030, 4, 19): "closed",
}


def test_other_years_agree_with_a_published_calendar(cme: Calendar) -> None:
    """Opens and closes of 2022-2030 equal pandas_market_calendars, its known errors aside."""
    first, last = dt.date(2022, 1, 3), dt.date(2030, 12, 31)
    table = pmc.get_calendar("CME Globex Equity").schedule(first.isoformat(), last.isoformat())
    published = {
        day.date(): (int(row.market_open.value), int(row.market_close.value))
        for day, row in table.iterrows()
    }
    ours = {item.date: (item.open_ns, item.close_ns) for item in cme.sessions(first, last)}
    differing = {
        date: "closed" if (mine := cme.session_on(date)) is None else clock(mine.close_ns)
        for date in published.keys() | ours.keys()
        if published.get(date) != ours.get(date)
    }
    assert differing == _PUBLISHED_IS_WRONG


def clock(ts_ns: int) -> str:
    """The wall time in Chicago."""
    return dt.datetime.fromtimestamp(ts_ns // SECOND_NS, ZoneInfo("America/Chicago")).strftime(
        "%H:%M"
    )
