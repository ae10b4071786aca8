"""What an archive does to its disk, step by step: a kill between any two leaves it readable."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path

from tapekeeper.errors import JournalError, UnreadableSourceError

PARTIAL = ".partial"
_FOLDER_MODE = 0o700


class ArchiveDisk:
    """A folder of files that appear whole or not at all.

    Args:
        root: of the archive; names of files are relative to it, with `/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._renamed: set[Path] = set()  # folders whose names are not forced to the disk yet

    def path(self, name: str) -> Path:
        """Where a file is."""
        return self.root.joinpath(*name.split("/"))

    def names(self) -> list[str]:
        """All files, half ones too, in order."""
        found = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def read(self, name: str) -> bytes | None:
        """A file's content, or None where there is none.

        Raises:
            UnreadableSourceError: the system does not give it out.
        """
        path = self.path(name)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableSourceError(f"cannot read {path}: {error.strerror}") from error

    def size(self, name: str) -> int:
        """Size of a file in bytes; 0 where there is none."""
        stamp = self.stamp(name)
        return 0 if stamp is None else stamp[2]

    def stamp(self, name: str) -> tuple[int, int, int] | None:
        """What tells a file's content from any other it had under this name; None for no file."""
        try:
            found = self.path(name).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def stage(self, name: str, data: bytes) -> Path:
        """Write a file that is not there yet under another name, forced to the disk.

        Raises:
            JournalError: the disk did not take it.
        """
        path = self.path(name + PARTIAL)
        try:
            path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            with _open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
                self.sync(file.fileno())
        except OSError as error:
            raise JournalError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    def publish(self, name: str) -> None:
        """Give a staged file its name; what had that name before is gone.

        The name is on the disk for certain after `sync_names`.

        Raises:
            JournalError: the system refused.
        """
        path = self.path(name)
        try:
            self.path(name + PARTIAL).replace(path)
        except OSError as error:
            raise JournalError(f"cannot make {path}: {error.strerror or error}") from error
        self._renamed.add(path.parent)

    def sync_names(self) -> None:
        """Force to the disk what was published, by its name and those of the folders above it."""
        folders, self._renamed = self._renamed, set()
        for folder in list(folders):
            folders.update(above for above in folder.parents if above.is_relative_to(self.root))
        for folder in sorted(folders, reverse=True):
            self.sync_folder(folder)

    def remove(self, name: str) -> None:
        """Delete a file, if it is there.

        Raises:
            JournalError: the system refused.
        """
        path = self.path(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise JournalError(f"cannot remove {path}: {error.strerror or error}") from error

    def append_line(self, path: Path, line: bytes) -> None:
        """Append a line to a file anywhere, in one write, forced to the disk.

        Half a line that a kill has left is ended first, so that this one is whole.

        Raises:
            JournalError: the disk did not take it.
        """
        try:
            with _open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as file:
                if file.seek(0, os.SEEK_END) and not _ends_a_line(file.fileno()):
                    line = b"\n" + line
                written = file.write(line + b"\n")
                self.sync(file.fileno())
            if written != len(line) + 1:
                raise JournalError(f"cannot write {path}: the system took a part of a line")
            self.sync_folder(path.parent)
        except OSError as error:
            raise JournalError(f"cannot write {path}: {error.strerror or error}") from error

    def sync(self, descriptor: int) -> None:
        """Force an open file's content to the disk."""
        os.fsync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Force the names in a folder to the disk, where the system knows how."""
        if os.name != "posix":
            return  # Windows opens no folder for this; its file system journals names by itself
        with suppress(OSError):  # some file systems cannot
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                self.sync(descriptor)
            finally:
                os.close(descriptor)


def _open(path: Path, flags: int) -> io.FileIO:
    """A file that only its owner may read, without a buffer."""
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600)
    return io.FileIO(descriptor, "r+" if flags & os.O_RDWR else "w")


def _ends_a_line(descriptor: int) -> bool:
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) == b"\n"


def sha256(data: bytes) -> str:
    """The digest that a manifest names, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
