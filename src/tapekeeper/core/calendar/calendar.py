"""A calendar: when sessions are, and which interval a bar covers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from difflib import get_close_matches

from tapekeeper.core.calendar.known import KNOWN
from tapekeeper.core.calendar.periods import period_of
from tapekeeper.core.calendar.sessions import Sessions
from tapekeeper.core.calendar.spec import CalendarSpec, SessionException
from tapekeeper.errors import ConfigError
from tapekeeper.model.session import Interval, Session
from tapekeeper.model.timeframe import Anchor, Timeframe

# Bound once: `interval` is asked at every new bar, and reading a member off its enumeration costs
# as much as the arithmetic.
_EPOCH, _DATE = Anchor.EPOCH, Anchor.DATE


class Calendar:
    """Sessions of one calendar, and the intervals of bars on it.

    Every instant belongs to exactly one session: the one that opened last. So a print outside
    trading hours has a bar, too. The session of the last question is remembered, because nearly
    every question is about the same one.

    Attributes:
        name: as in the spec.
        spec: what it was made from.
        alignment_ns: every session opens at a whole multiple of this since 1970-01-01T00:00Z.
    """

    def __init__(self, spec: CalendarSpec) -> None:
        self.name = spec.name
        self.spec = spec
        self._sessions = Sessions(spec)
        self.alignment_ns = self._sessions.alignment_ns()
        self._session: Session | None = None
        self._open_ns = 0
        self._close_ns = 0
        self._next_open_ns = 0

    def session_of(self, ts_ns: int) -> Session:
        """The session that opened last at or before `ts_ns` (ns UTC).

        Raises:
            UsageError: the time is not in 1970-2200.
        """
        session = self._session
        if session is None or not self._open_ns <= ts_ns < self._next_open_ns:
            return self._seek(ts_ns)
        return session

    def session_after(self, session: Session) -> Session:
        """The session that opens next after `session`."""
        return self._sessions.after(session)

    def session_on(self, date: dt.date) -> Session | None:
        """The session of this date, or None where none is held."""
        return self._sessions.on(date)

    def sessions(self, first: dt.date, last: dt.date) -> list[Session]:
        """The sessions with dates from `first` to `last`, both included."""
        return self._sessions.between(first, last)

    def is_open(self, ts_ns: int) -> bool:
        """Whether there is trading at `ts_ns` (ns UTC)."""
        return ts_ns < self.session_of(ts_ns).close_ns

    def next_open_ns(self, ts_ns: int) -> int:
        """The first open of a session after `ts_ns`, both ns UTC."""
        self.session_of(ts_ns)
        return self._next_open_ns

    def interval(self, timeframe: Timeframe, ts_ns: int) -> Interval:
        """The interval of the bar of `timeframe` that a print at `ts_ns` (ns UTC) belongs to."""
        if self._session is None or not self._open_ns <= ts_ns < self._next_open_ns:
            self._seek(ts_ns)
        length_ns = timeframe.length_ns
        if timeframe.anchor is _EPOCH:
            start_ns = ts_ns - ts_ns % length_ns
            end_ns = start_ns + length_ns
            # On this grid a bar may lie over an open (7m); it then stays open over the break.
            if start_ns < self._close_ns < end_ns <= self._next_open_ns:
                return Interval(start_ns, end_ns, self._close_ns)
            return Interval(start_ns, end_ns, end_ns)
        if timeframe.anchor is _DATE:
            return self._period(timeframe)
        start_ns = ts_ns - (ts_ns - self._open_ns) % length_ns
        end_ns = min(start_ns + length_ns, self._next_open_ns)
        if start_ns < self._close_ns < end_ns:
            return Interval(start_ns, end_ns, self._close_ns)
        return Interval(start_ns, end_ns, end_ns)

    def starts(self, timeframe: Timeframe, session: Session) -> list[int]:
        """The starts (ns UTC) of all bars of `timeframe` that start within trading hours.

        Of a timeframe longer than a day that is one start in the first session of a period and
        none in the others.
        """
        open_ns, close_ns, length_ns = session.open_ns, session.close_ns, timeframe.length_ns
        if timeframe.anchor is _DATE:
            return [open_ns] if self.interval(timeframe, open_ns).start_ns == open_ns else []
        first_ns = open_ns + (-open_ns % length_ns if timeframe.anchor is _EPOCH else 0)
        return list(range(first_ns, close_ns, length_ns))

    def _seek(self, ts_ns: int) -> Session:
        session = self._sessions.at(ts_ns)
        self._next_open_ns = self._sessions.after(session).open_ns
        self._session = session
        self._open_ns = session.open_ns
        self._close_ns = session.close_ns
        return session

    def _period(self, timeframe: Timeframe) -> Interval:
        """The period of the session that was sought last."""
        assert self._session is not None  # noqa: S101 - `interval` has sought it
        first, following = period_of(timeframe, self._session.date)
        start_ns = self._sessions.from_date(first).open_ns
        end_ns = self._sessions.from_date(following).open_ns
        return Interval(start_ns, end_ns, self._sessions.before(following).close_ns)


def calendar_by_name(
    name: str,
    overrides: Iterable[SessionException] = (),
    *,
    specs: Iterable[CalendarSpec] = (),
) -> Calendar:
    """A shipped calendar (`cme`, `24x7`) or one of `specs`, with exceptions added.

    Args:
        name: which one; a spec of the user's goes before a shipped one of the same name.
        overrides: exceptions that go before those of the calendar.
        specs: the user's own calendars.

    Raises:
        ConfigError: no calendar has this name, or an exception cannot be.
    """
    known = {**KNOWN, **{spec.name: spec for spec in specs}}
    spec = known.get(name)
    if spec is None:
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
        raise ConfigError(f"unknown calendar {name!r}; {hint}")
    return Calendar(spec.with_exceptions(overrides))
