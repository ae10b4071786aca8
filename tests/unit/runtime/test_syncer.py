"""Sealed segments reach the disk beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.errors import JournalError
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.syncer import WAITING_MAX, Syncer


class Disk:
    """Files that note what is done to them, and threads that run when this test says so."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.refuses = False
        self.may_run = asyncio.Event()
        self.asked = asyncio.Event()

    async def in_thread(self, work: Callable[[], None]) -> None:
        """Call it once it may run."""
        self.asked.set()
        await self.may_run.wait()
        work()


class Segment:
    """One sealed segment."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.disk = disk
        self.name = name
        self.closed = False

    def append(self, data: bytes) -> None:
        """Nobody writes a sealed segment."""
        raise AssertionError(data)

    def sync(self) -> None:
        """Note it, or refuse."""
        if self.closed or self.disk.refuses:
            raise JournalError(f"{self.name} cannot be synced")
        self.disk.done.append(f"sync {self.name}")

    def close(self) -> None:
        """Note it."""
        self.closed = True
        self.disk.done.append(f"close {self.name}")


async def running(disk: Disk, syncer: Syncer, act: Callable[[], None]) -> None:
    """Run the task, let it ask for a thread, act, and let the threads run."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(syncer.run())
        await disk.asked.wait()
        act()
        disk.may_run.set()
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()


@pytest.mark.asyncio
async def test_segments_are_synced_in_order_and_then_closed() -> None:
    """The caller is not kept; what it seals meanwhile comes next."""
    disk = Disk()
    syncer = Syncer(disk.in_thread)
    syncer(Segment(disk, "1"))
    await running(disk, syncer, lambda: syncer(Segment(disk, "2")))
    assert disk.done == ["sync 1", "close 1", "sync 2", "close 2"]


@pytest.mark.asyncio
async def test_a_sync_that_fails_ends_the_task() -> None:
    """If the journal cannot accept, stop loudly."""
    disk = Disk()
    disk.refuses = True
    syncer = Syncer(disk.in_thread)
    syncer(Segment(disk, "1"))
    with pytest.raises(ExceptionGroup) as caught:
        await running(disk, syncer, lambda: None)
    assert caught.group_contains(JournalError, match="1 cannot be synced")


@pytest.mark.asyncio
async def test_what_the_end_has_synced_is_nobodys_failure() -> None:
    """A thread that comes too late finds the file closed, after it was synced."""
    disk = Disk()
    syncer = Syncer(disk.in_thread)
    syncer(Segment(disk, "1"))
    await running(disk, syncer, syncer.finish)
    assert disk.done == ["sync 1", "close 1"]


@pytest.mark.asyncio
async def test_a_disk_that_is_behind_is_waited_for() -> None:
    """No more segments wait than the bound says."""
    disk = Disk()
    syncer = Syncer(disk.in_thread)
    for number in range(WAITING_MAX):
        syncer(Segment(disk, str(number)))
    assert disk.done == []
    syncer(Segment(disk, "last"))
    assert disk.done[-1] == f"close {WAITING_MAX - 1}"
    syncer.finish()
    assert disk.done[-1] == "close last"


@pytest.mark.asyncio
async def test_a_journal_leaves_a_full_segment_to_it_and_the_end_to_nobody(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Rotation does not sync; when the journal is closed everything is."""
    disk = Disk()
    syncer = Syncer(disk.in_thread)
    files = FolderFiles(tmp_path_factory.mktemp("journal"))
    journaler = Journaler(files, created_ns=1, segment_bytes_max=200, settle=syncer)
    for number in range(4):
        journaler.append([Entry(EntryKind.FRAME, 1, number, b"x" * 50)])
    assert journaler.statistics().segments > 1
    assert syncer.waiting == journaler.statistics().segments - 1
    journaler.close()
    assert syncer.waiting == 0
