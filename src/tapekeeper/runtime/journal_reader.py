"""Reads a journal back: all entries in order, and a name for everything that is not there."""

from __future__ import annotations

from collections.abc import Container, Iterator
from enum import StrEnum

import msgspec

from tapekeeper.core.journal import (
    Ending,
    Entry,
    Position,
    SegmentHeader,
    SegmentScanner,
    segment_name,
    segment_number,
)
from tapekeeper.core.journal.retention import retired_through
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.ports import Files


class ProblemKind(StrEnum):
    """What can be wrong with a segment."""

    TORN = "torn"  # the writer died while writing: at most the burst that it was writing
    CORRUPT = "corrupt"  # bytes changed, cut off or added
    MISSING = "missing"  # there is no file of this number, but there are later ones
    UNREADABLE = "unreadable"  # the system does not give the file out


class Problem(msgspec.Struct, frozen=True):
    """Something that a journal does not give back.

    Attributes:
        segment: its number; of several missing in a row, the first.
        kind: see `ProblemKind`.
        detail: one clause for a person.
        lost_from_byte: where in the file the unreadable part begins.
    """

    segment: int
    kind: ProblemKind
    detail: str
    lost_from_byte: int

    def __str__(self) -> str:
        where = f" from byte {self.lost_from_byte:,}" if self.lost_from_byte else ""
        return f"{segment_name(self.segment)}: {self.kind}{where}: {self.detail}"

    @property
    def expected(self) -> bool:
        """Whether this is what a killed writer leaves; anything else is damage."""
        return self.kind is ProblemKind.TORN


class ReadProgress(msgspec.Struct, frozen=True):
    """How far a reader has come, in bytes of all segments."""

    bytes_read: int
    bytes_total: int


class _Undecided(msgspec.Struct, frozen=True):
    """How a segment ended; whether that is in order, the next readable header will tell."""

    number: int
    size: int
    end: Ending
    detail: str
    good_bytes: int


class JournalReader:
    """Iterates over the entries of a journal, segment by segment, one segment in memory.

    It may be iterated while the journal is being written: it gives what was there when it came
    to the last segment that existed when the reader was made. Each iteration starts anew.

    A fault costs the rest of its segment, never another segment, and is listed in `problems`,
    which is complete when the iteration has ended. Segments that were removed in order, as the
    archive has them, are no fault.

    Args:
        files: where the segments are.
        only: numbers of the segments that are read; None means all there are.

    Raises:
        UnreadableSourceError: there is no such segment, or the folder cannot be read.
    """

    __slots__ = (
        "_base_bytes",
        "_behind",
        "_ending",
        "_files",
        "_first",
        "_problems",
        "_run",
        "_scanner",
        "_sizes",
        "_total_bytes",
    )

    def __init__(self, files: Files, only: Container[int] | None = None) -> None:
        numbers = [n for n in segment_numbers(files) if only is None or n in only]
        if not numbers:
            raise UnreadableSourceError(f"there is no journal in {files}")
        self._files = files
        self._sizes = {number: files.size(segment_name(number)) for number in numbers}
        self._total_bytes = sum(self._sizes.values())
        self._base_bytes = 0
        self._problems: list[Problem] = []
        self._run = 0
        self._behind = Position(numbers[0], 0)
        # What was removed on purpose is not missing.
        self._first = numbers[0] if only is not None else retired_through(files.names()) + 1
        self._ending = Ending.OPEN
        self._scanner: SegmentScanner | None = None

    @property
    def problems(self) -> list[Problem]:
        """What was found so far, by segment."""
        return sorted(self._problems, key=lambda problem: problem.segment)

    @property
    def run(self) -> int:
        """The run that the last entry is of, by the number of its first segment; 0 before any."""
        return self._run

    @property
    def position(self) -> Position:
        """The place behind the last entry; in front of the first segment before any."""
        if self._scanner is None or self._scanner.header is None:
            return self._behind
        return Position(self._scanner.header.number, self._scanner.entries)

    @property
    def ending(self) -> Ending:
        """How the segment ended that was read last; what cannot be read at all is corrupt."""
        return self._ending

    @property
    def progress(self) -> ReadProgress:
        """How far the present iteration has come."""
        within = 0 if self._scanner is None else self._scanner.good_bytes
        # A segment that is being written may have grown since its size was asked.
        return ReadProgress(min(self._base_bytes + within, self._total_bytes), self._total_bytes)

    def __iter__(self) -> Iterator[Entry]:
        self._scanner = None
        self._run = 0
        self._behind = Position(next(iter(self._sizes)), 0)
        self._problems.clear()
        self._base_bytes = 0
        undecided: list[_Undecided] = []
        expected = self._first
        for number, listed_bytes in self._sizes.items():
            if number > expected:
                self._report_missing(expected, number - 1)
            expected = max(expected, number + 1)
            yield from self._segment(number, undecided)
            self._base_bytes += listed_bytes
        self._decide(undecided, None)

    def _segment(self, number: int, undecided: list[_Undecided]) -> Iterator[Entry]:
        # A generator of its own, so that one segment's bytes are let go before the next is read.
        self._ending = Ending.CORRUPT
        read = self._open(number)
        if read is None:
            return
        scanner, size = read
        self._scanner = scanner
        if scanner.header is not None:
            self._run = scanner.header.run_first
            self._decide(undecided, scanner.header)
            undecided.clear()
        yield from scanner
        if scanner.entries:
            self._behind = Position(number, scanner.entries)
        self._scanner = None
        self._ending = scanner.end
        if scanner.end is Ending.CORRUPT:
            self._report(number, ProblemKind.CORRUPT, scanner.detail, scanner.good_bytes)
        else:
            undecided.append(
                _Undecided(number, size, scanner.end, scanner.detail, scanner.good_bytes)
            )

    def _open(self, number: int) -> tuple[SegmentScanner, int] | None:
        try:
            data = self._files.read(segment_name(number))
        except UnreadableSourceError as error:
            self._report(number, ProblemKind.UNREADABLE, str(error), 0)
            return None
        scanner = SegmentScanner(data)
        if scanner.header is not None and scanner.header.number != number:
            # Its entries would come twice, or in a wrong place.
            detail = f"by its header it is segment {scanner.header.number}"
            self._report(number, ProblemKind.CORRUPT, detail, 0)
            return None
        return scanner, len(data)

    def _decide(self, undecided: list[_Undecided], later: SegmentHeader | None) -> None:
        """Judge segments by the next header that can be read behind them, if there is one."""
        for item in undecided:
            if later is not None and (fault := _contradiction(item, later)):
                self._report(item.number, ProblemKind.CORRUPT, fault, item.good_bytes)
            elif item.end is Ending.TORN:
                self._report(item.number, ProblemKind.TORN, item.detail, item.good_bytes)

    def _report_missing(self, first: int, last: int) -> None:
        # One problem for the whole hole: a stray file of a high number must not make millions.
        detail = "there is no such file"
        if last > first:
            detail = f"there are no files of segments {first} to {last}"
        self._report(first, ProblemKind.MISSING, detail, 0)

    def _report(self, number: int, kind: ProblemKind, detail: str, lost_from_byte: int) -> None:
        self._problems.append(Problem(number, kind, detail, lost_from_byte))


def segment_numbers(files: Files) -> list[int]:
    """The numbers of the segments that there are, rising.

    Raises:
        UnreadableSourceError: the folder cannot be read.
    """
    return sorted(n for n in map(segment_number, files.names()) if n)


def _contradiction(item: _Undecided, later: SegmentHeader) -> str:
    """Why a segment cannot have ended as it does, given a later header; "" if it can have."""
    if later.number == item.number + 1 and later.previous_bytes != item.size:
        return f"{item.size:,} bytes are left of {later.previous_bytes:,}"
    if later.run_first <= item.number and item.end is not Ending.SEALED:
        return "its end is cut off: the same run went on in the next segment"
    return ""
