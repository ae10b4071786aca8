"""What the bars of a contract are told, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from tapekeeper.model.bar import Bar
from tapekeeper.model.session import Interval
from tapekeeper.model.timeframe import HOUR_NS, Timeframe


class Grid(Protocol):
    """Says which interval a bar covers; a session calendar does.

    Where one timeframe nests in another, its bars' due times must not be later than those of the
    bar around them.
    """

    @property
    def alignment_ns(self) -> int:
        """A length that divides every session open, counted from 1970-01-01T00:00:00Z."""
        ...

    def interval(self, timeframe: Timeframe, ts_ns: int) -> Interval:
        """The interval of the bar of `timeframe` that a print at `ts_ns` belongs to."""
        ...

    def open_time_ns(self, from_ns: int, to_ns: int) -> int:
        """How much of [from_ns, to_ns) is trading time."""
        ...

    def next_open_ns(self, ts_ns: int) -> int:
        """When trading opens next after `ts_ns`."""
        ...


class BarPolicy(msgspec.Struct, frozen=True):
    """How long bars wait for prints, in event time, and what becomes of intervals without any.

    Attributes:
        lateness_ns: by how much a print may be behind the latest one before it changes a bar
            that has been told.
        horizon_ns: how far behind the watermark a print still revises bars.
        carry_max: intervals in a row that repeat the last close where nothing is traded; what
            is behind them has no bars, as all of it has with 0.
        measured_max: closed bars of each measure that are kept within the horizon, to be revised;
            up to twice as many before the oldest are forgotten.
    """

    lateness_ns: int = 0
    horizon_ns: int = HOUR_NS
    carry_max: int = 0
    measured_max: int = 50_000


PATIENT = BarPolicy()


@dataclass(slots=True)
class Folded:
    """What folding a batch brought.

    Attributes:
        closed: bars that are told, for the first time or with a new revision, in the order of the
            rows that told them; of one row those of time before others, in the order of their ends,
            small before large.
        late: indexes of rows beyond the horizon; they were not folded.
        told_by: the index of the row that told each of the closed ones, rising.
    """

    closed: list[Bar]
    late: list[int]
    told_by: list[int]
