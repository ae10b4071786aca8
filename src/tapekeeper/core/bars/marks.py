"""What is known to be missing of one contract, and what that makes of a bar.

A mark is a part of a gap: an interval of event time in which prints may be missing. The worth of
a bar is a pure function of its interval and the marks, so it does not matter whether a gap is
known before, while or after its bars are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from tapekeeper.model.bar import Completeness
from tapekeeper.model.gap import Gap, GapCause

NEVER_NS = 1 << 63
LONG_AGO_NS = -NEVER_NS

MARKS_MAX = 1_024
"""Marks of one contract. Beyond it the two oldest are taken for one: that may call a bar between
them worse than it is, which forgetting one would not."""


OpenTime: TypeAlias = Callable[[int, int], int]
"""How much of [from, to) (ns UTC) is trading time, in ns."""


class Mark(msgspec.Struct, frozen=True, order=True):
    """One interval.

    Attributes:
        from_ns, to_ns: event time, ns UTC, half-open; `NEVER_NS` while it lasts.
        gap_id: of the ledger's entry that it belongs to.
        repaired: whether the gateway's own bars stand for what is missing.
        is_start: whether nothing was missed, because the contract was not followed yet.
        timeframes: names of those whose bars it touches; none means all.
    """

    from_ns: int
    to_ns: int
    gap_id: int
    repaired: bool = False
    is_start: bool = False
    timeframes: tuple[str, ...] = ()


def marks_of(gap: Gap) -> list[Mark]:
    """What a gap means for bars."""
    is_start = gap.cause is GapCause.START
    rest = [
        Mark(
            LONG_AGO_NS if from_ns is None else from_ns,
            NEVER_NS if to_ns is None else to_ns,
            gap.gap_id,
            is_start=is_start,
            timeframes=gap.timeframes,
        )
        for from_ns, to_ns in gap.unrestored
    ]
    restored = [
        Mark(
            span.from_ns,
            span.to_ns,
            gap.gap_id,
            repaired=True,
            is_start=is_start,
            timeframes=gap.timeframes,
        )
        for span in gap.restored
    ]
    return [*rest, *restored]


def unrepaired(marks: Iterable[Mark], name: str, *, was_added: bool) -> list[Mark]:
    """The marks of one gap as they are for bars of a measure, which history cannot stand for.

    One, or none, as of a gap of other timeframes alone.

    Args:
        marks: of one gap.
        name: of the measure.
        was_added: whether it was asked for when prints had come. Else what is said of it alone is
            of another run of it than this one, as where a replay makes it from the beginning.
    """
    parts = [
        mark for mark in marks if not mark.timeframes or (was_added and name in mark.timeframes)
    ]
    if not parts:
        return []
    return [
        Mark(
            min(mark.from_ns for mark in parts),
            max(mark.to_ns for mark in parts),
            parts[0].gap_id,
            is_start=all(mark.is_start for mark in parts),
        )
    ]


class Worth(msgspec.Struct, frozen=True):
    """What the marks make of one bar; the attributes are those of `Bar`."""

    completeness: Completeness = Completeness.COMPLETE
    gap_ids: tuple[int, ...] = ()
    live_share: float = 1.0


WHOLE = Worth()


class Marks:
    """The marks of one contract."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: list[Mark] = []  # rising

    def __bool__(self) -> bool:
        return bool(self._marks)

    def replace(self, gap_id: int, marks: Iterable[Mark]) -> tuple[int, int] | None:
        """Let these be the marks of a gap; the interval (ns UTC) in which that changes anything.

        Raises:
            ValueError: one of them belongs to another gap.
        """
        new = list(marks)
        if any(mark.gap_id != gap_id for mark in new):
            raise ValueError(f"a mark of another gap than {gap_id}")
        old = [mark for mark in self._marks if mark.gap_id == gap_id]
        touched = set(old) ^ set(new)
        if not touched:
            return None
        self._marks = sorted([mark for mark in self._marks if mark.gap_id != gap_id] + new)
        while len(self._marks) > MARKS_MAX:
            first, second, *rest = self._marks
            self._marks = [_both(first, second), *rest]
        return min(mark.from_ns for mark in touched), max(mark.to_ns for mark in touched)

    def next_bound(self, after_ns: int) -> int:
        """The first begin or end of a mark after this time (ns UTC), or `NEVER_NS`."""
        bounds = (bound for mark in self._marks for bound in (mark.from_ns, mark.to_ns))
        return min((bound for bound in bounds if bound > after_ns), default=NEVER_NS)

    def last_bound(self, after_ns: int, until_ns: int) -> int | None:
        """The last begin or end of a mark in (after, until], all in ns UTC."""
        bounds = (bound for mark in self._marks for bound in (mark.from_ns, mark.to_ns))
        return max((bound for bound in bounds if after_ns < bound <= until_ns), default=None)

    def beginning(self, after_ns: int, until_ns: int) -> Mark | None:
        """The first mark that begins in (after, until], both in ns UTC."""
        return next((mark for mark in self._marks if after_ns < mark.from_ns <= until_ns), None)

    def of_gap(self, gap_id: int) -> list[Mark]:
        """The marks of a gap, rising."""
        return [mark for mark in self._marks if mark.gap_id == gap_id]

    def all(self) -> tuple[Mark, ...]:
        """Every mark, rising."""
        return tuple(self._marks)

    def forget(self, before_ns: int) -> None:
        """Forget what ended before this time (ns UTC)."""
        self._marks = [mark for mark in self._marks if mark.to_ns > before_ns]

    def worth(self, timeframe: str, start_ns: int, end_ns: int, open_time_ns: OpenTime) -> Worth:
        """The worth of the bar over [start, end) (ns UTC), of which part is trading time."""
        touching = [
            mark
            for mark in self._marks
            if mark.from_ns < end_ns
            and mark.to_ns > start_ns
            and (not mark.timeframes or timeframe in mark.timeframes)
        ]
        if not touching:
            return WHOLE
        open_gap = any(not mark.repaired and not mark.is_start for mark in touching)
        not_followed = any(not mark.repaired and mark.is_start for mark in touching)
        if open_gap:
            completeness = Completeness.GAP
        elif not_followed:
            completeness = Completeness.PARTIAL_START
        else:
            completeness = Completeness.BACKFILLED
        gap_ids = tuple(sorted({mark.gap_id for mark in touching}))
        return Worth(completeness, gap_ids, _live_share(touching, start_ns, end_ns, open_time_ns))


def _live_share(marks: list[Mark], start_ns: int, end_ns: int, open_time_ns: OpenTime) -> float:
    """The part of the trading time in [start, end) that no mark covers; `marks` rise."""
    total_ns = open_time_ns(start_ns, end_ns)
    if total_ns == 0:  # printed outside trading hours
        return 0.0
    missing_ns, reached_ns = 0, start_ns
    for mark in marks:
        from_ns, to_ns = max(mark.from_ns, reached_ns), min(mark.to_ns, end_ns)
        if to_ns > from_ns:
            missing_ns += open_time_ns(from_ns, to_ns)
            reached_ns = to_ns
    return 1.0 - missing_ns / total_ns


def _both(first: Mark, second: Mark) -> Mark:
    return Mark(
        first.from_ns,
        max(first.to_ns, second.to_ns),
        second.gap_id,
        repaired=first.repaired and second.repaired,
        is_start=first.is_start and second.is_start,
        timeframes=first.timeframes if first.timeframes == second.timeframes else (),
    )
