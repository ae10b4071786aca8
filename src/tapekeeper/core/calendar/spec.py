"""What defines a calendar, as data: hours, weekdays, holiday rules and single exceptions.

A spec is plain data (`msgspec.convert` reads one from a mapping), so a user can define a
calendar of his own, or extend one of ours with `with_exceptions`, without writing code.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from tapekeeper.errors import ConfigError
from tapekeeper.model.session import SessionKind

_WALL_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
MINUTES_PER_DAY = 24 * 60
WORKING_WEEK = (0, 1, 2, 3, 4)


class Observed(StrEnum):
    """Where a holiday goes that falls on a weekend."""

    NOWHERE = "nowhere"  # it is not made up for
    NEAREST = "nearest"  # Saturday to Friday, Sunday to Monday
    MONDAY = "monday"  # Sunday to Monday; a Saturday is not made up for


class FixedDay(msgspec.Struct, frozen=True, tag="fixed"):
    """A day of the month, such as 25 December.

    Attributes:
        month, day: from 1.
        observed: what happens on a weekend.
        weekdays: the rule holds only in years in which the day itself is one of these weekdays
            (0 is Monday).
    """

    month: int
    day: int
    observed: Observed = Observed.NOWHERE
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)


class NthWeekday(msgspec.Struct, frozen=True, tag="nth_weekday"):
    """The n-th weekday of a month, such as the fourth Thursday of November.

    Attributes:
        month: from 1.
        weekday: 0 is Monday.
        nth: 1 to 4, or -1 for the last one.
        plus_days: added to it, such as 1 for the day after Thanksgiving.
    """

    month: int
    weekday: int
    nth: int
    plus_days: int = 0


class EasterDay(msgspec.Struct, frozen=True, tag="easter"):
    """A day counted from Easter Sunday (Gregorian), such as -2 for Good Friday.

    Attributes:
        plus_days: added to Easter Sunday.
        first_week: only in years in which the day is (True) or is not (False) among the first
            seven of its month; None for every year.
    """

    plus_days: int
    first_week: bool | None = None


class HolidayRule(msgspec.Struct, frozen=True):
    """A session that is not regular, every year.

    Attributes:
        name: for people.
        day: which session date.
        kind: what sort of session is held; None for no session at all.
        close: wall time of its close, `HH:MM`; "" for the regular one (and where none is held).
        since, until: first and last year of the rule, inclusive.
    """

    name: str
    day: FixedDay | NthWeekday | EasterDay
    kind: SessionKind | None
    close: str = ""
    since: int = 1
    until: int = 9999


class BreakRule(msgspec.Struct, frozen=True):
    """A stretch without trading inside every session.

    Attributes:
        start, end: wall times, `HH:MM`.
        restarts: whether bars longer than an hour begin anew at its end, as they do at an open.
            A halt of some minutes does not restart them, the morning after a night does.
    """

    start: str
    end: str
    restarts: bool = True


class EarlierHours(msgspec.Struct, frozen=True):
    """The regular hours of sessions of the past.

    Attributes:
        until: the last session date with these hours.
        open, close, breaks: as in `CalendarSpec`.
    """

    until: dt.date
    open: str
    close: str
    breaks: tuple[BreakRule, ...] = ()


class SessionException(msgspec.Struct, frozen=True):
    """A session that is not what the rules say, once. It goes before every rule.

    Attributes:
        date: the session date; on a weekend it adds a session.
        kind: what sort of session is held; None for no session at all.
        close: wall time of its close, `HH:MM`; "" for the regular one.
        open: wall time of its open, `HH:MM`, on the calendar day on which a regular session
            would open; "" for the regular one.
        trade_date: the exchange's date for it; None for the usual one of its kind.
        reason: for people.
        opens_on: the calendar day of its open, where that is not the usual one.
    """

    date: dt.date
    kind: SessionKind | None = None
    close: str = ""
    open: str = ""
    trade_date: dt.date | None = None
    reason: str = ""
    opens_on: dt.date | None = None


class CalendarSpec(msgspec.Struct, frozen=True):
    """A whole calendar.

    A session is named by the local date on which it closes. Where `open` is later than `close`
    on the clock, the session opens on the day before. Everything behind `exceptions` came later
    and has a default, because journals hold specs.

    Attributes:
        name: what instruments and settings call it.
        zone: IANA time zone of the wall times.
        open, close: regular wall times, `HH:MM`; `24:00` is the end of the day.
        weekdays: session dates that have a session, 0 is Monday.
        holidays: rules; where two meet, the first one counts.
        exceptions: single dates.
        breaks: stretches without trading inside a session, in order of time. One that a session
            does not reach, because it closes early or opens late, is not there.
        earlier: regular hours of the past, in order of `until`.
        open_zone: IANA time zone of `open` where that is not `zone`, as at an exchange that opens
            by the clock of another continent.
        opens_on_session_before: a session opens on the date of the session before, such as on a
            Friday for Monday; its first break then lasts until the session's own date.
        version: of the data; another one for every change of what sessions there are.
        verified: years whose special days were checked one by one; others follow the rules.
        sources: where the rules and exceptions come from.

    Raises:
        ConfigError: the zone is unknown, a time is no wall time, no weekday is given, breaks
            overlap or lie outside the session, a rule or exception cannot be, or two exceptions
            name one date.
    """

    name: str
    zone: str = "UTC"
    open: str = "00:00"
    close: str = "24:00"
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    holidays: tuple[HolidayRule, ...] = ()
    exceptions: tuple[SessionException, ...] = ()
    breaks: tuple[BreakRule, ...] = ()
    earlier: tuple[EarlierHours, ...] = ()
    open_zone: str = ""
    opens_on_session_before: bool = False
    version: str = ""
    verified: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"calendar {self.name!r}"
        zone_of(self.zone, where)
        zone_of(self.open_zone or self.zone, where)
        for hours in self.regular_hours():
            _check_hours(hours, where)
        if not self.weekdays or not set(self.weekdays) <= set(range(7)):
            raise ConfigError(f"{where}: weekdays are numbers from 0 (Monday) to 6, at least one")
        untils = [item.until for item in self.earlier]
        if untils != sorted(set(untils)):
            raise ConfigError(f"{where}: earlier hours are given in the order of their last dates")
        if self.opens_on_session_before and not all(
            opens_day_before(hours) and hours.breaks for hours in self.regular_hours()
        ):
            raise ConfigError(
                f"{where}: sessions that open on the date of the session before open later on the "
                "clock than they close, and have a break that lasts until their own date"
            )
        for rule in self.holidays:
            _check_rule(rule, f"{where}, rule {rule.name!r}")
        seen: set[dt.date] = set()
        for item in self.exceptions:
            label = f"{where}, exception {item.date.isoformat()}"
            if item.date in seen:
                raise ConfigError(f"{label}: the date is given twice")
            seen.add(item.date)
            _check_times(item.kind, item.close, label)
            if item.open:
                wall_minutes(item.open, label)

    def regular_hours(self) -> tuple[EarlierHours, ...]:
        """All regular hours there ever were, in order; the last ones are those of today."""
        return (*self.earlier, EarlierHours(dt.date.max, self.open, self.close, self.breaks))

    @property
    def opens_day_before(self) -> bool:
        """Whether a session opens on the local day before its date."""
        return opens_day_before(self.regular_hours()[-1])

    def with_exceptions(self, exceptions: Iterable[SessionException]) -> CalendarSpec:
        """The same calendar with these exceptions too; they replace those of the same date."""
        merged = {item.date: item for item in self.exceptions}
        added = list(exceptions)
        if len({item.date for item in added}) != len(added):
            raise ConfigError(f"calendar {self.name!r}: an exception's date is given twice")
        merged.update((item.date, item) for item in added)
        ordered = tuple(merged[date] for date in sorted(merged))
        return msgspec.structs.replace(self, exceptions=ordered)


def opens_day_before(hours: EarlierHours) -> bool:
    """Whether sessions with these hours open on a local day before their date."""
    return wall_minutes(hours.open, "") >= wall_minutes(hours.close, "")


def zone_of(key: str, where: str) -> ZoneInfo:
    """The time zone called `key`.

    Raises:
        ConfigError: there is none.
    """
    try:
        return ZoneInfo(key)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"{where}: unknown time zone {key!r}; write an IANA name such as America/Chicago"
        ) from error


def wall_minutes(text: str, where: str) -> int:
    """Minutes since local midnight of `HH:MM`, up to `24:00`.

    Raises:
        ConfigError: it is not a wall time.
    """
    match = _WALL_TIME.fullmatch(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match else MINUTES_PER_DAY + 1
    if minutes > MINUTES_PER_DAY:
        raise ConfigError(f"{where}: {text!r} is not a wall time; write HH:MM from 00:00 to 24:00")
    return minutes


def _check_hours(hours: EarlierHours, where: str) -> None:
    opens, closes = wall_minutes(hours.open, where), wall_minutes(hours.close, where)
    before = opens >= closes

    def passed(text: str) -> int:
        minutes = wall_minutes(text, where)
        return minutes - opens + (MINUTES_PER_DAY if before and minutes < opens else 0)

    last = 0
    for item in hours.breaks:
        start, end = passed(item.start), passed(item.end)
        if not last < start < end:
            raise ConfigError(
                f"{where}: the break from {item.start} to {item.end} does not come after the open "
                f"at {hours.open} and the breaks before it; give breaks in order, without overlap"
            )
        last = end
    if last >= closes - opens + (MINUTES_PER_DAY if before else 0):
        raise ConfigError(
            f"{where}: the break until {hours.breaks[-1].end} does not end before the close at "
            f"{hours.close}"
        )


def _check_times(kind: SessionKind | None, close: str, where: str) -> None:
    if close:
        wall_minutes(close, where)
    if kind is None and close:
        raise ConfigError(f"{where}: it has a close but no kind, and no kind means no session")
    if kind in {SessionKind.EARLY_CLOSE, SessionKind.HOLIDAY_HALT} and not close:
        raise ConfigError(f"{where}: a session of kind {kind} needs a close, such as 12:00")


def _check_rule(rule: HolidayRule, where: str) -> None:
    _check_times(rule.kind, rule.close, where)
    day = rule.day
    if isinstance(day, FixedDay):
        try:
            dt.date(2000, day.month, day.day)  # a leap year: 29 February is a day
        except ValueError as error:
            raise ConfigError(f"{where}: there is no day {day.day} in month {day.month}") from error
    elif isinstance(day, NthWeekday):
        good = 1 <= day.month <= 12 and 0 <= day.weekday <= 6 and day.nth in {-1, 1, 2, 3, 4}  # noqa: PLR2004 - months, weekdays
        if not good:
            raise ConfigError(
                f"{where}: month is 1 to 12, weekday 0 to 6, nth 1 to 4 or -1 for the last"
            )
