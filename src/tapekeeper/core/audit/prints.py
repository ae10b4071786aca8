"""How much was printed up to an event time, for the latest seconds of one contract."""

from __future__ import annotations

from collections import deque

STEP_NS = 10_000_000
"""Sizes are added up for steps of so long: fine against the slack of quotes, and it bounds what
is kept however many prints there are."""
KEEP_NS = 6_000_000_000
"""Steps that are kept; quotes that are further behind the latest tick teach nothing."""


class PrintedVolume:
    """Sizes by event time; what is older than `KEEP_NS` is one sum.

    Attributes:
        newest_ns: end of the newest step, ns UTC; the sums reach to it.
    """

    __slots__ = ("_below", "_steps", "newest_ns")

    def __init__(self) -> None:
        self._below = 0
        # Number and size of each step, numbers rising.
        self._steps: deque[list[int]] = deque()  # bound: KEEP_NS / STEP_NS
        self.newest_ns = 0

    def add(self, ts_ns: int, size: int) -> None:
        """Count what was printed at this time."""
        number = ts_ns // STEP_NS
        steps = self._steps
        if steps and number == steps[-1][0]:
            steps[-1][1] += size
            return
        if not steps or number > steps[-1][0]:
            steps.append([number, size])
            self.newest_ns = (number + 1) * STEP_NS
            oldest = number - KEEP_NS // STEP_NS
            while steps[0][0] < oldest:
                self._below += steps.popleft()[1]
            return
        self._add_behind(number, size)

    def _add_behind(self, number: int, size: int) -> None:
        steps = self._steps
        if number < steps[-1][0] - KEEP_NS // STEP_NS:
            self._below += size
            return
        index = len(steps)
        while index and steps[index - 1][0] > number:
            index -= 1
        if index and steps[index - 1][0] == number:
            steps[index - 1][1] += size
        else:
            steps.insert(index, [number, size])

    def up_to(self, earlier_ns: int, ts_ns: int, later_ns: int) -> tuple[int, int, int]:
        """What was printed up to three rising event times (ns UTC).

        A step that reaches beyond the earliest is left out there, so that it is the least; a step
        that begins at or before one of the others is counted there as a whole.
        """
        first, middle, last = earlier_ns // STEP_NS, ts_ns // STEP_NS, later_ns // STEP_NS
        least = at = most = self._below
        for number, size in self._steps:
            if number > last:
                break
            most += size
            if number <= middle:
                at += size
                if number < first:
                    least += size
        return least, at, most

    def reaches_back_to(self, ts_ns: int) -> bool:
        """Whether the sums are known at `ts_ns`."""
        return ts_ns >= self.newest_ns - KEEP_NS
