"""When a bar that is measured by its prints is over, and what prices it has then.

Integers decide: prints, contracts, billionths of turnover, ticks of price. So no sum drifts, and
what comes of a tape does not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Protocol, TypeAlias

import msgspec

from tapekeeper.core.bars.sums import Sums
from tapekeeper.model.bar import PRICE_SCALE, Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import Measure, MeasureKind, require_measurable

Edges: TypeAlias = tuple[int, int]
"""Where a brick opens and closes, in ticks of price."""


class Gauge(Protocol):
    """Measures the bars of one measure, one after the other.

    Attributes:
        remembers: whether a bar depends on those before it, back to the last begin or resumption.
    """

    @property
    def remembers(self) -> bool:
        """See the class."""
        ...

    def begin(self, ticks: int) -> None:
        """Begin anew with a session's first price."""
        ...

    def resume(self, ticks: int) -> None:
        """Go on with the first price behind a gap."""
        ...

    def ends(self, sums: Sums, ticks: int) -> Sequence[Edges | None]:
        """The bars that the print just added ends, which is at `ticks`: most often none.

        The first of them has the prints so far; those behind it have none.
        """
        ...

    def edged(self, bar: Bar, edges: Edges | None) -> Bar:
        """`bar` with the prices of its edges, or with those that it has for want of them."""
        ...


_ONE: Sequence[Edges | None] = (None,)
_NONE: Sequence[Edges | None] = ()

_VALUES: dict[MeasureKind, Callable[[Sums], int]] = {
    MeasureKind.TICK: lambda sums: sums.n,
    MeasureKind.VOLUME: lambda sums: sums.volume,
    MeasureKind.DOLLAR: lambda sums: abs(sums.turnover),
    MeasureKind.RANGE: lambda sums: sums.high_ticks - sums.low_ticks,
}


class Threshold:
    """A bar ends with the print by which it has as much as was asked for."""

    remembers = False

    def __init__(self, measure: Measure, instrument: Instrument) -> None:
        self._value = _VALUES[measure.kind]
        self._limit = measure.count
        if measure.kind is MeasureKind.DOLLAR:
            self._limit = _turnover_e9(measure.count, instrument)

    def begin(self, ticks: int) -> None:
        """Nothing of a session is carried over."""

    def resume(self, ticks: int) -> None:
        """Nothing is carried over a gap."""

    def ends(self, sums: Sums, ticks: int) -> Sequence[Edges | None]:  # noqa: ARG002 - of a `Gauge`
        """One bar, or none."""
        return _ONE if self._value(sums) >= self._limit else _NONE

    def edged(self, bar: Bar, edges: Edges | None) -> Bar:  # noqa: ARG002 - of a `Gauge`
        """The bar as it is."""
        return bar


def _turnover_e9(dollars: int, instrument: Instrument) -> int:
    """The smallest turnover (billionths of price * size) that is worth so much money.

    A point is worth tick value / tick size. Both are read in billionths, which no exchange's
    tick is finer than.
    """
    tick_e9 = round(instrument.tick_size * PRICE_SCALE)
    value_e9 = round(instrument.tick_value * PRICE_SCALE)
    return -(-dollars * PRICE_SCALE * tick_e9 // value_e9)


class Renko:
    """Bricks of a fixed height, on a grid through the session's first price.

    A brick on from the last one is made by a price that is one height beyond it, a brick back by
    one that is two heights back, because it begins where the last one began. Before the first
    brick either way is on.
    """

    remembers = True

    def __init__(self, measure: Measure, instrument: Instrument) -> None:
        self._height = measure.count
        self._tick = Decimal(repr(instrument.tick_size))
        self._anchor = self._level = self._direction = 0

    def begin(self, ticks: int) -> None:
        """Lay the grid through a price."""
        self._anchor = self._level = ticks
        self._direction = 0

    def resume(self, ticks: int) -> None:
        """Stay on the session's grid, of which the next line below is the last that is known."""
        self._level = ticks - (ticks - self._anchor) % self._height
        self._direction = 0

    def ends(self, sums: Sums, ticks: int) -> Sequence[Edges | None]:  # noqa: ARG002 - of a `Gauge`
        """A brick for every height that the price has gone."""
        height, level, direction = self._height, self._level, self._direction
        above = level if direction >= 0 else level + height
        below = level if direction <= 0 else level - height
        if ticks >= above + height:
            return self._bricks(above, (ticks - above) // height, 1)
        if ticks <= below - height:
            return self._bricks(below, (below - ticks) // height, -1)
        return _NONE

    def _bricks(self, level: int, count: int, direction: int) -> Sequence[Edges]:
        step = direction * self._height
        self._level, self._direction = level + count * step, direction
        return [(level + i * step, level + (i + 1) * step) for i in range(count)]

    def edged(self, bar: Bar, edges: Edges | None) -> Bar:
        """A brick has no prices but its edges; what is no brick yet begins at the last one."""
        if edges is None:
            level = self._price(self._level)
            return msgspec.structs.replace(
                bar, open=level, high=max(level, bar.high), low=min(level, bar.low)
            )
        first, last = map(self._price, edges)
        return msgspec.structs.replace(
            bar, open=first, high=max(first, last), low=min(first, last), close=last
        )

    def _price(self, ticks: int) -> float:
        """The float64 nearest to the decimal price, as one that is received is."""
        return float(self._tick * ticks)


def gauge_of(measure: Measure, instrument: Instrument) -> Gauge:
    """What measures the bars of `measure`.

    Raises:
        UsageError: it cannot be measured of this instrument.
    """
    require_measurable([measure], instrument)
    if measure.kind is MeasureKind.RENKO:
        return Renko(measure, instrument)
    return Threshold(measure, instrument)
