"""The one writer of a journal: what arrived, in segments, before anything comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

import msgspec

from tapekeeper.core.journal import (
    SEAL_BYTES,
    Entry,
    Position,
    SegmentEncoder,
    SegmentHeader,
    encoded_bytes_max,
    segment_name,
    segment_number,
)
from tapekeeper.core.journal.retention import retired_through
from tapekeeper.errors import JournalError, UnreadableSourceError
from tapekeeper.ports import Files, FolderLock, SegmentFile
from tapekeeper.runtime.shedding import RETRY_NS, FailurePolicy, ShedStatistics
from tapekeeper.runtime.slowness import DiskStatistics
from tapekeeper.runtime.syncer import Durability, Mark, Settle, SyncAtOnce, SyncStatistics

DEFAULT_SEGMENT_BYTES_MAX = 16_000_000
"""About 1,400,000 frames of one trade in bursts of 64; small enough to be read whole."""


class JournalStatistics(msgspec.Struct, frozen=True):
    """What this writer has written.

    Attributes:
        entries: entries accepted.
        payload_bytes: bytes of their payloads, which is what came over the wire.
        bytes: bytes written, headers and seals included.
        segments: segments begun.
        durability: what survives. At `process` that is what was accepted, whatever becomes of the
            process, kill -9 included; of the machine's death that is said of what is in front of
            `synced.durable` alone. At `power` this follows what is accepted by `sync_every_ms`.
        sync_every_ms: interval of the syncs at `power`; None at `process`, where segments are
            synced once they are sealed.
        synced: what the disk has confirmed.
        shed: what was not recorded, by the policy for failures.
        disk: whether it takes what is written in time; of syncs `synced.disk` tells.
    """

    entries: int = 0
    payload_bytes: int = 0
    bytes: int = 0
    segments: int = 0
    durability: Durability = Durability.PROCESS
    sync_every_ms: int | None = None
    synced: SyncStatistics = SyncStatistics()
    shed: ShedStatistics = ShedStatistics()
    disk: DiskStatistics = DiskStatistics()


class Journaler:
    """Appends entries to a journal; synchronous, for one caller at a time.

    It takes the folder's lock at once, so that a second writer and a folder that cannot be written
    show before the first tick. A segment is begun with the first entries it takes: a run that
    wrote nothing leaves none, however often it is started again. Old segments are never touched:
    what a crash left is evidence. The first failure is final, because a part of a burst may be in
    the file and nothing may follow it; every later `append` repeats the refusal.

    Args:
        files: where the segments go.
        segment_bytes_max: a segment is sealed before a burst could take it past this size, even
            if it could not be compressed; a burst larger than that gets a segment of its own,
            whole.
        created_ns: now, host clock, ns UTC; the first segment bears it.
        settle: syncs what is written, and closes each segment that is sealed; None does both as
            soon as it is.
        sync_every_ms: in which `settle` syncs what is written; None means that it waits for the
            seal.
        on_failure: whether a burst that cannot be written ends the run.
        disk: says whether it answers in time.

    Raises:
        JournalError: another process writes here, or the folder cannot be written.
        UnreadableSourceError: the folder cannot be listed.
    """

    __slots__ = (
        "_bytes",
        "_disk",
        "_each_segment",
        "_encoder",
        "_entries",
        "_failure",
        "_file",
        "_files",
        "_first",
        "_is_closed",
        "_last_ns",
        "_lock",
        "_may_shed",
        "_on_shed",
        "_payload_bytes",
        "_run_first",
        "_segment_bytes",
        "_segment_bytes_max",
        "_segments",
        "_settle",
        "_shed",
        "_sync_every_ms",
        "_tried_ns",
    )

    def __init__(
        self,
        files: Files,
        *,
        segment_bytes_max: int = DEFAULT_SEGMENT_BYTES_MAX,
        created_ns: int,
        settle: Settle | None = None,
        sync_every_ms: int | None = None,
        on_failure: FailurePolicy = FailurePolicy.STOP,
        disk: Callable[[], DiskStatistics] = DiskStatistics,
    ) -> None:
        self._files = files
        self._disk = disk
        self._may_shed = on_failure is FailurePolicy.SHED
        self._shed = ShedStatistics()
        self._tried_ns = 0
        self._on_shed: Callable[[ShedStatistics], None] = _nobody
        self._is_closed = False
        self._settle: Settle = SyncAtOnce() if settle is None else settle
        self._settle.follow(self._unconfirmed)
        self._sync_every_ms = sync_every_ms
        self._segment_bytes_max = segment_bytes_max
        self._entries = self._payload_bytes = self._bytes = self._segments = 0
        self._segment_bytes = 0
        self._last_ns = created_ns
        self._failure = ""
        self._each_segment: Callable[[int], Sequence[Entry]] = _nothing
        self._first: Callable[[], Sequence[Entry]] = _nothing_first
        self._file: SegmentFile | None = None  # until the segment has something to hold
        with ExitStack() as undo:
            self._lock: FolderLock = files.lock()
            undo.callback(self._lock.release)
            names = files.names()
            last = max((n for n in map(segment_number, names) if n), default=0)
            before_bytes = files.size(segment_name(last)) if last else 0
            # A number is never used twice, even where all segments were removed.
            last = max(last, retired_through(names))
            self._run_first = last + 1
            self._encoder = self._segment(last + 1, created_ns, before_bytes)
            undo.pop_all()

    def begin_each_with(self, entries_at: Callable[[int], Sequence[Entry]]) -> None:
        """Put these entries in front of every segment that is begun from now on.

        They repeat what the segments before have said and those after depend on, so that losing
        one segment does not take the meaning of the others with it.

        Args:
            entries_at: called with host time, ns UTC, when a segment is begun.
        """
        self._each_segment = entries_at

    def begin_with(self, entries: Callable[[], Sequence[Entry]]) -> None:
        """Put these entries in front of the first that are written.

        They say what this run begins with, so a run that writes nothing need not say it.
        """
        self._first = entries

    def append(self, entries: Sequence[Entry]) -> None:
        """Write the whole burst at once; when this returns, the operating system has it.

        Unless it may shed: then a burst that cannot be written is counted, `on_shed` is told, and
        writing is tried again from time to time, in a run of its own.

        Raises:
            JournalError: the journal did not take it, or is closed. The caller must stop.
        """
        if not self._may_shed:
            self._take(entries)
        elif self._shed.reason:
            self._try_again(entries)
        else:
            try:
                self._take(entries)
            except JournalError as error:
                if self._is_closed:
                    raise
                self._begin_to_shed(entries, str(error))

    def on_shed(self, listener: Callable[[ShedStatistics], None]) -> None:
        """Let somebody know when nothing is recorded any more, and when everything is again."""
        self._on_shed = listener

    def _take(self, entries: Sequence[Entry]) -> None:
        if self._failure or self._settle.failure:
            raise JournalError(self._failure or self._settle.failure)
        if not entries:
            return
        # Refused unless this gets to its end, whatever interrupts it.
        self._failure = "the journal was interrupted while writing"
        try:
            if not self._segments:
                entries = [*self._first(), *entries]
            file = self._file or self._begin()
            # Room for the seal is kept, so that no segment passes the limit by its own end.
            whole_bytes = self._segment_bytes + encoded_bytes_max(entries) + SEAL_BYTES
            if whole_bytes > self._segment_bytes_max and self._encoder.entries:
                file = self._rotate(file, entries[0].ts_ns)
                entries = [*self._each_segment(entries[0].ts_ns), *entries]
            self._write(file, self._encoder.encode(entries))
        except JournalError as error:
            self._failure = str(error)
            raise
        self._failure = ""
        self._accepted(entries)

    def close(self) -> None:
        """Seal and sync the last segment, if any, and let the folder go; safe to call twice.

        After a failure nothing is sealed: the file ends where the failure left it.

        Raises:
            JournalError: the seal could not be written or synced.
        """
        self._is_closed = True
        failed, self._failure = self._failure, self._failure or "the journal is closed"
        file, self._file = self._file, None
        try:
            try:
                if file is not None:
                    if failed or self._settle.failure:
                        file.close()
                    else:
                        self._seal(file)
            finally:
                self._settle.finish()
        finally:
            self._lock.release()
        if self._shed.reason and failed:
            raise JournalError(f"nothing was recorded at the end: {self._shed.reason}")

    def sealed(self) -> list[Mark]:
        """The ends of the segments that the disk has confirmed since this was asked last."""
        return self._settle.sealed()

    def statistics(self) -> JournalStatistics:
        """What was written so far."""
        return JournalStatistics(
            entries=self._entries,
            payload_bytes=self._payload_bytes,
            bytes=self._bytes,
            segments=self._segments,
            durability=Durability.PROCESS if self._sync_every_ms is None else Durability.POWER,
            sync_every_ms=self._sync_every_ms,
            synced=self._settle.statistics(),
            shed=self._shed,
            disk=self._disk(),
        )

    @property
    def run(self) -> int:
        """The run that is written, by the number of its first segment."""
        return self._run_first

    @property
    def position(self) -> Position:
        """Where the next entry goes, unless a new segment is begun for it."""
        return Position(self._encoder.header.number, self._encoder.entries)

    # -- going on without recording ----------------------------------------------------------------

    def _begin_to_shed(self, entries: Sequence[Entry], reason: str) -> None:
        # What is in the file stays as it is: a part of a burst may be at its end.
        self._let_go()
        self._tried_ns = entries[-1].ts_ns if entries else self._last_ns
        self._shed = msgspec.structs.replace(
            self._shed, reason=reason, since_ns=self._tried_ns, times=self._shed.times + 1
        )
        self._count(entries)
        self._on_shed(self._shed)

    def _try_again(self, entries: Sequence[Entry]) -> None:
        if not entries or self._is_closed:
            return
        now_ns = entries[-1].ts_ns
        if not 0 <= now_ns - self._tried_ns < RETRY_NS:
            self._tried_ns = now_ns
            try:
                self._begin_anew(entries)
            except (JournalError, UnreadableSourceError) as error:
                self._let_go()
                self._failure = str(error)
                self._shed = msgspec.structs.replace(self._shed, reason=str(error))
            else:
                self._failure = ""
                self._shed = msgspec.structs.replace(self._shed, reason="", since_ns=0)
                self._accepted(entries)
                self._on_shed(self._shed)
                return
        self._count(entries)

    def _begin_anew(self, entries: Sequence[Entry]) -> None:
        """Begin another run, as a restart would; what the failed one left is its crash."""
        # The folder may be another one by now, or another's: a disk that was away and is back.
        self._lock.release()
        self._lock = self._files.lock()
        names = self._files.names()
        numbers = [number for number in map(segment_number, names) if number]
        last = max([*numbers, retired_through(names)])
        before_bytes = self._files.size(segment_name(last)) if last in numbers else 0
        self._settle.renew()
        self._run_first = last + 1
        now_ns = entries[0].ts_ns
        self._encoder = self._segment(last + 1, now_ns, before_bytes)
        file = self._begin()
        self._write(file, self._encoder.encode([*self._each_segment(now_ns), *entries]))

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(JournalError):
                file.close()

    def _count(self, entries: Sequence[Entry]) -> None:
        self._shed = msgspec.structs.replace(
            self._shed,
            entries=self._shed.entries + len(entries),
            payload_bytes=self._shed.payload_bytes + sum(len(each.payload) for each in entries),
        )

    # -- inside ------------------------------------------------------------------------------------

    def _accepted(self, entries: Sequence[Entry]) -> None:
        self._entries += len(entries)
        self._payload_bytes += sum([len(entry.payload) for entry in entries])
        self._last_ns = entries[-1].ts_ns

    def _segment(self, number: int, created_ns: int, before_bytes: int) -> SegmentEncoder:
        return SegmentEncoder(SegmentHeader(number, self._run_first, created_ns, before_bytes))

    def _begin(self) -> SegmentFile:
        self._file = self._files.create(segment_name(self._encoder.header.number))
        self._segment_bytes = 0
        self._segments += 1
        self._write(self._file, self._encoder.header_bytes)
        return self._file

    def _rotate(self, file: SegmentFile, created_ns: int) -> SegmentFile:
        self._seal(file)
        number = self._encoder.header.number + 1
        self._encoder = self._segment(number, created_ns, self._segment_bytes)
        return self._begin()

    def _unconfirmed(self) -> tuple[SegmentFile, Mark] | None:
        # What follows a failed write may be a part of a burst, of which nothing is promised.
        if self._file is None or self._failure:
            return None
        return self._file, Mark(self.position, self._last_ns)

    def _seal(self, file: SegmentFile) -> None:
        try:
            self._write(file, self._encoder.seal(self._last_ns))
        except BaseException:
            file.close()
            raise
        self._settle(file, Mark(self.position, self._last_ns))

    def _write(self, file: SegmentFile, data: bytes) -> None:
        file.append(data)
        self._segment_bytes += len(data)
        self._bytes += len(data)


def _nobody(_shed: ShedStatistics) -> None:
    """Nobody wants to know."""


def _nothing_first() -> Sequence[Entry]:
    return ()


def _nothing(_now_ns: int) -> Sequence[Entry]:
    return ()
