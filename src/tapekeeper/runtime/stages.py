"""How long a burst of frames takes from its arrival to the subscribers, and how large it is."""

from __future__ import annotations

import msgspec

from tapekeeper.core.measuring import Histogram, Window
from tapekeeper.model.distribution import Distribution
from tapekeeper.ports import Clock

RATE_NS = 60_000_000_000
"""Rates are of the last minute."""


class StageStatistics(msgspec.Struct, frozen=True):
    """What became of bursts, which are what the pipeline takes at once.

    Attributes:
        burst_frames: arrivals in each burst.
        written_ns: from the call to the return of the journal, for each burst, ns.
        published_ns: from the receipt of the oldest frame of a burst until everything that came of
            the burst was offered to subscribers, host time, ns. All other frames took less.
        frames_per_s: arrivals processed, mean of the last minute.
    """

    burst_frames: Distribution = Distribution()
    written_ns: Distribution = Distribution()
    published_ns: Distribution = Distribution()
    frames_per_s: float = 0.0


class Stages:
    """Measures; its owner tells it of each burst.

    Four readings of a clock and three values for a burst, whatever is in it, which costs some
    2 us. Measuring each tick would cost as much as a tick does.

    Args:
        clock: time.
    """

    __slots__ = ("_began_ns", "_burst_frames", "_clock", "_published_ns", "_rate", "_written_ns")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._burst_frames = Histogram()
        self._written_ns = Histogram()
        self._published_ns = Histogram()
        self._rate = Window(RATE_NS)
        self._began_ns = 0

    @property
    def frames(self) -> int:
        """Arrivals in all bursts so far."""
        return self._burst_frames.sum

    def begin(self, frames: int) -> None:
        """A burst of so many arrivals goes to the journal."""
        self._began_ns = self._clock.monotonic_ns()
        self._burst_frames.record(frames)
        self._rate.add(frames, self._began_ns)

    def written(self) -> None:
        """The journal has it."""
        self._written_ns.record(self._clock.monotonic_ns() - self._began_ns)

    def published(self, oldest_ns: int) -> None:
        """Subscribers have it.

        Args:
            oldest_ns: host time at which its oldest frame was received, ns UTC.
        """
        self._published_ns.record(self._clock.now_ns() - oldest_ns)

    def statistics(self) -> StageStatistics:
        """A frozen view."""
        return StageStatistics(
            burst_frames=self._burst_frames.view(),
            written_ns=self._written_ns.view(),
            published_ns=self._published_ns.view(),
            frames_per_s=self._rate.per_s(self._clock.monotonic_ns()),
        )
