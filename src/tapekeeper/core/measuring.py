"""What counters are made of besides plain numbers: histograms, capped labels, windows.

Each takes memory that is fixed when it is made, whatever is counted and for however long. Their
owners do the counting; everybody else reads frozen views (`tapekeeper.model.distribution`).
"""

from __future__ import annotations

from array import array

from tapekeeper.model.distribution import Distribution, LabelCounts, bucket_of

VALUE_MAX = 1 << 40
"""Up to here, 18 minutes in ns, values have buckets of their own; larger ones share the last."""

_BUCKETS = bucket_of(VALUE_MAX - 1) + 1

SLOTS = 12
"""Parts of a window; what it covers is exact to one of them."""


class Histogram:
    """Records whole numbers from 0 on; 9.2 kB, and some 0.4 us for a value.

    Fixed buckets instead of kept samples: nothing is forgotten that was recorded, and two of them
    make one.
    """

    __slots__ = ("_buckets", "_least", "_most", "count", "sum")

    def __init__(self) -> None:
        self._buckets = array("Q", bytes(8 * _BUCKETS))
        self.count = 0
        """Of values so far."""
        self.sum = 0
        """Of their values."""
        self._least = VALUE_MAX
        self._most = 0

    def record(self, value: int) -> None:
        """Count one value; one below 0, which only a clock that was set back gives, counts as 0."""
        value = max(value, 0)
        self._buckets[bucket_of(value) if value < VALUE_MAX else -1] += 1
        self.count += 1
        self.sum += value
        if value < self._least or self.count == 1:
            self._least = value
        self._most = max(self._most, value)

    def view(self) -> Distribution:
        """What was recorded so far."""
        if not self.count:
            return Distribution()
        return Distribution(
            self.count,
            self.sum,
            self._least,
            self._most,
            tuple((bucket, count) for bucket, count in enumerate(self._buckets) if count),
        )


class Labels:
    """Counts by label, for labels that somebody else makes up: an id of the wire, a text.

    Args:
        labels_max: so many have a count of their own; the others share one.
    """

    __slots__ = ("_counts", "_labels_max", "_other")

    def __init__(self, labels_max: int) -> None:
        if labels_max < 1:
            raise ValueError(f"a set of labels holds at least one, not {labels_max}")
        self._labels_max = labels_max
        self._counts: dict[str, int] = {}  # bound: labels_max
        self._other = 0

    def add(self, label: str, count: int = 1) -> None:
        """Count; below 0 takes back what was counted with the same label."""
        known = self._counts.get(label)
        if known is not None:
            self._counts[label] = known + count
        elif len(self._counts) < self._labels_max and count > 0:
            self._counts[label] = count
        else:
            self._other += count

    def view(self) -> LabelCounts:
        """What was counted so far; labels of which nothing is left are not told."""
        return LabelCounts(
            {each: count for each, count in self._counts.items() if count}, self._other
        )


class Window:
    """How much there was of late: a count that forgets what is older than the window.

    Args:
        window_ns: how far back it reaches.
    """

    __slots__ = ("_counts", "_from_slot", "_slot", "_slot_ns")

    def __init__(self, window_ns: int) -> None:
        if window_ns < SLOTS:
            raise ValueError(f"a window of {window_ns} ns has no {SLOTS} parts")
        self._slot_ns = window_ns // SLOTS
        self._counts = [0] * (SLOTS + 1)  # a ring: the present slot, and those before it
        self._slot = -1  # the latest
        self._from_slot = -1  # the first there ever was

    def add(self, count: int, now_ns: int) -> None:
        """Count so much now.

        Args:
            count: how much.
            now_ns: on a clock that does not step back.
        """
        self._go_to(now_ns)
        self._counts[self._slot % len(self._counts)] += count

    def total(self, now_ns: int) -> int:
        """What was counted in the window before `now_ns`, and up to a twelfth of it more."""
        self._go_to(now_ns)
        return sum(self._counts)

    def per_s(self, now_ns: int) -> float:
        """The same per second of the time that it covers; 0 before anything was counted."""
        total = self.total(now_ns)
        covered = min(self._slot - self._from_slot, SLOTS) * self._slot_ns
        covered += now_ns - self._slot * self._slot_ns
        return total * 1e9 / covered if covered > 0 else 0.0

    def _go_to(self, now_ns: int) -> None:
        slot = now_ns // self._slot_ns
        if self._slot < 0:
            self._from_slot = self._slot = slot
        gone = slot - self._slot
        if gone <= 0:
            return
        size = len(self._counts)
        for number in range(self._slot + 1, self._slot + 1 + min(gone, size)):
            self._counts[number % size] = 0
        # A pause longer than the window leaves nothing in it, wherever in the ring it ends.
        if gone >= size:
            self._counts = [0] * size
        self._slot = slot
