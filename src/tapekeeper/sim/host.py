"""The computer that a simulated tape runs on, as levers: clock, disk, network, and its own death.

The gateway is another computer with a clock of its own; its levers are `tapekeeper.sim.faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tapekeeper.sim.memory_files import MemoryDisk
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.virtual_time import VirtualClock

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the host's wall clock: when (ns UTC, by a clock that never steps) and how far."""

    at_ns: int
    by_ns: int


class Host:
    """See the module's text.

    Args:
        clock: of the host, which the tape reads; not that of the gateway.
        true: a clock that never steps.
        disk: the host's.
        network: between host and gateway.
        endpoints: ports of the hubs' addresses, the preferred one first.

    Attributes:
        steps: of the wall clock, in order.
        held_s: how long writes have held the process up, in all.
        restart_s: how long the next restart of a dead process takes.
        is_dying: whether the process that runs is to die in the middle of its next write.
    """

    def __init__(
        self,
        clock: VirtualClock,
        true: VirtualClock,
        disk: MemoryDisk,
        network: MemoryNetwork,
        endpoints: Sequence[int],
    ) -> None:
        self.clock = clock
        self.disk = disk
        self._true = true
        self._network = network
        self._endpoints = tuple(endpoints)
        self._kill: Callable[[float | None], None] = _nobody
        self.steps: list[Step] = []  # bound: one per fault of a schedule
        self.held_s = 0.0
        self.restart_s = 0.0
        self.is_dying = False
        disk.wait = self._hold

    def runs(self, kill: Callable[[float | None], None]) -> None:
        """Name the process that runs now, by what kills it.

        Args:
            kill: called with None to die at once, or with the share of the next write that still
                reaches the disk.
        """
        self._kill = kill
        self.is_dying = False

    def step_clock(self, by_s: float) -> None:
        """Set the wall clock; monotonic time goes on as if nothing were."""
        by_ns = round(by_s * _NS_PER_S)
        self.clock.step_wall_ns(by_ns)
        self.steps.append(Step(self._true.now_ns(), by_ns))

    def kill(self, share: float | None, restart_s: float) -> None:
        """Kill the process that runs: at once, or in the middle of its next write."""
        self.restart_s = restart_s
        self.is_dying = share is not None
        self._kill(share)

    def cut_off(self, endpoint: int) -> None:
        """Make one address of the hubs unreachable; numbers above the last one begin anew."""
        self._network.cut_off(self._port(endpoint))

    def restore(self, endpoint: int) -> None:
        """Make it reachable again."""
        self._network.restore(self._port(endpoint))

    def stick(self, for_s: float) -> None:
        """Let nothing through between host and gateway for a while, without cutting anything."""
        self._network.stick(for_s)

    def _port(self, endpoint: int) -> int:
        return self._endpoints[endpoint % len(self._endpoints)]

    def _hold(self, delay_s: float) -> None:
        self.held_s += delay_s
        self.clock.hold_s(delay_s)


def _nobody(_share: float | None) -> None:
    """No process runs."""
