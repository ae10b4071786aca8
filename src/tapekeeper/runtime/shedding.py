"""What becomes of a run whose journal cannot accept: the user's choice, and what it came to."""

from __future__ import annotations

from enum import StrEnum

import msgspec

RETRY_NS = 1_000_000_000
"""Between two tries to record again, in host time of what arrives."""


class FailurePolicy(StrEnum):
    """What is done when the journal cannot accept."""

    STOP = "stop"  # end the run, loudly
    SHED = "shed"  # go on without recording, say so, and try again


class ShedStatistics(msgspec.Struct, frozen=True):
    """What reached the bars and is in no journal.

    Attributes:
        reason: why nothing is recorded now; "" while everything is.
        since_ns: host time from which on nothing is recorded, ns UTC; 0 while everything is.
        times: how often that began.
        entries: that were not recorded.
        payload_bytes: of these.
    """

    reason: str = ""
    since_ns: int = 0
    times: int = 0
    entries: int = 0
    payload_bytes: int = 0
