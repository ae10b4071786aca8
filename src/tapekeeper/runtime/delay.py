"""How long an event waits in a queue, of one event at a time.

A stamp on every event would cost memory and time with each. So one is followed by its number, from
its offer until it is taken, and then the next that is offered. What the owner pays is a comparison
of two numbers for each event.
"""

from __future__ import annotations

from tapekeeper.core.measuring import Histogram
from tapekeeper.model.distribution import Distribution
from tapekeeper.ports import Clock

NEVER = -1
"""No event has this number."""

_NOBODY_LOOKS = -2


class Delay:
    """Follows one event after the other.

    Args:
        clock: measures; None follows none.

    Attributes:
        due: the number of the event that is followed: how many are taken before it. `NEVER` where
            none is, so that the next can be.
    """

    __slots__ = ("_clock", "_delays_ns", "_since_ns", "due")

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock
        self._delays_ns = Histogram()
        self._since_ns = 0
        self.due = _NOBODY_LOOKS if clock is None else NEVER

    def follow(self, number: int) -> None:
        """An event is offered, before which so many are or will be taken."""
        if self._clock is not None:
            self._since_ns = self._clock.monotonic_ns()
            self.due = number

    def taken(self) -> None:
        """The event that is followed was taken."""
        if self._clock is not None:
            self._delays_ns.record(self._clock.monotonic_ns() - self._since_ns)
            self.due = NEVER

    def forget(self) -> None:
        """Events were given up or merged, so numbers say nothing any more."""
        if self._clock is not None:
            self.due = NEVER

    def view(self) -> Distribution:
        """The delays so far, ns."""
        return self._delays_ns.view()
