"""The calendar of index futures of Osaka Exchange (Tokyo time), as data.

A trading day begins with the night session (17:00 to 06:00) on the evening of the day before it,
on a Friday for Monday, and goes on with the day session (08:45 to 15:45). Here both are one
session with a break, in which longer bars begin anew.

Since 2022-09-23 most holidays have trading in regular hours. What is done then, in the night
before and in the night after, is booked on the next business day; the session of such a day is
its own here, with that trade date. 1 January, 2 January and 31 December have no trading, and
neither have some holidays of each year that the exchange uses for tests. It announces them in the
year before: those for 2024, for 2025 until September and for the second half of 2026 are here; of
the others the rule is assumed, that there is trading.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from tapekeeper.core.calendar.spec import (
    WORKING_WEEK,
    BreakRule,
    CalendarSpec,
    EarlierHours,
    FixedDay,
    HolidayRule,
    NthWeekday,
    Observed,
    SessionException,
)
from tapekeeper.model.session import SessionKind

_MONDAY, _TUESDAY, _WEDNESDAY = 0, 1, 2
_REGULAR, _TRADING = SessionKind.REGULAR, SessionKind.HOLIDAY_TRADING

# The first year that had trading on holidays from its beginning.
_TRADING_SINCE = 2023

# The national observatory announces equinoxes each February for the year after. Their dates in
# these years follow a pattern of four years.
_EQUINOX_YEARS = range(2016, 2045)


def _holidays() -> Iterator[tuple[str, FixedDay | NthWeekday, int, int]]:
    """Name, day, first and last year of what is a holiday in Japan.

    One that falls on a Sunday is made up for on the next day that is none itself, a Saturday's
    is not.
    """

    def fixed(month: int, day: int) -> FixedDay:
        return FixedDay(month, day, Observed.MONDAY)

    ever = (1, 9999)
    yield ("exchange holiday", FixedDay(1, 3), *ever)
    yield ("Coming of Age Day", NthWeekday(1, _MONDAY, 2), *ever)
    yield ("National Foundation Day", fixed(2, 11), *ever)
    yield ("Emperor's Birthday", fixed(2, 23), 2020, 9999)
    yield ("Showa Day", fixed(4, 29), *ever)
    yield ("Constitution Day", FixedDay(5, 3), *ever)
    yield ("Greenery Day", FixedDay(5, 4), *ever)
    yield ("Children's Day", FixedDay(5, 5), *ever)
    # For whichever of the three was on a Sunday.
    made_up = FixedDay(5, 6, weekdays=(_MONDAY, _TUESDAY, _WEDNESDAY))
    yield ("holiday made up for", made_up, *ever)
    yield ("Marine Day", NthWeekday(7, _MONDAY, 3), *ever)
    yield ("Mountain Day", fixed(8, 11), *ever)
    yield ("Respect for the Aged Day", NthWeekday(9, _MONDAY, 3), *ever)
    # A day between two holidays is one: a Tuesday after that Monday and before the equinox.
    yield ("citizens' holiday", FixedDay(9, 22, weekdays=(_TUESDAY,)), 2026, 2026)
    yield ("Sports Day", NthWeekday(10, _MONDAY, 2), *ever)
    yield ("Culture Day", fixed(11, 3), *ever)
    yield ("Labour Thanksgiving Day", fixed(11, 23), *ever)
    for year in _EQUINOX_YEARS:
        vernal = 20 if year % 4 in ({0, 1} if year < 2026 else {0, 1, 2}) else 21  # noqa: PLR2004 - the pattern
        yield ("vernal equinox", fixed(3, vernal), year, year)
        yield ("autumnal equinox", fixed(9, 22 if year % 4 == 0 else 23), year, year)


def _rules() -> tuple[HolidayRule, ...]:
    rules = [
        HolidayRule("New Year", FixedDay(1, 1), None),
        HolidayRule("exchange holiday", FixedDay(1, 2), None),
        HolidayRule("exchange holiday", FixedDay(12, 31), None),
    ]
    for name, day, since, until in _holidays():
        if since < _TRADING_SINCE:
            last = min(until, _TRADING_SINCE - 1)
            rules.append(HolidayRule(name, day, None, since=since, until=last))
        if until >= _TRADING_SINCE:
            first = max(since, _TRADING_SINCE)
            rules.append(HolidayRule(name, day, _TRADING, since=first, until=until))
    return tuple(rules)


def _tests(*dates: str) -> Iterator[SessionException]:
    for text in dates:
        yield SessionException(dt.date.fromisoformat(text), reason="the exchange tests its systems")


_EXCEPTIONS = (
    *(
        SessionException(dt.date.fromisoformat(text), _TRADING, reason="trading on a holiday")
        for text in ("2022-09-23", "2022-10-10", "2022-11-03", "2022-11-23")
    ),
    *_tests("2023-01-09", "2024-01-08", "2024-08-12", "2024-09-16", "2024-11-04"),
    # The night before the hours changed began at the old time.
    SessionException(dt.date(2024, 11, 5), _REGULAR, open="16:30", reason="first day until 15:45"),
    *_tests("2025-01-13", "2025-09-15", "2026-11-23"),
)

OSE = CalendarSpec(
    name="ose",
    zone="Asia/Tokyo",
    open="17:00",
    close="15:45",
    weekdays=WORKING_WEEK,
    holidays=_rules(),
    exceptions=_EXCEPTIONS,
    breaks=(BreakRule("06:00", "08:45"),),
    earlier=(
        # The night until the 21st still ended at 05:30. Hours before 2016-07-19 are not modelled.
        EarlierHours(dt.date(2021, 9, 21), "16:30", "15:15", (BreakRule("05:30", "08:45"),)),
        EarlierHours(dt.date(2024, 11, 4), "16:30", "15:15", (BreakRule("06:00", "08:45"),)),
    ),
    opens_on_session_before=True,
    version="2026.1",
    verified=(2024,),
    sources=(
        "JPX: trading hours, revisions with J-GATE 3.0, and derivatives holiday trading days",
        "JPX notices of holiday trading for 2022, 2023 (first half) and 2026 (second half)",
        "exchange_calendars 4.13 (XTKS) for the holidays themselves",
    ),
)
"""Index futures: Nikkei 225 and its minis, TOPIX."""
