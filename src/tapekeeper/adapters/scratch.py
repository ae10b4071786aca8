"""Files that nobody but this process sees, on a real disk; fills `ports.Scratch`.

They have no name where the system can do without (Linux), and are removed with the last handle
elsewhere, so a process that is killed leaves nothing behind.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

from tapekeeper.errors import JournalError

_FOLDER_MODE = 0o700


class TemporaryScratchFile:
    """One of them; fills `ports.ScratchFile`. Only its owner may read it."""

    __slots__ = ("_file", "_folder", "_size")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Without a buffer in this process: chunks are large, and memory is what is short.
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - the owner closes it
        self._size = 0

    def append(self, data: bytes) -> None:
        """Write all of `data` behind what there is.

        Raises:
            JournalError: the disk did not take all of it.
        """
        try:
            self._file.seek(self._size)
            left = memoryview(data)
            while left:
                # A short write names no reason; asking for the rest brings it to light.
                left = left[self._file.write(left) :]
        except OSError as error:
            raise JournalError(f"cannot spill in {self._folder}: {_why(error)}") from error
        self._size += len(data)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; less only at the end of the file.

        Raises:
            JournalError: the disk did not give them back.
        """
        pieces: list[bytes] = []
        try:
            self._file.seek(offset)
            while size:
                piece = self._file.read(size)
                if not piece:
                    break
                pieces.append(piece)
                size -= len(piece)
        except OSError as error:
            raise JournalError(f"cannot read what was spilled: {_why(error)}") from error
        return b"".join(pieces)

    def close(self) -> None:
        """Give its space back to the disk; safe to call twice."""
        self._file.close()


class FolderScratch:
    """Files in a folder, which is made when the first is wanted.

    Args:
        path: the folder.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)

    def open(self) -> TemporaryScratchFile:
        """A new, empty file.

        Raises:
            JournalError: it cannot be made.
        """
        try:
            self._path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            return TemporaryScratchFile(self._path)
        except OSError as error:
            raise JournalError(f"cannot spill in {self._path}: {_why(error)}") from error


def _why(error: OSError) -> str:
    return error.strerror or os.strerror(error.errno or 0)
