"""The segment format, byte by byte."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest

from tapekeeper.core.journal import (
    HEADER_BYTES,
    MAGIC,
    RECORD_HEAD_BYTES,
    SEAL_BYTES,
    Ending,
    Entry,
    EntryKind,
    SegmentEncoder,
    SegmentHeader,
    SegmentScanner,
    encoded_bytes,
    scan,
    segment_name,
    segment_number,
)

ENTRIES = (
    Entry(EntryKind.META, 0, 1, b'{"timeframes":["1s"]}'),
    Entry(EntryKind.CONNECT, 7, 2),
    Entry(EntryKind.FRAME, 7, 3, b'{"type":6}\x1e'),
    Entry(EntryKind.FRAME, 2**32 - 1, -(2**63), b"\x00\xff" * 50),
    Entry(EntryKind.CLOCK, 0, 2**63 - 1),
)
HEADER = SegmentHeader(number=3, run_first=2, created_ns=1_700_000_000_000_000_000)


def segment(*, seal: bool = True) -> bytes:
    """A whole segment that holds `ENTRIES`."""
    encoder = SegmentEncoder(HEADER)
    data = encoder.header_bytes + encoder.encode(ENTRIES)
    return data + encoder.seal(9) if seal else data


def record_ends(data: bytes) -> list[int]:
    """The offsets at which the header and each record of `ENTRIES` end."""
    ends = [HEADER_BYTES]
    for entry in ENTRIES:
        ends.append(ends[-1] + RECORD_HEAD_BYTES + len(entry.payload))
    assert ends[-1] <= len(data)
    return ends


def test_sealed_segment_gives_everything_back() -> None:
    """What was encoded and sealed comes back whole, with its header, and says that it is."""
    data = segment()
    found = scan(data)
    assert found.entries == ENTRIES
    assert found.header == HEADER
    assert (found.end, found.good_bytes, found.detail) == (Ending.SEALED, len(data), "")


def test_segment_without_seal_is_open() -> None:
    """A segment that ends behind a whole record is open, which is not a fault."""
    data = segment(seal=False)
    found = scan(data)
    assert found.entries == ENTRIES
    assert (found.end, found.good_bytes, found.detail) == (Ending.OPEN, len(data), "")


def test_bursts_chain_like_one() -> None:
    """How entries are grouped into bursts does not change a byte."""
    encoder = SegmentEncoder(HEADER)
    singly = b"".join(encoder.encode([entry]) for entry in ENTRIES)
    assert encoder.header_bytes + singly + encoder.seal(9) == segment()
    assert encoder.entries == len(ENTRIES)


def test_layout_is_the_documented_one() -> None:
    """The bytes are those of docs/journal.md: a reader in another language can rely on them."""
    data = segment(seal=False)
    fields = struct.pack("<8sHHIIqQ", MAGIC, 1, 0, 3, 2, 1_700_000_000_000_000_000, 0)
    assert data[:HEADER_BYTES] == fields + struct.pack("<I", crc32(fields))
    payload = ENTRIES[0].payload
    head = struct.pack("<IBIqI", len(payload), 1, 0, 1, crc32(payload))
    whole = head + struct.pack("<I", crc32(head, crc32(fields))) + payload
    assert data[HEADER_BYTES:].startswith(whole)


def test_sizes_are_known_beforehand() -> None:
    """The size of a burst and of a seal can be told without encoding them."""
    encoder = SegmentEncoder(HEADER)
    assert len(encoder.encode(ENTRIES)) == encoded_bytes(ENTRIES)
    assert len(encoder.seal(9)) == SEAL_BYTES


def test_cut_anywhere_keeps_the_whole_records_in_front() -> None:
    """A cut costs the record it falls into and no other; only a cut in a record is torn."""
    data = segment(seal=False)
    ends = record_ends(data)
    for length in range(len(data) + 1):
        found = scan(data[:length])
        whole = [end for end in ends if end <= length]
        assert found.entries == ENTRIES[: max(0, len(whole) - 1)]
        assert found.good_bytes == (whole[-1] if whole else 0)
        assert found.end is (Ending.OPEN if length in ends else Ending.TORN)


def test_every_flipped_bit_is_seen() -> None:
    """Whichever bit flips, the segment is corrupt from the record that holds it."""
    data = segment()
    ends = [*record_ends(data), len(data)]
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        found = scan(bytes(changed))
        in_front = [end for end in ends if end <= bit // 8]
        assert found.end is Ending.CORRUPT, bit
        assert found.detail
        assert found.entries == ENTRIES[: max(0, len(in_front) - 1)]


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_missing_record_is_seen(moved: int) -> None:
    """A record that was taken out breaks the chain at the next one."""
    data = segment()
    ends = record_ends(data)
    found = scan(data[: ends[moved]] + data[ends[moved + 1] :])
    assert found.end is Ending.CORRUPT
    assert found.entries == ENTRIES[:moved]


def test_reordered_and_repeated_records_are_seen() -> None:
    """Records that stand in another order, or twice, break the chain though each is whole."""
    data = segment()
    ends = record_ends(data)
    first, second = data[ends[0] : ends[1]], data[ends[1] : ends[2]]
    swapped = data[: ends[0]] + second + first + data[ends[2] :]
    repeated = data[: ends[2]] + second + data[ends[2] :]
    assert scan(swapped).entries == ()
    assert scan(repeated).entries == ENTRIES[:2]
    assert {scan(swapped).end, scan(repeated).end} == {Ending.CORRUPT}


def test_record_of_another_segment_does_not_fit() -> None:
    """The chain starts from the header, so records of another segment are refused."""
    other = SegmentEncoder(SegmentHeader(number=4, run_first=2, created_ns=5))
    found = scan(other.header_bytes + segment()[HEADER_BYTES:])
    assert (found.entries, found.end) == ((), Ending.CORRUPT)


def test_bytes_behind_a_seal_are_named() -> None:
    """Nothing belongs behind a seal; what stands there is corrupt, what is sealed is kept."""
    found = scan(segment() + b"more")
    assert found.entries == ENTRIES
    assert (found.end, found.good_bytes) == (Ending.CORRUPT, len(segment()))
    assert found.detail == "4 bytes stand behind the seal"


def test_seal_that_counts_wrong_is_corrupt() -> None:
    """A seal must match what it seals, even where its own checksums are right."""
    encoder = SegmentEncoder(HEADER)
    data = encoder.header_bytes + encoder.encode(ENTRIES)
    encoder._entries += 1
    found = scan(data + encoder.seal(9))
    assert found.end is Ending.CORRUPT
    assert found.detail == "the seal does not match what it seals"


def test_unknown_kind_is_corrupt() -> None:
    """A record of a kind that this version does not define is not guessed at."""
    encoder = SegmentEncoder(HEADER)
    head = struct.pack("<IBIqI", 0, 9, 0, 1, 0)
    record = head + struct.pack("<I", crc32(head, encoder._chain))
    found = scan(encoder.header_bytes + record)
    assert (found.end, found.detail) == (Ending.CORRUPT, "a record of unknown kind 9")


def test_other_version_is_refused_by_number() -> None:
    """A format of another version is named as such, not as damage to be puzzled over."""
    fields = struct.pack("<8sHHIIqQ", MAGIC, 2, 0, 1, 1, 1, 0)
    found = scan(fields + struct.pack("<I", crc32(fields)))
    assert (found.header, found.end) == (None, Ending.CORRUPT)
    assert found.detail == "format version 2, this program reads 1"


@pytest.mark.parametrize("data", [b"PAR1", b"x" * 200, b"\x00" * HEADER_BYTES])
def test_other_files_are_not_segments(data: bytes) -> None:
    """What does not start like a segment is said not to be one."""
    found = scan(data)
    assert (found.entries, found.good_bytes, found.end) == ((), 0, Ending.CORRUPT)
    assert found.detail == "not a journal segment"


@pytest.mark.parametrize("zeros", [1, RECORD_HEAD_BYTES - 1, RECORD_HEAD_BYTES, 4096])
def test_tail_of_zeros_is_torn(zeros: int) -> None:
    """A tail that was never filled, as a power cut leaves, is an unfinished end, not damage."""
    found = scan(segment(seal=False) + bytes(zeros))
    assert (found.entries, found.end) == (ENTRIES, Ending.TORN)


def test_garbage_behind_records_is_corrupt() -> None:
    """Bytes that no writer left are corrupt; what is in front of them is kept."""
    found = scan(segment(seal=False) + b"garbage" * 10)
    assert (found.entries, found.end) == (ENTRIES, Ending.CORRUPT)


def test_scanner_is_lazy() -> None:
    """A scanner reads no further than it is asked to."""
    scanner = SegmentScanner(segment())
    assert next(iter(scanner)) == ENTRIES[0]
    assert (scanner.entries, scanner.header) == (1, HEADER)
    assert scanner.good_bytes == record_ends(segment())[1]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("segment-000001.tkj", 1),
        ("segment-1000000.tkj", 1_000_000),
        ("segment-000000.tkj", None),
        ("segment-0000001.tkj", None),
        ("segment-1.tkj", None),
        ("segment-000001.tkj.bak", None),
        ("segment-\u0660\u0660\u0660\u0660\u0660\u0661.tkj", None),
        ("journal.lock", None),
    ],
)
def test_only_canonical_names_are_segments(name: str, number: int | None) -> None:
    """A number has one name and a name one number, so that no segment is there twice."""
    assert segment_number(name) == number
    if number is not None:
        assert segment_name(number) == name
