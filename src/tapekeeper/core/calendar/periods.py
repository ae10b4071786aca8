"""Days, weeks and months of session dates, counted from fixed points so that all agree."""

from __future__ import annotations

import datetime as dt

from tapekeeper.model.timeframe import Timeframe, Unit

_EPOCH = dt.date(1970, 1, 1)
_FIRST_MONDAY = dt.date(1970, 1, 5)
_DAYS_PER_WEEK = 7
_MONTHS_PER_YEAR = 12


def period_of(timeframe: Timeframe, date: dt.date) -> tuple[dt.date, dt.date]:
    """First date of the period of `timeframe` that holds `date`, and of the period after it.

    Groups of N days are counted from 1970-01-01, of N weeks from Monday 1970-01-05, and of N
    months from January of the year 0, whatever days have sessions.
    """
    count = timeframe.count
    if timeframe.unit is Unit.MONTH:
        months = date.year * _MONTHS_PER_YEAR + date.month - 1
        first = months - months % count
        return _month(first), _month(first + count)
    if timeframe.unit is Unit.WEEK:
        return _days(date, _FIRST_MONDAY, count * _DAYS_PER_WEEK)
    return _days(date, _EPOCH, count)


def _days(date: dt.date, origin: dt.date, length: int) -> tuple[dt.date, dt.date]:
    first = date - dt.timedelta(days=(date - origin).days % length)
    return first, first + dt.timedelta(days=length)


def _month(months: int) -> dt.date:
    year, month = divmod(months, _MONTHS_PER_YEAR)
    return dt.date(year, month + 1, 1)
