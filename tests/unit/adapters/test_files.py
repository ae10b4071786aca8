"""A folder of segments on the real disk."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tapekeeper.adapters import files as files_module
from tapekeeper.adapters.files import LOCK_NAME, FolderFiles, FolderSegmentFile
from tapekeeper.errors import JournalError, UnreadableSourceError

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and devices")


def is_root() -> bool:
    """Whether permissions do not bind this process."""
    return sys.platform != "win32" and os.geteuid() == 0


def test_appends_are_kept_byte_for_byte(tmp_path: Path) -> None:
    """What is appended is what is read, line ends and control bytes included."""
    files = FolderFiles(tmp_path)
    file = files.create("a.tkj")
    every_byte = bytes(range(256)) + b"\r\n\x1a"
    file.append(every_byte)
    file.append(b"")
    file.append(b"more")
    assert files.read("a.tkj") == every_byte + b"more"
    assert files.size("a.tkj") == len(every_byte) + 4
    file.sync()
    file.close()


def test_folder_is_made_on_first_writing_only(tmp_path: Path) -> None:
    """Reading an absent folder finds nothing and leaves nothing; writing makes it."""
    files = FolderFiles(tmp_path / "deep" / "journal")
    assert files.names() == []
    assert not files.path.exists()
    files.create("a.tkj").close()
    assert files.names() == ["a.tkj"]


def test_names_are_files_in_order(tmp_path: Path) -> None:
    """Names come sorted, and folders are not files."""
    files = FolderFiles(str(tmp_path))
    for name in ("b", "c", "a"):
        files.create(name).close()
    (tmp_path / "folder").mkdir()
    assert files.names() == ["a", "b", "c"]


def test_existing_file_is_never_reopened(tmp_path: Path) -> None:
    """A file that exists is not appended to or cut."""
    files = FolderFiles(tmp_path)
    (tmp_path / "a.tkj").write_bytes(b"old")
    with pytest.raises(JournalError, match=r"cannot create .*a\.tkj: File exists"):
        files.create("a.tkj")
    assert files.read("a.tkj") == b"old"


def test_str_names_the_place(tmp_path: Path) -> None:
    """`str()` says where the folder is, for sentences to people."""
    assert str(FolderFiles(tmp_path)) == str(tmp_path)


def test_closed_file_refuses(tmp_path: Path) -> None:
    """A closed file takes nothing, and closing again is harmless."""
    file = FolderFiles(tmp_path).create("a.tkj")
    file.close()
    file.close()
    with pytest.raises(JournalError, match="it is closed"):
        file.append(b"late")
    with pytest.raises(JournalError, match="it is closed"):
        file.sync()


def test_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    """A path that is a file gives a sentence for reading and for writing."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    files = FolderFiles(path)
    with pytest.raises(UnreadableSourceError, match=r"not a folder|cannot read"):
        files.names()
    with pytest.raises(JournalError, match="is not a folder"):
        files.lock()
    with pytest.raises(JournalError, match=r"cannot make the folder|is not a folder"):
        FolderFiles(path / "below").lock()


def test_absent_file_is_named(tmp_path: Path) -> None:
    """A file that is not there gives a sentence with its path."""
    files = FolderFiles(tmp_path)
    with pytest.raises(UnreadableSourceError, match=r"cannot read .*gone: \w+"):
        files.read("gone")
    with pytest.raises(UnreadableSourceError, match=r"cannot read .*gone: \w+"):
        files.size("gone")


@POSIX_ONLY
@pytest.mark.skipif(is_root(), reason="permissions do not bind root")
def test_forbidden_folder_is_named(tmp_path: Path) -> None:
    """A folder without permission gives a sentence that says so, for reading and writing."""
    files = FolderFiles(tmp_path / "closed")
    files.path.mkdir(mode=0)
    with pytest.raises(UnreadableSourceError, match="Permission denied"):
        files.names()
    with pytest.raises(JournalError, match="Permission denied"):
        files.lock()


def test_impossible_folder_is_named(tmp_path: Path) -> None:
    """A path that the system refuses gives a sentence, for reading and for writing."""
    files = FolderFiles(tmp_path / ("x" * 5_000))
    with pytest.raises(UnreadableSourceError, match="cannot read"):
        files.names()
    with pytest.raises(JournalError, match="cannot make the folder"):
        files.create("a.tkj")


@POSIX_ONLY
def test_only_the_owner_may_read(tmp_path: Path) -> None:
    """Journals tell of accounts and orders, so nobody else can read them."""
    files = FolderFiles(tmp_path / "journal")
    files.create("a.tkj").close()
    assert files.path.stat().st_mode & 0o077 == 0
    assert (files.path / "a.tkj").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_full_disk_is_named() -> None:
    """A full disk is an error with the system's reason, at the write that hits it."""
    path = Path("/dev/full")
    file = FolderSegmentFile(os.open(path, os.O_WRONLY), path)
    with pytest.raises(JournalError, match="cannot write /dev/full: No space left on device"):
        file.append(b"too much")
    file.close()


@POSIX_ONLY
def test_partial_write_is_not_success() -> None:
    """Where the system takes a part and then no more, the append fails with the reason."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    file = FolderSegmentFile(write_end, Path("pipe"))
    with pytest.raises(JournalError, match="cannot write pipe: Resource temporarily unavailable"):
        file.append(bytes(10_000_000))
    file.close()
    os.close(read_end)


@POSIX_ONLY
def test_failing_sync_and_close_are_named(tmp_path: Path) -> None:
    """Where the system cannot sync or close, that is said and not passed over."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    pipe = FolderSegmentFile(write_end, tmp_path / "pipe")
    with pytest.raises(JournalError, match=r"cannot sync .*pipe: Invalid argument"):
        pipe.sync()
    os.close(write_end)
    with pytest.raises(JournalError, match=r"cannot close .*pipe: Bad file descriptor"):
        pipe.close()


def test_lock_has_one_holder(tmp_path: Path) -> None:
    """Of two who want the folder one gets it, and the other is told who has it."""
    files = FolderFiles(tmp_path)
    lock = files.lock()
    with pytest.raises(JournalError, match=f"process {os.getpid()} is writing the journal"):
        FolderFiles(tmp_path).lock()
    lock.release()
    lock.release()
    FolderFiles(tmp_path).lock().release()


def test_lock_file_without_a_number_is_no_puzzle(tmp_path: Path) -> None:
    """A holder that has not written its number yet is "another process"."""
    files = FolderFiles(tmp_path)
    lock = files.lock()
    (tmp_path / LOCK_NAME).write_bytes(b"\xff?")
    with pytest.raises(JournalError, match=r"^another process is writing"):
        files.lock()
    lock.release()


def test_stale_lock_file_does_not_lock(tmp_path: Path) -> None:
    """The lock is the system's, not the file: what a dead process left keeps nobody out."""
    (tmp_path / LOCK_NAME).write_text("12345678901234567890")
    lock = FolderFiles(tmp_path).lock()
    assert (tmp_path / LOCK_NAME).read_text() == str(os.getpid())
    lock.release()


def test_death_frees_the_lock(tmp_path: Path) -> None:
    """A killed holder holds nothing."""
    holder = (
        "import sys; from tapekeeper.adapters.files import FolderFiles;"
        "lock = FolderFiles(sys.argv[1]).lock(); print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(JournalError, match=f"process {child.pid} is writing"):
            FolderFiles(tmp_path).lock()
        child.kill()
    FolderFiles(tmp_path).lock().release()


@POSIX_ONLY
def test_folder_that_cannot_hold_a_lock_is_named(tmp_path: Path) -> None:
    """A lock file that cannot be opened gives a sentence with its path."""
    (tmp_path / LOCK_NAME).mkdir()
    with pytest.raises(JournalError, match=r"cannot open .*journal\.lock: Is a directory"):
        FolderFiles(tmp_path).lock()


@POSIX_ONLY
@pytest.mark.skipif(is_root(), reason="permissions do not bind root")
def test_folder_that_takes_no_new_file_is_not_locked(tmp_path: Path) -> None:
    """A lock file of old does not hide that the folder has become read-only."""
    FolderFiles(tmp_path).lock().release()
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(JournalError, match=r"cannot write in .*: Permission denied"):
            FolderFiles(tmp_path).lock()
    finally:
        tmp_path.chmod(0o700)
    FolderFiles(tmp_path).lock().release()


FULL = """
import resource, sys
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.errors import JournalError
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
files = FolderFiles(sys.argv[1])
for _ in range(2):
    try:
        files.lock()
    except JournalError as error:
        print(error)
"""


@POSIX_ONLY
def test_folder_without_room_is_not_locked(tmp_path: Path) -> None:
    """Where the system takes no block, the reason is given and the lock is free again."""
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"cannot write in {tmp_path}: File too large\n" * 2
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]


@POSIX_ONLY
def test_lock_that_cannot_be_written_is_not_held(tmp_path: Path) -> None:
    """Where locking fails for another reason than a holder, that reason is given."""
    os.mkfifo(tmp_path / LOCK_NAME)
    with pytest.raises(JournalError, match=r"cannot lock .*journal\.lock: Invalid argument"):
        FolderFiles(tmp_path).lock()


@POSIX_ONLY
def test_sync_forces_the_file_and_once_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is on the disk and in no folder cannot be found; neither can a new folder."""
    forced: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        real(descriptor)
        forced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(files_module, "_FULL_SYNC", None)
    file = FolderFiles(tmp_path / "new" / "journal").create("a.tkj")
    assert forced == ["folder", "folder"]
    file.append(b"x")
    file.sync()
    assert forced[2:] == ["file", "folder"]
    file.sync()
    assert forced[4:] == ["file"]
    file.close()


@POSIX_ONLY
def test_failed_sync_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells of a lost page once; a file that was told of it is never synced again."""

    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = FolderFiles(tmp_path).create("a.tkj")
    with monkeypatch.context() as patch:
        patch.setattr(files_module, "_force", fails)
        with pytest.raises(JournalError, match=r"cannot sync .*a\.tkj: Input/output error"):
            file.sync()
    with pytest.raises(JournalError, match=r"cannot sync .*a\.tkj: Input/output error"):
        file.sync()
    file.close()
