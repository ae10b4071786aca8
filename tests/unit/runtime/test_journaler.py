"""The journal's writer, over real files."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tapekeeper.adapters.files import LOCK_NAME, FolderFiles, FolderSegmentFile
from tapekeeper.core.journal import (
    HEADER_BYTES,
    Ending,
    Entry,
    EntryKind,
    Position,
    SegmentScanner,
    scan,
    segment_name,
    segment_number,
)
from tapekeeper.errors import JournalError, UnreadableSourceError
from tapekeeper.model.distribution import Distribution
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.journaler import Journaler, JournalStatistics
from tapekeeper.runtime.syncer import Durability, SyncStatistics


def frames(first: int, count: int) -> list[Entry]:
    """Frames whose time and payload name their number."""
    return [
        Entry(EntryKind.FRAME, 1, number, b"frame %08d" % number)
        for number in range(first, first + count)
    ]


class CountedFile:
    """A real segment file that notes the calls, and fails when told to."""

    def __init__(self, file: FolderSegmentFile, calls: list[str]) -> None:
        self.file = file
        self.calls = calls
        self.broken = False

    def append(self, data: bytes) -> None:
        """Write, or write half and fail."""
        self.calls.append("append")
        if self.broken:
            self.file.append(data[: len(data) // 2])
            raise JournalError("the disk of this test is full")
        self.file.append(data)

    def sync(self) -> None:
        """Pass on."""
        self.calls.append("sync")
        self.file.sync()

    def close(self) -> None:
        """Pass on."""
        self.calls.append("close")
        self.file.close()


class CountedFiles(FolderFiles):
    """A real folder whose segment files are counted."""

    __slots__ = ("broken", "calls", "made")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.calls: list[str] = []
        self.made: list[CountedFile] = []
        self.broken = False

    def create(self, name: str) -> CountedFile:  # type: ignore[override]  # narrower on purpose
        """Create the real file and wrap it."""
        made = CountedFile(super().create(name), self.calls)
        made.broken = self.broken
        self.made.append(made)
        return made


def test_burst_is_one_write(tmp_path: Path) -> None:
    """A burst of any number of entries costs one write, and an empty one none."""
    files = CountedFiles(tmp_path)
    journaler = Journaler(files, created_ns=1)
    journaler.append(frames(0, 1))
    files.calls.clear()
    journaler.append(frames(1, 500))
    journaler.append([])
    assert files.calls == ["append"]
    journaler.close()


def test_accepted_entries_are_in_the_file_at_once(tmp_path: Path) -> None:
    """When `append` returns, another reader finds the entries: nothing waits in a buffer."""
    files = FolderFiles(tmp_path)
    journaler = Journaler(files, created_ns=1)
    journaler.append(frames(0, 3))
    found = scan(files.read(segment_name(1)))
    assert found.entries == tuple(frames(0, 3))
    assert found.end is Ending.OPEN
    journaler.close()


def test_close_seals_and_syncs(tmp_path: Path) -> None:
    """An orderly end seals, syncs and closes, once, and lets the next writer in."""
    files = CountedFiles(tmp_path)
    journaler = Journaler(files, created_ns=1)
    journaler.append(frames(0, 2))
    files.calls.clear()
    journaler.close()
    journaler.close()
    assert [call for call in files.calls if call != "close"] == ["append", "sync"]
    found = scan(files.read(segment_name(1)))
    assert (found.end, len(found.entries)) == (Ending.SEALED, 2)
    Journaler(files, created_ns=2).close()


def test_closed_journal_refuses(tmp_path: Path) -> None:
    """A closed journal takes nothing and says that it is closed."""
    journaler = Journaler(FolderFiles(tmp_path), created_ns=1)
    journaler.close()
    with pytest.raises(JournalError, match="closed"):
        journaler.append(frames(0, 1))


def test_rotation_keeps_the_limit(tmp_path: Path) -> None:
    """Segments are sealed before they pass the limit, seal included, and nothing is lost."""
    files = FolderFiles(tmp_path)
    limit = 1_000
    journaler = Journaler(files, segment_bytes_max=limit, created_ns=1)
    for first in range(0, 500, 5):
        journaler.append(frames(first, 5))
    journaler.close()
    names = [name for name in files.names() if segment_number(name)]
    sizes = [files.size(name) for name in names]
    assert len(sizes) > 3
    assert all(limit // 2 < size <= limit for size in sizes[:-1])
    assert list(JournalReader(files)) == frames(0, 500)
    headers = [scan(files.read(name)).header for name in names]
    assert [h and (h.number, h.run_first, h.previous_bytes) for h in headers] == [
        (number, 1, sizes[number - 2] if number > 1 else 0) for number in range(1, len(names) + 1)
    ]
    first_entries = [next(iter(SegmentScanner(files.read(name)))).ts_ns for name in names]
    assert [h and h.created_ns for h in headers] == [1, *first_entries[1:]]


def test_rotation_seals_and_syncs_the_old_segment(tmp_path: Path) -> None:
    """Rotation forces the old segment to the disk before the new one takes anything."""
    files = CountedFiles(tmp_path)
    journaler = Journaler(files, segment_bytes_max=HEADER_BYTES, created_ns=1)
    journaler.append(frames(0, 1))
    files.calls.clear()
    journaler.append(frames(1, 1))
    seal, begin = ["append", "sync", "close"], ["append", "append"]
    assert files.calls == seal + begin
    journaler.close()


def test_burst_larger_than_a_segment_stays_whole(tmp_path: Path) -> None:
    """A burst above the limit is written whole into a segment of its own."""
    files = FolderFiles(tmp_path)
    journaler = Journaler(files, segment_bytes_max=HEADER_BYTES, created_ns=1)
    journaler.append(frames(0, 1))
    journaler.append(frames(1, 50))
    journaler.append(frames(51, 1))
    journaler.close()
    counts = [len(scan(files.read(segment_name(n))).entries) for n in (1, 2, 3)]
    assert counts == [1, 50, 1]


def test_new_run_begins_a_new_segment(tmp_path: Path) -> None:
    """Numbers go on over runs, and an old segment is not touched even where it is unsealed."""
    files = FolderFiles(tmp_path)
    journaler = Journaler(files, created_ns=1)
    journaler.append(frames(0, 2))
    journaler.close()
    torn = files.read(segment_name(1))[:-1]
    (tmp_path / segment_name(1)).write_bytes(torn)
    second = Journaler(files, created_ns=2)
    second.append(frames(2, 2))
    second.close()
    assert files.read(segment_name(1)) == torn
    header = scan(files.read(segment_name(2))).header
    assert header is not None
    assert (header.run_first, header.previous_bytes) == (2, len(torn))


def test_second_writer_is_refused(tmp_path: Path) -> None:
    """While one writes a second is refused with a sentence, and the first goes on unharmed."""
    files = FolderFiles(tmp_path)
    first = Journaler(files, created_ns=1)
    with pytest.raises(JournalError, match=r"process \d+ is writing the journal in .*one writer"):
        Journaler(FolderFiles(tmp_path), created_ns=2)
    first.append(frames(0, 1))
    first.close()
    assert list(JournalReader(files)) == frames(0, 1)


def test_second_process_is_refused(tmp_path: Path) -> None:
    """The lock holds between processes, and names the holder."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(JournalError, match=f"process {child.pid} is writing"):
            Journaler(FolderFiles(tmp_path), created_ns=2)
        child.stdin.close()
    assert child.returncode == 0
    Journaler(FolderFiles(tmp_path), created_ns=3).close()


def test_run_that_wrote_nothing_leaves_no_segment(tmp_path: Path) -> None:
    """Starts that fail before the first entry, however many, do not make the journal grow."""
    files = FolderFiles(tmp_path)
    for start in range(3):
        journaler = Journaler(files, created_ns=start)
        journaler.append([])
        assert journaler.statistics() == JournalStatistics()
        journaler.close()
    assert files.names() == [LOCK_NAME]
    journaler = Journaler(files, created_ns=7)
    journaler.append(frames(0, 1))
    journaler.close()
    header = scan(files.read(segment_name(1))).header
    assert header is not None
    assert (header.run_first, header.created_ns) == (1, 7)


class UnsizedFiles(FolderFiles):
    """A real folder that does not say how large its files are."""

    __slots__ = ()

    def size(self, name: str) -> int:
        """Refuse."""
        raise UnreadableSourceError(f"cannot read {name}: this test forbids it")


def test_failed_start_leaves_the_folder_free(tmp_path: Path) -> None:
    """A writer that cannot begin does not keep the lock."""
    (tmp_path / segment_name(1)).touch()
    with pytest.raises(UnreadableSourceError, match="cannot read"):
        Journaler(UnsizedFiles(tmp_path), created_ns=1)
    Journaler(FolderFiles(tmp_path), created_ns=2).close()


def test_first_segment_that_cannot_be_begun_is_final(tmp_path: Path) -> None:
    """Where the first segment cannot be created the burst is refused, as is every later one."""
    (tmp_path / segment_name(1)).mkdir()
    journaler = Journaler(FolderFiles(tmp_path), created_ns=1)
    with pytest.raises(JournalError, match="cannot create"):
        journaler.append(frames(0, 1))
    (tmp_path / segment_name(1)).rmdir()
    with pytest.raises(JournalError, match="cannot create"):
        journaler.append(frames(0, 1))
    journaler.close()
    Journaler(FolderFiles(tmp_path), created_ns=2).close()


def test_failure_is_final(tmp_path: Path) -> None:
    """After a failed write nothing more is taken or sealed, and what was accepted is readable."""
    files = CountedFiles(tmp_path)
    journaler = Journaler(files, created_ns=1)
    journaler.append(frames(0, 2))
    files.made[0].broken = True
    with pytest.raises(JournalError, match="full"):
        journaler.append(frames(2, 1))
    files.made[0].broken = False
    with pytest.raises(JournalError, match="full"):
        journaler.append(frames(2, 1))
    journaler.close()
    found = scan(files.read(segment_name(1)))
    assert (found.entries, found.end) == (tuple(frames(0, 2)), Ending.TORN)
    assert journaler.statistics().entries == 2
    Journaler(files, created_ns=2).close()


def test_failed_rotation_is_final(tmp_path: Path) -> None:
    """Where a new segment cannot be begun, the burst is refused and the sealed one stands."""
    files = CountedFiles(tmp_path)
    journaler = Journaler(files, segment_bytes_max=HEADER_BYTES, created_ns=1)
    journaler.append(frames(0, 1))
    files.broken = True
    for _ in range(2):
        with pytest.raises(JournalError, match="full"):
            journaler.append(frames(1, 1))
    journaler.close()
    reader = JournalReader(files)
    assert list(reader) == frames(0, 1)
    assert [(p.segment, p.expected) for p in reader.problems] == [(2, True)]


def test_bug_in_a_burst_stops_the_journal(tmp_path: Path) -> None:
    """An entry that cannot be encoded is a bug that escapes, and nothing is written after it."""
    journaler = Journaler(FolderFiles(tmp_path), created_ns=1)
    with pytest.raises(struct.error):
        journaler.append([Entry(EntryKind.FRAME, -1, 0)])
    with pytest.raises(JournalError, match="interrupted"):
        journaler.append(frames(0, 1))
    journaler.close()


def test_statistics_count_what_is_on_disk(tmp_path: Path) -> None:
    """The counters equal the files' sizes and entries, and name what survives of them."""
    files = FolderFiles(tmp_path)
    journaler = Journaler(files, segment_bytes_max=HEADER_BYTES, created_ns=1)
    journaler.append(frames(0, 3))
    journaler.append(frames(3, 1))
    synced = SyncStatistics(
        Position(1, 3), durable_ts_ns=2, took_ns=Distribution(1, buckets=((0, 1),))
    )
    assert journaler.statistics().synced == synced
    journaler.close()
    on_disk = sum(files.size(segment_name(number)) for number in (1, 2))
    assert journaler.statistics() == JournalStatistics(
        entries=4,
        payload_bytes=4 * 14,
        bytes=on_disk,
        segments=2,
        durability=Durability.PROCESS,
        sync_every_ms=None,
        synced=SyncStatistics(
            Position(2, 1), durable_ts_ns=3, took_ns=Distribution(2, buckets=((0, 2),))
        ),
    )


def test_position_is_that_of_the_next_entry(tmp_path: Path) -> None:
    """A position names segment and entry, and a reader is there when it has read so far."""
    files = FolderFiles(tmp_path)
    journaler = Journaler(files, segment_bytes_max=400, created_ns=1)
    places = [journaler.position]
    for number in range(20):
        journaler.append(frames(number, 1))
        places.append(journaler.position)
    journaler.close()
    reader = JournalReader(files)
    assert reader.position == places[0] == Position(1, 0)
    assert [reader.position for _ in reader] == places[1:]
    assert reader.position == places[-1]
    assert places == sorted(set(places))
    assert places[-1].segment > 2


HOLDER = """
import sys
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.runtime.journaler import Journaler
journaler = Journaler(FolderFiles(sys.argv[1]), created_ns=1)
print("held", flush=True)
sys.stdin.read()
journaler.close()
"""

WRITER = """
import sys
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.runtime.journaler import Journaler
journaler = Journaler(FolderFiles(sys.argv[1]), segment_bytes_max=200_000, created_ns=1)
number = 0
while True:
    burst = [
        Entry(EntryKind.FRAME, 1, n, b"frame %08d" % n) for n in range(number, number + 64)
    ]
    journaler.append(burst)
    number += 64
    print(number, flush=True)
"""


@pytest.mark.parametrize("bursts", [1, 40, 300])
def test_kill_loses_nothing_that_was_accepted(tmp_path: Path, bursts: int) -> None:
    """After kill -9 in full flight all accepted entries are there, and at most the end is torn."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(bursts)]
        child.kill()
        told += [int(line) for line in child.stdout if line.endswith("\n")]
    files = FolderFiles(tmp_path)
    reader = JournalReader(files)
    entries = list(reader)
    assert entries == frames(0, len(entries))
    assert len(entries) >= told[-1]
    assert all(problem.expected for problem in reader.problems)
    next_run = Journaler(files, created_ns=2)
    next_run.append(frames(len(entries), 1))
    next_run.close()
    again = JournalReader(files)
    assert list(again) == frames(0, len(entries) + 1)
    assert all(problem.expected for problem in again.problems)


FILLER = """
import resource, sys
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.errors import JournalError
from tapekeeper.runtime.journaler import Journaler
journaler = Journaler(FolderFiles(sys.argv[1]), created_ns=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
number = 0
try:
    while True:
        journaler.append([Entry(EntryKind.FRAME, 1, number, b"frame %08d" % number)])
        number += 1
except JournalError as error:
    print(number)
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes to hit")
def test_full_disk_stops_loudly(tmp_path: Path) -> None:
    """Where the system takes only a part, the writer says why; what was accepted is readable."""
    run = subprocess.run(
        [sys.executable, "-c", FILLER, str(tmp_path)], capture_output=True, text=True, check=True
    )
    count, sentence = run.stdout.splitlines()
    assert "cannot write" in sentence
    assert "too large" in sentence
    reader = JournalReader(FolderFiles(tmp_path))
    assert list(reader) == frames(0, int(count))
    assert [problem.expected for problem in reader.problems] == [True]


def test_every_later_segment_begins_with_what_it_depends_on(tmp_path: Path) -> None:
    """The first one has said it where it happened; the others repeat it in front."""
    journaler = Journaler(FolderFiles(tmp_path), segment_bytes_max=400, created_ns=1)
    journaler.begin_each_with(lambda now_ns: [Entry(EntryKind.META, 0, now_ns, b"known")])
    for number in range(20):
        journaler.append([Entry(EntryKind.FRAME, 1, number, b"x" * 100)])
    journaler.close()
    kinds = [
        [entry.kind for entry in SegmentScanner(path.read_bytes())]
        for path in sorted(tmp_path.glob("*.tkj"))
    ]
    assert set(kinds[0]) == {EntryKind.FRAME}
    assert len(kinds) > 1
    assert all(each[0] is EntryKind.META and len(each) > 1 for each in kinds[1:])
