"""Frozen views of how values were spread, and of counts by label and of late."""

from __future__ import annotations

import math

import msgspec

LINEAR_BITS = 5
"""An octave has 32 buckets of one width, so a bucket is at most a 32nd of what is in it wide."""

RELATIVE_ERROR = 1 / 2 ** (LINEAR_BITS + 1)
"""Of a quantile, at most: its value is the middle of a bucket. Below 64 there is none."""

_LINEAR = 1 << LINEAR_BITS


def bucket_of(value: int) -> int:
    """The number of the bucket of a value, which is 0 or more."""
    octave = value.bit_length() - LINEAR_BITS - 1
    return value if octave <= 0 else (octave << LINEAR_BITS) + (value >> octave)


def bucket_bounds(bucket: int) -> tuple[int, int]:
    """The values of a bucket: from the first up to, and without, the second."""
    if bucket < 2 * _LINEAR:
        return bucket, bucket + 1
    octave = (bucket >> LINEAR_BITS) - 1
    first = (bucket - (octave << LINEAR_BITS)) << octave
    return first, first + (1 << octave)


class Distribution(msgspec.Struct, frozen=True):
    """How values were spread: log-linear buckets, as HDR histograms have them.

    Values are whole numbers from 0 on; their unit is in the name of the field that holds this.

    Attributes:
        count: of values, exact.
        sum: of values, exact.
        least, most: of values, exact; 0 where there is none.
        buckets: numbers of the buckets that are not empty, rising, and how many are in each; see
            `bucket_bounds`. What is beyond the last bucket is in it.
    """

    count: int = 0
    sum: int = 0
    least: int = 0
    most: int = 0
    buckets: tuple[tuple[int, int], ...] = ()

    @property
    def mean(self) -> float:
        """Of all values; 0 where there is none."""
        return self.sum / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """The value that so large a share of all is not above; 0 where there is none.

        Off by `RELATIVE_ERROR` of itself at most; the least and the most are exact.

        Args:
            share: from 0 to 1.
        """
        rank = max(1, math.ceil(share * self.count))
        if rank >= self.count:
            return float(self.most)
        seen = 0
        for bucket, count in self.buckets:
            seen += count
            if seen >= rank:
                first, behind = bucket_bounds(bucket)
                return float(min(self.most, max(self.least, (first + behind - 1) / 2)))
        return float(self.most)

    def __add__(self, other: Distribution) -> Distribution:
        """Both together, as if one had recorded all."""
        if not (self.count and other.count):
            return self if self.count else other
        merged = dict(self.buckets)
        for bucket, count in other.buckets:
            merged[bucket] = merged.get(bucket, 0) + count
        return Distribution(
            self.count + other.count,
            self.sum + other.sum,
            min(self.least, other.least),
            max(self.most, other.most),
            tuple(sorted(merged.items())),
        )


class LabelCounts(msgspec.Struct, frozen=True):
    """Counts by label, of which there are never more than so many.

    Attributes:
        counts: by label, those that came first.
        other: of all labels that came when there was no room for one more.
    """

    counts: dict[str, int] = {}
    other: int = 0

    @property
    def total(self) -> int:
        """Of all labels."""
        return sum(self.counts.values()) + self.other
