"""Session calendars: when trading is open, and which interval a bar covers."""

from tapekeeper.core.calendar.calendar import Calendar, calendar_by_name
from tapekeeper.core.calendar.known import BY_PRODUCT, DEFAULT_NAME, KNOWN, calendar_of_product
from tapekeeper.core.calendar.spec import (
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

__all__ = [
    "BY_PRODUCT",
    "DEFAULT_NAME",
    "KNOWN",
    "BreakRule",
    "Calendar",
    "CalendarSpec",
    "EarlierHours",
    "EasterDay",
    "FixedDay",
    "HolidayRule",
    "NthWeekday",
    "Observed",
    "SessionException",
    "calendar_by_name",
    "calendar_of_product",
]
