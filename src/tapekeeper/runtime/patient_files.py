"""Folders whose disk may hang: `ports.Files` and `ports.Scratch` that are waited for with a bound.

See `tapekeeper.runtime.patience`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from tapekeeper.errors import JournalError, UnreadableSourceError
from tapekeeper.ports import Files, FolderLock, Scratch, ScratchFile, SegmentFile
from tapekeeper.runtime.patience import Patience

T = TypeVar("T")


class PatientSegment:
    """A file open for appending."""

    __slots__ = ("_file", "_name", "_patience", "_write")

    def __init__(self, file: SegmentFile, name: str, patience: Patience) -> None:
        self._file = file
        self._name = name
        self._write = f"write {name}"
        self._patience = patience

    def append(self, data: bytes) -> None:
        """Hand all of `data` to the operating system.

        Raises:
            JournalError: it did not take all of it, or not in time. Then it may take it later.
        """
        self._patience(self._write, partial(self._file.append, data))

    def sync(self) -> None:
        """Force what was appended to the disk.

        Raises:
            JournalError: the disk did not confirm it, or not in time.
        """
        self._patience(f"sync {self._name}", self._file.sync)

    def close(self) -> None:
        """Close the file, now or when the disk answers again; safe to call twice."""
        self._patience.let_go(f"close {self._name}", self._file.close)


class PatientLock:
    """The right to write into a folder."""

    __slots__ = ("_lock", "_patience")

    def __init__(self, lock: FolderLock, patience: Patience) -> None:
        self._lock = lock
        self._patience = patience

    def release(self) -> None:
        """Give it up, now or when the disk answers again; safe to call twice."""
        self._patience.let_go("let the folder go", self._lock.release)


class PatientFiles:
    """A folder of segments.

    Args:
        files: the folder.
        patience: how long its disk may take.
    """

    __slots__ = ("_files", "_patience")

    def __init__(self, files: Files, patience: Patience) -> None:
        self._files = files
        self._patience = patience

    def __str__(self) -> str:
        return str(self._files)

    def names(self) -> list[str]:
        """Names of all files in the folder, sorted; empty where there is no folder yet."""
        return self._read(f"read {self._files}", self._files.names)

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        return self._read(f"read {name}", lambda: self._files.size(name))

    def create(self, name: str) -> PatientSegment:
        """Create a new file for appending; it must not exist."""
        file = self._patience(f"create {name}", lambda: self._files.create(name))
        return PatientSegment(file, f"{self._files}/{name}", self._patience)

    def read(self, name: str) -> bytes:
        """The whole content."""
        return self._read(f"read {name}", lambda: self._files.read(name))

    def head(self, name: str, size: int) -> bytes:
        """The first bytes, at most so many."""
        return self._read(f"read {name}", lambda: self._files.head(name, size))

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        self._patience(f"remove {name}", lambda: self._files.remove(name))

    def lock(self) -> PatientLock:
        """Take the folder for writing."""
        lock = self._patience(f"lock {self._files}", self._files.lock)
        return PatientLock(lock, self._patience)

    def _read(self, what: str, work: Callable[[], T]) -> T:
        try:
            return self._patience(what, work)
        except JournalError as error:
            raise UnreadableSourceError(str(error)) from error


class PatientScratchFile:
    """A file for this process alone."""

    __slots__ = ("_file", "_patience")

    def __init__(self, file: ScratchFile, patience: Patience) -> None:
        self._file = file
        self._patience = patience

    def append(self, data: bytes) -> None:
        """Write all of `data` behind what there is."""
        self._patience("spill", lambda: self._file.append(data))

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; less only at the end of the file."""
        return self._patience("read what was spilled", lambda: self._file.read(offset, size))

    def close(self) -> None:
        """Give its space back to the disk, now or when it answers again."""
        self._patience.let_go("give back what was spilled", self._file.close)


class PatientScratch:
    """Where what does not fit into memory may wait.

    Args:
        scratch: the folder.
        patience: how long its disk may take.
    """

    __slots__ = ("_patience", "_scratch")

    def __init__(self, scratch: Scratch, patience: Patience) -> None:
        self._scratch = scratch
        self._patience = patience

    def open(self) -> PatientScratchFile:
        """A new, empty file."""
        return PatientScratchFile(self._patience("spill", self._scratch.open), self._patience)
