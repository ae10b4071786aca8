"""Timeframes: how long a bar is and what its start is anchored to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import total_ordering

from tapekeeper.errors import UsageError

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


class Unit(StrEnum):
    """The units of a timeframe, by the letters they are written with."""

    SECOND = "s"
    MINUTE = "m"
    HOUR = "h"
    DAY = "d"
    WEEK = "w"
    MONTH = "mo"


class Anchor(StrEnum):
    """What the start of a bar is measured from."""

    EPOCH = "epoch"  # whole multiples since 1970-01-01T00:00Z: everything up to one hour
    SESSION = "session"  # elapsed time since the session's open: longer than 1h, below a day
    DATE = "date"  # session dates: days, weeks (from Monday) and calendar months


# Nominal lengths order timeframes and bound their number; only fixed units measure time by them.
_NOMINAL_NS = {
    Unit.SECOND: SECOND_NS,
    Unit.MINUTE: MINUTE_NS,
    Unit.HOUR: HOUR_NS,
    Unit.DAY: DAY_NS,
    Unit.WEEK: 7 * DAY_NS,
    Unit.MONTH: 30 * DAY_NS,
}
TIMEFRAME_TEXT = re.compile(r"([1-9][0-9]{0,3})(s|mo|m|h|d|w)")


@total_ordering
@dataclass(frozen=True, slots=True)
class Timeframe:
    """A whole number of a unit: `1s`, `15m`, `4h`, `1d`, `1w`, `1mo`.

    Timeframes sort by length. Two texts of the same length in fixed units (`60s`, `1m`) are
    different timeframes with equal bars; each keeps the name it was asked for by.

    Attributes:
        count: how many of the unit, at least 1.
        unit: the unit.
        length_ns: the length in ns; nominal for days (24 h), weeks (7 d) and months (30 d).
        anchor: what the start of a bar is measured from.
    """

    count: int
    unit: Unit
    # Derived once, because a bar engine asks for them at every new bar.
    length_ns: int = field(init=False, compare=False, repr=False)
    anchor: Anchor = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        length_ns = self.count * _NOMINAL_NS[self.unit]
        anchor = Anchor.DATE
        if self.is_fixed:
            anchor = Anchor.EPOCH if length_ns <= HOUR_NS else Anchor.SESSION
        object.__setattr__(self, "length_ns", length_ns)
        object.__setattr__(self, "anchor", anchor)

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """Read `text`.

        Raises:
            UsageError: it is not a whole number from 1 to 9999 followed by a unit, or is a
                fixed length of a day or more that is not written in days.
        """
        match = TIMEFRAME_TEXT.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"unknown timeframe {text!r}: write a whole number from 1 to 9999 and one of "
                "s, m, h, d, w, mo, such as 1s, 5m, 4h, 1d or 1mo"
            )
        timeframe = cls(int(match[1]), Unit(match[2]))
        if timeframe.is_fixed and timeframe.length_ns >= DAY_NS:
            raise UsageError(
                f"timeframe {text!r} is a day or longer: write it in d, w or mo, "
                "because a session day is not always 24 hours"
            )
        return timeframe

    @property
    def is_fixed(self) -> bool:
        """Whether the unit is a fixed length (seconds, minutes, hours)."""
        return self.unit in {Unit.SECOND, Unit.MINUTE, Unit.HOUR}

    def nests_in(self, other: Timeframe, alignment_ns: int) -> bool:
        """Whether every bar of `other` is a whole number of bars of this timeframe.

        Args:
            other: the larger one.
            alignment_ns: a length that divides every session open of the calendar, counted from
                1970-01-01T00:00:00Z. It decides whether a bar of the epoch grid can lie over an
                open, at which bars of the other anchors begin.
        """
        if self.anchor is Anchor.EPOCH and other.anchor is not Anchor.EPOCH:
            if alignment_ns % self.length_ns:
                return False
            return other.anchor is Anchor.DATE or other.length_ns % self.length_ns == 0
        if self.is_fixed and other.is_fixed:
            return self.anchor is other.anchor and other.length_ns % self.length_ns == 0
        if self.is_fixed:
            return True  # bars anchored to the session end with it
        if self.unit is other.unit:
            return other.count % self.count == 0
        # Groups of several days or weeks are counted from points of their own: 7d is no week.
        return self.unit is Unit.DAY and self.count == 1 and not other.is_fixed

    def __str__(self) -> str:
        return f"{self.count}{self.unit.value}"

    def __lt__(self, other: Timeframe) -> bool:
        return (self.length_ns, str(self)) < (other.length_ns, str(other))
