"""Whether every one of several lines still brings each stream: judged by what the others bring.

Where two lines are kept so that one may fail, the tape goes on when a stream of one of them
freezes, and what was paid for is lost without a sign. The other line is the measure: data that
one line brings and another one does not are missing there, however quiet the market is and
whatever its rate. So nothing need be known of calendars and rates.

A line lacks a stream from the first look at which another line brought data of it and this one
did not. That may be a delay, so it is judged only after `floor_ns`, and after `LOOKS_MIN` looks at
which data came that it did not bring. Whatever it brings meanwhile acquits it.

A line that lacks a stream is mended in steps, as a stream of the whole tape is: subscribed again
at once, and if that does not help, replaced. Where its successors lack the same, they are
replaced at intervals that double.

Known limits: a line that is alone is judged by nothing here. What two lines lack both is for
`tapekeeper.core.freshness` to find. Pure: the caller says what came and when.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeAlias

import msgspec

from tapekeeper.core.freshness import Cause, FreshnessPolicy, MendStep, Stream

LOOKS_MIN = 3
"""One print alone that a line does not bring is a loss, and no frozen stream."""

StreamKey: TypeAlias = tuple[str, Stream]
"""Contract and stream."""


class LineStale(msgspec.Struct, frozen=True):
    """A line does not bring a stream that another one brings.

    Attributes:
        line: number of the connection.
        contract_id, stream: what it lacks.
        since_ns: wall clock (ns UTC) up to which it lacked nothing.
    """

    line: int
    contract_id: str
    stream: Stream
    since_ns: int


class LineFresh(msgspec.Struct, frozen=True):
    """It is so no more.

    Attributes:
        line: number of the connection.
        contract_id, stream: what it lacked.
        silent_ns: for how long.
        cause: DATA if it brings it again, DISCONNECTED if it has ended.
    """

    line: int
    contract_id: str
    stream: Stream
    silent_ns: int
    cause: Cause


class LineMend(msgspec.Struct, frozen=True):
    """Something to be tried for a line, now."""

    line: int
    contract_id: str
    stream: Stream
    step: MendStep


class LineLook(msgspec.Struct, frozen=True):
    """What one look found: transitions in order, and what to try."""

    changes: tuple[LineStale | LineFresh, ...]
    mends: tuple[LineMend, ...]


class _Lack:
    """What one line did not bring of one stream."""

    __slots__ = ("first_ns", "looks", "mend_ns", "since_ns", "stale")

    def __init__(self, since_ns: int, first_ns: int) -> None:
        self.since_ns = since_ns  # monotonic: up to here it lacked nothing
        self.first_ns = first_ns  # monotonic: the first look at which it lacked something
        self.looks = 0
        self.stale = False
        self.mend_ns = 0  # monotonic, of the replacement


class _Pace:
    """When a line may be replaced for the sake of one stream."""

    __slots__ = ("after_ns", "interval_ns")

    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns
        self.after_ns = 0  # monotonic


class LineFreshness:
    """See the module's text."""

    def __init__(self, policy: FreshnessPolicy) -> None:
        self._policy = policy
        self._lacks: dict[tuple[int, StreamKey], _Lack] = {}  # bound: present lines x streams
        self._paces: dict[StreamKey, _Pace] = {}  # bound: streams that are followed
        self._looked_ns: int | None = None

    def stale(self) -> tuple[tuple[int, str, Stream], ...]:
        """Which lines lack which streams."""
        return tuple((line, *key) for (line, key), lack in self._lacks.items() if lack.stale)

    def forget(self, contract_id: str) -> None:
        """Nothing is expected of this contract any more."""
        self._lacks = {key: lack for key, lack in self._lacks.items() if key[1][0] != contract_id}
        self._paces = {key: pace for key, pace in self._paces.items() if key[0] != contract_id}

    def look(
        self,
        now_ns: int,
        mono_ns: int,
        *,
        lines: Collection[int],
        came: Iterable[tuple[StreamKey, Collection[int]]],
    ) -> LineLook:
        """Judge every line.

        Args:
            now_ns: wall clock, ns UTC.
            mono_ns: a clock that does not step back.
            lines: the connections that deliver.
            came: of each stream that is followed and had data since the look before, the lines
                that brought them.
        """
        before_ns = mono_ns if self._looked_ns is None else self._looked_ns
        self._looked_ns = mono_ns
        changes: list[LineStale | LineFresh] = list(self._gone(lines, mono_ns))
        if mono_ns - before_ns > self._policy.stall_ns:
            # What arrived meanwhile is read line by line.
            self._lacks = {key: lack for key, lack in self._lacks.items() if lack.stale}
        for stream, bringers in came:
            for line in lines:
                key = (line, stream)
                if line in bringers:
                    lack = self._lacks.pop(key, None)
                    if lack is not None and lack.stale:
                        changes.append(_fresh(key, lack, mono_ns, Cause.DATA))
                elif bringers:
                    lack = self._lacks.setdefault(key, _Lack(before_ns, mono_ns))
                    lack.looks += 1
        mends: list[LineMend] = []
        for (line, stream), lack in self._lacks.items():
            if not lack.stale:
                if lack.looks < LOOKS_MIN or mono_ns - lack.first_ns < self._policy.floor_ns:
                    continue
                lack.stale = True
                lack.mend_ns = mono_ns + self._policy.replace_after_ns
                changes.append(LineStale(line, *stream, now_ns - (mono_ns - lack.since_ns)))
                mends.append(LineMend(line, *stream, MendStep.RESUBSCRIBE))
            elif self._may_replace(stream, lack, mono_ns):
                mends.append(LineMend(line, *stream, MendStep.REPLACE_LINE))
        return LineLook(tuple(changes), tuple(mends))

    def _gone(self, lines: Collection[int], mono_ns: int) -> Iterable[LineFresh]:
        for key in [key for key in self._lacks if key[0] not in lines]:
            lack = self._lacks.pop(key)
            if lack.stale:
                yield _fresh(key, lack, mono_ns, Cause.DISCONNECTED)

    def _may_replace(self, stream: StreamKey, lack: _Lack, mono_ns: int) -> bool:
        policy = self._policy
        pace = self._paces.setdefault(stream, _Pace(policy.replace_again_ns))
        if mono_ns < max(lack.mend_ns, pace.after_ns):
            return False
        if pace.after_ns and mono_ns - pace.after_ns >= policy.replace_cap_ns:
            pace.interval_ns = policy.replace_again_ns
        pace.after_ns = mono_ns + pace.interval_ns
        pace.interval_ns = min(2 * pace.interval_ns, policy.replace_cap_ns)
        return True


def _fresh(key: tuple[int, StreamKey], lack: _Lack, mono_ns: int, cause: Cause) -> LineFresh:
    line, stream = key
    return LineFresh(line, *stream, mono_ns - lack.since_ns, cause)
