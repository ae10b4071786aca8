"""From a holiday rule to the date it means in a year."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable

from tapekeeper.core.calendar.spec import (
    EasterDay,
    FixedDay,
    HolidayRule,
    NthWeekday,
    Observed,
)

_SATURDAY, _SUNDAY = 5, 6
_DAYS_PER_WEEK = 7


def holidays_of(rules: Iterable[HolidayRule], year: int) -> dict[dt.date, HolidayRule]:
    """The rules that fall on a date of `year`; where two meet, the first one counts.

    A rule of the neighbouring years may be observed in this one (1 January to 31 December), so
    they are looked at as well.
    """
    found: dict[dt.date, HolidayRule] = {}
    for rule in rules:
        for rule_year in (year - 1, year, year + 1):
            if not rule.since <= rule_year <= rule.until:
                continue
            date = _date_of(rule.day, rule_year)
            if date is not None and date.year == year:
                found.setdefault(date, rule)
    return found


def _date_of(day: FixedDay | NthWeekday | EasterDay, year: int) -> dt.date | None:
    if isinstance(day, FixedDay):
        return _fixed(day, year)
    if isinstance(day, NthWeekday):
        return _nth_weekday(day, year)
    date = easter_sunday(year) + dt.timedelta(days=day.plus_days)
    if day.first_week is not None and day.first_week != (date.day <= _DAYS_PER_WEEK):
        return None
    return date


def _fixed(day: FixedDay, year: int) -> dt.date | None:
    if day.day > calendar.monthrange(year, day.month)[1]:
        return None  # 29 February
    date = dt.date(year, day.month, day.day)
    if date.weekday() not in day.weekdays:
        return None
    if date.weekday() == _SUNDAY and day.observed is not Observed.NOWHERE:
        return date + dt.timedelta(days=1)
    if date.weekday() == _SATURDAY and day.observed is Observed.NEAREST:
        return date - dt.timedelta(days=1)
    return date


def _nth_weekday(day: NthWeekday, year: int) -> dt.date:
    if day.nth > 0:
        first = dt.date(year, day.month, 1)
        ahead = (day.weekday - first.weekday()) % _DAYS_PER_WEEK + _DAYS_PER_WEEK * (day.nth - 1)
        return first + dt.timedelta(days=ahead + day.plus_days)
    last = dt.date(year, day.month, calendar.monthrange(year, day.month)[1])
    back = (last.weekday() - day.weekday) % _DAYS_PER_WEEK
    return last - dt.timedelta(days=back - day.plus_days)


def easter_sunday(year: int) -> dt.date:
    """Easter Sunday of the Gregorian calendar.

    The anonymous Gregorian computus (Meeus, Astronomical Algorithms, chapter 8): the golden
    number and the epact give the paschal full moon, the dominical letter the Sunday after it.
    """
    golden = year % 19
    century, within = divmod(year, 100)
    leap_centuries, century_rest = divmod(century, 4)
    moon_shift = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - moon_shift + 15) % 30
    leaps, leap_rest = divmod(within, 4)
    to_sunday = (32 + 2 * century_rest + 2 * leaps - epact - leap_rest) % 7
    late_moon = (golden + 11 * epact + 22 * to_sunday) // 451
    month, day = divmod(epact + to_sunday - 7 * late_moon + 114, 31)
    return dt.date(year, month, day + 1)
