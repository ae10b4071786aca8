"""Bar sizes that are not time: a number of prints, contracts, dollars or steps of price."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from tapekeeper.errors import UsageError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import TIMEFRAME_TEXT, Timeframe


class MeasureKind(StrEnum):
    """What is measured, by the word it is written with."""

    TICK = "tick"  # prints
    VOLUME = "vol"  # contracts
    DOLLAR = "dollar"  # price * size * point value, in the contract's money
    RANGE = "range"  # from the lowest to the highest price, in ticks of price
    RENKO = "renko"  # bricks of a fixed height, in ticks of price


_RANKS = {kind: rank for rank, kind in enumerate(MeasureKind)}
_TEXT = re.compile(r"([1-9][0-9]{0,11})(tick|vol|dollar|range|renko)")
_NEEDS_TICK_SIZE = frozenset({MeasureKind.DOLLAR, MeasureKind.RANGE, MeasureKind.RENKO})


@dataclass(frozen=True, slots=True)
class Measure:
    """A whole number of what is measured, such as `500tick`, `1000000dollar` or `8renko`.

    A bar of it ends with the print by which it has as much. They sort by kind, then by number.

    Attributes:
        count: how many, at least 1.
        kind: of what.
    """

    count: int
    kind: MeasureKind

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Read `text`.

        Raises:
            UsageError: it is not a whole number of at most 12 digits followed by a kind.
        """
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"unknown measure {text!r}: write a whole number and one of "
                "tick, vol, dollar, range, renko, such as 500tick or 20range"
            )
        return cls(int(match[1]), MeasureKind(match[2]))

    def __str__(self) -> str:
        return f"{self.count}{self.kind.value}"

    def __lt__(self, other: Measure) -> bool:
        return (_RANKS[self.kind], self.count) < (_RANKS[other.kind], other.count)


BarSize: TypeAlias = Timeframe | Measure
"""What a bar is as large as."""


def parse_size(text: str) -> BarSize:
    """Read the text of a bar size, of whatever sort.

    Raises:
        UsageError: it is none.
    """
    written = text.strip()
    if TIMEFRAME_TEXT.fullmatch(written) is not None:
        return Timeframe.parse(written)
    if _TEXT.fullmatch(written) is not None:
        return Measure.parse(written)
    raise UsageError(
        f"unknown timeframe {text!r}: write a whole number from 1 to 9999 and one of "
        "s, m, h, d, w, mo, such as 1s, 5m, 4h, 1d or 1mo; or a whole number and one of "
        "tick, vol, dollar, range, renko, such as 500tick"
    )


def size_of(value: str | BarSize) -> BarSize:
    """A bar size, or the one that a text says; see `parse_size`."""
    return parse_size(value) if isinstance(value, str) else value


def sizes_of(values: Iterable[str | BarSize] | None) -> tuple[BarSize, ...]:
    """The same of several, each once, in the order given.

    Raises:
        UsageError: one of them is none, or they are one text.
    """
    if isinstance(values, str):
        raise UsageError(f'timeframes are a list: write ["{values}"]')
    return tuple(dict.fromkeys(map(size_of, values or ())))


def size_order(size: BarSize) -> tuple[int, int, str]:
    """A key to sort bar sizes by: time first, by length, then measures by kind and number."""
    if isinstance(size, Timeframe):
        return 0, size.length_ns, str(size)
    return 1 + _RANKS[size.kind], size.count, ""


def timeframes_of(sizes: Iterable[BarSize]) -> tuple[Timeframe, ...]:
    """Those that are time, in the order given."""
    return tuple(size for size in sizes if isinstance(size, Timeframe))


def measures_of(sizes: Iterable[BarSize]) -> tuple[Measure, ...]:
    """Those that are not time, in the order given."""
    return tuple(size for size in sizes if isinstance(size, Measure))


def require_measurable(sizes: Iterable[BarSize], instrument: Instrument) -> None:
    """Refuse what cannot be measured of an instrument, because nobody tells how.

    Raises:
        UsageError: steps of price are wanted and its tick size is not known, or dollars, and its
            tick value is not.
    """
    for measure in measures_of(sizes):
        if measure.kind in _NEEDS_TICK_SIZE and instrument.tick_size <= 0:
            raise UsageError(
                f"{measure} bars of {instrument.name} need its tick size, which is not known"
            )
        if measure.kind is MeasureKind.DOLLAR and instrument.tick_value <= 0:
            raise UsageError(
                f"{measure} bars of {instrument.name} need the value of a tick in money, "
                "which is not known"
            )
