"""Scratch files on a disk in memory, with its faults; fills `ports.Scratch`."""

from __future__ import annotations

from itertools import count

from tapekeeper.errors import JournalError
from tapekeeper.sim.memory_files import MemoryDisk


class MemoryScratch:
    """Files of one process on a `MemoryDisk`.

    Args:
        disk: what it is kept on; default: one of its own.

    Attributes:
        gives_back: whether reading works.
    """

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk = disk or MemoryDisk()
        self.gives_back = True
        self._numbers = count(1)

    def open(self) -> MemoryScratchFile:
        """A new, empty file.

        Raises:
            JournalError: the disk takes none.
        """
        name = f"scratch-{next(self._numbers)}"
        self.disk.make(name)
        return MemoryScratchFile(self, name)

    @property
    def open_files(self) -> int:
        """Files that take room now."""
        return sum(name.startswith("scratch-") for name in self.disk.content)


class MemoryScratchFile:
    """One of them."""

    __slots__ = ("_name", "_scratch")

    def __init__(self, scratch: MemoryScratch, name: str) -> None:
        self._scratch = scratch
        self._name = name

    def append(self, data: bytes) -> None:
        """Take all of `data`.

        Raises:
            JournalError: the disk does not.
        """
        self._scratch.disk.write(self._name, data)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`.

        Raises:
            JournalError: the disk does not give them back.
        """
        if not self._scratch.gives_back:
            raise JournalError("cannot read what was spilled: Input/output error")
        return bytes(self._scratch.disk.content[self._name][offset : offset + size])

    def close(self) -> None:
        """Give its room back; safe to call twice."""
        content = self._scratch.disk.content.pop(self._name, None)
        if content is not None and self._scratch.disk.room_bytes is not None:
            self._scratch.disk.room_bytes += len(content)
