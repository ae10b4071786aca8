"""The calendars of CME Globex, as data: equity index, currencies, metals and energy.

All open at 17:00 in Chicago on the day before and close at 16:00. They differ on US bank
holidays, on which Globex stays open for a while, settles nothing and books on the next business
day:

    product        bank holiday                 where it is a Friday   day after Thanksgiving
    -------------  ---------------------------  ---------------------  ----------------------
    equity index   halt at 12:00                halt at 12:00          12:15
    metals, energy halt at 13:30                halt at 12:00          12:45 (13:45 in 2026)
    currencies     regular hours                halt at 12:00          12:15

The rules are the practice since 2022. `cme` was verified day by day for 2024-2026 against the
exchange's notices, vendor bars and three published calendars, of which each is wrong on 3 to 13
of those days. The others were compared with a published calendar, and where they differ with
what the sources say; see the tests for the list.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from tapekeeper.core.calendar.spec import (
    WORKING_WEEK,
    BreakRule,
    CalendarSpec,
    EarlierHours,
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
# A holiday on a Saturday is observed on the Friday.
_ON_A_FRIDAY, _ON_ANOTHER_DAY = (4, 5), (0, 1, 2, 3, 6)

_HALT = SessionKind.HOLIDAY_HALT
_EARLY = SessionKind.EARLY_CLOSE
_TRADING = SessionKind.HOLIDAY_TRADING

_MLK_DAY = NthWeekday(1, _MONDAY, 3)
_PRESIDENTS_DAY = NthWeekday(2, _MONDAY, 3)
_MEMORIAL_DAY = NthWeekday(5, _MONDAY, -1)
_LABOR_DAY = NthWeekday(9, _MONDAY, 1)
_THANKSGIVING = NthWeekday(11, _THURSDAY, 4)
_DAY_AFTER_THANKSGIVING = NthWeekday(11, _THURSDAY, 4, 1)
_CHRISTMAS_EVE = FixedDay(12, 24, weekdays=_MONDAY_TO_THURSDAY)

# The employment report comes out at 07:30 on the first Friday of the month. Where that is Good
# Friday (2010, 2012, 2015, 2021, 2023, 2026), financial products trade for some hours; else the
# exchange is closed. pandas_market_calendars takes every one since 2022 for the former.
_GOOD_FRIDAY_WITH_PAYROLLS = EasterDay(-2, first_week=True)
_GOOD_FRIDAY_WITHOUT = EasterDay(-2, first_week=False)

_CLOSED = (
    HolidayRule("New Year", FixedDay(1, 1, Observed.MONDAY), None),
    HolidayRule("Christmas", FixedDay(12, 25, Observed.NEAREST), None),
)


def _bank_holidays(kind: SessionKind, close: str, friday_close: str) -> tuple[HolidayRule, ...]:
    """What is held on US bank holidays; of those on a Friday there is no evening to reopen in."""
    mondays = (
        ("Martin Luther King Day", _MLK_DAY),
        ("Presidents Day", _PRESIDENTS_DAY),
        ("Memorial Day", _MEMORIAL_DAY),
        ("Labor Day", _LABOR_DAY),
        ("Thanksgiving", _THANKSGIVING),
    )
    rules = [HolidayRule(name, day, kind, close) for name, day in mondays]
    for name, month, day, since in (("Juneteenth", 6, 19, 2022), ("Independence Day", 7, 4, 1)):
        for weekdays, held, closes in (
            (_ON_A_FRIDAY, _HALT, friday_close),
            (_ON_ANOTHER_DAY, kind, close),
        ):
            fixed = FixedDay(month, day, Observed.NEAREST, weekdays)
            rules.append(HolidayRule(name, fixed, held, closes, since=since))
    return tuple(rules)


# A halt at noon is how Globex equity products pass a US bank holiday: no settlement, reopening at
# 17:00, and the trades count for the next business day. A close at 12:15 settles.
_EQUITY_HOLIDAYS = (
    *_CLOSED,
    HolidayRule("Good Friday with payrolls", _GOOD_FRIDAY_WITH_PAYROLLS, _EARLY, "08:15"),
    HolidayRule("Good Friday", _GOOD_FRIDAY_WITHOUT, None),
    *_bank_holidays(_HALT, "12:00", friday_close="12:00"),
    # Only where the holiday itself is the next day: a Friday the 3rd is the observed holiday.
    HolidayRule(
        "Independence Day's eve", FixedDay(7, 3, weekdays=_MONDAY_TO_THURSDAY), _EARLY, "12:15"
    ),
    HolidayRule("day after Thanksgiving", _DAY_AFTER_THANKSGIVING, _EARLY, "12:15"),
    HolidayRule("Christmas Eve", _CHRISTMAS_EVE, _EARLY, "12:15"),
)

_CURRENCY_HOLIDAYS = (
    *_CLOSED,
    HolidayRule("Good Friday with payrolls", _GOOD_FRIDAY_WITH_PAYROLLS, _EARLY, "10:15"),
    HolidayRule("Good Friday", _GOOD_FRIDAY_WITHOUT, None),
    *_bank_holidays(_TRADING, "", friday_close="12:00"),
    HolidayRule("day after Thanksgiving", _DAY_AFTER_THANKSGIVING, _EARLY, "12:15"),
    HolidayRule("Christmas Eve", _CHRISTMAS_EVE, _EARLY, "12:15"),
)

_COMMODITY_HOLIDAYS = (
    *_CLOSED,
    HolidayRule("Good Friday", EasterDay(-2), None),
    *_bank_holidays(_HALT, "13:30", friday_close="12:00"),
    HolidayRule("day after Thanksgiving", _DAY_AFTER_THANKSGIVING, _EARLY, "12:45"),
    HolidayRule("Christmas Eve", _CHRISTMAS_EVE, _EARLY, "12:45"),
)

# What no rule can know.
_EQUITY_EXCEPTIONS = (
    # CME Group's release of 2024-12-30: equity products trade until 08:30 and reopen at 17:00.
    # Published calendars have this day as closed or as regular. Other products: regular hours.
    SessionException(
        dt.date(2025, 1, 9), _EARLY, "08:30", reason="national day of mourning for J. Carter"
    ),
)
_COMMODITY_EXCEPTIONS = (
    SessionException(dt.date(2026, 11, 27), _EARLY, "13:45", reason="day after Thanksgiving"),
)

# Equity products had a halt before 2021-06-28. Until September 2015 they, metals and energy closed
# at 16:15. Hours before November 2012 are not known here.
_AFTERNOON_HALT = (BreakRule("15:15", "15:30", restarts=False),)
_UNTIL_2015, _UNTIL_2021 = dt.date(2015, 9, 18), dt.date(2021, 6, 25)

CME = CalendarSpec(
    name="cme",
    zone="America/Chicago",
    open="17:00",
    close="16:00",
    weekdays=WORKING_WEEK,
    holidays=_EQUITY_HOLIDAYS,
    exceptions=_EQUITY_EXCEPTIONS,
    earlier=(
        EarlierHours(_UNTIL_2015, "17:00", "16:15", _AFTERNOON_HALT),
        EarlierHours(_UNTIL_2021, "17:00", "16:00", _AFTERNOON_HALT),
    ),
    version="2026.2",
    verified=(2024, 2025, 2026),
    sources=(
        "CME Group trading hours and holiday notices",
        "vendor minute bars of 2013 and 2024",
        "QuantConnect Lean market hours and its corrections of 2026-09",
        "pandas_market_calendars 5.5 and exchange_calendars 4.13, where they agree with these",
    ),
)
"""Equity index futures: ES, NQ, RTY, YM and their micros."""

CME_FX = CalendarSpec(
    name="cme_fx",
    zone="America/Chicago",
    open="17:00",
    close="16:00",
    weekdays=WORKING_WEEK,
    holidays=_CURRENCY_HOLIDAYS,
    version="2026.1",
    verified=(2024,),
    sources=(
        "CME Group holiday schedules as given by DTN (Independence Day 2024) and brokers (2025)",
        "vendor minute bars of January 2024",
        "pandas_market_calendars 5.5 (CMEGlobex_FX), Good Fridays and Friday holidays aside",
    ),
)
"""Currency futures: 6A, 6B, 6C, 6E, 6J, 6S and their micros."""

COMEX = CalendarSpec(
    name="comex",
    zone="America/Chicago",
    open="17:00",
    close="16:00",
    weekdays=WORKING_WEEK,
    holidays=_COMMODITY_HOLIDAYS,
    exceptions=_COMMODITY_EXCEPTIONS,
    earlier=(EarlierHours(_UNTIL_2015, "17:00", "16:15"),),
    version="2026.1",
    verified=(2024, 2026),
    sources=(
        "CME Group holiday schedules as given by DTN (Independence Day 2024) and brokers (2025)",
        "CME Group's schedules of 2026 as listed in pandas_market_calendars issue 464",
        "pandas_market_calendars 5.5 (CMEGlobex_GC), its deviations listed in the tests",
    ),
)
"""Metals: GC, SI, HG, PL and their micros."""

NYMEX = msgspec.structs.replace(COMEX, name="nymex")
"""Energy: CL, NG, RB, HO and their micros. A calendar of its own although it is the same as that
of metals now: they are different exchanges' products, and a user may amend one of them."""
