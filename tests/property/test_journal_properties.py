"""What holds for every journal: nothing is invented, nothing is lost in silence."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import (
    MAGIC,
    Ending,
    Entry,
    EntryKind,
    SegmentEncoder,
    SegmentHeader,
    scan,
)
from tapekeeper.runtime.journal_reader import JournalReader, ProblemKind
from tapekeeper.runtime.journaler import Journaler
from tests.unit.core.journal_v1 import FirstEncoder

ENTRIES = st.builds(
    Entry,
    kind=st.sampled_from(EntryKind),
    line=st.integers(0, 2**32 - 1),
    ts_ns=st.integers(-(2**63), 2**63 - 1),
    payload=st.binary(max_size=60),
)
BURSTS = st.lists(st.lists(ENTRIES, max_size=5), max_size=8)
RUNS = BURSTS.filter(any)
"""Of at least one entry: a run that wrote nothing leaves nothing to read."""
HEADERS = st.builds(
    SegmentHeader,
    number=st.integers(0, 2**32 - 1),
    run_first=st.integers(0, 2**32 - 1),
    created_ns=st.integers(-(2**63), 2**63 - 1),
    previous_bytes=st.integers(0, 2**64 - 1),
)


def segment(header: SegmentHeader, bursts: list[list[Entry]], *, seal: bool) -> bytes:
    """The bytes of one segment."""
    encoder = SegmentEncoder(header)
    data = encoder.header_bytes + b"".join(encoder.encode(burst) for burst in bursts)
    return data + encoder.seal(0) if seal else data


@contextmanager
def journal(bursts: list[list[Entry]], segment_bytes_max: int) -> Iterator[FolderFiles]:
    """A folder with the journal of one orderly run."""
    with tempfile.TemporaryDirectory() as folder:
        files = FolderFiles(folder)
        write(files, bursts, segment_bytes_max)
        yield files


def write(files: FolderFiles, bursts: list[list[Entry]], segment_bytes_max: int) -> None:
    """Append one orderly run to a journal."""
    journaler = Journaler(files, segment_bytes_max=segment_bytes_max, created_ns=0)
    for burst in bursts:
        journaler.append(burst)
    journaler.close()


def flat(bursts: list[list[Entry]]) -> list[Entry]:
    """All entries of all bursts."""
    return [entry for burst in bursts for entry in burst]


@given(header=HEADERS, bursts=BURSTS, seal=st.booleans())
def test_segment_round_trip(header: SegmentHeader, bursts: list[list[Entry]], seal: bool) -> None:  # noqa: FBT001  # hypothesis passes by name
    """Whatever is encoded comes back, however it was grouped into bursts."""
    data = segment(header, bursts, seal=seal)
    found = scan(data)
    assert found.header == header
    assert found.entries == tuple(flat(bursts))
    assert found.good_bytes == len(data)
    assert found.end is (Ending.SEALED if seal else Ending.OPEN)


@given(bursts=BURSTS, data=st.data())
def test_cut_segment_gives_a_prefix(bursts: list[list[Entry]], data: st.DataObject) -> None:
    """Cut at any byte, a segment gives the entries in front of the cut and is never sealed."""
    whole = segment(SegmentHeader(1, 1, 0), bursts, seal=True)
    length = data.draw(st.integers(0, len(whole) - 1))
    found = scan(whole[:length])
    assert found.entries == tuple(flat(bursts)[: len(found.entries)])
    assert found.end in {Ending.OPEN, Ending.TORN}
    assert (found.end is Ending.OPEN) == (found.good_bytes == length and length > 0)


@given(
    bursts=st.lists(st.lists(ENTRIES, min_size=1, max_size=3), max_size=5),
    older=st.booleans(),
)
@settings(max_examples=20)
def test_every_cut_and_every_changed_byte_costs_no_burst_in_front(
    bursts: list[list[Entry]],
    older: bool,  # noqa: FBT001  # hypothesis passes by name
) -> None:
    """All bursts in front of the first byte that is not what it was are read, and none behind."""
    encoder = (FirstEncoder if older else SegmentEncoder)(SegmentHeader(1, 1, 0))
    parts = [encoder.header_bytes, *map(encoder.encode, bursts), encoder.seal(0)]
    whole = b"".join(parts)
    at = 0
    for index, part in enumerate(parts):
        in_front = flat(bursts[: max(0, index - 1)])
        for place in range(at, at + len(part)):
            for damaged in (whole[:place], _with_byte_changed(whole, place)):
                found = scan(damaged)
                # Version 1 may save entries of the burst that was hit.
                assert list(found.entries[: len(in_front)]) == in_front
                assert older or len(found.entries) == len(in_front)
                assert found.end is not Ending.SEALED
        at += len(part)


def _with_byte_changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


@given(blob=st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(MAGIC.__add__)))
def test_scan_is_total(blob: bytes) -> None:
    """Any bytes at all give a finding, and nothing readable is claimed of what is not."""
    found = scan(blob)
    assert found.good_bytes <= len(blob)
    assert (found.header is None) == (found.good_bytes == 0)
    assert bool(found.detail) == (found.end in {Ending.TORN, Ending.CORRUPT})


@given(bursts=BURSTS, rest=st.binary(max_size=80), seal=st.booleans())
def test_what_follows_never_changes_what_was_read(
    bursts: list[list[Entry]],
    rest: bytes,
    seal: bool,  # noqa: FBT001  # hypothesis passes by name
) -> None:
    """Bytes behind a segment's records cost none of its entries, and the good prefix is stable."""
    found = scan(segment(SegmentHeader(1, 1, 0), bursts, seal=seal) + rest)
    assert found.entries == tuple(flat(bursts))
    again = scan((segment(SegmentHeader(1, 1, 0), bursts, seal=seal) + rest)[: found.good_bytes])
    assert again.entries == found.entries
    assert again.end is (Ending.SEALED if seal else Ending.OPEN)


@given(bursts=RUNS, limit=st.integers(1, 600))
def test_journal_round_trip(bursts: list[list[Entry]], limit: int) -> None:
    """Over any segment size all entries come back in order, without a problem."""
    with journal(bursts, limit) as files:
        reader = JournalReader(files)
        assert list(reader) == flat(bursts)
        assert reader.problems == []
        assert reader.progress.bytes_read == reader.progress.bytes_total


@given(bursts=RUNS, more=BURSTS, limit=st.integers(1, 600), data=st.data())
def test_crash_at_any_byte_keeps_a_prefix(
    bursts: list[list[Entry]], more: list[list[Entry]], limit: int, data: st.DataObject
) -> None:
    """A writer that dies at any byte leaves a prefix, and the next run goes on behind it."""
    with journal(bursts, limit) as files:
        names = [name for name in files.names() if name.endswith(".tkj")]
        last = data.draw(st.integers(0, len(names) - 1))
        length = data.draw(st.integers(0, files.size(names[last])))
        for name in names[last + 1 :]:
            (files.path / name).unlink()
        path = files.path / names[last]
        path.write_bytes(path.read_bytes()[:length])

        reader = JournalReader(files)
        kept = list(reader)
        assert kept == flat(bursts)[: len(kept)]
        assert all(problem.expected for problem in reader.problems)

        write(files, more, limit)
        again = JournalReader(files)
        assert list(again) == kept + flat(more)
        assert again.problems == reader.problems


@given(bursts=RUNS, limit=st.integers(1, 600), data=st.data())
def test_flipped_bit_costs_one_segment_and_is_named(
    bursts: list[list[Entry]], limit: int, data: st.DataObject
) -> None:
    """One flipped bit anywhere is found; only entries behind it in its own segment are lost."""
    with journal(bursts, limit) as files:
        names = [name for name in files.names() if name.endswith(".tkj")]
        hit = data.draw(st.integers(0, len(names) - 1))
        per_segment = [list(scan(files.read(name)).entries) for name in names]
        path = files.path / names[hit]
        changed = bytearray(path.read_bytes())
        bit = data.draw(st.integers(0, len(changed) * 8 - 1))
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)

        reader = JournalReader(files)
        entries = list(reader)
        kept = list(scan(bytes(changed)).entries)
        assert kept == per_segment[hit][: len(kept)]
        before, after = per_segment[:hit], per_segment[hit + 1 :]
        assert entries == flat(before) + kept + flat(after)
        assert [(p.segment, p.kind) for p in reader.problems] == [(hit + 1, ProblemKind.CORRUPT)]
        assert reader.problems[0].lost_from_byte <= bit // 8


@given(bursts=BURSTS, limit=st.integers(1, 600), data=st.data())
def test_cut_or_missing_segment_is_named(
    bursts: list[list[Entry]], limit: int, data: st.DataObject
) -> None:
    """Of every segment but the last, a cut or a loss of the file is damage and is named."""
    with journal([*bursts, [Entry(EntryKind.CLOCK, 0, 0)]], limit) as files:
        write(files, [[Entry(EntryKind.CLOCK, 0, 0)]], limit)
        names = [name for name in files.names() if name.endswith(".tkj")]
        hit = data.draw(st.integers(0, len(names) - 2))
        path: Path = files.path / names[hit]
        if data.draw(st.booleans()):
            path.write_bytes(
                path.read_bytes()[: data.draw(st.integers(0, files.size(path.name) - 1))]
            )
            kind = ProblemKind.CORRUPT
        else:
            path.unlink()
            kind = ProblemKind.MISSING
        reader = JournalReader(files)
        lost = len(flat(bursts)) + 2 - sum(1 for _ in reader)
        assert lost >= 0
        assert [(p.segment, p.kind) for p in reader.problems] == [(hit + 1, kind)]
