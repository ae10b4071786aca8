"""A disk in memory; fills `ports.Files`. What was appended is kept, and nothing is ever lost."""

from __future__ import annotations

from tapekeeper.errors import JournalError, UnreadableSourceError


class MemorySegment:
    """A file open for appending."""

    __slots__ = ("_closed", "_content")

    def __init__(self, content: bytearray) -> None:
        self._content = content
        self._closed = False

    def append(self, data: bytes) -> None:
        """Take all of `data`.

        Raises:
            JournalError: the file is closed.
        """
        if self._closed:
            raise JournalError("cannot write a segment in memory: it is closed")
        self._content += data

    def sync(self) -> None:
        """There is no disk to wait for."""

    def close(self) -> None:
        """Close it; safe to call twice."""
        self._closed = True


class MemoryLock:
    """The right to write into a `MemoryFiles`."""

    __slots__ = ("_files",)

    def __init__(self, files: MemoryFiles) -> None:
        self._files = files

    def release(self) -> None:
        """Give it up; safe to call twice."""
        self._files.is_locked = False


class MemoryFiles:
    """A folder that lives as long as this object; it can be written, closed and read again."""

    def __init__(self) -> None:
        self._content: dict[str, bytearray] = {}  # bound: the length of a simulated run
        self.is_locked = False
        """Whether somebody writes."""

    def __str__(self) -> str:
        return "memory"

    def names(self) -> list[str]:
        """Names of all files, sorted."""
        return sorted(self._content)

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises:
            UnreadableSourceError: it is absent.
        """
        return len(self.read(name))

    def create(self, name: str) -> MemorySegment:
        """Create a new file for appending.

        Raises:
            JournalError: it exists.
        """
        if name in self._content:
            raise JournalError(f"cannot create {name} in memory: it exists")
        self._content[name] = bytearray()
        return MemorySegment(self._content[name])

    def read(self, name: str) -> bytes:
        """The whole content.

        Raises:
            UnreadableSourceError: it is absent.
        """
        content = self._content.get(name)
        if content is None:
            raise UnreadableSourceError(f"there is no {name} in memory")
        return bytes(content)

    def lock(self) -> MemoryLock:
        """Take the folder for writing.

        Raises:
            JournalError: somebody holds it.
        """
        if self.is_locked:
            raise JournalError(
                "somebody is writing the journal in memory; a journal has one writer"
            )
        self.is_locked = True
        return MemoryLock(self)
