"""Looks after what the journal has sealed: reads it back, and removes what need not be kept.

Both are slow and neither is urgent, so they are done in small pieces in a thread, with pauses: what
arrives goes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Protocol

import msgspec

from tapekeeper.core.journal import (
    HEADER_BYTES,
    Ending,
    Entry,
    SegmentScanner,
    segment_name,
    segment_number,
)
from tapekeeper.core.journal.retention import (
    CONFIRMATIONS,
    KeptSegment,
    Retention,
    confirmed_through,
    marker_name,
    removable,
    retired_through,
)
from tapekeeper.errors import JournalError, UnreadableSourceError
from tapekeeper.ports import Clock, Files, Log
from tapekeeper.runtime.journaler import JournalStatistics
from tapekeeper.runtime.syncer import InThread, Mark

LOOK_S = 5.0
"""Between two looks at what was sealed."""

PRUNE_EVERY = 12
"""Looks between two of the retention."""

ENTRIES_AT_ONCE = 1_000
"""A millisecond of work; the interpreter is shared with the event loop."""

PAUSE_S = 0.01
"""Behind each of these: reading back takes a tenth of a core at most."""


class Removed(msgspec.Struct, frozen=True):
    """What a retention came to.

    Attributes:
        segments: numbers of those that were removed, or would be.
        bytes: of these.
        confirmed_through: the archive has all up to this one.
    """

    segments: tuple[int, ...] = ()
    bytes: int = 0
    confirmed_through: int = 0


class CareStatistics(msgspec.Struct, frozen=True):
    """What became of sealed segments.

    Attributes:
        read_back: segments that were read back and are what was written.
        failed: segments that are not.
        waiting: segments that are not read back yet.
        failure: what is not what was written, of the last one that is not; "" for none.
        problem: why the last removal that did not work did not; "" for none.
        removed: segments that were removed.
        removed_bytes: of these.
    """

    read_back: int = 0
    failed: int = 0
    waiting: int = 0
    failure: str = ""
    problem: str = ""
    removed: int = 0
    removed_bytes: int = 0


def troubles(journal: JournalStatistics, care: CareStatistics) -> tuple[str, ...]:
    """What makes the journal less safe than wanted, a sentence each."""
    shed = journal.shed.reason
    slow = [each for each in (journal.disk, journal.synced.disk) if each.reason]
    found = (
        f"nothing is recorded: {shed}" if shed else "",
        *(f"its disk is {each.state.value}: {each.reason}" for each in slow),
        care.failure,
    )
    return tuple(f"journal: {one}" for one in found if one)


class Sealing(Protocol):
    """What a caretaker asks of a journal's writer."""

    def sealed(self) -> list[Mark]:
        """The ends of the segments that the disk has confirmed since this was asked last."""
        ...

    def statistics(self) -> JournalStatistics:
        """What was written so far."""
        ...


def confirmed(files: Files) -> int:
    """Through which segment the archive confirms that it has a journal; 0 for nothing.

    Raises:
        UnreadableSourceError: it cannot be told.
    """
    if CONFIRMATIONS not in files.names():
        return 0
    return confirmed_through(files.read(CONFIRMATIONS))


def kept_segments(files: Files, *, through: int) -> list[KeptSegment]:
    """The segments that are there; those up to `through` with their age.

    Raises:
        UnreadableSourceError: the folder cannot be read.
    """
    numbers = sorted(number for number in map(segment_number, files.names()) if number)
    return [
        KeptSegment(
            number,
            files.size(segment_name(number)),
            # A segment ended when the next one was created.
            _created_ns(files, number + 1) if number <= through and number + 1 in numbers else None,
        )
        for number in numbers
    ]


def _created_ns(files: Files, number: int) -> int | None:
    header = SegmentScanner(files.head(segment_name(number), HEADER_BYTES)).header
    return None if header is None else header.created_ns


def prune(files: Files, policy: Retention, *, now_ns: int, dry_run: bool = False) -> Removed:
    """Remove what need not be kept any more.

    Safe beside a writer and readers: the latest segments stay, and a reader names what went while
    it read. Safe to be killed in: what is left then is removed the next time.

    Raises:
        JournalError: the marker cannot be written, or a segment not be removed.
        UnreadableSourceError: the folder cannot be read.
    """
    through = confirmed(files)
    segments = kept_segments(files, through=through)
    numbers = removable(segments, policy, confirmed_through=through, now_ns=now_ns)
    size = sum(segment.bytes for segment in segments if segment.number in numbers)
    if numbers and not dry_run:
        _remove(files, numbers, now_ns)
    return Removed(tuple(numbers), size, through)


def _remove(files: Files, numbers: list[int], now_ns: int) -> None:
    names = files.names()
    marker = marker_name(numbers[-1])
    if marker not in names:
        file = files.create(marker)
        try:
            file.append(b'{"through_segment":%d,"removed_ns":%d}\n' % (numbers[-1], now_ns))
            # Confirmed by the disk, with its name, before anything goes.
            file.sync()
        finally:
            file.close()
    for number in numbers:
        files.remove(segment_name(number))
    for name in names:
        if 0 < retired_through([name]) < numbers[-1]:
            files.remove(name)


class Caretaker:
    """See the module's text.

    Args:
        files: of the journal.
        journaler: tells which segments the disk has confirmed.
        policy: how much is kept.
        in_thread: see `InThread`.
        clock: of the pauses, and of ages.
        log: told of what is wrong and what was removed.
    """

    def __init__(
        self,
        *,
        files: Files,
        journaler: Sealing,
        policy: Retention,
        in_thread: InThread,
        clock: Clock,
        log: Log,
    ) -> None:
        self._files = files
        self._journaler = journaler
        self._policy = policy
        self._in_thread = in_thread
        self._clock = clock
        self._log = log
        self._statistics = CareStatistics()

    def statistics(self) -> CareStatistics:
        """What became of sealed segments."""
        return self._statistics

    def troubles(self) -> tuple[str, ...]:
        """What makes the journal less safe than wanted, a sentence each."""
        return troubles(self._journaler.statistics(), self._statistics)

    async def run(self) -> None:
        """Look after the journal, until cancelled."""
        looks = 0
        while True:
            await self._clock.sleep_s(LOOK_S)
            marks = self._journaler.sealed()
            for index, mark in enumerate(marks):
                self._note(waiting=len(marks) - index)
                await self._read_back(mark)
            self._note(waiting=0)
            looks += 1
            if looks % PRUNE_EVERY == 0 and not self._policy.keeps_all:
                await self._prune()

    async def _read_back(self, mark: Mark) -> None:
        number = mark.position.segment
        scanner: SegmentScanner | None = None
        entries: Iterator[Entry] = iter(())
        more = True
        wrong = ""

        def begin() -> None:
            nonlocal scanner, entries
            scanner = SegmentScanner(self._files.read(segment_name(number)))
            entries = iter(scanner)

        def go_on() -> None:
            nonlocal more
            more = sum(1 for _ in islice(entries, ENTRIES_AT_ONCE)) == ENTRIES_AT_ONCE

        try:
            await self._in_thread(begin)
            while more:
                await self._in_thread(go_on)
                await self._clock.sleep_s(PAUSE_S)
        except UnreadableSourceError as error:
            wrong = str(error)
        if scanner is not None:
            wrong = _difference(scanner, mark)
        if not wrong:
            self._note(read_back=self._statistics.read_back + 1)
            return
        failure = f"{segment_name(number)} is not what was written: {wrong}"
        self._note(failed=self._statistics.failed + 1, failure=failure)
        self._log("journal_read_back_failed", level="error", segment=number, reason=wrong)

    async def _prune(self) -> None:
        removed = Removed()

        def work() -> None:
            nonlocal removed
            removed = prune(self._files, self._policy, now_ns=self._clock.now_ns())

        try:
            await self._in_thread(work)
        except (JournalError, UnreadableSourceError) as error:
            # Nothing is lost by it but room, and it is tried again.
            self._note(problem=str(error))
            self._log("journal_prune_failed", level="warning", reason=str(error))
            return
        if removed.segments:
            self._note(
                removed=self._statistics.removed + len(removed.segments),
                removed_bytes=self._statistics.removed_bytes + removed.bytes,
            )
            self._log("journal_pruned", through_segment=removed.segments[-1], bytes=removed.bytes)

    def _note(self, **changed: int | str) -> None:
        self._statistics = msgspec.structs.replace(self._statistics, **changed)


def _difference(scanner: SegmentScanner, mark: Mark) -> str:
    if scanner.header is None or scanner.end is not Ending.SEALED:
        return scanner.detail or "its end is not there"
    if scanner.header.number != mark.position.segment:
        return f"by its header it is segment {scanner.header.number}"
    if scanner.entries != mark.position.entries:
        return f"{scanner.entries:,} entries are there of {mark.position.entries:,}"
    return ""
