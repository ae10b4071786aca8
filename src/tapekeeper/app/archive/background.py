"""Archiving while a tape runs: in a process of its own, now and then, and to be paused."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from tapekeeper.adapters.child import Ended
from tapekeeper.app.archive.compaction import confirmed_through, default_archive, read_manifest
from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.rerunning import segments_of
from tapekeeper.errors import UsageError
from tapekeeper.ports import Clock, Files, Log
from tapekeeper.runtime.syncer import InThread

DAMAGED = 1
"""Exit code of an archiving that has named damage and done the rest."""


class ArchiveStatus(msgspec.Struct, frozen=True):
    """What became of archiving beside a tape.

    Attributes:
        enabled: whether it is wanted (`[archive] enabled`).
        paused: whether it waits for `resume`.
        running: whether a process archives now.
        passes: how many processes have ended well.
        failed: how many have not; the next one tries again.
        through_segment: all segments up to this one are in the archive, as far as is known.
        confirmed: all up to this one may be removed.
        waiting_segments: those that are settled and not archived.
        trouble: the last thing that went wrong, or damage that was met; "" for none.
    """

    enabled: bool = False
    paused: bool = False
    running: bool = False
    passes: int = 0
    failed: int = 0
    through_segment: int = 0
    confirmed: int = 0
    waiting_segments: int = 0
    trouble: str = ""


class Runs(Protocol):
    """Runs this program beside this process: `adapters.child.Child`."""

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        ...

    def __call__(self, arguments: Sequence[str], /) -> Awaitable[Ended]:
        """Run to the end."""
        ...

    def stop(self) -> None:
        """Ask it to end; killing it costs nothing but the work of a pass."""
        ...


class Archiving:
    """Archives what is settled, now and then.

    A process of its own, because repeating a journal is work of the interpreter and would hold
    that of the tape; it gives way to everything else on the computer. At most one runs, on one
    core. Nothing depends on it but the room on the disk.

    Args:
        journal: folder of the journal.
        archive: folder of the archive; None is `default_archive`.
        files: of the journal.
        child: runs the process.
        in_thread: see `InThread`.
        clock: of the schedule.
        log: one event for each process that has done or failed.
        every_s: between two looks.
    """

    def __init__(
        self,
        *,
        journal: Path,
        archive: Path | None,
        files: Files,
        child: Runs,
        in_thread: InThread,
        clock: Clock,
        log: Log,
        every_s: float,
    ) -> None:
        self._journal = journal
        self._disk = ArchiveDisk(archive or default_archive(journal))
        self._files = files
        self._child = child
        self._in_thread = in_thread
        self._clock = clock
        self._log = log
        self._every_s = every_s
        self._paused = False
        self._stopped = False  # the process that runs, or ran last
        self._passes = self._failed = 0
        self._through = self._confirmed = self._waiting = 0
        self._trouble = ""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep_s(self._every_s)
            await self.look()

    async def look(self) -> None:
        """Archive what is settled by now, unless it is paused."""
        await self._in_thread(self._find)
        if self._paused or not self._waiting:
            return
        folders = ["--journal", str(self._journal), "--archive", str(self._disk.root)]
        self._stopped = False
        try:
            ended = await self._child(["archive", "--background", *folders])
        except OSError as error:
            ended = Ended(-1, f"no process could be started: {error.strerror or error}")
        if self._stopped:
            return
        before = self._through
        await self._in_thread(self._find)
        self._trouble = ended.said if ended.code else self._trouble
        if ended.code in {0, DAMAGED} and self._through > before:
            self._passes += 1
            self._log("journal_archived", through_segment=self._through, confirmed=self._confirmed)
        if ended.code:
            self._failed += ended.code != DAMAGED
            reason = ended.said or f"it ended with {ended.code}"
            self._log("archive_trouble", level="warning", reason=reason)

    def pause(self) -> None:
        """Archive nothing until `resume`; what runs is stopped, and done again then."""
        self._paused = self._stopped = True
        self._child.stop()

    def resume(self) -> None:
        """Go on at the next look."""
        self._paused = False

    def status(self) -> ArchiveStatus:
        """A frozen view."""
        return ArchiveStatus(
            enabled=True,
            paused=self._paused,
            running=self._child.is_running,
            passes=self._passes,
            failed=self._failed,
            through_segment=self._through,
            confirmed=self._confirmed,
            waiting_segments=self._waiting,
            trouble=self._trouble,
        )

    def _find(self) -> None:
        """Find out how far everything is; a segment is settled when a later one is there."""
        try:
            self._through = read_manifest(self._disk).through_segment
            self._confirmed = confirmed_through(self._journal)
            settled = segments_of(self._files)[:-1]
        except UsageError as error:
            self._trouble = str(error)
            self._waiting = 0
            return
        self._waiting = sum(number > self._through for number in settled)
