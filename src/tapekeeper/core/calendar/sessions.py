"""The sessions of a calendar, computed year by year as they are asked for."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from functools import lru_cache
from math import gcd
from zoneinfo import ZoneInfo

from tapekeeper.core.calendar.holidays import holidays_of
from tapekeeper.core.calendar.spec import (
    MINUTES_PER_DAY,
    CalendarSpec,
    HolidayRule,
    SessionException,
    wall_minutes,
    zone_of,
)
from tapekeeper.errors import ConfigError, UsageError
from tapekeeper.model.session import Session, SessionKind
from tapekeeper.model.timeframe import DAY_NS, MINUTE_NS, SECOND_NS

_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_ONE_DAY = dt.timedelta(days=1)

# Zones had local mean time with odd seconds in the nineteenth century, and no tape is older.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
# A year's sessions are computed in a millisecond; a replay walks forward, so few are needed.
_KEPT_YEARS = 16


def date_of_ns(ts_ns: int) -> dt.date:
    """The UTC date of a time in ns UTC.

    Raises:
        UsageError: it is not in 1970-2200.
    """
    ordinal = _EPOCH_ORDINAL + ts_ns // DAY_NS
    if 1 <= ordinal <= dt.date.max.toordinal():
        date = dt.date.fromordinal(ordinal)
        if _FIRST_YEAR <= date.year <= _LAST_YEAR:
            return date
    raise UsageError(f"the time {ts_ns} ns is not in {_FIRST_YEAR}-{_LAST_YEAR}")


def wall_ns(date: dt.date, minutes: int, zone: ZoneInfo) -> int:
    """The instant at `minutes` after local midnight by the wall clock, ns UTC.

    A wall time that a clock change skips is read with the offset before it, one that a change
    repeats means the first of the two.
    """
    day, minute = divmod(minutes, MINUTES_PER_DAY)
    ordinal = date.toordinal() + day
    local = dt.datetime.combine(
        dt.date.fromordinal(ordinal), dt.time(minute // 60, minute % 60), tzinfo=zone
    )
    offset = local.utcoffset() or dt.timedelta()
    offset_ns = (offset.days * 86_400 + offset.seconds) * SECOND_NS
    return (ordinal - _EPOCH_ORDINAL) * DAY_NS + minute * MINUTE_NS - offset_ns


@lru_cache(maxsize=32)
def _offsets_ns(key: str) -> frozenset[int]:
    """Every UTC offset of a zone in 1970-2200.

    A look a week is enough: no zone has ever kept an offset of its own for less.
    """
    offsets: set[int] = set()
    moment = dt.datetime(_FIRST_YEAR, 1, 1, 12, tzinfo=ZoneInfo(key))
    while moment.year <= _LAST_YEAR:
        offset = moment.utcoffset() or dt.timedelta()
        offsets.add((offset.days * 86_400 + offset.seconds) * SECOND_NS)
        moment += 7 * _ONE_DAY
    return frozenset(offsets)


class Sessions:
    """All sessions of a calendar, in order of their opens (which is the order of their dates)."""

    def __init__(self, spec: CalendarSpec) -> None:
        self._spec = spec
        self._where = f"calendar {spec.name!r}"
        self._zone = zone_of(spec.zone, self._where)
        self._open = wall_minutes(spec.open, self._where)
        self._close = wall_minutes(spec.close, self._where)
        self._day_before = -MINUTES_PER_DAY if spec.opens_day_before else 0
        self._exceptions = {item.date: item for item in spec.exceptions}
        self._years: dict[int, tuple[list[int], list[Session]]] = {}
        self._holidays: dict[int, dict[dt.date, HolidayRule]] = {}
        for year in sorted({item.date.year for item in spec.exceptions}):
            self._year(year)  # so that an impossible exception is refused now, not that day

    def alignment_ns(self) -> int:
        """The greatest length that is known to divide every session open since 1970 UTC."""
        opens = {self._open * MINUTE_NS}
        opens |= {
            wall_minutes(item.open, self._where) * MINUTE_NS
            for item in self._spec.exceptions
            if item.open
        }
        offsets = _offsets_ns(self._spec.zone)
        return gcd(DAY_NS, *(wall - offset for wall in opens for offset in offsets))

    def on(self, date: dt.date) -> Session | None:
        """The session of this date, or None."""
        return next((item for item in self._year(date.year)[1] if item.date == date), None)

    def between(self, first: dt.date, last: dt.date) -> list[Session]:
        """The sessions whose dates are in [first, last]."""
        years = range(first.year, last.year + 1)
        found = [item for year in years for item in self._year(year)[1]]
        return [item for item in found if first <= item.date <= last]

    def at(self, ts_ns: int) -> Session:
        """The session that opened last at or before `ts_ns`."""
        year = date_of_ns(ts_ns).year + 1  # next year's first session may open in this one
        while True:
            opens, sessions = self._year(year)
            index = bisect_right(opens, ts_ns)
            if index:
                return sessions[index - 1]
            year -= 1

    def from_date(self, date: dt.date) -> Session:
        """The first session whose date is `date` or later."""
        year = date.year
        while True:
            for item in self._year(year)[1]:
                if item.date >= date:
                    return item
            year += 1

    def after(self, session: Session) -> Session:
        """The session that opens next after `session`."""
        return self.from_date(session.date + _ONE_DAY)

    def before(self, date: dt.date) -> Session:
        """The last session whose date is before `date`."""
        year = date.year
        while True:
            for item in reversed(self._year(year)[1]):
                if item.date < date:
                    return item
            year -= 1

    def _year(self, year: int) -> tuple[list[int], list[Session]]:
        known = self._years.get(year)
        if known is None:
            if not 1 < year < dt.MAXYEAR:
                raise UsageError(f"{self._where}: no session was found near the year {year}")
            known = self._compute(year)
            if len(self._years) >= _KEPT_YEARS:
                self._years.pop(next(iter(self._years)))
            self._years[year] = known
        return known

    def _compute(self, year: int) -> tuple[list[int], list[Session]]:
        sessions: list[Session] = []
        date = dt.date(year, 1, 1)
        while date.year == year:
            session = self._session(date)
            if session is not None:
                self._check_order(sessions[-1] if sessions else None, session)
                sessions.append(session)
            date += _ONE_DAY
        return [item.open_ns for item in sessions], sessions

    def _check_order(self, previous: Session | None, session: Session) -> None:
        if session.open_ns >= session.close_ns:
            raise ConfigError(
                f"{self._where}: the session of {session.date} closes before it opens"
            )
        if previous is not None and session.open_ns < previous.close_ns:
            raise ConfigError(
                f"{self._where}: the session of {session.date} opens before the one of "
                f"{previous.date} closes"
            )

    def _rule(self, date: dt.date) -> HolidayRule | None:
        rules = self._holidays.get(date.year)
        if rules is None:
            if len(self._holidays) >= _KEPT_YEARS:
                self._holidays.pop(next(iter(self._holidays)))
            rules = self._holidays[date.year] = holidays_of(self._spec.holidays, date.year)
        return rules.get(date)

    def _kind(self, date: dt.date) -> SessionKind | None:
        """What sort of session is held on a date, or None."""
        exception = self._exceptions.get(date)
        if exception is not None:
            return exception.kind
        if date.weekday() not in self._spec.weekdays:
            return None
        rule = self._rule(date)
        return SessionKind.REGULAR if rule is None else rule.kind

    def _session(self, date: dt.date) -> Session | None:
        kind = self._kind(date)
        if kind is None:
            return None
        special: SessionException | HolidayRule | None = self._exceptions.get(date)
        if special is None:
            special = self._rule(date)
        opens, closes, trade_date = self._open, self._close, None
        if special is not None and special.close:
            closes = wall_minutes(special.close, self._where)
        if isinstance(special, SessionException):
            trade_date = special.trade_date
            if special.open:
                opens = wall_minutes(special.open, self._where)
        return Session(
            date=date,
            open_ns=wall_ns(date, opens + self._day_before, self._zone),
            close_ns=wall_ns(date, closes, self._zone),
            kind=kind,
            trade_date=trade_date or self._trade_date(date, kind),
        )

    def _trade_date(self, date: dt.date, kind: SessionKind) -> dt.date:
        """A holiday halt has no settlement: its trades are booked on the next date that has."""
        while kind is SessionKind.HOLIDAY_HALT:
            date += _ONE_DAY
            following = self._kind(date)
            while following is None:
                date += _ONE_DAY
                following = self._kind(date)
            kind = following
        return date
