"""Session calendars: when trading is open, and which interval a bar covers."""

from tapekeeper.core.calendar.calendar import Calendar, calendar_by_name
from tapekeeper.core.calendar.known import KNOWN
from tapekeeper.core.calendar.spec import (
    CalendarSpec,
    EasterDay,
    FixedDay,
    HolidayRule,
    NthWeekday,
    Observed,
    SessionException,
)

__all__ = [
    "KNOWN",
    "Calendar",
    "CalendarSpec",
    "EasterDay",
    "FixedDay",
    "HolidayRule",
    "NthWeekday",
    "Observed",
    "SessionException",
    "calendar_by_name",
]
