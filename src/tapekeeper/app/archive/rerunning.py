"""Reading a stretch of a journal, and repeating its runs entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field

import msgspec

from tapekeeper.app.replay import Later
from tapekeeper.core.calendar import Calendar
from tapekeeper.core.journal import (
    Ending,
    Entry,
    EntryKind,
    Position,
    SegmentScanner,
    segment_name,
    segment_number,
)
from tapekeeper.core.pipeline import Outputs, Pipeline
from tapekeeper.core.runlog import (
    Rerun,
    absence_told,
    continuation_told,
    ended_by,
    readmitted_later,
)
from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.gap import Gap
from tapekeeper.ports import Files, FolderLock, SegmentFile
from tapekeeper.runtime.journal_reader import JournalReader, Problem, ProblemKind


def segments_of(files: Files) -> list[int]:
    """The numbers of a journal's segments, rising."""
    return sorted(number for number in map(segment_number, files.names()) if number)


def settled_through(files: Files) -> int:
    """The last segment that nobody writes any more; 0 for none.

    A segment is settled when a later one is there, or when it is sealed.
    """
    numbers = segments_of(files)
    if not numbers:
        return 0
    scanner = SegmentScanner(files.read(segment_name(numbers[-1])))
    for _ in scanner:
        pass
    if scanner.end is Ending.SEALED:
        return numbers[-1]
    return numbers[-2] if len(numbers) > 1 else 0


class _Window:
    """Some segments of a journal; fills `ports.Files` for reading."""

    def __init__(self, files: Files, first: int, last: int) -> None:
        self._files = files
        self._first = first
        self._last = last

    def __str__(self) -> str:
        return str(self._files)

    def names(self) -> list[str]:
        return [
            name
            for name in self._files.names()
            if self._first <= (segment_number(name) or 0) <= self._last
        ]

    def size(self, name: str) -> int:
        return self._files.size(name)

    def create(self, name: str) -> SegmentFile:
        return self._files.create(name)

    def read(self, name: str) -> bytes:
        return self._files.read(name)

    def head(self, name: str, size: int) -> bytes:
        return self._files.head(name, size)

    def remove(self, name: str) -> None:
        self._files.remove(name)

    def lock(self) -> FolderLock:
        return self._files.lock()


@dataclass(frozen=True, slots=True)
class Read:
    """An entry with its place.

    Attributes:
        behind: the place behind it.
        run: number of the run's first segment.
        entry: what was written.
    """

    behind: Position
    run: int
    entry: Entry

    @property
    def segment(self) -> int:
        """The segment that holds it."""
        return self.behind.segment


class Stretch:
    """The entries of some segments in a row, in order.

    The segment behind them is looked at, too: it says whether the last one of them ended as it
    should.

    Args:
        files: of the journal.
        after: the segment in front of the first one.
        through: the last one.

    Attributes:
        problems: what could not be read, once all has been.
    """

    def __init__(self, files: Files, after: int, through: int) -> None:
        self._files = files
        self._after = after
        self._through = through
        self.problems: list[Problem] = []

    def __iter__(self) -> Generator[Read]:
        self.problems = []
        window = _Window(self._files, self._after + 1, self._through + 1)
        if not window.names():
            return
        reader = JournalReader(window)
        first = segments_of(window)[0]
        try:
            for entry in reader:
                behind = reader.position
                if behind.segment > self._through:
                    break
                yield Read(behind, reader.run, entry)
        finally:
            self.problems = [
                problem for problem in reader.problems if problem.segment <= self._through
            ]
            # The window is shut to what is in front of it, which is not missing for that.
            if self.problems and self.problems[0].kind is ProblemKind.MISSING and self._after:
                del self.problems[0]
                if first > self._after + 1:
                    gone = f"segments {self._after + 1} to {first - 1} are not there"
                    self.problems.insert(0, Problem(self._after + 1, ProblemKind.MISSING, gone, 0))

    def told_later(self) -> Later:
        """What is said of runs when they are over, from here to the journal's present end."""
        numbers = segments_of(self._files)
        later = Later({}, {})
        for read in Stretch(self._files, self._after, numbers[-1] if numbers else 0):
            meta, gap = readmitted_later(read.entry), absence_told(read.entry)
            if meta is not None:
                later.pardons.setdefault(meta.run, []).append(meta.trade)
            if gap is not None:
                later.absences.setdefault(read.run, {})[gap.gap_id] = gap
        return later


Taken = Callable[[int, int, Outputs], None]
"""Takes what came of an entry, with the run that it came in, and in front of that the first one of
the runs that went on from each other."""


def _ignored(_pipeline: Pipeline) -> None:
    """Nobody counts."""


@dataclass(slots=True)
class Continued:
    """A repetition of runs that can be put away and gone on with.

    Attributes:
        run: the one that is repeated, by its first segment; 0 before any.
        first: the first of the runs up to it that went on from each other: bars are told as of that
            one, because a later word on a bar of theirs is the last.
        before: the run that it goes on from; 0 where it began with nothing.
        pipeline: what makes its ticks and bars.
        calendars: of every contract of any run so far, by its id.
        broken: whether it was begun in the middle, because what was in front of it is gone.
        rows: prints of the run that came of it so far, by contract.
        first_ns: of a broken one, the event time of each contract's first print, ns UTC.
    """

    run: int = 0
    first: int = 0
    before: int = 0
    pipeline: Pipeline = field(default_factory=lambda: Pipeline(grace_ns=0))
    calendars: dict[str, Calendar] = field(default_factory=dict)
    broken: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    first_ns: dict[str, int] = field(default_factory=dict)
    _rerun: Rerun | None = None

    def enter(
        self,
        read: Read,
        later: Later,
        taken: Taken,
        ended: Callable[[Pipeline], None] = _ignored,
    ) -> None:
        """Go over to the run of an entry, if it is another one; the one before is ended first."""
        if read.run == self.run:
            return
        if self._rerun is not None and continuation_told(read.entry) is not None:
            self._rerun.pardon(later.pardons.get(read.run, ()))
            self.before, self.run = self.run, read.run
            self.rows = {}
            return
        self.leave(taken, later.absences_behind(self.run))
        ended(self.pipeline)
        self.run = self.first = read.run
        self.before = 0
        self.pipeline = Pipeline(grace_ns=0)
        self._rerun = Rerun(self.pipeline, pardons=later.pardons.get(read.run, ()))
        # Also where it goes on with the state of a run that is gone.
        self.broken = read.run < read.segment or continuation_told(read.entry) is not None
        self.first_ns = {}
        self.rows = {}

    def take(self, entry: Entry, taken: Taken) -> None:
        """Repeat an entry of the run that was entered."""
        assert self._rerun is not None  # noqa: S101 - `enter` comes first
        # What a run leaves comes of it, and is told by the first entry of the one that goes on.
        is_end = self.before > 0 and continuation_told(entry) is not None
        for outputs in self._rerun.take(entry):
            if not is_end:
                for batch in outputs.trades:
                    self.rows[batch.contract_id] = self.rows.get(batch.contract_id, 0) + len(batch)
            taken(self.first, self.before if is_end else self.run, self._honest(outputs))
        if entry.kind is EntryKind.META:
            self.calendars |= self._rerun.calendars

    def leave(self, taken: Taken, absences: Iterable[Gap] = ()) -> None:
        """End the run, as nothing more comes of it; bars that were forming stay so for ever.

        Args:
            taken: takes what still comes of it.
            absences: times without a process that later runs told of.
        """
        if self._rerun is not None:
            taken(self.first, self.run, self.pipeline.release())
            for outputs in ended_by(self.pipeline, absences):
                taken(self.first, self.run, self._honest(outputs))
            taken(self.first, self.run, self._honest(Outputs(closed=self.pipeline.forming_all())))

    def _honest(self, outputs: Outputs) -> Outputs:
        """A bar in which a repetition began in the middle says that it is no more than a part."""
        if self.broken:
            for batch in outputs.trades:
                self.first_ns.setdefault(batch.contract_id, batch.ts_event[0])
            outputs.closed = [self._cut(bar) for bar in outputs.closed]
        return outputs

    def _cut(self, bar: Bar) -> Bar:
        first_ns = self.first_ns.get(bar.contract_id)
        if first_ns is None or not bar.ts_open <= first_ns < bar.ts_end:
            return bar
        return msgspec.structs.replace(bar, completeness=Completeness.PARTIAL_START)
