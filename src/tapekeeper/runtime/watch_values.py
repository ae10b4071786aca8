"""What a watch says: frozen values."""

from __future__ import annotations

import msgspec

from tapekeeper.core.freshness import Stream, StreamFreshness, StreamState


class StreamChange(msgspec.Struct, frozen=True):
    """A stream fell silent although data are due, or does so no more.

    Attributes:
        contract_id, stream: which.
        after: `stale` or `fresh`.
        at_ns: when that was seen, wall clock, ns UTC.
        reason: one clause for a person.
        connection: the one that does not bring it while others do; None if none does.
        since_ns: of one that fell silent, up to where its data came, wall clock, ns UTC.
    """

    contract_id: str
    stream: Stream
    after: StreamState
    at_ns: int
    reason: str
    connection: int | None = None
    since_ns: int | None = None


class LineLack(msgspec.Struct, frozen=True):
    """A stream that one line does not bring, and another one does.

    Attributes:
        connection: of the line, as `LineStatus.connection`.
        contract_id, stream: what it lacks.
    """

    connection: int
    contract_id: str
    stream: Stream


class WatchStatus(msgspec.Struct, frozen=True):
    """What the watch sees.

    Attributes:
        streams: every followed stream, as all lines together bring it.
        lacking: what single lines lack of it.
        resubscribed: how often a stream was asked for again.
        handovers: how often a new line was asked for.
    """

    streams: tuple[StreamFreshness, ...] = ()
    lacking: tuple[LineLack, ...] = ()
    resubscribed: int = 0
    handovers: int = 0
