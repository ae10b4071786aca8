"""The price band of one contract: how far from recent prices a print may be."""

from __future__ import annotations

from tapekeeper.core.validate.policy import RulePolicy

BLOCK_PRINTS = 32
"""Prints after which the band is set anew; before the first block is full there is none."""
DECAY = 0.25
"""Part by which the remembered range moves to a smaller one, per block; it grows at once."""

LEAST_PRICE = 5e-324
MOST_PRICE = 1.7976931348623157e308
"""The least positive and the greatest finite float64: between them lie all prices above 0."""


class PriceBand:
    """Follows prices and how much they move, block by block of prints.

    A block is known by its extremes, so the order of the prints in it changes nothing but which
    of them is the last.

    Args:
        tick_size: the contract's price step, or 0.
        policy: the thresholds.

    Attributes:
        low, high: what is allowed now, both included; all finite prices while the band is off.
        half: half the width of the band that was set last, in the contract's quotation.
        room: prints until the present block is full.
    """

    __slots__ = (
        "_enabled", "_factor", "_floor", "_least", "_range", "_seen_high", "_seen_low", "_share",
        "half", "high", "low", "room",
    )  # fmt: skip

    def __init__(self, tick_size: float, policy: RulePolicy) -> None:
        self._enabled = policy.band
        self._floor = policy.band_ticks * tick_size
        self._share = policy.band_percent / 100
        self._factor = policy.band_factor
        self._least = -MOST_PRICE if policy.negative_prices else LEAST_PRICE
        self._range: float | None = None
        self.half = 0.0
        self.unsettle()

    def unsettle(self) -> None:
        """Switch the band off until a block of prints has shown where prices are."""
        self.low, self.high = self._least, MOST_PRICE
        self._seen_low, self._seen_high = MOST_PRICE, -MOST_PRICE
        self.room = BLOCK_PRINTS

    def take(self, low: float, high: float, last: float, prints: int) -> None:
        """Learn from accepted prints, which have room in the present block."""
        if low < self._seen_low:  # noqa: PLR1730 - a call costs more than the comparison
            self._seen_low = low
        if high > self._seen_high:  # noqa: PLR1730 - the same
            self._seen_high = high
        self.room -= prints
        if not self.room:
            self._set(last)

    def _set(self, last: float) -> None:
        spread = self._seen_high - self._seen_low
        if self._range is None or spread > self._range:
            self._range = spread
        else:
            self._range += (spread - self._range) * DECAY
        self._seen_low, self._seen_high = MOST_PRICE, -MOST_PRICE
        self.room = BLOCK_PRINTS
        if self._enabled:
            self.half = max(self._floor, self._share * abs(last), self._factor * self._range)
            self.low = max(self._least, last - self.half)
            self.high = min(MOST_PRICE, last + self.half)
