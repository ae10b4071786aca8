"""Which intervals no line covered, per subscription, told as soon as it is known.

A *life* of a line covers a subscription from its acknowledgement up to where it was heard, which
is judged by the time of the data themselves (`tapekeeper.runtime.heard`). How far that is may be
seen late: a peer that falls silent is given up after half a minute, one that works off a backlog
may end in the middle of it, and all that time the life only seemed to cover. So each life is
judged at its end: what lies between where it was heard and its end is covered only where another
life covers it, or seems to. When the last life that seemed to cover an instant has ended, every
end is known, so an instant that none covered is reported once, and none is missed.

A stream may also stop on connections that live. From where it was found to have stopped, their
lives cover it no more, whatever a hub confirms, until its data flow again or they end.

The moments before the first acknowledgement are nobody's: who subscribes is told when it is in
force. Where a hub does not say so at all, nobody knows until the first data come, so the time from
the missing answer to these is uncovered.

All times are wall clock, ns UTC, as they are in the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import TypeAlias

import msgspec

from tapekeeper.errors import InvocationError, OutsideError
from tapekeeper.model.gap import GapCause
from tapekeeper.ports import Log
from tapekeeper.runtime.line_values import HubCall

LIVES_MAX = 256
"""Ended lives that are remembered; only those that ended since the oldest present one began can
matter, and a line that flaps beside a steady one is what could exceed this."""

_FAREWELL_NS = 1_000_000_000
"""An answered farewell takes less than this; an unanswered one ends at a timeout of seconds."""


UNCOVERED_MAX = 1_000
"""Uncovered intervals that are kept for reading; all of them are logged and counted."""

_NS_PER_S = 1_000_000_000


class Uncovered(msgspec.Struct, frozen=True):
    """An interval in which prints may be missing.

    Attributes:
        from_ns: up to where the last life before it was heard, wall clock, ns UTC.
        to_ns: acknowledgement of the subscriptions by the next life; None while it lasts.
        why: what ended the life before it, one clause for a person.
        calls: the subscriptions that were not covered.
        cause: the sort of end that was.
    """

    from_ns: int
    to_ns: int | None
    why: str
    calls: tuple[HubCall, ...]
    cause: GapCause = GapCause.DISCONNECT


CoverageListener: TypeAlias = Callable[[list[Uncovered], list[Uncovered]], None]
"""Told which intervals turned out to be uncovered and have an end, and which last now, whenever
either changes."""


class Hole(msgspec.Struct, frozen=True):
    """The same for one subscription."""

    from_ns: int
    to_ns: int | None
    why: str
    cause: GapCause = GapCause.DISCONNECT


class _Life(msgspec.Struct, frozen=True):
    from_ns: int
    to_ns: int


class Coverage:
    """Of one subscription; see the module's text. Pure: the caller says what happened and when."""

    def __init__(self) -> None:
        self._present: dict[Hashable, int] = {}  # bound: one entry per line of the pool
        self._past: deque[_Life] = deque(maxlen=LIVES_MAX)
        self._open: Hole | None = None

    @property
    def covered(self) -> bool:
        """Whether some life seems to cover now."""
        return bool(self._present)

    @property
    def lasting(self) -> Hole | None:
        """The interval that has no end yet."""
        return self._open

    def began(self, line: Hashable, now_ns: int) -> list[Hole]:
        """A life of `line` was acknowledged; the interval that this ends, if any."""
        # Asking again on the same connection takes nothing back.
        self._present.setdefault(line, now_ns)
        lasting, self._open = self._open, None
        if lasting is None:
            return []
        to_ns = max(now_ns, lasting.from_ns)
        return [Hole(lasting.from_ns, to_ns, lasting.why, lasting.cause)]

    def ended(
        self,
        line: Hashable,
        *,
        until_ns: int | None,
        now_ns: int,
        why: str,
        cause: GapCause = GapCause.DISCONNECT,
    ) -> list[Hole]:
        """The life of `line` ended; the intervals that turn out to have been uncovered.

        Args:
            line: as told to `began`; one that has no life is ignored.
            until_ns: up to where it was heard; None if that cannot be said of any moment.
            now_ns: when its end was seen.
            why: of the end.
            cause: the sort of it.
        """
        from_ns = self._present.pop(line, None)
        if from_ns is None:
            return []
        # A life that brought nothing after its acknowledgement covered that moment alone.
        to_ns = min(max(from_ns, from_ns if until_ns is None else until_ns), max(from_ns, now_ns))
        self._past.append(_Life(from_ns, to_ns))
        holes = [Hole(a, b, why, cause) for a, b in self._holes(to_ns, now_ns)]
        if self._present:
            self._prune()
            return holes
        # Nothing covers from here on: the last hole, if it reaches to now, goes on.
        if holes and holes[-1].to_ns == now_ns:
            self._open = Hole(holes.pop().from_ns, None, why, cause)
        else:
            self._open = Hole(now_ns, None, why, cause)
        self._past.clear()
        return holes

    def stopped(
        self, lines: Iterable[Hashable], *, since_ns: int, now_ns: int, why: str
    ) -> list[Hole]:
        """Data stopped on these lines although their connections go on; see `ended`.

        Args:
            lines: those of whose lives nothing came any more.
            since_ns: up to where they brought everything; connections before the present ones
                may have lacked it, too.
            now_ns: when that was seen.
            why: one clause for a person.
        """
        cause = GapCause.STALE_STREAM
        holes: list[Hole] = []
        for line in lines:
            holes += self.ended(line, until_ns=since_ns, now_ns=now_ns, why=why, cause=cause)
        if self._open is not None and since_ns < self._open.from_ns and not self._present:
            self._open = Hole(since_ns, None, why, cause)
        return holes

    def refused(self, why: str) -> None:
        """A hub took a connection and not this subscription: that is why it is still uncovered.

        One interval stays one; its text says both. Of a stream that had stopped nothing is known
        to be otherwise: what is refused is that it is asked for again.
        """
        hole = self._open
        if hole is not None and hole.cause is GapCause.DISCONNECT:
            cause = GapCause.REFUSED_SUBSCRIPTION
            self._open = Hole(hole.from_ns, None, f"{hole.why}; then {why}", cause)

    def unanswered(self, why: str, now_ns: int) -> None:
        """A hub did not say whether it is in force: nobody knows until it does, or data come."""
        if not self._present and self._open is None:
            self._open = Hole(now_ns, None, why, GapCause.REFUSED_SUBSCRIPTION)

    def _holes(self, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        """The parts of an interval that no life covers or seems to cover."""
        lives = [(life.from_ns, life.to_ns) for life in self._past]
        lives += [(began_ns, max(began_ns, to_ns)) for began_ns in self._present.values()]
        holes = []
        for begin_ns, end_ns in sorted(lives):
            if end_ns < from_ns:
                continue
            if begin_ns >= to_ns:
                break
            if begin_ns > from_ns:
                holes.append((from_ns, begin_ns))
            from_ns = max(from_ns, end_ns)
        if from_ns < to_ns:
            holes.append((from_ns, to_ns))
        return holes

    def _prune(self) -> None:
        """Forget what ended before every present life began: no later question reaches back."""
        oldest_ns = min(self._present.values())
        while self._past and self._past[0].to_ns < oldest_ns:
            self._past.popleft()


class CoverageBook:
    """The coverage of all subscriptions of a pool.

    Intervals of several subscriptions that began together are reported as one, so `take` is
    called when a burst of acknowledgements is over.
    """

    def __init__(self) -> None:
        self._coverages: dict[HubCall, Coverage] = {}  # bound: the wanted subscriptions
        self._in_force: dict[HubCall, set[Hashable]] = {}  # lines that confirmed each
        self._stopped: set[tuple[HubCall, Hashable]] = set()  # None in place of a line: all
        self._found: list[tuple[HubCall, Hole]] = []  # bound: emptied by `take` at every wake

    def confirmed(self, line: Hashable, call: HubCall, now_ns: int) -> None:
        """`line` was told that `call` is in force.

        That covers nothing while its data are known to have stopped: a hub that froze a stream
        may well confirm it.
        """
        self._in_force.setdefault(call, set()).add(line)
        coverage = self._coverages.setdefault(call, Coverage())
        if self._is_stopped(call, line):
            return
        self._found += [(call, hole) for hole in coverage.began(line, now_ns)]

    def unconfirmed(self, call: HubCall, error: OutsideError, now_ns: int) -> None:
        """A hub refused `call`, or did not answer; see `Coverage.refused` and `unanswered`."""
        if isinstance(error, InvocationError):
            coverage = self._coverages.get(call)
            if coverage is not None:
                coverage.refused(str(error))
        else:
            self._coverages.setdefault(call, Coverage()).unanswered(str(error), now_ns)

    def ended(self, line: Hashable, *, until_ns: int | None, now_ns: int, why: str) -> None:
        """The connection of `line` ended; see `Coverage.ended`."""
        for call, coverage in self._coverages.items():
            self._in_force.get(call, set()).discard(line)
            self._stopped.discard((call, line))
            holes = coverage.ended(line, until_ns=until_ns, now_ns=now_ns, why=why)
            self._found += [(call, hole) for hole in holes]

    def stopped(
        self, call: HubCall, line: Hashable | None, *, since_ns: int, now_ns: int, why: str
    ) -> None:
        """The data of `call` were found to have stopped at `since_ns`, on one line or on all."""
        coverage = self._coverages.get(call)
        if coverage is None:
            return
        self._stopped.add((call, line))
        lines = self._in_force.get(call, set()) if line is None else {line}
        holes = coverage.stopped(lines, since_ns=since_ns, now_ns=now_ns, why=why)
        self._found += [(call, hole) for hole in holes]

    def flows(self, call: HubCall, line: Hashable | None, *, now_ns: int) -> None:
        """It is so no more: what is in force covers again."""
        self._stopped.discard((call, line))
        coverage = self._coverages.get(call)
        if coverage is None:
            return
        for each in self._in_force.get(call, set()):
            if not self._is_stopped(call, each):
                self._found += [(call, hole) for hole in coverage.began(each, now_ns)]

    def _is_stopped(self, call: HubCall, line: Hashable) -> bool:
        return (call, None) in self._stopped or (call, line) in self._stopped

    def withdrawn(self, call: HubCall) -> None:
        """Nobody wants `call` any more; an interval that lasts is reported no more."""
        self._coverages.pop(call, None)
        self._in_force.pop(call, None)
        self._stopped = {each for each in self._stopped if each[0] != call}

    def close(self, now_ns: int) -> None:
        """Nothing is to be covered from `now_ns` on.

        A hub that answered the farewell was heard to its end; one that did not may have been
        silent before, so what lasts since it was heard is reported.
        """
        for call, coverage in self._coverages.items():
            hole = coverage.lasting
            if hole is not None and now_ns - hole.from_ns >= _FAREWELL_NS:
                self._found.append((call, Hole(hole.from_ns, now_ns, hole.why, hole.cause)))
        self._coverages.clear()

    def take(self) -> list[Uncovered]:
        """The intervals that were found since the last time, by their begin."""
        found, self._found = self._found, []
        return _grouped(found)

    def lasting(self) -> list[Uncovered]:
        """The intervals that have no end yet."""
        return _grouped(
            [(call, c.lasting) for call, c in self._coverages.items() if c.lasting is not None]
        )


class CoverageReport:
    """Tells of the intervals of a book: to the log, to a listener, and to whoever reads.

    Args:
        name: of the hub.
        book: whose intervals.
        log: events for people.
        listener: see `CoverageListener`.
    """

    def __init__(
        self, name: str, book: CoverageBook, log: Log, listener: CoverageListener | None
    ) -> None:
        self._name = name
        self._book = book
        self._log = log
        self._listener = listener
        self._lasting: list[Uncovered] = []  # as it was told last
        self._ended: deque[Uncovered] = deque(maxlen=UNCOVERED_MAX)
        self._ended_count = 0

    def tell(self) -> None:
        """Tell what was found since the last time."""
        found, lasting = self._book.take(), self._book.lasting()
        is_news, self._lasting = bool(found) or lasting != self._lasting, lasting
        for interval in found:
            self._ended.append(interval)
            self._ended_count += 1
            to_ns = interval.from_ns if interval.to_ns is None else interval.to_ns
            self._log(
                "uncovered",
                level="warning",
                line=self._name,
                reason=interval.why,
                from_ns=interval.from_ns,
                to_ns=interval.to_ns,
                seconds=(to_ns - interval.from_ns) / _NS_PER_S,
                subscriptions=len(interval.calls),
            )
        # Last, because it writes, and what was found must not be lost with a full disk.
        if self._listener is not None and is_news:
            self._listener(found, lasting)

    def intervals(self) -> tuple[Uncovered, ...]:
        """The latest that ended, then those that last."""
        return (*self._ended, *self._book.lasting())

    @property
    def count(self) -> int:
        """How many there were, those that last included."""
        return self._ended_count + len(self._book.lasting())


def _grouped(found: list[tuple[HubCall, Hole]]) -> list[Uncovered]:
    groups: dict[tuple[int, str, GapCause], list[tuple[HubCall, Hole]]] = {}
    for call, hole in found:
        groups.setdefault((hole.from_ns, hole.why, hole.cause), []).append((call, hole))
    intervals = []
    for (from_ns, why, cause), members in sorted(groups.items(), key=lambda item: item[0]):
        ends_ns = [hole.to_ns for _, hole in members if hole.to_ns is not None]
        to_ns = max(ends_ns) if len(ends_ns) == len(members) else None
        calls = tuple(call for call, _ in members)
        intervals.append(Uncovered(from_ns, to_ns, why, calls, cause))
    return intervals
