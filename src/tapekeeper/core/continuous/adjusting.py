"""What lies between two contracts, and prices without it.

Prices are taken as whole billionths, so that adding a difference to a decimal gives the decimal
that a person expects, and differences between bars stay what they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import msgspec

from tapekeeper.core.continuous.segments import traded
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import PRICE_SCALE, Bar
from tapekeeper.model.continuous import Adjustment, Measured, Roll, Segment


class Shift(NamedTuple):
    """What is done to the prices of a segment: multiplied by a fraction, then added to.

    Attributes:
        add_e9: what is added, in billionths of the price unit.
        numerator, denominator: of the fraction.
    """

    add_e9: int = 0
    numerator: int = 1
    denominator: int = 1

    def price(self, price: float) -> float:
        """A price, shifted: the float64 nearest to the exact result."""
        price_e9 = round(price * PRICE_SCALE)
        if self.numerator == self.denominator:
            return (price_e9 + self.add_e9) / PRICE_SCALE
        return price_e9 * self.numerator / (self.denominator * PRICE_SCALE)

    def turnover_e9(self, turnover_e9: int, volume: int) -> int:
        """A turnover, so that the average price by volume is shifted as the prices are."""
        if self.numerator == self.denominator:
            return turnover_e9 + self.add_e9 * volume
        # To the nearest billionth; what is exactly between two goes up.
        return (2 * turnover_e9 * self.numerator + self.denominator) // (2 * self.denominator)

    def bar(self, bar: Bar) -> Bar:
        """A bar, shifted; all but its prices and its turnover stays."""
        if self == _UNMOVED:
            return bar
        return msgspec.structs.replace(
            bar,
            open=self.price(bar.open),
            high=self.price(bar.high),
            low=self.price(bar.low),
            close=self.price(bar.close),
            turnover_e9=self.turnover_e9(bar.turnover_e9, bar.volume),
        )


_UNMOVED = Shift()


def measure(
    bars_from: Sequence[Bar], bars_to: Sequence[Bar], before_ns: int, timeframe: str
) -> Measured | None:
    """The last interval that ended at or before `before_ns` (ns UTC) in which both traded.

    Args:
        bars_from: of the contract that is left, in order of time. Of two bars of an interval the
            later one counts. One that nothing has closed counts as well: its interval is over.
        bars_to: likewise of the contract after it.
        before_ns: when the roll is.
        timeframe: theirs.

    Returns:
        None where there is no such interval.
    """
    others = {bar.ts_open: bar for bar in bars_to if _fit(bar, before_ns)}
    for bar in reversed(bars_from):
        if _fit(bar, before_ns) and bar.ts_open in others:
            other = others[bar.ts_open]
            return Measured(
                timeframe,
                bar.ts_open,
                bar.ts_end,
                bar.close,
                other.close,
                bar.completeness,
                other.completeness,
            )
    return None


def rolls_of(
    segments: Sequence[Segment], bars: Mapping[str, Mapping[str, Sequence[Bar]]]
) -> list[Roll]:
    """The rolls between segments, each measured where that can be done.

    Args:
        segments: in order of time.
        bars: to measure with: by timeframe, in the order in which they are tried, then by
            contract id.
    """
    rolls = []
    for left, taken in pairwise(segments):
        measured = None
        for timeframe, by_contract in bars.items():
            measured = measure(
                by_contract.get(left.contract_id, ()),
                by_contract.get(taken.contract_id, ()),
                taken.from_ns,
                timeframe,
            )
            if measured is not None:
                break
        rolls.append(
            Roll(
                left.contract_id,
                taken.contract_id,
                taken.session,
                taken.from_ns,
                taken.reason,
                measured,
            )
        )
    return rolls


def shifts_of(rolls: Sequence[Roll], adjustment: Adjustment) -> list[Shift]:
    """The shift of every segment, the one of the newest, which is none, included.

    Raises:
        UsageError: a roll could not be measured.
    """
    shifts = [_UNMOVED]
    if adjustment is Adjustment.NONE:
        return shifts * (len(rolls) + 1)
    for roll in reversed(rolls):
        measured = roll.measured
        if measured is None:
            raise UsageError(
                f"the roll {_said(roll)} cannot be measured: there is no bar before it in which "
                "both contracts traded; read without adjustment, or with dates of your own"
            )
        add_e9, numerator, denominator = shifts[-1]
        from_e9 = round(measured.close_from * PRICE_SCALE)
        to_e9 = round(measured.close_to * PRICE_SCALE)
        if adjustment is Adjustment.DIFFERENCE:
            shifts.append(Shift(add_e9 + to_e9 - from_e9))
            continue
        if from_e9 <= 0 or to_e9 <= 0:
            raise UsageError(
                f"the roll {_said(roll)} has no ratio, because a price of {measured.close_from} "
                f"and {measured.close_to} is not above 0: adjust by difference"
            )
        ratio = Fraction(numerator * to_e9, denominator * from_e9)
        shifts.append(Shift(0, ratio.numerator, ratio.denominator))
    return shifts[::-1]


def _fit(bar: Bar, before_ns: int) -> bool:
    return bar.ts_end <= before_ns and traded(bar)


def _said(roll: Roll) -> str:
    return f"{roll.contract_from} -> {roll.contract_to} of {roll.session}"
