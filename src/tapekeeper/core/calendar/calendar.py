"""A calendar: when sessions are, and which interval a bar covers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from difflib import get_close_matches

from tapekeeper.core.calendar.known import KNOWN, known_spec
from tapekeeper.core.calendar.periods import period_of
from tapekeeper.core.calendar.sessions import Sessions
from tapekeeper.core.calendar.spec import CalendarSpec, SessionException
from tapekeeper.errors import ConfigError
from tapekeeper.model.session import Interval, Part, Session
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
        alignment_ns: every session opens, and every break after which longer bars begin anew
            ends, at a whole multiple of this since 1970-01-01T00:00Z.
    """

    def __init__(self, spec: CalendarSpec) -> None:
        self.name = spec.name
        self.spec = spec
        self._sessions = Sessions(spec)
        self.alignment_ns = self._sessions.alignment_ns()
        self._session: Session | None = None
        self._parts: list[Part] = []
        self._session_open_ns = self._session_end_ns = 0
        # The part of the session that the last question was about, as plain numbers.
        self._open_ns = self._close_ns = self._next_open_ns = 0
        self._anchor_ns = self._anchor_end_ns = 0

    def session_of(self, ts_ns: int) -> Session:
        """The session that opened last at or before `ts_ns` (ns UTC).

        Raises:
            UsageError: the time is not in 1970-2200.
        """
        session = self._session
        if session is None or not self._session_open_ns <= ts_ns < self._session_end_ns:
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
        """Whether there is trading at `ts_ns` (ns UTC); in a break there is none."""
        if not self._open_ns <= ts_ns < self._next_open_ns:
            self._seek(ts_ns)
        return ts_ns < self._close_ns

    def next_open_ns(self, ts_ns: int) -> int:
        """When trading opens next after `ts_ns`, both ns UTC: a session, or after a break."""
        if not self._open_ns <= ts_ns < self._next_open_ns:
            self._seek(ts_ns)
        return self._next_open_ns

    def open_spans(self, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        """The stretches of trading in [from_ns, to_ns), in order, as start and end (ns UTC)."""
        spans: list[tuple[int, int]] = []
        at_ns = from_ns
        while at_ns < to_ns:
            if self.is_open(at_ns):
                spans.append((at_ns, min(self._close_ns, to_ns)))
            at_ns = self._next_open_ns
        return spans

    def open_time_ns(self, from_ns: int, to_ns: int) -> int:
        """How much of [from_ns, to_ns) is trading time, in ns."""
        return sum(end_ns - start_ns for start_ns, end_ns in self.open_spans(from_ns, to_ns))

    def interval(self, timeframe: Timeframe, ts_ns: int) -> Interval:
        """The interval of the bar of `timeframe` that a print at `ts_ns` (ns UTC) belongs to.

        Bars up to an hour stand on the epoch's grid whatever the sessions are. Longer ones are
        measured from the session's open, or from the end of the last break that restarts them,
        and are cut at the next such point; a break that does not restart them lies inside them.
        A print in a break belongs to the bar whose interval it falls into.
        """
        if not self._open_ns <= ts_ns < self._next_open_ns:
            self._seek(ts_ns)
        length_ns = timeframe.length_ns
        if timeframe.anchor is _EPOCH:
            start_ns = ts_ns - ts_ns % length_ns
            end_ns = start_ns + length_ns
        elif timeframe.anchor is _DATE:
            return self._period(timeframe)
        else:
            start_ns = ts_ns - (ts_ns - self._anchor_ns) % length_ns
            end_ns = min(start_ns + length_ns, self._anchor_end_ns)
        if end_ns <= self._close_ns:
            return Interval(start_ns, end_ns, end_ns)
        return Interval(start_ns, end_ns, self._due_ns(start_ns, end_ns))

    def starts(self, timeframe: Timeframe, session: Session) -> list[int]:
        """The starts (ns UTC) of all bars of `timeframe` that start within a session.

        Those that lie in a break altogether are not among them. Of a timeframe longer than a day
        that is one start in the first session of a period and none in the others.
        """
        open_ns, length_ns = session.open_ns, timeframe.length_ns
        if timeframe.anchor is _DATE:
            return [open_ns] if self.interval(timeframe, open_ns).start_ns == open_ns else []
        found: dict[int, None] = {}
        for part in session.parts(self.session_after(session).open_ns):
            if timeframe.anchor is _EPOCH:
                first_ns = part.open_ns - part.open_ns % length_ns
            else:
                first_ns = part.open_ns - (part.open_ns - part.anchor_ns) % length_ns
            found |= dict.fromkeys(range(first_ns, part.close_ns, length_ns))
        return [start_ns for start_ns in found if start_ns >= open_ns]

    def _seek(self, ts_ns: int) -> Session:
        session = self._session
        if session is None or not self._session_open_ns <= ts_ns < self._session_end_ns:
            session = self._sessions.at(ts_ns)
            self._session = session
            self._session_open_ns = session.open_ns
            self._session_end_ns = self._sessions.after(session).open_ns
            self._parts = session.parts(self._session_end_ns)
        part = next(item for item in self._parts if ts_ns < item.next_open_ns)
        self._open_ns = part.open_ns
        self._close_ns = part.close_ns
        self._next_open_ns = part.next_open_ns
        self._anchor_ns = part.anchor_ns
        self._anchor_end_ns = part.anchor_end_ns
        return session

    def _due_ns(self, start_ns: int, end_ns: int) -> int:
        """When a bar is due that ends later than the part that was sought last closes.

        What counts is the last trading in it: a bar may end in a later part, after a break.
        """
        if end_ns > self._next_open_ns:
            self._seek(end_ns - 1)
        return self._close_ns if start_ns < self._close_ns < end_ns else end_ns

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
    """A shipped calendar (such as `cme` or `24x7@Europe/Berlin`) or one of `specs`.

    Args:
        name: which one; a spec of the user's goes before a shipped one of the same name.
        overrides: exceptions that go before those of the calendar.
        specs: the user's own calendars.

    Raises:
        ConfigError: no calendar has this name, or an exception cannot be.
    """
    own = {spec.name: spec for spec in specs}
    spec = own.get(name) or known_spec(name)
    if spec is None:
        known = sorted({*KNOWN, *own})
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"unknown calendar {name!r}; {hint}")
    return Calendar(spec.with_exceptions(overrides))
