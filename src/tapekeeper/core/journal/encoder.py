"""Makes the bytes of a segment of the present version.

A segment is a header, blocks, and (if it ended in order) a seal; integers are little endian.

    header   40 bytes  magic, version, 0, number, first number of the run, created ns,
                       bytes of the segment before, CRC-32 of these 36 bytes
    block    16 bytes  stored length, plain length, CRC-32 of the stored bytes, CRC-32 of these
                       12 bytes that starts from the same field of the block before;
             stored    the next piece of the segment's one zstd stream, flushed
      plain  of each entry: 17 bytes payload length, kind, line, ts ns; payload
    seal     a block of plain length 0: number of entries, ts ns, CRC-32 of all plain bytes

One stream for the whole segment, because frames resemble those before them: a burst of one frame
costs a fifth of what it costs alone in a stream of its own. Flushed after each burst, so that
what was written can be read whatever becomes of what was not. The head has a checksum of its own,
so a length is never believed before it is proven: a block whose proven head points past the end
is torn, anything else that does not add up is corrupt. Because each head's CRC starts from the
one before (the first from the header's), a block that is missing, repeated or moved shows like a
changed one. CRC-32 finds every single flipped bit and every burst of up to 32; it is no
protection against somebody who wants to deceive.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from zlib import crc32

from zstandard import COMPRESSOBJ_FLUSH_BLOCK, ZstdCompressionParameters, ZstdCompressor

from tapekeeper.core.journal.entry import Entry, SegmentHeader

VERSION = 2
"""Version of the format that is written; `SegmentScanner` says which ones are read."""

MAGIC = b"\x89TKJ\r\n\x1a\n"
"""Not text, and broken by whatever rewrites line ends or strips the eighth bit (as PNG's is)."""

HEADER = struct.Struct("<8sHHIIqQ")
CRC = struct.Struct("<I")
HEAD = struct.Struct("<III")
BLOCK = struct.Struct("<IIII")
ENTRY = struct.Struct("<IBIq")
SEAL = struct.Struct("<QqI")

HEADER_BYTES = HEADER.size + CRC.size
BLOCK_HEAD_BYTES = BLOCK.size
ENTRY_HEAD_BYTES = ENTRY.size
SEAL_BYTES = BLOCK_HEAD_BYTES + SEAL.size

WINDOW_LOG = 17
"""128 KiB of what was before are searched: the compressor has 0.6 MB, the reader a window of it.
Larger ones gain nothing on real sessions, smaller ones cost up to a tenth of the ratio."""

LEVEL = 1
"""Of zstd. Level 3 takes a tenth more time for bursts of 64 frames, and gains 2 % at best."""

PLAIN_BYTES_MAX = 1 << 20
"""A burst of more is written as several blocks, at once, unless it is a single entry: a reader
has one block in memory."""

ENTRY_BYTES_MAX = 64 << 20
"""The longest payload; a reader does not believe a longer block, whoever has made it. A WebSocket
message is far below."""


class SegmentEncoder:
    """Makes the bytes of one segment, to be written in the order in which they are made."""

    __slots__ = ("_chain", "_compress", "_entries", "_flush", "_plain", "header", "header_bytes")

    def __init__(self, header: SegmentHeader) -> None:
        fields = HEADER.pack(
            MAGIC,
            VERSION,
            0,
            header.number,
            header.run_first,
            header.created_ns,
            header.previous_bytes,
        )
        self.header = header
        self._chain = crc32(fields)
        self.header_bytes = fields + CRC.pack(self._chain)
        self._entries = 0
        self._plain = 0
        parameters = ZstdCompressionParameters.from_level(LEVEL, window_log=WINDOW_LOG)
        stream = ZstdCompressor(compression_params=parameters).compressobj()
        self._compress = stream.compress
        self._flush = stream.flush

    @property
    def entries(self) -> int:
        """Entries encoded so far."""
        return self._entries

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """The block of `entries`; of none there is none.

        Raises:
            ValueError: an entry is longer than `ENTRY_BYTES_MAX`.
            struct.error: one does not fit the fields' ranges; both are a caller's bug.
        """
        parts: list[bytes] = []
        add = parts.append
        pack = ENTRY.pack
        for entry in entries:
            payload = entry.payload
            add(pack(len(payload), entry.kind, entry.line, entry.ts_ns))
            add(payload)
        plain = b"".join(parts)
        if len(plain) > PLAIN_BYTES_MAX:
            return self._large(entries)
        return self._block(plain, len(entries)) if plain else b""

    def seal(self, ts_ns: int) -> bytes:
        """The block that ends the segment; nothing may be encoded after it."""
        stored = SEAL.pack(self._entries, ts_ns, self._plain)
        return self._head(stored, 0) + stored

    def _large(self, entries: Sequence[Entry]) -> bytes:
        if any(len(entry.payload) > ENTRY_BYTES_MAX for entry in entries):
            raise ValueError(f"an entry of the journal has at most {ENTRY_BYTES_MAX:,} bytes")
        if len(entries) > 1:
            middle = len(entries) // 2
            return self.encode(entries[:middle]) + self.encode(entries[middle:])
        (entry,) = entries
        head = ENTRY.pack(len(entry.payload), entry.kind, entry.line, entry.ts_ns)
        return self._block(head + entry.payload, 1)

    def _block(self, plain: bytes, entries: int) -> bytes:
        stored = self._compress(plain) + self._flush(COMPRESSOBJ_FLUSH_BLOCK)
        self._plain = crc32(plain, self._plain)
        self._entries += entries
        return self._head(stored, len(plain)) + stored

    def _head(self, stored: bytes, plain_bytes: int) -> bytes:
        head = HEAD.pack(len(stored), plain_bytes, crc32(stored))
        self._chain = crc32(head, self._chain)
        return head + CRC.pack(self._chain)


def encoded_bytes_max(entries: Iterable[Entry]) -> int:
    """How many bytes `SegmentEncoder.encode` makes of these entries at most; usually far fewer."""
    plain = sum([ENTRY_HEAD_BYTES + len(entry.payload) for entry in entries])
    # What does not compress is stored as it is, 3 bytes more for each 128 KiB and for the flush,
    # and the stream's own header. A block's head may come again for each half of a burst.
    return plain + (plain >> 8) + 64 + BLOCK_HEAD_BYTES * (1 + (plain >> 18))
