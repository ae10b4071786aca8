"""The journal's reader: what is there in order, and a name for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import (
    SEAL_BYTES,
    Entry,
    EntryKind,
    Position,
    SegmentEncoder,
    SegmentHeader,
    SegmentScanner,
    segment_name,
    segment_number,
)
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.runtime.journal_reader import JournalReader, Problem, ProblemKind, ReadProgress
from tapekeeper.runtime.journaler import Journaler
from tests.unit.core.journal_v1 import FirstEncoder


def frames(first: int, count: int) -> list[Entry]:
    """Frames whose time and payload name their number."""
    return [
        Entry(EntryKind.FRAME, 1, number, b"frame %08d" % number)
        for number in range(first, first + count)
    ]


def write_run(files: FolderFiles, first: int, segments: int) -> None:
    """One orderly run: segments of two bursts, one of them of three frames and one of two."""
    numbers = map(segment_number, files.names())
    run_first = max((number for number in numbers if number), default=0) + 1
    before_bytes = files.size(segment_name(run_first - 1)) if run_first > 1 else 0
    for number in range(run_first, run_first + segments):
        encoder = SegmentEncoder(SegmentHeader(number, run_first, 1, before_bytes))
        three, two = (encoder.encode(frames(first, 3)), encoder.encode(frames(first + 3, 2)))
        file = files.create(segment_name(number))
        file.append(encoder.header_bytes + three + two + encoder.seal(1))
        file.close()
        before_bytes = files.size(segment_name(number))
        first += 5


def second_burst(files: FolderFiles, number: int) -> int:
    """Where the second burst of a segment begins."""
    scanner = SegmentScanner(files.read(segment_name(number)))
    next(iter(scanner))
    return scanner.good_bytes


def cut(files: FolderFiles, number: int, by_bytes: int) -> None:
    """Take bytes off a segment's end."""
    path = files.path / segment_name(number)
    path.write_bytes(path.read_bytes()[:-by_bytes])


def flip(files: FolderFiles, number: int, at: int) -> None:
    """Change one bit of a segment."""
    path = files.path / segment_name(number)
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@pytest.fixture
def files(tmp_path: Path) -> FolderFiles:
    """A folder with one orderly run of three segments, frames 0 to 14."""
    made = FolderFiles(tmp_path)
    write_run(made, 0, 3)
    return made


def test_orderly_journal_reads_whole(files: FolderFiles) -> None:
    """Runs and segments follow each other without a seam and without a problem."""
    write_run(files, 15, 2)
    reader = JournalReader(files)
    assert list(reader) == frames(0, 25)
    assert reader.problems == []


def test_reading_again_starts_anew(files: FolderFiles) -> None:
    """Each iteration gives all entries and finds each problem once."""
    flip(files, 2, -1)
    reader = JournalReader(files)
    assert list(reader) == list(reader)
    assert len(reader.problems) == 1


def test_corrupt_segment_keeps_its_prefix(files: FolderFiles) -> None:
    """A changed byte costs the rest of its segment; reading goes on with the next."""
    at = second_burst(files, 2)
    flip(files, 2, at + 20)
    reader = JournalReader(files)
    assert list(reader) == frames(0, 8) + frames(10, 5)
    assert reader.problems == [
        Problem(2, ProblemKind.CORRUPT, "a block's checksum does not match", at)
    ]
    assert not reader.problems[0].expected
    assert str(reader.problems[0]) == (
        f"segment-000002.tkj: corrupt from byte {at}: a block's checksum does not match"
    )


@pytest.mark.parametrize("by_bytes", [1, SEAL_BYTES, SEAL_BYTES + 1, SEAL_BYTES + 20])
def test_cut_in_the_middle_of_a_run_is_damage(files: FolderFiles, by_bytes: int) -> None:
    """A segment that the same run went on from was sealed, so a missing end was taken away."""
    cut(files, 2, by_bytes)
    reader = JournalReader(files)
    lost = 0 if by_bytes <= SEAL_BYTES else 2
    assert list(reader) == frames(0, 10 - lost) + frames(10, 5)
    (problem,) = reader.problems
    assert (problem.segment, problem.kind) == (2, ProblemKind.CORRUPT)
    assert "bytes are left of" in problem.detail


def test_cut_after_a_crash_is_damage_too(files: FolderFiles) -> None:
    """The next run notes the size it found, so a later cut is told from the crash."""
    cut(files, 3, SEAL_BYTES)
    write_run(files, 15, 1)
    assert JournalReader(files).problems == []
    cut(files, 3, 1)
    reader = JournalReader(files)
    assert list(reader) == frames(0, 13) + frames(15, 5)
    assert [problem.kind for problem in reader.problems] == [ProblemKind.CORRUPT]


def test_torn_end_of_the_last_segment_is_expected(files: FolderFiles) -> None:
    """What a killed writer leaves at the end is named and is not damage."""
    cut(files, 3, SEAL_BYTES + 10)
    reader = JournalReader(files)
    assert list(reader) == frames(0, 13)
    (problem,) = reader.problems
    assert (problem.segment, problem.kind, problem.expected) == (3, ProblemKind.TORN, True)
    assert problem.lost_from_byte == second_burst(files, 3)


def test_torn_end_before_a_new_run_is_expected(files: FolderFiles) -> None:
    """A crash in the middle of a journal is told from damage by the run that followed it."""
    cut(files, 3, SEAL_BYTES + 10)
    write_run(files, 15, 2)
    reader = JournalReader(files)
    assert list(reader) == frames(0, 13) + frames(15, 10)
    assert [(p.segment, p.kind) for p in reader.problems] == [(3, ProblemKind.TORN)]


def test_crash_while_beginning_a_segment_is_expected(files: FolderFiles) -> None:
    """An empty segment, left between creation and header, loses nothing and is named."""
    cut(files, 3, SEAL_BYTES + 10)
    files.create(segment_name(4)).close()
    write_run(files, 15, 1)
    reader = JournalReader(files)
    assert list(reader) == frames(0, 13) + frames(15, 5)
    assert [(p.segment, p.kind) for p in reader.problems] == [
        (3, ProblemKind.TORN),
        (4, ProblemKind.TORN),
    ]


def test_unsealed_end_without_its_successor_is_damage(files: FolderFiles) -> None:
    """A later segment of the same run convicts an unsealed one even across a hole."""
    cut(files, 1, SEAL_BYTES)
    (files.path / segment_name(2)).unlink()
    reader = JournalReader(files)
    assert list(reader) == frames(0, 5) + frames(10, 5)
    assert [(p.segment, p.kind) for p in reader.problems] == [
        (1, ProblemKind.CORRUPT),
        (2, ProblemKind.MISSING),
    ]


def test_missing_segments_are_named_once_per_hole(files: FolderFiles) -> None:
    """A hole in the numbers is one problem, at the beginning of the journal too."""
    write_run(files, 15, 3)
    for number in (1, 3, 4):
        (files.path / segment_name(number)).unlink()
    reader = JournalReader(files)
    assert list(reader) == frames(5, 5) + frames(20, 10)
    assert reader.problems == [
        Problem(1, ProblemKind.MISSING, "there is no such file", 0),
        Problem(3, ProblemKind.MISSING, "there are no files of segments 3 to 4", 0),
    ]


def test_stray_high_number_makes_one_problem(files: FolderFiles) -> None:
    """A file of an absurd number cannot make the list of problems grow without bound."""
    (files.path / segment_name(999_999_999)).write_bytes(b"")
    reader = JournalReader(files)
    assert list(reader) == frames(0, 15)
    assert len(reader.problems) == 2


def test_renamed_segment_is_not_read_in_a_wrong_place(files: FolderFiles) -> None:
    """A copy under another number does not give its entries twice."""
    (files.path / segment_name(4)).write_bytes(files.read(segment_name(1)))
    reader = JournalReader(files)
    assert list(reader) == frames(0, 15)
    assert [(p.segment, p.detail) for p in reader.problems] == [
        (4, "by its header it is segment 1")
    ]


def test_unreadable_segment_is_named(files: FolderFiles) -> None:
    """What the system does not give out is named, and the other segments are read."""
    (files.path / segment_name(2)).unlink()
    reader = _VanishedSegment(files.path).reader()
    assert list(reader) == frames(0, 5) + frames(10, 5)
    (problem,) = reader.problems
    assert (problem.segment, problem.kind) == (2, ProblemKind.UNREADABLE)
    assert "cannot read" in problem.detail


class _VanishedSegment(FolderFiles):
    """Lists a segment 2 that is not there any more when it is read."""

    __slots__ = ()

    def names(self) -> list[str]:
        """The names of before."""
        return sorted([*super().names(), segment_name(2)])

    def size(self, name: str) -> int:
        """The size of before."""
        return 100 if name == segment_name(2) else super().size(name)

    def reader(self) -> JournalReader:
        """A reader that was made before the file went away."""
        return JournalReader(self)


def test_journal_being_written_can_be_read(tmp_path: Path) -> None:
    """A reader beside the writer gets everything accepted so far, and finds nothing wrong."""
    files = FolderFiles(tmp_path)
    journaler = Journaler(files, segment_bytes_max=500, created_ns=1)
    for number in range(0, 40, 4):
        journaler.append(frames(number, 4))
        reader = JournalReader(files)
        assert list(reader) == frames(0, number + 4)
        assert reader.problems == []
    journaler.close()


def test_growth_while_reading_does_no_harm(files: FolderFiles) -> None:
    """Segments that appear while reading are left to the next reader."""
    reader = JournalReader(files)
    entries = iter(reader)
    first = next(entries)
    write_run(files, 15, 2)
    assert [first, *entries] == frames(0, 15)
    assert reader.problems == []
    assert list(JournalReader(files)) == frames(0, 25)


def test_progress_goes_from_nothing_to_all(files: FolderFiles) -> None:
    """Progress rises with every burst, is in bytes of files, and ends at the total."""
    reader = JournalReader(files)
    total = sum(files.size(segment_name(number)) for number in (1, 2, 3))
    assert reader.progress == ReadProgress(0, total)
    seen = [reader.progress.bytes_read for _ in reader]
    assert seen == sorted(seen)
    assert len(set(seen)) == 6
    assert reader.progress == ReadProgress(total, total)


def test_progress_ends_at_the_total_despite_damage(files: FolderFiles) -> None:
    """A segment that is given up counts as read, so that a progress bar reaches its end."""
    flip(files, 1, 0)
    reader = JournalReader(files)
    assert list(reader) == frames(5, 10)
    assert reader.progress.bytes_read == reader.progress.bytes_total


def test_segment_of_version_1_is_read(files: FolderFiles) -> None:
    """A journal that was begun by an older program goes on, and is one journal."""
    before_bytes = files.size(segment_name(3))
    encoder = FirstEncoder(SegmentHeader(4, 4, 1, before_bytes))
    file = files.create(segment_name(4))
    file.append(encoder.header_bytes + encoder.encode(frames(15, 5)) + encoder.seal(1))
    file.close()
    write_run(files, 20, 1)
    reader = JournalReader(files)
    assert list(reader) == frames(0, 25)
    assert reader.problems == []
    assert reader.position == Position(5, 5)


def test_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    """An empty or absent folder is a clear sentence with its path, not an empty run."""
    (tmp_path / "notes.txt").write_text("not a segment")
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UnreadableSourceError, match=f"no journal in .*{folder.name}"):
            JournalReader(FolderFiles(folder))
