"""Faults of the computer that the tape runs on: its clock, its disk, its network, its death.

They are of use in a simulation alone: a gateway cannot make somebody else's disk full. Each has a
time like those of `tapekeeper.sim.fault_menu`, and pulls the levers of a `Host`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tapekeeper.errors import UsageError
from tapekeeper.sim.fault_menu import BY_KIND, Count, Fault, Seconds
from tapekeeper.sim.faults import Faults
from tapekeeper.sim.host import Host

WRITING_WITHIN_S = 2.0
"""A process that is to die writing and writes nothing for so long dies all the same."""

Step = Annotated[float, msgspec.Meta(ge=-86_400.0, le=86_400.0)]


def _host(faults: Faults) -> Host:
    if faults.host is None:
        raise UsageError("there is no computer here whose clock, disk or network could fail")
    return faults.host


class ClockStep(Fault, frozen=True):
    """The wall clock of the host is set, forward or back, while monotonic time goes on."""

    by_s: Step = -3_600.0

    def apply(self, faults: Faults) -> None:
        """Set it."""
        _host(faults).step_clock(self.by_s)


class SlowDisk(Fault, frozen=True):
    """Every write takes so long, and the whole process waits for it."""

    delay_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 200
    for_s: Seconds = 5.0

    def apply(self, faults: Faults) -> float:
        """Slow the disk down."""
        _host(faults).disk.delay_s = self.delay_ms / 1e3
        return self.for_s

    def revert(self, faults: Faults) -> None:
        """Let it be fast again."""
        _host(faults).disk.delay_s = 0.0


class DiskFull(Fault, frozen=True):
    """The disk takes some bytes more, so that a write is cut short, and then none (ENOSPC)."""

    room_bytes: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    for_s: Seconds = 10.0

    def apply(self, faults: Faults) -> float:
        """Fill it."""
        _host(faults).disk.room_bytes = self.room_bytes
        return self.for_s

    def revert(self, faults: Faults) -> None:
        """Make room."""
        _host(faults).disk.room_bytes = None


class DiskError(Fault, frozen=True):
    """Every write fails at once (EIO)."""

    for_s: Seconds = 10.0

    def apply(self, faults: Faults) -> float:
        """Break it."""
        _host(faults).disk.is_broken = True
        return self.for_s

    def revert(self, faults: Faults) -> None:
        """Mend it."""
        _host(faults).disk.is_broken = False


class SyncError(Fault, frozen=True):
    """The next syncs are not confirmed: at the end of a segment, or of the whole run."""

    count: Count = 1

    def apply(self, faults: Faults) -> None:
        """Plan it."""
        _host(faults).disk.syncs_fail = self.count


class Kill(Fault, frozen=True):
    """The process dies without a word (kill -9), and is started again after a while.

    Attributes:
        share: of its next write that still reaches the disk; None: it dies between two writes.
        restart_s: until it is started again.
    """

    share: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None
    restart_s: Seconds = 2.0

    def apply(self, faults: Faults) -> float | None:
        """Kill it, or see to it that its next write is its last act."""
        _host(faults).kill(self.share, self.restart_s)
        return None if self.share is None else WRITING_WITHIN_S

    def revert(self, faults: Faults) -> None:
        """Kill what has written nothing."""
        host = _host(faults)
        if host.is_dying:
            host.kill(None, self.restart_s)


class EndpointDown(Fault, frozen=True):
    """One of the addresses of both hubs is unreachable for a while; connections to it are cut."""

    endpoint: Annotated[int, msgspec.Meta(ge=0, le=15)] = 0
    for_s: Seconds = 20.0

    def apply(self, faults: Faults) -> float:
        """Cut it off."""
        _host(faults).cut_off(self.endpoint)
        return self.for_s

    def revert(self, faults: Faults) -> None:
        """Restore it."""
        _host(faults).restore(self.endpoint)


class Stuck(Fault, frozen=True):
    """Nothing moves between host and gateway for a while; then everything arrives at once.

    A gateway whose writes are blocked for longer than it bears cuts the connection: to it, this is
    a reader that is too slow.
    """

    for_s: Seconds = 5.0

    def apply(self, faults: Faults) -> float:
        """Let nothing through."""
        _host(faults).stick(self.for_s)
        return self.for_s

    def revert(self, faults: Faults) -> None:
        """It ends by itself; only here is it over."""


HOST_KINDS: tuple[type[Fault], ...] = (
    ClockStep,
    SlowDisk,
    DiskFull,
    DiskError,
    SyncError,
    Kill,
    EndpointDown,
    Stuck,
)
"""Every kind of fault of the host, in the order in which they are listed to people."""

ALL_KINDS = {
    **BY_KIND,
    **{str(one.__struct_config__.tag): one for one in HOST_KINDS},
}
"""The whole menu, by the words that files have."""
