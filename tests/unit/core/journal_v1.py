"""Writes segments of version 1 of the format, which this program reads and writes no more."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from zlib import crc32

from tapekeeper.core.journal import MAGIC, Entry, SegmentHeader

RECORD_HEAD_BYTES = 25


class FirstEncoder:
    """Does what `SegmentEncoder` did then."""

    def __init__(self, header: SegmentHeader) -> None:
        fields = struct.pack(
            "<8sHHIIqQ",
            MAGIC,
            1,
            0,
            header.number,
            header.run_first,
            header.created_ns,
            header.previous_bytes,
        )
        self.chain = crc32(fields)
        self.header_bytes = fields + struct.pack("<I", self.chain)
        self.entries = 0

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """The records of `entries`."""
        self.entries += len(entries)
        return b"".join(
            self.record(entry.kind, entry.line, entry.ts_ns, entry.payload) for entry in entries
        )

    def seal(self, ts_ns: int) -> bytes:
        """The record that ends the segment."""
        return self.record(0, 0, ts_ns, struct.pack("<QI", self.entries, self.chain))

    def record(self, kind: int, line: int, ts_ns: int, payload: bytes) -> bytes:
        """A record of any kind."""
        head = struct.pack("<IBIqI", len(payload), kind, line, ts_ns, crc32(payload))
        self.chain = crc32(head, self.chain)
        return head + struct.pack("<I", self.chain) + payload
