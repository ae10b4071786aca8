"""The calendar of index futures of Eurex, as data.

Trading lasts from 00:10 UTC to 22:00 in Frankfurt: the open was set by the clock of Asia, which
knows no summer time, so it is 01:10 in winter and 02:10 in summer. The session that begins in
the night is of the day on which it closes. The last trading day of the year has regular hours
for these products; 24 and 31 December have none. Hours before 2018-12-10 (from 07:50 on) are not
modelled.
"""

from __future__ import annotations

from tapekeeper.core.calendar.spec import (
    WORKING_WEEK,
    CalendarSpec,
    EasterDay,
    FixedDay,
    HolidayRule,
)

EUREX = CalendarSpec(
    name="eurex",
    zone="Europe/Berlin",
    open="00:10",
    close="22:00",
    weekdays=WORKING_WEEK,
    holidays=(
        # None is made up for: what falls on a weekend is gone.
        HolidayRule("New Year", FixedDay(1, 1), None),
        HolidayRule("Good Friday", EasterDay(-2), None),
        HolidayRule("Easter Monday", EasterDay(1), None),
        HolidayRule("Labour Day", FixedDay(5, 1), None),
        HolidayRule("Christmas Eve", FixedDay(12, 24), None),
        HolidayRule("Christmas", FixedDay(12, 25), None),
        HolidayRule("Boxing Day", FixedDay(12, 26), None),
        HolidayRule("New Year's Eve", FixedDay(12, 31), None),
    ),
    open_zone="UTC",
    version="2026.1",
    verified=(2024, 2025, 2026),
    sources=(
        "Eurex trading hours (01:10 CET, 02:10 CEST to 22:00) and holiday regulations",
        "Eurex circular 107/21: index futures keep regular hours on the last trading day",
        "exchange_calendars 4.13 (XEUR) for the days without trading",
    ),
)
"""Index futures: FDAX, FDXM, FDXS, FESX, FSXE."""
