"""One side of a connection that outlives its transports (stateful reconnect), without I/O.

Theory of operation. Both sides count the records that carry something (types 1 to 5: invocations,
stream items, completions, stream invocations, cancellations), from 1, each direction for itself,
over all transports of the connection. Pings, Close, Ack and Sequence are not counted. Each side
keeps what it sent until the other one acknowledges it. When the transport is lost, each side says
on the next one with which number it begins again (Sequence: the first record it still keeps, or
the next one it will send), and sends what it keeps once more; each drops what it had already. So
every record arrives once, in order, whenever the transport was lost and whatever was lost with it.

    what happens                   effect
    -----------------------------  --------------------------------------------------------------
    a counted record is sent       it is kept, up to `unacknowledged_bytes_max`
    Ack(n)                         what is numbered up to n is kept no more
    a counted record comes         it is the next number; one that was had already is dropped
    some time after it             Ack, with the highest number had
    the transport is lost          nothing counts until the other side's Sequence has come
    a new transport                Sequence(first kept, or next), and all that is kept again
    Sequence(n), when awaited      the next record that comes has number n; beyond the next one
                                   that is missing, records are lost and the connection is over
    Sequence(n) at any other time  nothing: to believe it would drop what is new

An Ack is due a second after the first record that came since the last one, so there is at most
one a second, as official clients do. Only where so much comes within that second that the sender
would have to wait for us (it stops when `unacknowledged_bytes_max` is out, 100,000 bytes by
default) an Ack is due at half of that: the official clients' way limits a feed to 100 kB/s.

A record that cannot be read cannot be counted either, since its type decides that. From then on
the two counts may differ, so the connection must not be resumed: see `doubt`.

Sources: reference of the SignalR hub protocol (stateful reconnect), measured against a 9.0.7
server; the official JavaScript client and the server's message buffer for the order of steps.
"""

from __future__ import annotations

from collections import deque

import msgspec

from tapekeeper.core.signalr.records import (
    CancelInvocation,
    Completion,
    Invocation,
    Malformed,
    Record,
    Sequence,
    StreamInvocation,
    StreamItem,
)

UNACKNOWLEDGED_BYTES_MAX = 100_000
"""What official servers and clients keep for the other side by default."""

ACK_AFTER_NS = 1_000_000_000
"""From the first record that is not acknowledged to the Ack."""

_COUNTED = frozenset({Invocation, StreamItem, Completion, StreamInvocation, CancelInvocation})


class ResumeLimits(msgspec.Struct, frozen=True):
    """How much is kept, and how soon an Ack is due.

    Attributes:
        unacknowledged_bytes_max: beyond it `Resume.is_full`, and nothing more should be sent.
        ack_after_ns: from the first record since the last Ack to the next.
        ack_after_bytes: received since the last Ack, after which one is due at once.
    """

    unacknowledged_bytes_max: int = UNACKNOWLEDGED_BYTES_MAX
    ack_after_ns: int = ACK_AFTER_NS
    ack_after_bytes: int = UNACKNOWLEDGED_BYTES_MAX // 2


class ReceivePoint(msgspec.Struct, frozen=True, gc=False):
    """Where the count of what was received stands; enough to go on counting elsewhere.

    Attributes:
        latest: the highest number that was had.
        position: the number of the last counted record on the present transport; below `latest`
            while records come again.
        awaits: whether the Sequence of the present transport is still to come.
    """

    latest: int = 0
    position: int = 0
    awaits: bool = False


class Resume:
    """See the module's text.

    Args:
        limits: how much is kept, and how soon an Ack is due.
        point: where the count of received records stands; default: at the beginning.
        waits: whether nothing counts on a new transport before its Sequence. Clients wait; the
            measured server takes what comes.
    """

    __slots__ = (
        "_ack_due_ns",
        "_awaits",
        "_first",
        "_kept",
        "_kept_bytes",
        "_latest",
        "_limits",
        "_owes",
        "_position",
        "_unacked_bytes",
        "_waits",
        "doubt",
        "repeated",
    )

    def __init__(
        self,
        limits: ResumeLimits | None = None,
        *,
        point: ReceivePoint | None = None,
        waits: bool = True,
    ) -> None:
        self._limits = limits or ResumeLimits()
        start = point or ReceivePoint()
        self._latest = start.latest
        self._position = start.position
        self._awaits = start.awaits
        self._waits = waits
        self._kept: deque[bytes] = deque()  # bound: the caller sends no more once it `is_full`
        self._kept_bytes = 0
        self._first = 1  # number of the first record that is kept, or of the next one
        self._owes = False  # a counted record came since the last Ack
        self._ack_due_ns: int | None = None
        self._unacked_bytes = 0
        self.doubt = ""
        """Why the counts of the two sides may differ; empty if they do not."""
        self.repeated = 0
        """Records that were dropped because they were had already."""

    # --- what is sent ---------------------------------------------------------------------

    def keep(self, record: bytes) -> None:
        """A counted record is sent, or would be if there were a transport."""
        self._kept.append(record)
        self._kept_bytes += len(record)

    def acknowledged(self, sequence_id: int) -> None:
        """The other side has everything up to this number; a number never sent means all."""
        while self._kept and self._first <= sequence_id:
            self._kept_bytes -= len(self._kept.popleft())
            self._first += 1

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be sent before an Ack."""
        return self._kept_bytes >= self._limits.unacknowledged_bytes_max

    @property
    def kept_bytes(self) -> int:
        """Bytes that are kept."""
        return self._kept_bytes

    # --- what is received -----------------------------------------------------------------

    def admits(self, record: Record) -> bool:
        """Count a record that came; whether it is to be acted upon."""
        if self._awaits:
            # Close is heeded all the same by whoever asks, as it ends the connection anyway.
            return type(record) is Sequence
        if type(record) is Malformed:
            self.doubt = self.doubt or f"a record could not be read: {record.detail}"
        if type(record) not in _COUNTED:
            return True
        self._position += 1
        self._owes = True
        if self._position <= self._latest:
            self.repeated += 1
            return False
        self._latest = self._position
        return True

    def heard(self, size: int, now_ns: int) -> None:
        """So many bytes came, and `admits` has seen their records; decides when an Ack is due."""
        if not self._owes:
            return
        self._unacked_bytes += size
        if self._unacked_bytes >= self._limits.ack_after_bytes:
            self._ack_due_ns = now_ns
        elif self._ack_due_ns is None:
            self._ack_due_ns = now_ns + self._limits.ack_after_ns

    @property
    def ack_due_ns(self) -> int | None:
        """When an Ack is to be sent (monotonic, ns), or None for not."""
        return self._ack_due_ns

    def take_ack(self) -> int:
        """The number to acknowledge now."""
        self._owes = False
        self._ack_due_ns = None
        self._unacked_bytes = 0
        return self._latest

    @property
    def point(self) -> ReceivePoint:
        """Where the count of what was received stands."""
        return ReceivePoint(self._latest, self._position, self._awaits)

    # --- another transport ----------------------------------------------------------------

    @property
    def awaits_sequence(self) -> bool:
        """Whether nothing counts yet on this transport."""
        return self._awaits

    def interrupted(self) -> None:
        """The transport is lost."""
        self._awaits = self._waits
        self._owes = False  # what is owed comes again, unless the other side knows
        self._ack_due_ns = None
        self._unacked_bytes = 0

    def again(self) -> tuple[int, tuple[bytes, ...]]:
        """What a new transport begins with: the number of a Sequence, and the records after it."""
        return self._first, tuple(self._kept)

    def begins_at(self, sequence_id: int) -> bool:
        """The other side's Sequence came; False if records are lost for good.

        It is only asked for where one is awaited, or by a side that never waits.
        """
        # Not `position`: an Ack of all that was had may have been sent while records came again.
        if not 1 <= sequence_id <= self._latest + 1:
            return False
        self._awaits = False
        self._position = sequence_id - 1
        return True
