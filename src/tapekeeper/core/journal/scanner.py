"""Reads any bytes back as a segment, of every version of the format.

Version 2 is described in `encoder`. Version 1 had the same header, and behind it a record of each
entry, not compressed, with a checksum and a place in the chain of its own:

    record   25 bytes  payload length, kind, line, ts ns, CRC-32 of the payload,
                       CRC-32 of these 21 bytes that starts from the previous record's;
             payload
    seal     a record of kind 0: number of entries, and the CRC of the record before it
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

import msgspec
from zstandard import ZstdDecompressor, ZstdError

from tapekeeper.core.journal.encoder import (
    BLOCK,
    BLOCK_HEAD_BYTES,
    CRC,
    ENTRY,
    ENTRY_BYTES_MAX,
    ENTRY_HEAD_BYTES,
    HEAD,
    HEADER,
    HEADER_BYTES,
    MAGIC,
    SEAL,
    VERSION,
    WINDOW_LOG,
)
from tapekeeper.core.journal.entry import KINDS, Ending, Entry, SegmentHeader

_V1_HEAD = struct.Struct("<IBIqI")
_V1_RECORD = struct.Struct("<IBIqII")
_V1_SEAL = struct.Struct("<QI")
_V1_SEAL_KIND = 0
_V1_RECORD_HEAD_BYTES = _V1_RECORD.size

_PLAIN_BYTES_MAX = ENTRY_BYTES_MAX + ENTRY_HEAD_BYTES


class Scan(msgspec.Struct, frozen=True):
    """What a segment's bytes hold.

    Attributes:
        header: None where it is unreadable.
        entries: all entries in front of the first fault.
        good_bytes: length of the readable prefix.
        end: how it ends.
        detail: one clause for a person; "" where there is nothing to say.
    """

    header: SegmentHeader | None
    entries: tuple[Entry, ...]
    good_bytes: int
    end: Ending
    detail: str


class SegmentScanner:
    """Reads the entries of a segment one by one; total on any bytes.

    Iterate once. `header` is known at once, the other attributes follow the iteration and are
    final when it ends. One block is in memory as entries, never more.

    Attributes:
        header: None where it is unreadable.
        version: of the format; 0 where the header is unreadable.
        entries: entries yielded so far.
        good_bytes: length of the prefix that was readable so far, in whole blocks.
        end: how the segment ends; OPEN until a fault or the seal is reached.
        detail: one clause for a person.
    """

    __slots__ = ("_chain", "_data", "detail", "end", "entries", "good_bytes", "header", "version")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._chain = 0
        self.header: SegmentHeader | None = None
        self.version = 0
        self.entries = 0
        self.good_bytes = 0
        self.end = Ending.OPEN
        self.detail = ""
        self._read_header()

    def __iter__(self) -> Iterator[Entry]:
        if self.version == 1:
            return self._records()
        return self._blocks() if self.version else iter(())

    # --- version 2 ------------------------------------------------------------------------

    def _blocks(self) -> Iterator[Entry]:
        data = self._data
        size = len(data)
        stream = _Stream()
        all_plain = 0
        at = self.good_bytes
        while size - at >= BLOCK_HEAD_BYTES:
            stored_bytes, plain_bytes, stored_crc, head_crc = BLOCK.unpack_from(data, at)
            if crc32(data[at : at + HEAD.size], self._chain) != head_crc:
                self._bad_head("block")
                return
            start = at + BLOCK_HEAD_BYTES
            if stored_bytes > size - start:
                break
            stored = data[start : start + stored_bytes]
            if crc32(stored) != stored_crc:
                self._stop(Ending.CORRUPT, "a block's checksum does not match")
                return
            at = start + stored_bytes
            if not plain_bytes:
                expected = SEAL.size == stored_bytes and SEAL.unpack(stored)
                sealed = expected and (expected[0], expected[2]) == (self.entries, all_plain)
                self._end_by_seal(at, matches=bool(sealed))
                return
            plain = stream.plain(stored, plain_bytes)
            entries = None if plain is None else _parsed(plain)
            if plain is None or entries is None:
                # Proven bytes that mean nothing: whoever wrote them was at fault.
                self._stop(Ending.CORRUPT, "a block does not hold what its head says")
                return
            all_plain = crc32(plain, all_plain)
            self._chain = head_crc
            self.good_bytes = at
            for entry in entries:
                self.entries += 1
                yield entry
        if self.good_bytes < size:
            self._unfinished("burst")

    # --- version 1 ------------------------------------------------------------------------

    def _records(self) -> Iterator[Entry]:
        data = self._data
        size = len(data)
        unpack = _V1_RECORD.unpack_from
        chain = self._chain
        at = self.good_bytes
        while size - at >= _V1_RECORD_HEAD_BYTES:
            length, code, line, ts_ns, payload_crc, head_crc = unpack(data, at)
            if crc32(data[at : at + _V1_HEAD.size], chain) != head_crc:
                self._bad_head("record")
                return
            start = at + _V1_RECORD_HEAD_BYTES
            if length > size - start:
                break
            payload = data[start : start + length]
            if crc32(payload) != payload_crc:
                self._stop(Ending.CORRUPT, "the payload's checksum does not match")
                return
            kind = KINDS.get(code)
            if kind is None and code != _V1_SEAL_KIND:
                self._stop(Ending.CORRUPT, f"a record of unknown kind {code}")
                return
            if kind is None:
                sealed = payload == _V1_SEAL.pack(self.entries, chain)
                self._end_by_seal(start + length, matches=sealed)
                return
            chain = head_crc
            at = self.good_bytes = start + length
            self.entries += 1
            yield Entry(kind, line, ts_ns, payload)
        if at < size:
            self._unfinished("record")

    # --- both -----------------------------------------------------------------------------

    def _read_header(self) -> None:
        data = self._data
        if data and data.count(0) == len(data):
            # The name and the length reached the disk before any content did.
            self._stop(Ending.TORN, "the header was never filled")
            return
        if len(data) < HEADER_BYTES:
            if data[: len(MAGIC)] == MAGIC[: len(data)]:
                self._stop(Ending.TORN, "the header is unfinished")
            else:
                self._stop(Ending.CORRUPT, "not a journal segment")
            return
        magic, version, _, number, run_first, created_ns, previous_bytes = HEADER.unpack_from(data)
        (crc,) = CRC.unpack_from(data, HEADER.size)
        if magic != MAGIC:
            self._stop(Ending.CORRUPT, "not a journal segment")
        elif crc32(data[: HEADER.size]) != crc:
            self._stop(Ending.CORRUPT, "the header's checksum does not match")
        elif not 1 <= version <= VERSION:
            self._stop(
                Ending.CORRUPT, f"format version {version}, this program reads up to {VERSION}"
            )
        else:
            self.header = SegmentHeader(number, run_first, created_ns, previous_bytes)
            self.version = version
            self._chain = crc
            self.good_bytes = HEADER_BYTES

    def _bad_head(self, what: str) -> None:
        # File systems leave zeros where a length reached the disk before the content did.
        rest = len(self._data) - self.good_bytes
        if self._data.count(0, self.good_bytes) == rest:
            self._stop(Ending.TORN, f"the last {rest:,} bytes were never filled")
        else:
            self._stop(Ending.CORRUPT, f"a {what}'s checksum does not match")

    def _unfinished(self, what: str) -> None:
        rest = len(self._data) - self.good_bytes
        self._stop(Ending.TORN, f"the last {rest:,} bytes are an unfinished {what}")

    def _end_by_seal(self, end: int, *, matches: bool) -> None:
        if not matches:
            self._stop(Ending.CORRUPT, "the seal does not match what it seals")
            return
        self.good_bytes = end
        if end < len(self._data):
            rest = len(self._data) - end
            self._stop(Ending.CORRUPT, f"{rest:,} bytes stand behind the seal")
        else:
            self._stop(Ending.SEALED, "")

    def _stop(self, end: Ending, detail: str) -> None:
        self.end = end
        self.detail = detail


def scan(data: bytes) -> Scan:
    """Everything that a segment's bytes hold, at once; never raises, whatever the bytes."""
    scanner = SegmentScanner(data)
    entries = tuple(scanner)
    return Scan(scanner.header, entries, scanner.good_bytes, scanner.end, scanner.detail)


class _Stored:
    """The stored bytes of the present block, from which the decoder reads.

    A class of its own: the decoder holds on to what it reads from, and no garbage collector sees
    that, so whoever holds the decoder must not be it.
    """

    def __init__(self) -> None:
        self.rest = b""

    def read(self, _size: int = -1) -> bytes:
        """What the decoder asks for: all there is, once."""
        stored, self.rest = self.rest, b""
        return stored


class _Stream:
    """The decoder of one segment; it makes no more bytes than it is asked for."""

    def __init__(self) -> None:
        self._source = _Stored()
        # Neither a window nor a block that this program would not have written is given memory.
        decoder = ZstdDecompressor(max_window_size=1 << WINDOW_LOG)
        self._reader = decoder.stream_reader(self._source)  # type: ignore[arg-type]  # it `read`s

    def plain(self, stored: bytes, plain_bytes: int) -> bytes | None:
        """The bytes that a block stands for, or None if it does not stand for so many."""
        if plain_bytes > _PLAIN_BYTES_MAX:
            return None
        self._source.rest = stored
        try:
            plain = self._reader.read(plain_bytes)
        except ZstdError:
            return None
        return plain if len(plain) == plain_bytes and not self._source.rest else None


def _parsed(plain: bytes) -> list[Entry] | None:
    """The entries of a block, or None if they do not fill it."""
    entries: list[Entry] = []
    add = entries.append
    unpack = ENTRY.unpack_from
    size = len(plain)
    at = 0
    while size - at >= ENTRY_HEAD_BYTES:
        length, code, line, ts_ns = unpack(plain, at)
        at += ENTRY_HEAD_BYTES
        kind = KINDS.get(code)
        if kind is None or length > size - at:
            return None
        add(Entry(kind, line, ts_ns, plain[at : at + length]))
        at += length
    return entries if at == size else None
