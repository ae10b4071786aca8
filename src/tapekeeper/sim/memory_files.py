"""A disk in memory, and what one process sees of it; the latter fills `ports.Files`.

What was appended is kept as long as the disk lives. It may be slow, full or broken for a while,
as its owner says, and a process may die in the middle of a write. What a dead process still does
reaches nobody.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from tapekeeper.errors import JournalError, UnreadableSourceError


class MemoryDisk:
    """What outlives every process; all levers can be pulled at any moment.

    Attributes:
        content: of the files, by name.
        is_locked: whether some process has the right to write.
        delay_s: how long every write takes.
        room_bytes: what still fits; None is no limit.
        is_broken: whether every write and every new file fails.
        hangs: whether nothing is answered; of use where a `MemoryWorker` asks.
        syncs_fail: so many of the next syncs fail.
        wait: lets the time of a write pass, s, while nothing else happens.
        refusals: writes, files and syncs that failed, by reason, in order.
    """

    def __init__(self) -> None:
        self.content: dict[str, bytearray] = {}  # bound: the length of a simulated run
        self.is_locked = False
        self.delay_s = 0.0
        self.room_bytes: int | None = None
        self.is_broken = False
        self.hangs = False
        self.syncs_fail = 0
        self.wait: Callable[[float], None] = _at_once
        self.refusals: list[str] = []  # bound: a process stops at the first one

    def heal(self) -> None:
        """Take everything again, at once, except for syncs that are to fail."""
        self.delay_s = 0.0
        self.room_bytes = None
        self.is_broken = False
        self.hangs = False

    def write(self, name: str, data: bytes) -> None:
        """Append to a file.

        Raises:
            JournalError: the disk did not take all of it; a part may be in the file.
        """
        if self.delay_s:
            self.wait(self.delay_s)
        if self.is_broken:
            self._refuse(f"cannot write {name} in memory", errno.EIO)
        if self.room_bytes is not None:
            fits = data[: self.room_bytes]
            self.content[name] += fits
            self.room_bytes -= len(fits)
            if len(fits) < len(data):
                self._refuse(f"cannot write {name} in memory", errno.ENOSPC)
            return
        self.content[name] += data

    def make(self, name: str) -> None:
        """Make an empty file.

        Raises:
            JournalError: it exists, or the disk takes none.
        """
        if name in self.content:
            raise JournalError(f"cannot create {name} in memory: it exists")
        if self.is_broken:
            self._refuse(f"cannot create {name} in memory", errno.EIO)
        self.content[name] = bytearray()

    def try_room(self) -> None:
        """Find out whether a file can be written at all, as a writer does before it begins.

        Raises:
            JournalError: it cannot.
        """
        if self.is_broken:
            self._refuse("cannot write in memory", errno.EIO)
        if self.room_bytes is not None:
            self._refuse("cannot write in memory", errno.ENOSPC)

    def sync(self, name: str) -> None:
        """Confirm what was written.

        Raises:
            JournalError: the disk does not.
        """
        if self.syncs_fail:
            self.syncs_fail -= 1
            self._refuse(f"cannot sync {name} in memory", errno.EIO)

    def _refuse(self, what: str, number: int) -> None:
        self.refusals.append(f"{what}: {os.strerror(number)}")
        raise JournalError(self.refusals[-1])


class MemoryWorker:
    """The thread that asks a disk; fills `ports.Worker`. Waiting for it passes the disk's time.

    Args:
        disk: what is done is done when somebody waits for it, unless it hangs.
    """

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk
        self._work: Callable[[], None] | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Begin something."""
        self._work = work

    def wait(self, timeout_s: float) -> bool:
        """Whether it is done within that time."""
        work = self._work
        if work is None:
            return False
        if self._disk.hangs:
            self._disk.wait(timeout_s)
            return False
        self._work = None
        work()
        return True

    def close(self) -> None:
        """Do nothing more."""


class MemorySegment:
    """A file open for appending."""

    __slots__ = ("_closed", "_files", "_name")

    def __init__(self, files: MemoryFiles, name: str) -> None:
        self._files = files
        self._name = name
        self._closed = False

    def append(self, data: bytes) -> None:
        """Take all of `data`.

        Raises:
            JournalError: the file is closed, or the disk does not take it.
        """
        if self._closed:
            raise JournalError("cannot write a segment in memory: it is closed")
        self._files.write(self._name, data)

    def sync(self) -> None:
        """Ask the disk to confirm.

        Raises:
            JournalError: it does not.
        """
        self._files.check_alive()
        self._files.disk.sync(self._name)

    def close(self) -> None:
        """Close it; safe to call twice."""
        self._closed = True


class MemoryLock:
    """The right to write into a `MemoryFiles`."""

    __slots__ = ("_files", "_held")

    def __init__(self, files: MemoryFiles) -> None:
        self._files = files
        self._held = True

    def release(self) -> None:
        """Give it up; safe to call twice, and without effect once the process is dead."""
        if self._held and self._files.is_alive:
            self._files.disk.is_locked = False
        self._held = False


class MemoryFiles:
    """The disk as one process has it; it can be written, closed and read again.

    Args:
        disk: what it is kept on; default: one of its own.
    """

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk = disk or MemoryDisk()
        self.is_alive = True
        """Whether the process can still do anything."""
        self._cut_share: float | None = None
        self._dying: Callable[[], None] = _nothing
        self._locks = False

    def __str__(self) -> str:
        return "memory"

    @property
    def is_locked(self) -> bool:
        """Whether somebody writes."""
        return self.disk.is_locked

    # --- the end of the process -----------------------------------------------------------

    def die(self) -> None:
        """Reach nothing any more; the system frees the lock. Safe to call twice."""
        if self.is_alive:
            self.is_alive = False
            if self._locks:
                self.disk.is_locked = False

    def die_writing(self, share: float, dying: Callable[[], None]) -> None:
        """Die in the middle of the next write, when a share of it (0 to 1) is on the disk.

        Args:
            share: of the bytes.
            dying: called at that moment; it is expected to call `die`.
        """
        self._cut_share, self._dying = share, dying

    def check_alive(self) -> None:
        """Refuse what a dead process asks for.

        Raises:
            JournalError: it is dead.
        """
        if not self.is_alive:
            raise JournalError("cannot write in memory: the process is dead")

    def write(self, name: str, data: bytes) -> None:
        """Append to a file; see `MemoryDisk.write`."""
        self.check_alive()
        if self._cut_share is None:
            self.disk.write(name, data)
            return
        self.disk.content[name] += data[: round(self._cut_share * len(data))]
        self._dying()
        self.check_alive()

    # --- ports.Files ----------------------------------------------------------------------

    def names(self) -> list[str]:
        """Names of all files, sorted."""
        return sorted(self.disk.content)

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises:
            UnreadableSourceError: it is absent.
        """
        return len(self.read(name))

    def create(self, name: str) -> MemorySegment:
        """Create a new file for appending.

        Raises:
            JournalError: it exists, or the disk takes none.
        """
        self.check_alive()
        self.disk.make(name)
        return MemorySegment(self, name)

    def read(self, name: str) -> bytes:
        """The whole content.

        Raises:
            UnreadableSourceError: it is absent.
        """
        content = self.disk.content.get(name)
        if content is None:
            raise UnreadableSourceError(f"there is no {name} in memory")
        return bytes(content)

    def head(self, name: str, size: int) -> bytes:
        """The first bytes, at most so many.

        Raises:
            UnreadableSourceError: it is absent.
        """
        return self.read(name)[:size]

    def remove(self, name: str) -> None:
        """Remove a file.

        Raises:
            JournalError: the process is dead.
        """
        self.check_alive()
        self.disk.content.pop(name, None)

    def lock(self) -> MemoryLock:
        """Take the folder for writing.

        Raises:
            JournalError: somebody holds it, or the disk takes nothing.
        """
        self.check_alive()
        if self.disk.is_locked:
            raise JournalError(
                "somebody is writing the journal in memory; a journal has one writer"
            )
        self.disk.try_room()
        self.disk.is_locked = self._locks = True
        return MemoryLock(self)


def _at_once(_delay_s: float) -> None:
    """No time passes."""


def _nothing() -> None:
    """Nobody dies."""
