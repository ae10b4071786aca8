"""Numbers that follow from a seed: the same on every platform and Python version.

SplitMix64 (Steele, Lea, Flood 2014): one multiplication chain per number, and any position of
the sequence can be computed directly, which lets history be made backwards and on demand.
"""

from __future__ import annotations

import math
import zlib

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Seeded:
    """A sequence of numbers that a seed and a name determine; fills `ports.Random`."""

    __slots__ = ("_origin", "_state")

    def __init__(self, seed: int, name: str) -> None:
        self._origin = _mix((seed * _GOLDEN + zlib.crc32(name.encode())) & _MASK)
        self._state = self._origin

    def random(self) -> float:
        """The next number in [0, 1)."""
        self._state = (self._state + _GOLDEN) & _MASK
        return (_mix(self._state) >> 11) / (1 << 53)

    def at(self, index: int) -> float:
        """The number at `index` (may be negative) of a sequence beside the running one."""
        return (_mix(_mix((self._origin ^ index) & _MASK) + _GOLDEN & _MASK) >> 11) / (1 << 53)

    def below(self, limit: int) -> int:
        """A whole number in [0, limit)."""
        return int(self.random() * limit)

    def exponential(self, mean: float) -> float:
        """A waiting time of a Poisson process, in the unit of `mean`."""
        return -mean * math.log(1.0 - self.random())
