"""The segment format, byte by byte: what is written, and what is read of every version."""

from __future__ import annotations

import struct
import tracemalloc
from zlib import crc32

import pytest
import zstandard

from tapekeeper.adapters.process import resident_bytes
from tapekeeper.core.journal import (
    BLOCK_HEAD_BYTES,
    ENTRY_BYTES_MAX,
    HEADER_BYTES,
    MAGIC,
    PLAIN_BYTES_MAX,
    SEAL_BYTES,
    Ending,
    Entry,
    EntryKind,
    Position,
    SegmentEncoder,
    SegmentHeader,
    SegmentScanner,
    encoded_bytes_max,
    scan,
    segment_name,
    segment_number,
)
from tests.unit.core.journal_v1 import RECORD_HEAD_BYTES, FirstEncoder

ENTRIES = (
    Entry(EntryKind.META, 0, 1, b'{"timeframes":["1s"]}'),
    Entry(EntryKind.CONNECT, 7, 2),
    Entry(EntryKind.FRAME, 7, 3, b'{"type":6}\x1e'),
    Entry(EntryKind.FRAME, 2**32 - 1, -(2**63), b"\x00\xff" * 50),
    Entry(EntryKind.CLOCK, 0, 2**63 - 1),
)
HEADER = SegmentHeader(number=3, run_first=2, created_ns=1_700_000_000_000_000_000)
ENCODERS: tuple[type[SegmentEncoder | FirstEncoder], ...] = (FirstEncoder, SegmentEncoder)
EVERY_VERSION = pytest.mark.parametrize("made", ENCODERS, ids=["v1", "v2"])

Made = type[SegmentEncoder | FirstEncoder]


def pieces(made: Made = SegmentEncoder, *, seal: bool = True) -> list[bytes]:
    """Header, a burst of each of `ENTRIES`, and the seal."""
    encoder = made(HEADER)
    bursts = [encoder.encode([entry]) for entry in ENTRIES]
    return [encoder.header_bytes, *bursts, *([encoder.seal(9)] if seal else [])]


def segment(made: Made = SegmentEncoder, *, seal: bool = True) -> bytes:
    """A whole segment that holds `ENTRIES`."""
    return b"".join(pieces(made, seal=seal))


def ends_of(parts: list[bytes]) -> list[int]:
    """The offsets at which pieces end."""
    return [sum(map(len, parts[: count + 1])) for count in range(len(parts))]


@EVERY_VERSION
def test_sealed_segment_gives_everything_back(made: Made) -> None:
    """What was encoded and sealed comes back whole, with its header, and says that it is."""
    data = segment(made)
    found = scan(data)
    assert found.entries == ENTRIES
    assert found.header == HEADER
    assert (found.end, found.good_bytes, found.detail) == (Ending.SEALED, len(data), "")


@EVERY_VERSION
def test_segment_without_seal_is_open(made: Made) -> None:
    """A segment that ends behind a whole burst is open, which is not a fault."""
    data = segment(made, seal=False)
    found = scan(data)
    assert found.entries == ENTRIES
    assert (found.end, found.good_bytes, found.detail) == (Ending.OPEN, len(data), "")


def test_bursts_of_any_size_give_the_same_entries() -> None:
    """How entries are grouped into bursts changes bytes, and not what they say."""
    encoder = SegmentEncoder(HEADER)
    data = encoder.header_bytes + encoder.encode(ENTRIES[:3]) + encoder.encode(ENTRIES[3:])
    assert scan(data + encoder.seal(9)).entries == ENTRIES
    assert encoder.entries == len(ENTRIES)


def test_layout_is_the_documented_one() -> None:
    """The bytes are those of docs/journal.md: a reader in another language can rely on them."""
    encoder = SegmentEncoder(HEADER)
    data = encoder.header_bytes + encoder.encode(ENTRIES[:2]) + encoder.encode(ENTRIES[2:])
    data += encoder.seal(9)
    fields = struct.pack("<8sHHIIqQ", MAGIC, 2, 0, 3, 2, 1_700_000_000_000_000_000, 0)
    chain = crc32(fields)
    assert data[:40] == fields + struct.pack("<I", chain)
    decoder = zstandard.ZstdDecompressor().decompressobj()
    at = 40
    all_plain = b""
    for entries in (ENTRIES[:2], ENTRIES[2:]):
        head = data[at : at + 12]
        stored_bytes, plain_bytes, stored_crc = struct.unpack("<III", head)
        chain = crc32(head, chain)
        assert data[at + 12 : at + 16] == struct.pack("<I", chain)
        stored = data[at + 16 : at + 16 + stored_bytes]
        assert crc32(stored) == stored_crc
        plain = b"".join(
            struct.pack("<IBIq", len(each.payload), each.kind, each.line, each.ts_ns) + each.payload
            for each in entries
        )
        assert (decoder.decompress(stored), len(plain)) == (plain, plain_bytes)
        all_plain += plain
        at += 16 + stored_bytes
    seal = struct.pack("<QqI", len(ENTRIES), 9, crc32(all_plain))
    head = struct.pack("<III", len(seal), 0, crc32(seal))
    assert data[at:] == head + struct.pack("<I", crc32(head, chain)) + seal


@pytest.mark.parametrize("payload", [b"", b"x" * 50_000, bytes(range(256)) * 700])
def test_sizes_are_bounded_beforehand(payload: bytes) -> None:
    """What a burst takes at most can be told without encoding it, and a seal's size is known."""
    encoder = SegmentEncoder(HEADER)
    burst = [Entry(EntryKind.FRAME, 1, number, payload) for number in range(30)]
    assert len(encoder.encode(burst)) <= encoded_bytes_max(burst)
    assert len(encoder.seal(9)) == SEAL_BYTES


def test_random_bytes_keep_the_bound() -> None:
    """What does not compress takes no more than was said, even cut into many blocks."""
    noise = zstandard.ZstdCompressor().compress(
        b"".join(crc32(b"%d" % number).to_bytes(4, "little") for number in range(700_000))
    )
    burst = [Entry(EntryKind.FRAME, 1, 1, b"")] * 500 + [Entry(EntryKind.FRAME, 1, 1, noise)]
    assert len(SegmentEncoder(HEADER).encode(burst)) <= encoded_bytes_max(burst)


def test_small_bursts_compress_as_one_stream() -> None:
    """A frame that resembles those before it costs a fraction, though it is a burst of its own."""
    encoder = SegmentEncoder(HEADER)
    frames = [
        b'{"type":1,"target":"GatewayTrade","arguments":["CON.F.US.MES.Z26",[{"symbolId":'
        b'"F.US.MES","price":%d.25,"timestamp":"2026-03-02T15:00:00.%07d+00:00","type":0,'
        b'"volume":%d}]]}\x1e' % (5_000 + number % 7, number * 977, number % 5 + 1)
        for number in range(500)
    ]
    sizes = [
        len(encoder.encode([Entry(EntryKind.FRAME, 1, 10**18 + 7 * number, frame)]))
        for number, frame in enumerate(frames)
    ]
    assert sum(sizes) * 3.5 < sum(map(len, frames))


def test_large_burst_is_several_blocks_and_comes_back() -> None:
    """A reader has no more than a part of an enormous burst in memory, however it is cut."""
    burst = tuple(Entry(EntryKind.FRAME, 1, number, bytes(300_000)) for number in range(10))
    encoder = SegmentEncoder(HEADER)
    data = encoder.header_bytes + encoder.encode(burst)
    scanner = SegmentScanner(data)
    assert next(iter(scanner)) == burst[0]
    assert scanner.good_bytes < len(data)
    assert scan(data).entries == burst
    assert scan(data).end is Ending.OPEN


def test_entry_that_no_reader_would_believe_is_refused() -> None:
    """A payload above the limit is a caller's bug, and leaves the stream as it was."""
    encoder = SegmentEncoder(HEADER)
    with pytest.raises(ValueError, match="67,108,864 bytes"):
        encoder.encode([Entry(EntryKind.META, 0, 1, bytes(ENTRY_BYTES_MAX + 1))])
    data = encoder.header_bytes + encoder.encode(ENTRIES)
    assert scan(data + encoder.seal(9)).entries == ENTRIES


@EVERY_VERSION
def test_cut_anywhere_keeps_the_whole_bursts_in_front(made: Made) -> None:
    """A cut costs the burst it falls into and no other; only a cut in a burst is torn."""
    data = segment(made, seal=False)
    ends = ends_of(pieces(made, seal=False))
    for length in range(len(data) + 1):
        found = scan(data[:length])
        whole = [end for end in ends if end <= length]
        assert found.entries == ENTRIES[: max(0, len(whole) - 1)]
        assert found.good_bytes == (whole[-1] if whole else 0)
        assert found.end is (Ending.OPEN if length in ends else Ending.TORN)


@EVERY_VERSION
def test_every_flipped_bit_is_seen(made: Made) -> None:
    """Whichever bit flips, the segment is corrupt from the burst that holds it."""
    data = segment(made)
    ends = ends_of(pieces(made))
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        found = scan(bytes(changed))
        in_front = [end for end in ends if end <= bit // 8]
        assert found.end is Ending.CORRUPT, bit
        assert found.detail
        assert found.entries == ENTRIES[: max(0, len(in_front) - 1)]


@EVERY_VERSION
@pytest.mark.parametrize("moved", [1, 2, 3])
def test_missing_burst_is_seen(made: Made, moved: int) -> None:
    """A burst that was taken out breaks the chain at the next one."""
    parts = pieces(made)
    found = scan(b"".join(parts[:moved] + parts[moved + 1 :]))
    assert found.end is Ending.CORRUPT
    assert found.entries == ENTRIES[: moved - 1]


@EVERY_VERSION
def test_reordered_and_repeated_bursts_are_seen(made: Made) -> None:
    """Bursts that stand in another order, or twice, break the chain though each is whole."""
    header, first, second, *rest = pieces(made)
    swapped = b"".join([header, second, first, *rest])
    repeated = b"".join([header, first, second, second, *rest])
    assert scan(swapped).entries == ()
    assert scan(repeated).entries == ENTRIES[:2]
    assert {scan(swapped).end, scan(repeated).end} == {Ending.CORRUPT}


@EVERY_VERSION
def test_burst_of_another_segment_does_not_fit(made: Made) -> None:
    """The chain starts from the header, so bursts of another segment are refused."""
    other = made(SegmentHeader(number=4, run_first=2, created_ns=5))
    found = scan(other.header_bytes + segment(made)[HEADER_BYTES:])
    assert (found.entries, found.end) == ((), Ending.CORRUPT)


@EVERY_VERSION
def test_bytes_behind_a_seal_are_named(made: Made) -> None:
    """Nothing belongs behind a seal; what stands there is corrupt, what is sealed is kept."""
    found = scan(segment(made) + b"more")
    assert found.entries == ENTRIES
    assert (found.end, found.good_bytes) == (Ending.CORRUPT, len(segment(made)))
    assert found.detail == "4 bytes stand behind the seal"


def test_seal_that_counts_wrong_is_corrupt() -> None:
    """A seal must match what it seals, even where its own checksums are right."""
    encoder = SegmentEncoder(HEADER)
    data = encoder.header_bytes + encoder.encode(ENTRIES)
    encoder._entries += 1
    found = scan(data + encoder.seal(9))
    assert found.end is Ending.CORRUPT
    assert found.detail == "the seal does not match what it seals"


def test_seal_of_other_content_is_corrupt() -> None:
    """What comes out of the stream is held against what went in, at the seal at the latest."""
    encoder = SegmentEncoder(HEADER)
    data = encoder.header_bytes + encoder.encode(ENTRIES)
    encoder._plain ^= 1
    found = scan(data + encoder.seal(9))
    assert (found.entries, found.end) == (ENTRIES, Ending.CORRUPT)
    assert found.detail == "the seal does not match what it seals"


def test_unknown_kind_is_corrupt() -> None:
    """An entry of a kind that is not defined is not guessed at, in any version."""
    first = FirstEncoder(HEADER)
    found = scan(first.header_bytes + first.record(9, 0, 1, b""))
    assert (found.end, found.detail) == (Ending.CORRUPT, "a record of unknown kind 9")
    encoder = SegmentEncoder(HEADER)
    plain = struct.pack("<IBIq", 0, 9, 0, 1)
    found = scan(encoder.header_bytes + encoder._block(plain, 1))
    assert (found.entries, found.end) == ((), Ending.CORRUPT)
    assert found.detail == "a block does not hold what its head says"


def proven(stored: bytes, plain_bytes: int) -> bytes:
    """A segment of one block, all checksums right, whatever it holds."""
    encoder = SegmentEncoder(HEADER)
    return encoder.header_bytes + encoder._head(stored, plain_bytes) + stored


@pytest.mark.parametrize(
    ("stored", "plain_bytes"),
    [
        (b"no stream", 10),
        (zstandard.ZstdCompressor().compress(b"x" * 17)[:-1], 17),
        (zstandard.ZstdCompressor().compress(bytes(16)), 17),
        (b"", 17),
        (b"", 0),
    ],
)
def test_proven_bytes_that_mean_nothing_are_corrupt(stored: bytes, plain_bytes: int) -> None:
    """Where the checksums are right and the content is not, nothing is raised or invented."""
    found = scan(proven(stored, plain_bytes))
    assert (found.entries, found.end) == ((), Ending.CORRUPT)


def test_bomb_takes_no_memory() -> None:
    """A stream that would become gigabytes, or wants a large window, is not unpacked."""
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    wide = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    bombs = [
        (zstandard.ZstdCompressor().compress(bytes(10**8)), 2**32 - 1),
        (zstandard.ZstdCompressor().compress(bytes(10**8)), 1_000),
        (wide.compress(bytes(10**8)) + wide.flush(), 1_000),
    ]
    segments = [proven(stored, plain_bytes) for stored, plain_bytes in bombs]
    tracemalloc.start()
    try:
        for data in segments:
            assert scan(data).end is Ending.CORRUPT
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < PLAIN_BYTES_MAX


def test_other_version_is_refused_by_number() -> None:
    """A format of another version is named as such, not as damage to be puzzled over."""
    for version in (0, 3):
        fields = struct.pack("<8sHHIIqQ", MAGIC, version, 0, 1, 1, 1, 0)
        found = scan(fields + struct.pack("<I", crc32(fields)))
        assert (found.header, found.end) == (None, Ending.CORRUPT)
        assert found.detail == f"format version {version}, this program reads up to 2"


@pytest.mark.parametrize("data", [b"PAR1", b"x" * 200, MAGIC[:4] + bytes(HEADER_BYTES)])
def test_other_files_are_not_segments(data: bytes) -> None:
    """What does not start like a segment is said not to be one."""
    found = scan(data)
    assert (found.entries, found.good_bytes, found.end) == ((), 0, Ending.CORRUPT)
    assert found.detail == "not a journal segment"


@pytest.mark.parametrize("zeros", [1, 7, HEADER_BYTES, 4096])
def test_file_of_zeros_is_torn(zeros: int) -> None:
    """A file that was never filled, as a power cut leaves, is an unfinished end, not damage."""
    found = scan(bytes(zeros))
    assert (found.entries, found.end) == ((), Ending.TORN)
    assert found.detail == "the header was never filled"


@EVERY_VERSION
@pytest.mark.parametrize("zeros", [1, BLOCK_HEAD_BYTES, RECORD_HEAD_BYTES, 4096])
def test_tail_of_zeros_is_torn(made: Made, zeros: int) -> None:
    """A tail that was never filled, as a power cut leaves, is an unfinished end, not damage."""
    found = scan(segment(made, seal=False) + bytes(zeros))
    assert (found.entries, found.end) == (ENTRIES, Ending.TORN)


@EVERY_VERSION
def test_garbage_behind_bursts_is_corrupt(made: Made) -> None:
    """Bytes that no writer left are corrupt; what is in front of them is kept."""
    found = scan(segment(made, seal=False) + b"garbage" * 10)
    assert (found.entries, found.end) == (ENTRIES, Ending.CORRUPT)


@EVERY_VERSION
def test_scanner_is_lazy(made: Made) -> None:
    """A scanner reads no further than it is asked to."""
    scanner = SegmentScanner(segment(made))
    assert next(iter(scanner)) == ENTRIES[0]
    assert (scanner.entries, scanner.header) == (1, HEADER)
    assert scanner.good_bytes == ends_of(pieces(made))[1]


def test_a_segment_that_was_read_leaves_nothing_behind() -> None:
    """A decoder has a megabyte that the garbage collector does not see, so none may be kept."""
    encoder = SegmentEncoder(HEADER)
    data = encoder.header_bytes + encoder.encode([Entry(EntryKind.FRAME, 1, 2, bytes(500_000))])
    scan(data)
    before = resident_bytes()
    for _ in range(300):
        scan(data)
    assert resident_bytes() - before < 10_000_000


def test_positions_are_in_the_order_of_the_journal() -> None:
    """Segment first, entries within it second."""
    assert Position(1, 900) < Position(2, 0) < Position(2, 1)


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
