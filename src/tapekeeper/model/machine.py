"""What a process has of its machine, and what it could still have."""

from __future__ import annotations

import msgspec


class Memory(msgspec.Struct, frozen=True):
    """Memory at one moment, bytes.

    Attributes:
        resident: what this process has.
        available: what it could still have before something is refused, slowed down or killed.
        bound: who says so, for a person: `the computer`, or a control group by its name.
    """

    resident: int
    available: int
    bound: str


class Measured(msgspec.Struct, frozen=True):
    """Everything that limits are decided by; None is what is not known now.

    Attributes:
        memory: see `Memory`.
        lag_ms: the most by which the event loop was late since the last look.
        queue_s: how long the oldest frame has waited for the pipeline.
        disk_free: bytes of the journal's disk that may still be written.
    """

    memory: Memory | None = None
    lag_ms: float | None = None
    queue_s: float | None = None
    disk_free: int | None = None
