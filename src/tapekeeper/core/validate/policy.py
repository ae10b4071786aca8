"""The thresholds of the rules for the ticks of one contract."""

from __future__ import annotations

import msgspec

from tapekeeper.core.validate.ticks import SIZE_MAX


class RulePolicy(msgspec.Struct, frozen=True):
    """What the rules of one contract allow.

    The defaults leave all recorded real data alone, by a factor of two and more.

    Attributes:
        negative_prices: whether prices may be zero or negative (crude oil was, in April 2020).
        size_max: largest size of a print, contracts.
        zero_sizes: whether a print of size 0 is accepted; it sets prices and no volume.
        band: whether there is a price band.
        band_ticks, band_percent, band_factor: half the width of the band is the largest of so
            many ticks, so many per cent of the price, and so many times the recent range.
        quiet_ns: event time without a print after which the band is off until prices are known
            again: an open, a halt, a gap.
        ahead_ns: by how much a stamp may be ahead of the exchange's clock as it is tracked; 0
            switches the rule off.
        confirm: so many prints that agree with each other make a jump of prices or of clocks real.
        quotes: whether band and clock are there for quotes as well.
    """

    negative_prices: bool = False
    size_max: int = SIZE_MAX
    zero_sizes: bool = True
    band: bool = True
    band_ticks: float = 40.0
    band_percent: float = 0.5
    band_factor: float = 12.0
    quiet_ns: int = 60_000_000_000
    ahead_ns: int = 10_000_000_000
    confirm: int = 3
    quotes: bool = True


LENIENT = RulePolicy(band=False, ahead_ns=0, quotes=False)
"""The rules that were there before there were policies: journals that name none were made so."""
