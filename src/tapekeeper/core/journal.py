"""The bytes of a journal segment: encoding bursts of entries, and reading any bytes back.

A segment is a header, records, and (if it ended in order) a seal; integers are little endian.

    header   40 bytes  magic, version, 0, number, first number of the run, created ns,
                       bytes of the segment before, CRC-32 of these 36 bytes
    record   25 bytes  payload length, kind, line, ts ns, CRC-32 of the payload,
                       CRC-32 of these 21 bytes that starts from the previous record's;
             payload
    seal     a record of kind 0: number of entries, and the CRC of the record before it

The head has a checksum of its own, so a length is never believed before it is proven: a record
whose proven head points past the end is torn, anything else that does not add up is corrupt.
Because each head's CRC starts from the one before (the first from the header's), a record that
is missing, repeated or moved shows like a changed one. CRC-32 finds every single flipped bit and
every burst of up to 32; it is no protection against somebody who wants to deceive.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum, StrEnum
from zlib import crc32

import msgspec

VERSION = 1
"""Version of the format; a reader refuses any other."""

MAGIC = b"\x89TKJ\r\n\x1a\n"
"""Not text, and broken by whatever rewrites line ends or strips the eighth bit (as PNG's is)."""

_HEADER = struct.Struct("<8sHHIIqQ")
_CRC = struct.Struct("<I")
_HEAD = struct.Struct("<IBIqI")
_RECORD = struct.Struct("<IBIqII")
_SEAL = struct.Struct("<QI")

HEADER_BYTES = _HEADER.size + _CRC.size
RECORD_HEAD_BYTES = _RECORD.size
SEAL_BYTES = RECORD_HEAD_BYTES + _SEAL.size
_SEAL_KIND = 0

_NAME = re.compile(r"segment-(\d{6,9})\.tkj", re.ASCII)


class EntryKind(IntEnum):
    """What an entry stands for."""

    META = 1  # JSON: what a run has to know to repeat itself
    FRAME = 2  # one whole WebSocket message as received
    CLOCK = 3  # a timer tick that closed bars
    CONNECT = 4  # a new connection on a line: an unfinished record does not carry over


_KINDS = {int(kind): kind for kind in EntryKind}


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened to the process, in the order in which it happened.

    Attributes:
        kind: see `EntryKind`.
        line: number of the connection it came by, 0 to 2**32 - 1; 0 where there is none.
        ts_ns: host time of receipt, ns UTC.
        payload: depends on the kind; may be empty.
    """

    kind: EntryKind
    line: int
    ts_ns: int
    payload: bytes = b""


class SegmentHeader(msgspec.Struct, frozen=True):
    """What a segment says of itself and of its place in the journal.

    Attributes:
        number: its place, from 1.
        run_first: number of the first segment of the same run of the writer. A segment whose
            successor belongs to the same run was sealed; one whose successor starts a run
            may have been left by a crash.
        created_ns: host time, ns UTC.
        previous_bytes: size of the segment before it when this one was created, 0 where there
            was none. It shows a cut that no checksum inside that segment can.
    """

    number: int
    run_first: int
    created_ns: int
    previous_bytes: int = 0


class Ending(StrEnum):
    """How a segment's bytes end."""

    SEALED = "sealed"  # in order, complete
    OPEN = "open"  # behind a whole record, without a seal: being written, or its writer died
    TORN = "torn"  # inside a record, with nothing behind it: its writer died while writing
    CORRUPT = "corrupt"  # bytes that are not what was written


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


def segment_name(number: int) -> str:
    """The file name of segment `number`; safe on every file system."""
    return f"segment-{number:06d}.tkj"


def segment_number(name: str) -> int | None:
    """The number in a file name that `segment_name` makes, or None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    number = int(match[1])
    return number if number > 0 and segment_name(number) == name else None


def encoded_bytes(entries: Iterable[Entry]) -> int:
    """How many bytes `SegmentEncoder.encode` makes of these entries."""
    return sum([RECORD_HEAD_BYTES + len(entry.payload) for entry in entries])


class SegmentEncoder:
    """Makes the bytes of one segment, to be written in the order in which they are made."""

    __slots__ = ("_chain", "_entries", "header", "header_bytes")

    def __init__(self, header: SegmentHeader) -> None:
        fields = _HEADER.pack(
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
        self.header_bytes = fields + _CRC.pack(self._chain)
        self._entries = 0

    @property
    def entries(self) -> int:
        """Entries encoded so far."""
        return self._entries

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """The records of `entries`; what does not fit the fields' ranges is a caller's bug."""
        chain = self._chain
        parts: list[bytes] = []
        add = parts.append
        pack_head, pack_crc = _HEAD.pack, _CRC.pack
        for entry in entries:
            payload = entry.payload
            head = pack_head(len(payload), entry.kind, entry.line, entry.ts_ns, crc32(payload))
            chain = crc32(head, chain)
            add(head)
            add(pack_crc(chain))
            add(payload)
        self._chain = chain
        self._entries += len(entries)
        return b"".join(parts)

    def seal(self, ts_ns: int) -> bytes:
        """The record that ends the segment; nothing may be encoded after it."""
        payload = _SEAL.pack(self._entries, self._chain)
        head = _HEAD.pack(len(payload), _SEAL_KIND, 0, ts_ns, crc32(payload))
        self._chain = crc32(head, self._chain)
        return head + _CRC.pack(self._chain) + payload


class SegmentScanner:
    """Reads the entries of a segment one by one; total on any bytes.

    Iterate once. `header` is known at once, the other attributes follow the iteration and are
    final when it ends.

    Attributes:
        header: None where it is unreadable.
        entries: entries yielded so far.
        good_bytes: length of the prefix that was readable so far.
        end: how the segment ends; OPEN until a fault or the seal is reached.
        detail: one clause for a person.
    """

    __slots__ = ("_chain", "_data", "detail", "end", "entries", "good_bytes", "header")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._chain = 0
        self.header: SegmentHeader | None = None
        self.entries = 0
        self.good_bytes = 0
        self.end = Ending.OPEN
        self.detail = ""
        self._read_header()

    def __iter__(self) -> Iterator[Entry]:
        if self.header is None:
            return
        data = self._data
        size = len(data)
        unpack = _RECORD.unpack_from
        kinds = _KINDS
        chain = self._chain
        at = self.good_bytes
        while size - at >= RECORD_HEAD_BYTES:
            length, code, line, ts_ns, payload_crc, head_crc = unpack(data, at)
            if crc32(data[at : at + _HEAD.size], chain) != head_crc:
                self._bad_head()
                return
            start = at + RECORD_HEAD_BYTES
            if length > size - start:
                break
            payload = data[start : start + length]
            if crc32(payload) != payload_crc:
                self._stop(Ending.CORRUPT, "the payload's checksum does not match")
                return
            kind = kinds.get(code)
            if kind is None:
                self._end_of_kind(code, payload, chain, start + length)
                return
            chain = head_crc
            at = self.good_bytes = start + length
            self.entries += 1
            yield Entry(kind, line, ts_ns, payload)
        if at < size:
            self._stop(Ending.TORN, f"the last {size - at:,} bytes are an unfinished record")

    def _read_header(self) -> None:
        data = self._data
        if len(data) < HEADER_BYTES:
            if data[: len(MAGIC)] == MAGIC[: len(data)]:
                self._stop(Ending.TORN, "the header is unfinished")
            else:
                self._stop(Ending.CORRUPT, "not a journal segment")
            return
        magic, version, _, number, run_first, created_ns, previous_bytes = _HEADER.unpack_from(data)
        (crc,) = _CRC.unpack_from(data, _HEADER.size)
        if magic != MAGIC:
            self._stop(Ending.CORRUPT, "not a journal segment")
        elif crc32(data[: _HEADER.size]) != crc:
            self._stop(Ending.CORRUPT, "the header's checksum does not match")
        elif version != VERSION:
            self._stop(Ending.CORRUPT, f"format version {version}, this program reads {VERSION}")
        else:
            self.header = SegmentHeader(number, run_first, created_ns, previous_bytes)
            self._chain = crc
            self.good_bytes = HEADER_BYTES

    def _bad_head(self) -> None:
        # File systems leave zeros where a length reached the disk before the content did.
        rest = len(self._data) - self.good_bytes
        if self._data.count(0, self.good_bytes) == rest:
            self._stop(Ending.TORN, f"the last {rest:,} bytes were never filled")
        else:
            self._stop(Ending.CORRUPT, "a record's checksum does not match")

    def _end_of_kind(self, code: int, payload: bytes, chain: int, end: int) -> None:
        if code != _SEAL_KIND:
            self._stop(Ending.CORRUPT, f"a record of unknown kind {code}")
        elif payload != _SEAL.pack(self.entries, chain):
            self._stop(Ending.CORRUPT, "the seal does not match what it seals")
        else:
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
