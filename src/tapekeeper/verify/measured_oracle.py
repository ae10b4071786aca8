"""Measured bars in the plainest way there is: a sorted list, cut by whole numbers.

Nothing of the engine is used for it. It is slow, short and easy to believe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from tapekeeper.model.bar import PRICE_SCALE, Bar
from tapekeeper.model.measure import Measure, MeasureKind

Print: TypeAlias = tuple[int, int, int, int]
"""Event time (ns UTC), price in ticks, size, side (0 buy, 1 sell, -1 unknown)."""

Shape: TypeAlias = tuple[int, ...]
"""Open and end (ns UTC), ordinal, open, high, low and close in ticks, volume, number of prints,
contracts bought and sold, first and last event time, turnover in ticks."""


@dataclass(slots=True)
class _Plain:
    """The prints of one bar, in order; the edges (ticks) of a brick, and when it was made."""

    rows: list[Print] = field(default_factory=list)
    opens: int | None = None
    closes: int | None = None
    at_ns: int = 0


def naive_measured(
    rows: Sequence[Print],
    measure: Measure,
    *,
    session_of: Callable[[int], int],
    tick_value: Fraction = Fraction(0),
    bounds: Sequence[int] = (),
) -> list[Shape]:
    """The bars of prints that came in time.

    Args:
        rows: of one contract, in order of arrival.
        measure: any.
        session_of: names the session of an event time (ns UTC).
        tick_value: the money that a tick is worth.
        bounds: begins and ends of gaps, ns UTC.
    """
    shapes: list[Shape] = []
    for anchor, parts in _stretches(sorted(rows, key=lambda row: row[0]), session_of, bounds):
        made: list[_Plain] = []
        for part in parts:
            if measure.kind is MeasureKind.RENKO:
                made += _bricks(measure.count, part, anchor)
            else:
                made += _cut(measure, part, tick_value)
        shapes += [_shape(bar, ordinal) for ordinal, bar in enumerate(made)]
    return shapes


def _stretches(
    rows: list[Print], session_of: Callable[[int], int], bounds: Sequence[int]
) -> Iterator[tuple[int, list[list[Print]]]]:
    """Each session: its first price, and its prints between the bounds of gaps."""
    sessions: dict[int, list[Print]] = {}
    for row in rows:
        sessions.setdefault(session_of(row[0]), []).append(row)
    for mine in sessions.values():
        parts: dict[int, list[Print]] = {}
        for row in mine:
            parts.setdefault(sum(bound <= row[0] for bound in bounds), []).append(row)
        yield mine[0][1], list(parts.values())


def _cut(measure: Measure, rows: list[Print], tick_value: Fraction) -> list[_Plain]:
    bars: list[_Plain] = []
    is_over = True
    amount = Fraction(0)
    for row in rows:
        if is_over:
            bars.append(_Plain())
            amount = Fraction(0)
        bars[-1].rows.append(row)
        _, price, size, _ = row
        if measure.kind is MeasureKind.TICK:
            amount += 1
        elif measure.kind is MeasureKind.VOLUME:
            amount += size
        elif measure.kind is MeasureKind.DOLLAR:
            amount += price * tick_value * size
        else:
            prices = [one[1] for one in bars[-1].rows]
            amount = Fraction(max(prices) - min(prices))
        is_over = amount >= measure.count
    return bars


def _bricks(height: int, rows: list[Print], anchor: int) -> list[_Plain]:
    """The bricks, one height at a time, and what is left."""
    line = anchor
    while line > rows[0][1]:
        line -= height
    while line + height <= rows[0][1]:
        line += height
    top = bottom = line  # of the last brick; before the first they are one
    bars: list[_Plain] = []
    rest: list[Print] = []
    for row in rows:
        rest.append(row)
        while row[1] >= top + height or row[1] <= bottom - height:
            if row[1] >= top + height:
                bottom, top = top, top + height
                bars.append(_Plain(rest, bottom, top, row[0]))
                line = top
            else:
                bottom, top = bottom - height, bottom
                bars.append(_Plain(rest, top, bottom, row[0]))
                line = bottom
            rest = []
    return [*bars, _Plain(rest, line)] if rest else bars


def _shape(bar: _Plain, ordinal: int) -> Shape:
    rows = bar.rows
    times = [row[0] for row in rows] or [bar.at_ns]
    path = [] if bar.opens is None else [bar.opens]
    path += [row[1] for row in rows] if bar.closes is None else [bar.closes]
    return (
        times[0],
        times[-1] + 1,
        ordinal,
        path[0],
        max(path),
        min(path),
        path[-1],
        sum(row[2] for row in rows),
        len(rows),
        sum(row[2] for row in rows if row[3] == 0),
        sum(row[2] for row in rows if row[3] == 1),
        times[0],
        times[-1],
        sum(row[1] * row[2] for row in rows),
    )


def shape_of(bar: Bar, tick_size: float) -> Shape:
    """The same of a bar that the engine made; its prices must be those of whole ticks."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    tick_e9 = round(tick_size * PRICE_SCALE)
    return (
        bar.ts_open,
        bar.ts_end,
        bar.ordinal,
        *(round(price / tick_size) for price in prices),
        bar.volume,
        bar.n,
        bar.buy_vol,
        bar.sell_vol,
        bar.ts_first,
        bar.ts_last,
        bar.turnover_e9 // tick_e9,
    )
