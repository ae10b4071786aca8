"""A machine whose memory and disk are as large as a test says; fills `ports.Machine`."""

from __future__ import annotations

from tapekeeper.model.machine import Memory


class SimMachine:
    """Nothing of it is measured, so that a run can be repeated.

    Attributes:
        total: bytes of memory that the process may have.
        used: bytes that it has.
        free: bytes of the disk that may still be written.
    """

    def __init__(self, total: int, used: int, free: int = 1 << 40) -> None:
        self.total = total
        self.used = used
        self.free = free

    def memory(self) -> Memory:
        """See `ports.Machine`."""
        return Memory(self.used, max(0, self.total - self.used), "the simulated machine")

    def disk_free(self) -> int:
        """See `ports.Machine`."""
        return self.free
