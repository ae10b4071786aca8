"""The shipped calendars of other markets against published ones, and against recorded data."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas_market_calendars as pmc
import polars as pl
import pytest

from tapekeeper.core.calendar import KNOWN, Calendar, calendar_by_name
from tapekeeper.core.calendar.cme import CME, CME_FX, COMEX, NYMEX
from tapekeeper.core.calendar.eurex import EUREX
from tapekeeper.core.calendar.osaka import OSE
from tapekeeper.model.session import Session, SessionKind
from tapekeeper.model.timeframe import MINUTE_NS, SECOND_NS

CHICAGO, BERLIN, TOKYO = (
    ZoneInfo(key) for key in ("America/Chicago", "Europe/Berlin", "Asia/Tokyo")
)
FIRST, LAST = dt.date(2022, 1, 3), dt.date(2030, 12, 31)


def day(text: str) -> dt.date:
    """An ISO date."""
    return dt.date.fromisoformat(text)


def wall(ts_ns: int, zone: ZoneInfo) -> str:
    """The wall time, with its weekday."""
    return dt.datetime.fromtimestamp(ts_ns // SECOND_NS, zone).strftime("%a %H:%M")


def held(calendar: Calendar, date: dt.date) -> Session:
    """The session of a date that has one."""
    session = calendar.session_on(date)
    assert session is not None, date
    return session


# Where the published calendars are known to be wrong, and what is right. Metals and energy: Labor
# Day has been like the other bank holidays (as it says itself of 2026), Christmas Eve has an early
# close (likewise), and there is no evening after a holiday on a Friday (likewise; of 2025 brokers
# said the same).
_LABOR_DAYS = (
    "2022-09-05 2023-09-04 2024-09-02 2025-09-01 2027-09-06 2028-09-04 2029-09-03 2030-09-02"
)
_CHRISTMAS_EVES = "2024-12-24 2025-12-24 2029-12-24 2030-12-24"
_COMMODITIES_WRONG = {
    **dict.fromkeys(_LABOR_DAYS.split(), "13:30"),
    **dict.fromkeys(_CHRISTMAS_EVES.split(), "12:45"),
    "2025-07-04": "12:00",
    "2027-06-18": "12:00",
}
# Currencies: it takes every Good Friday for a payroll day, and knows no holiday on a Friday.
_CURRENCIES_WRONG = {
    **dict.fromkeys(
        ["2024-03-29", "2025-04-18", "2027-03-26", "2028-04-14", "2029-03-30", "2030-04-19"],
        "closed",
    ),
    **dict.fromkeys(["2025-07-04", "2026-06-19", "2026-07-03", "2027-06-18"], "12:00"),
}


@pytest.mark.parametrize(
    ("name", "published_name", "wrong"),
    [
        ("comex", "CMEGlobex_GC", _COMMODITIES_WRONG),
        ("nymex", "CMEGlobex_CL", _COMMODITIES_WRONG),
        ("cme_fx", "CMEGlobex_FX", _CURRENCIES_WRONG),
    ],
)
def test_hours_agree_with_a_published_calendar(
    name: str, published_name: str, wrong: dict[str, str]
) -> None:
    """Opens and closes of 2022-2030 are equal, the published one's known errors aside."""
    calendar = calendar_by_name(name)
    table = pmc.get_calendar(published_name).schedule(FIRST.isoformat(), LAST.isoformat())
    published = {
        at.date(): (int(row.market_open.value), int(row.market_close.value))
        for at, row in table.iterrows()
    }
    ours = {item.date: (item.open_ns, item.close_ns) for item in calendar.sessions(FIRST, LAST)}
    differing = {
        date.isoformat(): wall(ours[date][1], CHICAGO)[4:] if date in ours else "closed"
        for date in published.keys() | ours.keys()
        if published.get(date) != ours.get(date)
    }
    assert differing == wrong


def test_products_differ_on_one_holiday_as_announced() -> None:
    """Independence Day 2024: equities 12:00, metals and energy 13:30, currencies 16:00."""
    found = {
        name: (wall(session.close_ns, CHICAGO), session.kind, session.trade_date)
        for name in ("cme", "comex", "nymex", "cme_fx")
        for session in [held(calendar_by_name(name), day("2024-07-04"))]
    }
    following = day("2024-07-05")
    assert found == {
        "cme": ("Thu 12:00", SessionKind.HOLIDAY_HALT, following),
        "comex": ("Thu 13:30", SessionKind.HOLIDAY_HALT, following),
        "nymex": ("Thu 13:30", SessionKind.HOLIDAY_HALT, following),
        "cme_fx": ("Thu 16:00", SessionKind.HOLIDAY_TRADING, following),
    }


# pandas_market_calendars takes these two from exchange_calendars, which uses what is deprecated.
@pytest.mark.filterwarnings("ignore:Series.values returning an ndarray")
@pytest.mark.parametrize(
    ("name", "published_name", "days_off"), [("eurex", "XEUR", 31), ("ose", "XTKS", 84)]
)
def test_days_off_agree_with_a_published_calendar(
    name: str, published_name: str, days_off: int
) -> None:
    """Weekdays of 2022-2026 without a session that settles are the published ones, all of them."""
    first, last = dt.date(2022, 1, 1), dt.date(2026, 12, 31)
    dates = pmc.get_calendar(published_name).valid_days(first.isoformat(), last.isoformat())
    sessions = calendar_by_name(name).sessions(first, last)
    ours = {item.date for item in sessions if item.kind.settles}
    assert ours == {item.date() for item in dates}
    every = (dt.date.fromordinal(item) for item in range(first.toordinal(), last.toordinal() + 1))
    weekdays = {item for item in every if item.weekday() < 5}
    assert len(weekdays - ours) == days_off


def test_eurex_opens_by_the_clock_of_asia() -> None:
    """01:10 in winter and 02:10 in summer, also in the weeks in which only America has changed."""
    eurex, cme = calendar_by_name("eurex"), calendar_by_name("cme")
    for text, opens, chicago_opens in [
        ("2026-03-06", "Fri 01:10", "Fri 00:00"),
        ("2026-03-10", "Tue 01:10", "Mon 23:00"),  # only America has changed
        ("2026-03-30", "Mon 02:10", "Mon 00:00"),
        ("2026-10-23", "Fri 02:10", "Fri 00:00"),
        ("2026-10-27", "Tue 01:10", "Mon 23:00"),  # only Europe has changed
        ("2026-11-03", "Tue 01:10", "Tue 00:00"),
    ]:
        session = held(eurex, day(text))
        assert wall(session.open_ns, BERLIN) == opens
        assert wall(session.close_ns, BERLIN)[4:] == "22:00"
        assert session.trade_date == session.date
        assert wall(held(cme, day(text)).open_ns, BERLIN) == chicago_opens


def test_a_trading_day_in_osaka_begins_on_the_evening_before() -> None:
    """Friday's night is Monday's trade date, with a break over the weekend."""
    session = held(calendar_by_name("ose"), day("2026-11-16"))
    (night_break,) = session.breaks
    assert wall(session.open_ns, TOKYO) == "Fri 17:00"
    assert wall(night_break.start_ns, TOKYO) == "Sat 06:00"
    assert wall(night_break.end_ns, TOKYO) == "Mon 08:45"
    assert wall(session.close_ns, TOKYO) == "Mon 15:45"


@pytest.mark.parametrize(
    ("text", "kind", "trade_date"),
    [
        # Trading on a holiday, and the day after it; three holidays in a row.
        ("2024-02-23", SessionKind.HOLIDAY_TRADING, "2024-02-26"),
        ("2026-09-21", SessionKind.HOLIDAY_TRADING, "2026-09-24"),
        ("2026-09-22", SessionKind.HOLIDAY_TRADING, "2026-09-24"),
        ("2026-09-23", SessionKind.HOLIDAY_TRADING, "2026-09-24"),
        ("2026-09-24", SessionKind.REGULAR, "2026-09-24"),
        # At the turn of the year the 3rd has trading, the 31st, 1st and 2nd have none.
        ("2025-01-03", SessionKind.HOLIDAY_TRADING, "2025-01-06"),
        ("2024-12-31", None, ""),
        ("2025-01-02", None, ""),
        # Holidays on which the exchange tested its systems.
        ("2024-01-08", None, ""),
        ("2024-08-12", None, ""),
        ("2026-11-23", None, ""),
        # Before there was trading on holidays.
        ("2022-09-19", None, ""),
        ("2022-09-23", SessionKind.HOLIDAY_TRADING, "2022-09-26"),
    ],
)
def test_holidays_in_osaka(text: str, kind: SessionKind | None, trade_date: str) -> None:
    """What is traded on a holiday is booked on the next business day."""
    session = calendar_by_name("ose").session_on(day(text))
    if kind is None:
        assert session is None
    else:
        assert session is not None
        assert (session.kind, session.trade_date.isoformat()) == (kind, trade_date)


def test_a_night_before_days_off_is_held() -> None:
    """The night of 30 December ends on the 31st; the day session is that of 3 January."""
    session = held(calendar_by_name("ose"), day("2025-01-03"))
    opened = dt.datetime.fromtimestamp(session.open_ns // SECOND_NS, TOKYO)
    assert opened == dt.datetime(2024, 12, 30, 17, tzinfo=TOKYO)
    (night_break,) = session.breaks
    assert wall(night_break.start_ns, TOKYO) == "Tue 06:00"
    assert wall(night_break.end_ns, TOKYO) == "Fri 08:45"


@pytest.mark.parametrize(
    ("text", "opens", "closes", "night_ends"),
    [
        ("2021-09-21", "Fri 16:30", "Tue 15:15", "Sat 05:30"),
        ("2021-09-22", "Tue 16:30", "Wed 15:15", "Wed 06:00"),
        ("2024-11-01", "Thu 16:30", "Fri 15:15", "Fri 06:00"),
        ("2024-11-05", "Fri 16:30", "Tue 15:45", "Sat 06:00"),
        ("2024-11-06", "Tue 17:00", "Wed 15:45", "Wed 06:00"),
    ],
)
def test_hours_changed_on_a_day(text: str, opens: str, closes: str, night_ends: str) -> None:
    """Each session has the hours of its time; the night before a change began at the old one."""
    session = held(calendar_by_name("ose"), day(text))
    found = (session.open_ns, session.close_ns, session.breaks[0].start_ns)
    assert [wall(item, TOKYO) for item in found] == [opens, closes, night_ends]


@pytest.mark.parametrize(
    ("name", "folder"), [("cme", "vendor_es_lean_1m_2013-10"), ("cme_fx", "vendor_6eh4_2024-01_1m")]
)
@pytest.mark.data
def test_vendor_bars_lie_in_open_time(shared_data: Path, name: str, folder: str) -> None:
    """Every minute bar is of open time, and the first and last minute of each part has one."""
    calendar = calendar_by_name(name)
    starts = set(pl.read_parquet(shared_data / folder / "bars_1m.parquet")["ts_open"].to_list())
    assert [item for item in starts if not calendar.is_open(item)] == []
    spans = calendar.open_spans(min(starts), max(starts) + MINUTE_NS)
    missing = [
        edge
        for open_ns, close_ns in spans
        for edge in (open_ns, close_ns - MINUTE_NS)
        if edge not in starts
    ]
    assert missing == []
    assert len(spans) > 8


def test_2013_had_a_halt_in_the_afternoon() -> None:
    """Equities closed at 16:15 with a halt from 15:15 to 15:30, metals without; then came 16:00."""
    for name, text, closes, halts in [
        ("cme", "2013-10-08", "Tue 16:15", ["Tue 15:15"]),
        ("comex", "2013-10-08", "Tue 16:15", []),
        ("cme_fx", "2013-10-08", "Tue 16:00", []),
        ("cme", "2015-09-21", "Mon 16:00", ["Mon 15:15"]),
        ("comex", "2015-09-21", "Mon 16:00", []),
        ("cme", "2021-06-25", "Fri 16:00", ["Fri 15:15"]),
        ("cme", "2021-06-28", "Mon 16:00", []),
    ]:
        session = held(calendar_by_name(name), day(text))
        assert wall(session.close_ns, CHICAGO) == closes
        assert [wall(item.start_ns, CHICAGO) for item in session.breaks] == halts


def test_every_calendar_says_where_it_comes_from() -> None:
    """Version, sources and verified years are part of the data."""
    assert {CME, CME_FX, COMEX, NYMEX, EUREX, OSE} < set(KNOWN.values())
    for spec in KNOWN.values():
        assert spec.version, spec.name
        assert spec.sources, spec.name
    assert [name for name, spec in KNOWN.items() if not spec.verified] == ["24x7"]
