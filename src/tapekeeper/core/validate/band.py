"""The price band of one contract: how far from recent prices a print may be."""

from __future__ import annotations

from collections import deque

from tapekeeper.core.validate.policy import RulePolicy

BLOCK_PRINTS = 32
"""Prints after which the band is set anew; before the first block is full there is none."""
DECAY = 0.25
"""Part by which the remembered range moves to a smaller one, per block; it grows at once."""

SPELL_NS = 60_000_000_000
"""Blocks within it are remembered as one."""
SPELLS_MAX = 1_500
"""Spells that are remembered: a day, where there are prints all the time."""

LEAST_PRICE = 5e-324
MOST_PRICE = 1.7976931348623157e308
"""The least positive and the greatest finite float64: between them lie all prices above 0."""


class PriceBand:
    """Follows prices and how much they move, block by block of prints.

    A block is known by its extremes, so the order of the prints in it changes nothing but which
    of them is the last. The extremes are remembered, so that a print that comes late can be
    compared with the prices of its own time.

    Args:
        tick_size: the contract's price step, or 0.
        policy: the thresholds.

    Attributes:
        low, high: what is allowed now, both included; all finite prices while the band is off.
        half: half the width of the band that was set last, in the contract's quotation.
        room: prints until the present block is full.
    """

    __slots__ = (
        "_begin_ns", "_enabled", "_factor", "_floor", "_least", "_range", "_seen_high", "_seen_low",
        "_share", "_spells", "half", "high", "low", "room",
    )  # fmt: skip

    def __init__(self, tick_size: float, policy: RulePolicy) -> None:
        self._enabled = policy.band
        self._floor = policy.band_ticks * tick_size
        self._share = policy.band_percent / 100
        self._factor = policy.band_factor
        self._least = -MOST_PRICE if policy.negative_prices else LEAST_PRICE
        self._range: float | None = None
        # Until when (ns UTC) prices were between which two; each goes on from the one before.
        self._spells: deque[tuple[int, float, float]] = deque(maxlen=SPELLS_MAX)
        self._begin_ns = 0  # where the last of them begins
        self.half = 0.0
        self._seen_low, self._seen_high = MOST_PRICE, -MOST_PRICE
        self.unsettle(0)

    def unsettle(self, high_ns: int) -> None:
        """Switch the band off until a block of prints has shown where prices are.

        Args:
            high_ns: the latest event time of the prints before it, ns UTC.
        """
        if self._seen_low <= self._seen_high:
            self._remember(high_ns)
        self.low, self.high = self._least, MOST_PRICE
        self.room = BLOCK_PRINTS

    def was_near(self, price: float, ts_ns: int) -> bool:
        """Whether a price was within reach at a time (ns UTC) before the latest prints.

        Compared with the spell of that time and the one before it, between which there may have
        been none.
        """
        if not self._spells:
            return False
        low, high = self._seen_low, self._seen_high
        for end_ns, spell_low, spell_high in reversed(self._spells):
            low, high = (min(low, spell_low), max(high, spell_high))
            if end_ns < ts_ns:
                break
            low, high = spell_low, spell_high
        return low - self.half <= price <= high + self.half and price >= self._least

    def _remember(self, high_ns: int) -> None:
        """Put what was seen into the last spell, or behind it."""
        low, high = self._seen_low, self._seen_high
        self._seen_low, self._seen_high = MOST_PRICE, -MOST_PRICE
        if self._spells and high_ns - self._begin_ns < SPELL_NS:
            _, before_low, before_high = self._spells.pop()
            low, high = min(low, before_low), max(high, before_high)
        elif self._spells:
            self._begin_ns = self._spells[-1][0]
        else:
            self._begin_ns = high_ns
        self._spells.append((high_ns, low, high))

    def take(self, low: float, high: float, last: float, prints: int, high_ns: int) -> None:
        """Learn from accepted prints, which have room in the present block.

        Args:
            low: their lowest price.
            high: their highest.
            last: that of the last of them.
            prints: how many they are.
            high_ns: the latest event time up to and with them, ns UTC.
        """
        if low < self._seen_low:  # noqa: PLR1730 - a call costs more than the comparison
            self._seen_low = low
        if high > self._seen_high:  # noqa: PLR1730 - the same
            self._seen_high = high
        self.room -= prints
        if not self.room:
            self._set(last, high_ns)

    def _set(self, last: float, high_ns: int) -> None:
        spread = self._seen_high - self._seen_low
        if self._range is None or spread > self._range:
            self._range = spread
        else:
            self._range += (spread - self._range) * DECAY
        self._remember(high_ns)
        self.room = BLOCK_PRINTS
        if self._enabled:
            self.half = max(self._floor, self._share * abs(last), self._factor * self._range)
            self.low = max(self._least, last - self.half)
            self.high = min(MOST_PRICE, last + self.half)
