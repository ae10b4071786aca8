"""The calendars that are shipped, as data.

`cme` is CME Globex equity index futures (ES, MES, NQ, MNQ, RTY, M2K, YM, MYM). Its rules are the
practice since 2022, verified day by day for 2024-2026 against the exchange's notices, vendor
bars and three published calendars, of which each is wrong on 3 to 13 of those days. Other
products of the group share its hours and most of its closed days, but some trade longer on bank
holidays (currencies) or halt later (metals, energy): where that matters, extend the spec.

Before 2021-06-28 there was a halt from 15:15 to 15:30, and until September 2015 the close was at
16:15. Neither is modelled: bars are bounded by opens, which were the same, and prints after the
close are counted to the session that opened last.
"""

from __future__ import annotations

import datetime as dt
from types import MappingProxyType

from tapekeeper.core.calendar.spec import (
    WORKING_WEEK,
    CalendarSpec,
    EasterDay,
    FixedDay,
    HolidayRule,
    NthWeekday,
    Observed,
    SessionException,
)
from tapekeeper.model.session import SessionKind

_MONDAY, _THURSDAY = 0, 3
_MONDAY_TO_THURSDAY = (0, 1, 2, 3)

_HALT = SessionKind.HOLIDAY_HALT
_EARLY = SessionKind.EARLY_CLOSE

# A halt at noon is how Globex equity products pass a US bank holiday: no settlement, reopening at
# 17:00, and the trades count for the next business day. A close at 12:15 settles.
_CME_HOLIDAYS = (
    HolidayRule("New Year", FixedDay(1, 1, Observed.MONDAY), None),
    HolidayRule("Martin Luther King Day", NthWeekday(1, _MONDAY, 3), _HALT, "12:00"),
    HolidayRule("Presidents Day", NthWeekday(2, _MONDAY, 3), _HALT, "12:00"),
    # The employment report comes out at 07:30 on the first Friday of the month. Where that is
    # Good Friday (2010, 2012, 2015, 2021, 2023, 2026), trading goes on until 08:15; else the
    # exchange is closed. pandas_market_calendars takes every one since 2022 for the former.
    HolidayRule("Good Friday with payrolls", EasterDay(-2, first_week=True), _EARLY, "08:15"),
    HolidayRule("Good Friday", EasterDay(-2, first_week=False), None),
    HolidayRule("Memorial Day", NthWeekday(5, _MONDAY, -1), _HALT, "12:00"),
    HolidayRule("Juneteenth", FixedDay(6, 19, Observed.NEAREST), _HALT, "12:00", since=2022),
    HolidayRule("Independence Day", FixedDay(7, 4, Observed.NEAREST), _HALT, "12:00"),
    # Only where the holiday itself is the next day: a Friday the 3rd is the observed holiday.
    HolidayRule(
        "Independence Day's eve", FixedDay(7, 3, weekdays=_MONDAY_TO_THURSDAY), _EARLY, "12:15"
    ),
    HolidayRule("Labor Day", NthWeekday(9, _MONDAY, 1), _HALT, "12:00"),
    HolidayRule("Thanksgiving", NthWeekday(11, _THURSDAY, 4), _HALT, "12:00"),
    HolidayRule("day after Thanksgiving", NthWeekday(11, _THURSDAY, 4, 1), _EARLY, "12:15"),
    HolidayRule("Christmas", FixedDay(12, 25, Observed.NEAREST), None),
    HolidayRule("Christmas Eve", FixedDay(12, 24, weekdays=_MONDAY_TO_THURSDAY), _EARLY, "12:15"),
)

# What no rule can know.
_CME_EXCEPTIONS = (
    # CME Group's release of 2024-12-30: equity products trade until 08:30 and reopen at 17:00.
    # Published calendars have this day as closed or as regular.
    SessionException(
        dt.date(2025, 1, 9), _EARLY, "08:30", reason="national day of mourning for J. Carter"
    ),
)

CME = CalendarSpec(
    name="cme",
    zone="America/Chicago",
    open="17:00",
    close="16:00",
    weekdays=WORKING_WEEK,
    holidays=_CME_HOLIDAYS,
    exceptions=_CME_EXCEPTIONS,
)

ALWAYS = CalendarSpec(name="24x7")
"""UTC days without a break."""

KNOWN = MappingProxyType({spec.name: spec for spec in (CME, ALWAYS)})
