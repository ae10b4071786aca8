"""How a program names what it wants of the queue of a stream."""

from __future__ import annotations

from typing import Literal, TypeAlias

from tapekeeper.model.queue import OnFull, QueuePolicy

Whole: TypeAlias = Literal["fail", "spill", OnFull.FAIL, OnFull.SPILL]
"""Policies with which a stream has its own events and nothing else."""
Lossy: TypeAlias = Literal["shed", OnFull.SHED]
Latest: TypeAlias = Literal["conflate", OnFull.CONFLATE]
Wanted: TypeAlias = OnFull | str | QueuePolicy | None


def queue_policy(wanted: Wanted) -> QueuePolicy:
    """The policy that is meant."""
    return wanted if isinstance(wanted, QueuePolicy) else QueuePolicy(wanted)
