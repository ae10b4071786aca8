"""What becomes of a journal whose disk takes nothing: the policies, over real file systems."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tapekeeper.adapters import files as adapters_files
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import Entry, EntryKind, Position
from tapekeeper.errors import JournalError
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.shedding import RETRY_NS, FailurePolicy, ShedStatistics
from tapekeeper.sim.memory_files import MemoryDisk, MemoryFiles


def frame(number: int, size: int = 20) -> list[Entry]:
    """A burst of one frame, which came at second `number`."""
    return [Entry(EntryKind.FRAME, 1, number * RETRY_NS, b"%020d" % number + bytes(size - 20))]


def shedding(files: FolderFiles | MemoryFiles) -> Journaler:
    """A journal that may shed, and repeats in front what its entries depend on."""
    journaler = Journaler(files, created_ns=1, on_failure=FailurePolicy.SHED)
    journaler.begin_each_with(lambda now_ns: [Entry(EntryKind.META, 0, now_ns, b"known")])
    return journaler


def test_it_goes_on_and_begins_a_run_when_it_can() -> None:
    """Nothing is torn but what was being written, and every later burst is there or counted."""
    disk = MemoryDisk()
    files = MemoryFiles(disk)
    journaler = shedding(files)
    told: list[ShedStatistics] = []
    journaler.on_shed(told.append)
    journaler.append(frame(1))
    disk.room_bytes = 5
    for number in range(2, 6):
        journaler.append(frame(number))
    assert journaler.statistics().shed == ShedStatistics(
        "cannot write in memory: No space left on device", 2 * RETRY_NS, 1, 4, 80
    )
    disk.heal()
    for number in range(6, 9):
        journaler.append(frame(number))
    journaler.close()
    assert [bool(each.reason) for each in told] == [True, False]
    found = journaler.statistics()
    assert found.shed == ShedStatistics("", 0, 1, 4, 80)
    assert found.entries == 4
    reader = JournalReader(files)
    read = [(reader.run, entry.ts_ns // RETRY_NS, entry.kind) for entry in reader]
    assert read == [
        (1, 1, EntryKind.FRAME),
        (2, 6, EntryKind.META),
        *((2, number, EntryKind.FRAME) for number in (6, 7, 8)),
    ]
    assert [problem.expected for problem in reader.problems] == [True]
    assert found.synced.durable == Position(2, 4)


def test_it_tries_again_once_a_second_and_not_for_every_burst() -> None:
    """A disk that is in trouble is not asked thousands of times."""
    disk = MemoryDisk()
    journaler = shedding(MemoryFiles(disk))
    journaler.append(frame(1))
    disk.is_broken = True
    for each in range(1_000):
        journaler.append([Entry(EntryKind.FRAME, 1, 2 * RETRY_NS + each * RETRY_NS // 250)])
    assert len(disk.refusals) == 4
    assert journaler.statistics().shed.entries == 1_000


def test_a_clock_that_was_set_back_does_not_put_it_off() -> None:
    """The interval is of the host's clock, which may step."""
    disk = MemoryDisk()
    journaler = shedding(MemoryFiles(disk))
    disk.is_broken = True
    journaler.append(frame(10_000))
    disk.heal()
    journaler.append(frame(5))
    assert journaler.statistics().shed.reason == ""


def test_a_second_failure_is_shed_like_the_first() -> None:
    """As often as it happens."""
    disk = MemoryDisk()
    files = MemoryFiles(disk)
    journaler = shedding(files)
    for number in range(0, 40, 4):
        journaler.append(frame(number))
        disk.is_broken = True
        journaler.append(frame(number + 1))
        disk.heal()
        journaler.append(frame(number + 2))
    journaler.close()
    assert journaler.statistics().shed.times == 10
    reader = JournalReader(files)
    assert [e.ts_ns // RETRY_NS for e in reader if e.kind is EntryKind.FRAME] == [
        number for number in range(40) if number % 4 in {0, 2}
    ]
    assert reader.problems == []


def test_a_sync_that_failed_is_shed_too() -> None:
    """What the disk did not confirm is given up, and the watermark is of the run behind it."""
    disk = MemoryDisk()
    files = MemoryFiles(disk)
    journaler = Journaler(files, created_ns=1, segment_bytes_max=100, on_failure=FailurePolicy.SHED)
    disk.syncs_fail = 1
    for number in range(1, 6):
        journaler.append(frame(number))
    assert journaler.statistics().shed.times == 1
    journaler.close()
    assert journaler.statistics().synced.durable.segment > 2


def test_a_bug_is_never_shed() -> None:
    """What cannot be encoded is no trouble of a disk."""
    journaler = shedding(MemoryFiles())
    with pytest.raises(ValueError, match="at most"):
        journaler.append([Entry(EntryKind.FRAME, 1, 1, bytes(70 << 20))])


def test_a_closed_journal_refuses_by_any_policy() -> None:
    """There is nobody left who could say what was shed."""
    journaler = shedding(MemoryFiles())
    journaler.close()
    with pytest.raises(JournalError, match="closed"):
        journaler.append(frame(1))


def test_an_end_without_recording_is_a_failure() -> None:
    """It is not over in order."""
    disk = MemoryDisk()
    journaler = shedding(MemoryFiles(disk))
    journaler.append(frame(1))
    disk.is_broken = True
    journaler.append(frame(2))
    with pytest.raises(JournalError, match="nothing was recorded at the end: cannot write"):
        journaler.close()
    assert not disk.is_locked


# --- real file systems --------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of one megabyte."""
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None:
        pytest.skip("only Linux mounts a small file system for a test")
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"a file system cannot be mounted here: {made.stderr.strip()}")
    try:
        yield disk
    finally:
        while disk.is_mount():  # a test that fails may leave what it put over it
            _unmount(disk)


def _unmount(disk: Path) -> None:
    subprocess.run([shutil.which("umount") or "umount", "--lazy", str(disk)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run([shutil.which("mount") or "mount", *arguments], check=True)


@pytest.mark.parametrize("policy", FailurePolicy)
def test_full_disk(small_disk: Path, policy: FailurePolicy) -> None:
    """A real one that has no room left: stop with its words, or go on when there is room again."""
    files = FolderFiles(small_disk / "journal")
    journaler = Journaler(files, created_ns=1, on_failure=policy)
    journaler.append(frame(1))
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        _fill(file)
    _judge(journaler, files, policy, "No space left on device", ballast.unlink)


def _fill(file: io.FileIO) -> None:
    while True:
        file.write(bytes(65_536))


@pytest.mark.parametrize("policy", FailurePolicy)
def test_disk_that_became_read_only(small_disk: Path, policy: FailurePolicy) -> None:
    """As a system makes it that has found an error: noticed at the next segment, and named."""
    files = FolderFiles(small_disk / "journal")
    journaler = Journaler(files, created_ns=1, segment_bytes_max=100, on_failure=policy)
    journaler.append(frame(1))
    # Laid over itself, because what is open for writing cannot be made read-only by hand.
    _mount("--bind", str(small_disk), str(small_disk))
    _mount("-o", "remount,bind,ro", str(small_disk))
    _judge(journaler, files, policy, "Read-only file system", lambda: _unmount(small_disk))


@pytest.mark.parametrize("policy", FailurePolicy)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps what is open from being moved")
def test_folder_that_vanished(tmp_path: Path, policy: FailurePolicy) -> None:
    """As with a disk that was pulled out: it is noticed at the next segment, and named."""
    files = FolderFiles(tmp_path / "journal")
    journaler = Journaler(files, created_ns=1, segment_bytes_max=100, on_failure=policy)
    journaler.append(frame(1))
    files.path.rename(tmp_path / "away")
    files.path.write_text("in the way")

    def back() -> None:
        files.path.unlink()
        (tmp_path / "away").rename(files.path)

    _judge(journaler, files, policy, "is not a folder", back)


@pytest.mark.parametrize("policy", FailurePolicy)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps what is open from being removed")
def test_folder_that_was_removed(
    tmp_path: Path, policy: FailurePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system would take what is written to it, and nobody would find it: noticed in a second.

    Going on begins a journal anew, in a folder made anew.
    """
    monkeypatch.setattr(adapters_files, "LOOK_NS", 0)
    files = FolderFiles(tmp_path / "journal")
    journaler = Journaler(files, created_ns=1, on_failure=policy)
    journaler.append(frame(1))
    shutil.rmtree(files.path)
    if policy is FailurePolicy.STOP:
        with pytest.raises(JournalError, match=r"000001\.tkj has vanished: No such file"):
            journaler.append(frame(2))
        return
    journaler.append(frame(2))
    assert "has vanished" in journaler.statistics().shed.reason
    journaler.append(frame(9))
    journaler.close()
    assert [entry.ts_ns // RETRY_NS for entry in JournalReader(files)] == [9]


@pytest.mark.parametrize("policy", FailurePolicy)
def test_disk_that_was_unmounted(
    small_disk: Path, policy: FailurePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where the folder of before shows again behind it."""
    monkeypatch.setattr(adapters_files, "LOOK_NS", 0)
    files = FolderFiles(small_disk / "journal")
    journaler = Journaler(files, created_ns=1, on_failure=policy)
    journaler.append(frame(1))
    # Hidden behind another disk, and shown again.
    _mount("-t", "tmpfs", "tmpfs", str(small_disk))
    _judge(journaler, files, policy, "has vanished: No such file", lambda: _unmount(small_disk))


@pytest.mark.parametrize("policy", FailurePolicy)
@pytest.mark.parametrize(
    "number", ["EIO", "ENOENT", "ESTALE", "ENODEV", "EROFS", "ENOSPC", "EDQUOT"]
)
def test_every_way_in_which_a_disk_is_lost_is_named(
    tmp_path: Path, policy: FailurePolicy, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the system's words, and by the policy."""
    code = getattr(errno, number, None)
    if code is None:
        pytest.skip(f"this system has no {number}")
    files = FolderFiles(tmp_path / "journal")
    journaler = Journaler(files, created_ns=1, on_failure=policy)
    journaler.append(frame(1))

    def lost(_descriptor: int, _data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", lost)
    _judge(journaler, files, policy, os.strerror(code), monkeypatch.undo)


def _judge(
    journaler: Journaler,
    files: FolderFiles,
    policy: FailurePolicy,
    reason: str,
    heal: Callable[[], object],
) -> None:
    """Append where nothing fits, heal, and see what was recorded."""
    noise = bytes(hash((number, 1)) % 251 for number in range(20_000))
    burst = [Entry(EntryKind.FRAME, 1, 2 * RETRY_NS, noise)]
    if policy is FailurePolicy.STOP:
        with pytest.raises(JournalError, match=reason):
            journaler.append(burst)
        heal()
        with pytest.raises(JournalError, match=reason):
            journaler.append(frame(9))
        journaler.close()
        numbers = [1]
    else:
        journaler.append(burst)
        assert reason in journaler.statistics().shed.reason
        assert journaler.statistics().shed.reason
        heal()
        journaler.append(frame(9))
        assert journaler.statistics().shed.reason == ""
        journaler.close()
        numbers = [1, 9]
    reader = JournalReader(files)
    assert [entry.ts_ns // RETRY_NS for entry in reader] == numbers
    assert all(problem.expected for problem in reader.problems)
