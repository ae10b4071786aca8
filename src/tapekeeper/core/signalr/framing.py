"""Splitting a byte stream into records.

A record ends with 0x1E, which JSON cannot contain unescaped. Where a WebSocket message ends
says nothing: a message may hold many records, and a record may span messages.
"""

from __future__ import annotations

from tapekeeper.errors import ProtocolError

SEPARATOR = b"\x1e"

DEFAULT_RECORD_BYTES_MAX = 64 * 1024 * 1024
"""A server may send records of any size (20 MB was measured); a runaway one must still end."""


class RecordSplitter:
    """Cuts received bytes into whole records and keeps the unfinished tail.

    One splitter serves one connection; a new connection starts with a new one.
    """

    __slots__ = ("_record_bytes_max", "_tail", "_tail_bytes")

    def __init__(self, *, record_bytes_max: int = DEFAULT_RECORD_BYTES_MAX) -> None:
        self._record_bytes_max = record_bytes_max
        # A record that arrives in many pieces is joined once, when its end is seen.
        self._tail: list[bytes] = []
        self._tail_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes, in order, without their separators.

        Empty records are returned as such: they are for the caller to judge.

        Raises:
            ProtocolError: an unfinished record exceeds `record_bytes_max`.
        """
        pieces = data.split(SEPARATOR)
        rest = pieces.pop()
        if pieces and self._tail:
            pieces[0] = b"".join((*self._tail, pieces[0]))
            self._tail.clear()
            self._tail_bytes = 0
        if rest:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
            if self._tail_bytes > self._record_bytes_max:
                raise ProtocolError(
                    f"a record exceeds {self._record_bytes_max:,} bytes without an end"
                )
        return pieces

    @property
    def pending_bytes(self) -> int:
        """Bytes of the unfinished record."""
        return self._tail_bytes
