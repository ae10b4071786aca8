"""A folder on a real disk, for the journal: `ports.Files` over the operating system.

Appends go straight to the operating system, without a buffer in this process, so what was
appended survives the death of the process (not of the machine; that takes `sync`).
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.errors import JournalError, UnreadableSourceError

LOCK_NAME = "journal.lock"
"""The file that is locked while somebody writes; it stays behind, empty of meaning."""

_FILE_MODE = 0o600  # frames of the user hub tell of accounts and orders
_FOLDER_MODE = 0o700
_CREATE_FLAGS = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | os.O_APPEND
    | getattr(os, "O_BINARY", 0)  # Windows would translate line ends
)
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
_PID_BYTES_MAX = 32
LOOK_NS = 1_000_000_000
"""Between two looks whether an open file is still where it was made. A system goes on taking what
is written to one that was removed, or whose disk was unmounted: nobody would find it again."""

_TRIAL = bytes(4096)
"""A block, which a full disk refuses; less may fit into what a file has already."""

if sys.platform == "win32":
    import msvcrt

    # Windows forbids others to read a locked byte, and the process id is to be read: so a byte
    # far behind it is locked. It need not exist.
    _LOCKED_BYTE = 1 << 20

    def _force(descriptor: int) -> None:
        """Force a file to the disk (FlushFileBuffers, which flushes the drive as well)."""
        os.fsync(descriptor)

    def _force_name(path: Path) -> None:
        """Windows has no way to force a folder; NTFS journals its entries in order."""

    def _forget(descriptor: int) -> None:
        """Windows has no such advice."""

    def _try_lock(descriptor: int) -> None:
        """Lock for this open file alone; OSError if somebody holds it."""
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from error
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    _FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)

    def _force(descriptor: int) -> None:
        """Force a file to the disk; on macOS out of the drive's own cache, too."""
        if _FULL_SYNC is not None:
            try:
                fcntl.fcntl(descriptor, _FULL_SYNC)
            except OSError as error:
                # Network and foreign file systems do not have it.
                if error.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:
                    raise
            else:
                return
        os.fsync(descriptor)

    def _force_name(path: Path) -> None:
        """Force the folder's entry of a file to the disk, without which the file is not found."""
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError as error:
            # Some network file systems do this by themselves, and refuse to be asked.
            if error.errno not in {errno.ENOTSUP, errno.EINVAL}:
                raise
        finally:
            os.close(folder)

    def _forget(descriptor: int) -> None:
        """Let what was synced leave memory: who reads it back is to see what the disk has."""
        advise: Callable[[int, int, int, int], None] | None = getattr(os, "posix_fadvise", None)
        if advise is not None:  # macOS has none
            with suppress(OSError):
                advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def _try_lock(descriptor: int) -> None:
        """Lock for this open file alone; BlockingIOError if somebody holds it."""
        # flock belongs to the open file: closing another descriptor of the same file does not
        # drop it, as it would with fcntl's POSIX locks.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderSegmentFile:
    """A file open for appending; fills `ports.SegmentFile`."""

    __slots__ = (
        "_clock",
        "_descriptor",
        "_is_closing",
        "_is_named",
        "_looked_ns",
        "_path",
        "_syncing",
        "_unsynced",
    )

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor: int | None = descriptor
        self._path = path
        self._is_closing = False
        self._clock = SystemClock()
        self._looked_ns = self._clock.monotonic_ns()
        self._is_named = False
        self._unsynced = ""
        self._syncing = Lock()

    def append(self, data: bytes) -> None:
        """Hand all of `data` to the operating system, in one write as long as it takes it whole.

        Raises:
            JournalError: it did not take all of it; a part of it may be in the file. Or the file is
                not in its folder any more.
        """
        descriptor = self._open_descriptor()
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._looked_ns >= LOOK_NS:
            self._looked_ns = now_ns
            self._look(descriptor)
        try:
            written = os.write(descriptor, data)
            # A short write names no reason; asking for the rest brings it to light.
            while written < len(data):
                more = os.write(descriptor, memoryview(data)[written:])
                if more == 0:
                    raise JournalError(f"cannot write {self._path}: the system takes no more bytes")
                written += more
        except OSError as error:
            raise JournalError(f"cannot write {self._path}: {_why(error)}") from error

    def _look(self, descriptor: int) -> None:
        try:
            there, ours = self._path.stat(), os.fstat(descriptor)
        except OSError as error:
            raise JournalError(f"{self._path} has vanished: {_why(error)}") from error
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise JournalError(f"{self._path} has vanished: another file is in its place")

    def sync(self) -> None:
        """Force what was appended to the disk, and with the first time the file's name.

        May be called in another thread than the rest.

        Raises:
            JournalError: the disk did not confirm it, now or ever before: what it could not write
                the system has forgotten, and a second answer would not speak of it.
        """
        try:
            with self._syncing:
                self._sync()
        finally:
            if self._is_closing:
                # Nobody is there to hear of it, and what was to be confirmed is.
                with suppress(JournalError):
                    self._close_unless_syncing()

    def _sync(self) -> None:
        if self._unsynced:
            raise JournalError(self._unsynced)
        descriptor = self._open_descriptor()
        try:
            _force(descriptor)
            if not self._is_named:
                _force_name(self._path)
                self._is_named = True
        except OSError as error:
            self._unsynced = f"cannot sync {self._path}: {_why(error)}"
            raise JournalError(self._unsynced) from error

    def close(self) -> None:
        """Close the file; safe to call twice. A thread that syncs it does so when it is done.

        Raises:
            JournalError: the system reports on closing that a write failed.
        """
        # Said first: either we find nobody syncing, or who does finds this behind it.
        self._is_closing = True
        self._close_unless_syncing()

    def _close_unless_syncing(self) -> None:
        # Not under a thread that syncs: its number may be another file's by then.
        if not self._syncing.acquire(blocking=False):
            return
        try:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None:
                return
            try:
                if self._is_named:
                    _forget(descriptor)
                os.close(descriptor)
            except OSError as error:
                raise JournalError(f"cannot close {self._path}: {_why(error)}") from error
        finally:
            self._syncing.release()

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise JournalError(f"cannot write {self._path}: it is closed")
        return self._descriptor


class LockedFolder:
    """The held lock of a folder; fills `ports.FolderLock`. The system frees it on death."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give it up; safe to call twice."""
        # The file is not removed: somebody may have opened it already, and would then hold a
        # lock on a file that the next one does not find.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class FolderFiles:
    """The files of one folder; fills `ports.Files`. The folder is made on first writing.

    Args:
        path: the folder; need not exist to be read as empty or to be written.
    """

    __slots__ = ("path",)

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        """Names of all files in the folder, sorted; empty where there is no folder yet.

        Raises:
            UnreadableSourceError: it is not a folder, or may not be read.
        """
        try:
            with os.scandir(self.path) as found:
                return sorted(item.name for item in found if item.is_file())
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise UnreadableSourceError(f"{self.path} is not a folder") from error
        except OSError as error:
            raise UnreadableSourceError(f"cannot read {self.path}: {_why(error)}") from error

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises:
            UnreadableSourceError: it is absent or may not be read.
        """
        path = self.path / name
        try:
            return path.stat().st_size
        except OSError as error:
            raise UnreadableSourceError(f"cannot read {path}: {_why(error)}") from error

    def create(self, name: str) -> FolderSegmentFile:
        """Create a new file for appending; only its owner may read it.

        Raises:
            JournalError: it exists, or cannot be made.
        """
        path = self.path / name
        self._make_folder()
        try:
            return FolderSegmentFile(os.open(path, _CREATE_FLAGS, _FILE_MODE), path)
        except OSError as error:
            raise JournalError(f"cannot create {path}: {_why(error)}") from error

    def read(self, name: str) -> bytes:
        """The whole content.

        Raises:
            UnreadableSourceError: it is absent or may not be read.
        """
        # Not mapped: a mapped file that shrinks kills the reader with SIGBUS.
        path = self.path / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise UnreadableSourceError(f"cannot read {path}: {_why(error)}") from error

    def head(self, name: str, size: int) -> bytes:
        """The first bytes, at most so many.

        Raises:
            UnreadableSourceError: it is absent or may not be read.
        """
        path = self.path / name
        try:
            with path.open("rb") as file:
                return file.read(size)
        except OSError as error:
            raise UnreadableSourceError(f"cannot read {path}: {_why(error)}") from error

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no error.

        Raises:
            JournalError: the system refuses, as Windows does while somebody reads it.
        """
        path = self.path / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise JournalError(f"cannot remove {path}: {_why(error)}") from error

    def lock(self) -> LockedFolder:
        """Take the folder for writing, alone among all processes of this computer.

        Raises:
            JournalError: somebody else holds it, it cannot be locked, or the folder takes no
                new file.
        """
        self._make_folder()
        path = self.path / LOCK_NAME
        try:
            descriptor = os.open(path, _LOCK_FLAGS, _FILE_MODE)
        except OSError as error:
            raise JournalError(f"cannot open {path}: {_why(error)}") from error
        try:
            _try_lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        except BlockingIOError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise JournalError(
                f"{holder} is writing the journal in {self.path}; a journal has one writer"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"cannot lock {path}: {_why(error)}") from error
        lock = LockedFolder(descriptor)
        # The lock may stand in a folder that has become read-only, or on a full disk.
        try:
            with tempfile.TemporaryFile(dir=self.path) as trial:
                trial.write(_TRIAL)
                trial.flush()
        except OSError as error:
            lock.release()
            raise JournalError(f"cannot write in {self.path}: {_why(error)}") from error
        return lock

    def _make_folder(self) -> None:
        try:
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            for folder in made:
                _force_name(folder)
        except FileExistsError as error:
            raise JournalError(f"{self.path} is not a folder") from error
        except OSError as error:
            raise JournalError(f"cannot make the folder {self.path}: {_why(error)}") from error


def _holder(descriptor: int) -> str:
    text = os.read(descriptor, _PID_BYTES_MAX).decode("ascii", "replace").strip()
    return f"process {text}" if text.isdecimal() else "another process"


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
