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


class LatePolicy(msgspec.Struct, frozen=True):
    """How long bars wait for prints, in event time.

    Attributes:
        lateness_ns: by how much a print may be behind the latest one before it changes a bar
            that has been told.
        horizon_ns: how far behind the watermark a print still revises bars.
    """

    lateness_ns: int = 0
    horizon_ns: int = HOUR_NS


PATIENT = LatePolicy()


@dataclass(slots=True)
class Folded:
    """What folding a batch brought.

    Attributes:
        closed: bars that are told, for the first time or with a new revision, in the order in
            which it happened; of one event in the order of their ends, small before large.
        late: indexes of rows beyond the horizon; they were not folded.
    """

    closed: list[Bar]
    late: list[int]
