"""Lets scheduled faults happen when their time has come."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from tapekeeper.ports import Clock
from tapekeeper.sim.fault_menu import Fault
from tapekeeper.sim.faults import Faults
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.session import SECOND_NS

HAPPENED_MAX = 10_000
"""Events that are remembered; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class Happened:
    """What a fault did: `ended` says that something that lasts is over; seconds from the start."""

    at_s: float
    fault: Fault
    ended: bool


class FaultRunner:
    """Runs a schedule once.

    Args:
        schedule: what happens when; order decides among faults of one moment.
        faults: the levers.
        clock: its monotonic side.
        seed: decides where a fault has a probability.
    """

    def __init__(
        self, schedule: Sequence[Fault], faults: Faults, clock: Clock, *, seed: int
    ) -> None:
        self._faults = faults
        self._clock = clock
        self._numbers = Seeded(seed, "faults")
        # bound: one entry per fault, and one more per fault that lasts
        self._due: list[tuple[float, int, Fault, bool]] = [
            (fault.first_s, number, fault, False) for number, fault in enumerate(schedule)
        ]
        heapq.heapify(self._due)
        self._serial = len(schedule)
        self.happened: deque[Happened] = deque(maxlen=HAPPENED_MAX)
        """What has happened, in order."""
        self.finished = asyncio.Event()
        """Set when nothing is left to happen."""

    async def run(self) -> None:
        """Return when nothing is left to happen; an endless schedule never returns."""
        start_ns = self._clock.monotonic_ns()
        while self._due:
            due_s, _, fault, ends = self._due[0]
            wait_ns = start_ns + round(due_s * SECOND_NS) - self._clock.monotonic_ns()
            if wait_ns > 0:
                await self._clock.sleep_s(wait_ns / SECOND_NS)
                continue
            heapq.heappop(self._due)
            if ends:
                fault.revert(self._faults)
                self.happened.append(Happened(due_s, fault, ended=True))
            else:
                self._begin(due_s, fault)
        self.finished.set()

    def _begin(self, due_s: float, fault: Fault) -> None:
        if self._numbers.random() < fault.probability:
            lasts_s = fault.apply(self._faults)
            self.happened.append(Happened(due_s, fault, ended=False))
            if lasts_s is not None:
                self._push(due_s + lasts_s, fault, ends=True)
        following_s = fault.next_s(due_s)
        if following_s is not None:
            self._push(following_s, fault, ends=False)

    def _push(self, at_s: float, fault: Fault, *, ends: bool) -> None:
        self._serial += 1
        heapq.heappush(self._due, (at_s, self._serial, fault, ends))
