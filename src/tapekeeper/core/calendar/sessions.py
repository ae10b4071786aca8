"""The sessions of a calendar, computed year by year as they are asked for."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from zoneinfo import ZoneInfo

from tapekeeper.core.calendar.holidays import holidays_of
from tapekeeper.core.calendar.spec import (
    MINUTES_PER_DAY,
    CalendarSpec,
    EarlierHours,
    HolidayRule,
    SessionException,
    opens_day_before,
    wall_minutes,
    zone_of,
)
from tapekeeper.errors import ConfigError, UsageError
from tapekeeper.model.session import Break, Session, SessionKind
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


@dataclass(frozen=True, slots=True)
class _Hours:
    """Regular hours as minutes since local midnight.

    Attributes:
        until: the last session date with these hours.
        opens, closes: of a regular session.
        before: whether the open is on a day before the session's date.
        breaks: start, end, and whether longer bars begin anew.
    """

    until: dt.date
    opens: int
    closes: int
    before: bool
    breaks: tuple[tuple[int, int, bool], ...]

    @classmethod
    def of(cls, hours: EarlierHours, where: str) -> _Hours:
        return cls(
            hours.until,
            wall_minutes(hours.open, where),
            wall_minutes(hours.close, where),
            opens_day_before(hours),
            tuple(
                (wall_minutes(item.start, where), wall_minutes(item.end, where), item.restarts)
                for item in hours.breaks
            ),
        )


class Sessions:
    """All sessions of a calendar, in order of their opens (which is the order of their dates)."""

    def __init__(self, spec: CalendarSpec) -> None:
        self._spec = spec
        self._where = f"calendar {spec.name!r}"
        self._zone = zone_of(spec.zone, self._where)
        self._open_zone = zone_of(spec.open_zone or spec.zone, self._where)
        self._hours = tuple(_Hours.of(item, self._where) for item in spec.regular_hours())
        self._exceptions = {item.date: item for item in spec.exceptions}
        self._years: dict[int, tuple[list[int], list[Session]]] = {}
        self._holidays: dict[int, dict[dt.date, HolidayRule]] = {}
        for year in sorted({item.date.year for item in spec.exceptions}):
            self._year(year)  # so that an impossible exception is refused now, not that day

    def alignment_ns(self) -> int:
        """The greatest length known to divide every point since 1970 UTC at which bars restart.

        These are the opens, and the ends of breaks that restart longer bars.
        """
        opens = {hours.opens for hours in self._hours}
        opens |= {
            wall_minutes(item.open, self._where) for item in self._spec.exceptions if item.open
        }
        ends = {end for hours in self._hours for _, end, restarts in hours.breaks if restarts}
        open_offsets = _offsets_ns(self._spec.open_zone or self._spec.zone)
        offsets = _offsets_ns(self._spec.zone)
        return gcd(
            DAY_NS,
            *(wall * MINUTE_NS - offset for wall in opens for offset in open_offsets),
            *(wall * MINUTE_NS - offset for wall in ends for offset in offsets),
        )

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
        hours = next(item for item in self._hours if date <= item.until)
        opens, closes, trade_date = hours.opens, hours.closes, None
        open_date = self._open_date(date, hours)
        if special is not None and special.close:
            closes = wall_minutes(special.close, self._where)
        if isinstance(special, SessionException):
            trade_date = special.trade_date
            open_date = special.opens_on or open_date
            if special.open:
                opens = wall_minutes(special.open, self._where)
        open_ns = wall_ns(open_date, opens, self._open_zone)
        close_ns = wall_ns(date, closes, self._zone)
        if special is None and close_ns <= open_ns:
            return None  # a date that its zone skipped, as Samoa did 2011-12-30
        breaks = self._breaks(date, self._open_date(date, hours), hours)
        # A session that closes within a break has closed when it began, and one that opens
        # within a break opens when it is over.
        for item in breaks:
            if item.start_ns < close_ns <= item.end_ns:
                close_ns = item.start_ns
            if item.start_ns <= open_ns < item.end_ns:
                open_ns = item.end_ns
        return Session(
            date=date,
            open_ns=open_ns,
            close_ns=close_ns,
            kind=kind,
            trade_date=trade_date or self._trade_date(date, kind),
            breaks=tuple(
                item for item in breaks if open_ns < item.start_ns and item.end_ns < close_ns
            ),
        )

    def _open_date(self, date: dt.date, hours: _Hours) -> dt.date:
        """The calendar day of the regular open of a session."""
        if not hours.before:
            return date
        date -= _ONE_DAY
        while self._spec.opens_on_session_before and self._kind(date) is None:
            date -= _ONE_DAY
        return date

    def _breaks(self, date: dt.date, open_date: dt.date, hours: _Hours) -> list[Break]:
        found = []
        for index, (start, end, restarts) in enumerate(hours.breaks):
            starts_on = ends_on = date
            if hours.before and start >= hours.opens:
                starts_on = open_date
            elif hours.before and index == 0:
                starts_on = open_date + _ONE_DAY  # the date itself, or after a Friday a Saturday
            if hours.before and end > hours.opens:
                ends_on = open_date
            start_ns, end_ns = (
                wall_ns(starts_on, start, self._zone),
                wall_ns(ends_on, end, self._zone),
            )
            # A clock change may skip a break.
            if start_ns < end_ns:
                found.append(Break(start_ns, end_ns, restarts))
        return found

    def _trade_date(self, date: dt.date, kind: SessionKind) -> dt.date:
        """A session without a settlement is booked on the next date that has one."""
        while not kind.settles:
            date += _ONE_DAY
            following = self._kind(date)
            while following is None:
                date += _ONE_DAY
                following = self._kind(date)
            kind = following
        return date
