"""Gaps: intervals in which prints may be missing."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from tapekeeper.model.bar import PRICE_SCALE, Bar


class GapCause(StrEnum):
    """Why prints may be missing. The set is closed, so it may label a metric."""

    START = "start"  # the contract was not followed before
    DISCONNECT = "disconnect"  # no line covered it
    REFUSED_SUBSCRIPTION = "refused_subscription"  # the gateway took the lines, and not the call
    STALE_STREAM = "stale_stream"  # the line lived and its data had stopped
    OVERFLOW = "overflow"  # a queue shed what did not fit
    QUARANTINE = "quarantine"  # what came could not be read or believed
    CLOCK = "clock"  # prints were stamped ahead of the exchange's clock as it is tracked
    CRASH = "crash"  # no process was there: the one before ended without order
    STOPPED = "stopped"  # no process was there: the one before ended in order
    MISSING_PRINTS = "missing_prints"  # the quoted volume grew by more than the prints


ABSENCES = frozenset({GapCause.CRASH, GapCause.STOPPED})
"""Between two processes nobody was there to miss anything."""


class GapState(StrEnum):
    """What has become of a gap."""

    LASTING = "lasting"  # it has no end yet
    ENDED = "ended"  # nothing stands for what is missing
    REPAIRED = "repaired"  # the gateway's own bars stand for all of it
    PARTLY_REPAIRED = "partly_repaired"  # and of the rest `Gap.unrestored` tells


class Span(msgspec.Struct, frozen=True, order=True, array_like=True):
    """An interval of event time, ns UTC, half-open."""

    from_ns: int
    to_ns: int


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same intervals, rising and apart."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.from_ns <= found[-1].to_ns:
            found[-1] = Span(found[-1].from_ns, max(span.to_ns, found[-1].to_ns))
        else:
            found.append(span)
    return tuple(found)


class Gap(msgspec.Struct, frozen=True, omit_defaults=True):
    """One interval in which prints of one contract may be missing.

    Attributes:
        gap_id: unique within a journal, rising.
        contract_id: the gateway's contract id.
        cause: see `GapCause`.
        from_ns, to_ns: event time, ns UTC, half-open. No begin: since ever. No end: it lasts.
        evidence: one clause for a person.
        noticed_ns: host clock, ns UTC, when the entry was first written.
        restored: the parts for which the gateway's own bars stand, rising and apart.
        missing_volume: contracts that are known to be missing; None where that is not known.
        note: what the repair met with, one clause for a person.
        timeframes: names of those whose bars alone lack something, as where they were asked for
            later than the contract; none means all.
    """

    gap_id: int
    contract_id: str
    cause: GapCause
    from_ns: int | None
    to_ns: int | None
    evidence: str
    noticed_ns: int
    restored: tuple[Span, ...] = ()
    missing_volume: int | None = None
    note: str = ""
    timeframes: tuple[str, ...] = ()

    @property
    def state(self) -> GapState:
        """What has become of it."""
        if self.to_ns is None:
            return GapState.LASTING
        if not self.restored:
            return GapState.ENDED
        return GapState.PARTLY_REPAIRED if self.unrestored else GapState.REPAIRED

    @property
    def unrestored(self) -> tuple[tuple[int | None, int | None], ...]:
        """The parts (event time, ns UTC) for which nothing stands; None is as for the gap."""
        left: list[tuple[int | None, int | None]] = []
        begin_ns = self.from_ns
        for span in self.restored:
            if begin_ns is None or span.from_ns > begin_ns:
                left.append((begin_ns, span.from_ns))
            begin_ns = span.to_ns if begin_ns is None else max(begin_ns, span.to_ns)
        if self.to_ns is None or begin_ns is None or begin_ns < self.to_ns:
            left.append((begin_ns, self.to_ns))
        return tuple(left)


class HistoryRow(msgspec.Struct, frozen=True, array_like=True):
    """One bar of the gateway's own history: times in ns UTC, prices as received, contracts."""

    ts_open: int
    ts_end: int
    open: float
    high: float
    low: float
    close: float
    volume: int


class HistoryRows(msgspec.Struct, frozen=True):
    """Bars of the gateway's history, rising, of one timeframe that the contract has."""

    timeframe: str
    rows: tuple[HistoryRow, ...]


class Lack(msgspec.Struct, frozen=True):
    """What the bar that forms lacks of its beginning, of a timeframe that was added meanwhile.

    Attributes:
        from_ns: its open, ns UTC.
        to_ns: from here on it is made of smaller bars that are there, ns UTC; both are equal where
            it lacks nothing any more.
        end_ns: its end, ns UTC.
        made_of: the timeframe that it is made of.
        goes_on: whether these smaller bars lack nothing themselves.
    """

    from_ns: int
    to_ns: int
    end_ns: int
    made_of: str
    goes_on: bool


class Repair(msgspec.Struct, frozen=True):
    """What the gateway's history puts in the place of a gap.

    All timeframes are in one repair: taken one by one, those above would be made anew meanwhile of
    parts that are not there yet.

    Attributes:
        gap: as it is afterwards.
        until_ns: event time, ns UTC, that has certainly passed.
        history: bars, of each timeframe at most once. A row that ends before its bar does is the
            beginning of one that forms; see `Lack`.
    """

    gap: Gap
    until_ns: int
    history: tuple[HistoryRows, ...]

    def bars(self) -> list[Bar]:
        """The rows as bars.

        The gateway tells no number of prints, no sides and no turnover; the latter is taken for
        that of the typical price, (high + low + close) / 3, by its volume.
        """
        return [
            Bar(
                self.gap.contract_id,
                one.timeframe,
                row.ts_open,
                row.ts_end,
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
                0,
                0,
                0,
                row.ts_open,
                row.ts_end - 1,
                turnover_e9=round((row.high + row.low + row.close) / 3 * PRICE_SCALE) * row.volume,
            )
            for one in self.history
            for row in one.rows
        ]
