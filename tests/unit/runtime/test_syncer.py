"""Sealed segments reach the disk beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import Ending, Entry, EntryKind, Position, scan, segment_name
from tapekeeper.errors import JournalError
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.slowness import DiskLimits, DiskState, Slowness
from tapekeeper.runtime.syncer import WAITING_MAX, Mark, SyncAtOnce, Syncer, SyncStatistics
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

LIMITS = DiskLimits(1.0, 10.0)


class Disk:
    """Files that note what is done to them, and threads that run when this test says so."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.told: list[tuple[str, object]] = []
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


class SlowClock:
    """Every look at it finds two seconds gone; waits end at once. Fills `ports.Clock`."""

    def __init__(self) -> None:
        self.ns = 0
        self.waits: list[float] = []

    def now_ns(self) -> int:
        """As late."""
        return self.ns

    def monotonic_ns(self) -> int:
        """Later."""
        self.ns += 2_000_000_000
        return self.ns

    async def sleep_s(self, delay_s: float) -> None:
        """Not long."""
        self.waits.append(delay_s)
        await asyncio.sleep(0)


def made(disk: Disk, every_s: float | None = None) -> Syncer:
    """A syncer whose log goes to the disk's notes."""

    def log(event: str, /, **fields: object) -> None:
        disk.told.append((event, fields["state"]))

    clock = SlowClock()
    slowness = Slowness("syncs", LIMITS, clock=clock, log=log)
    return Syncer(disk.in_thread, clock=clock, slowness=slowness, every_s=every_s)


def mark(segment: int, entries: int = 1) -> Mark:
    """A place in the journal."""
    return Mark(Position(segment, entries), segment * 1_000 + entries)


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
    syncer = made(disk)
    syncer(Segment(disk, "1"), mark(1))
    await running(disk, syncer, lambda: syncer(Segment(disk, "2"), mark(2)))
    assert disk.done == ["sync 1", "close 1", "sync 2", "close 2"]


@pytest.mark.asyncio
async def test_a_sync_that_fails_ends_the_task() -> None:
    """If the journal cannot accept, stop loudly."""
    disk = Disk()
    disk.refuses = True
    syncer = made(disk)
    syncer(Segment(disk, "1"), mark(1))
    with pytest.raises(ExceptionGroup) as caught:
        await running(disk, syncer, lambda: None)
    assert caught.group_contains(JournalError, match="1 cannot be synced")


@pytest.mark.asyncio
async def test_what_the_end_has_synced_is_nobodys_failure() -> None:
    """A thread that comes too late finds the file closed, after it was synced."""
    disk = Disk()
    syncer = made(disk)
    syncer(Segment(disk, "1"), mark(1))
    await running(disk, syncer, syncer.finish)
    assert disk.done == ["sync 1", "close 1"]


@pytest.mark.asyncio
async def test_a_disk_that_is_behind_is_waited_for() -> None:
    """No more segments wait than the bound says."""
    disk = Disk()
    syncer = made(disk)
    for number in range(WAITING_MAX):
        syncer(Segment(disk, str(number)), mark(number + 1))
    assert disk.done == []
    syncer(Segment(disk, "last"), mark(9))
    assert disk.done[-1] == f"close {WAITING_MAX - 1}"
    syncer.finish()
    assert disk.done[-1] == "close last"


@pytest.mark.asyncio
async def test_a_journal_leaves_a_full_segment_to_it_and_the_end_to_nobody(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Rotation does not sync; when the journal is closed everything is."""
    disk = Disk()
    syncer = made(disk)
    files = FolderFiles(tmp_path_factory.mktemp("journal"))
    journaler = Journaler(files, created_ns=1, segment_bytes_max=200, settle=syncer)
    for number in range(4):
        journaler.append([Entry(EntryKind.FRAME, 1, number, b"x" * 50)])
    assert journaler.statistics().segments > 1
    assert syncer.waiting == journaler.statistics().segments - 1
    journaler.close()
    assert syncer.waiting == 0
    assert syncer.statistics().durable == journaler.position


@pytest.mark.asyncio
async def test_the_open_segment_is_synced_at_intervals_as_far_as_it_was_written_then() -> None:
    """What is appended while the disk works is confirmed by the next sync, not by this one."""
    disk = Disk()
    syncer = made(disk, every_s=0.1)
    written = [mark(1, 3)]
    syncer.follow(lambda: (Segment(disk, "open"), written[-1]))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(syncer.run())
        await disk.asked.wait()
        written.append(mark(1, 5))
        assert syncer.statistics() == SyncStatistics()
        disk.may_run.set()
        seen = []
        for _ in range(10):
            await asyncio.sleep(0)
            seen.append(syncer.statistics().durable.entries)
        task.cancel()
    assert sorted(set(seen) - {0}) == [3, 5]
    assert disk.done == ["sync open", "sync open"]
    found = syncer.statistics()
    assert (found.durable, found.durable_ts_ns, found.syncs) == (Position(1, 5), 1_005, 2)


@pytest.mark.asyncio
async def test_without_an_interval_the_open_segment_is_left_alone() -> None:
    """At `process` a sync comes with the seal."""
    disk = Disk()
    syncer = made(disk)
    syncer.follow(lambda: (Segment(disk, "open"), mark(2, 3)))
    syncer(Segment(disk, "1"), mark(1))
    await running(disk, syncer, lambda: None)
    assert disk.done == ["sync 1", "close 1"]
    assert syncer.statistics().durable == Position(1, 1)


@pytest.mark.asyncio
async def test_a_failed_sync_is_never_taken_back() -> None:
    """A second answer that is good says nothing of what the first one lost."""
    disk = Disk()
    disk.refuses = True
    disk.may_run.set()
    syncer = made(disk, every_s=0.1)
    syncer(Segment(disk, "1"), mark(1))
    with pytest.raises(JournalError, match="1 cannot be synced"):
        await syncer.run()
    disk.refuses = False
    assert syncer.failure == "1 cannot be synced"
    syncer(Segment(disk, "2"), mark(2))
    with pytest.raises(JournalError, match="1 cannot be synced"):
        syncer.finish()
    assert syncer.statistics() == SyncStatistics()
    assert disk.done == ["close 1", "close 2"]


def test_a_failed_sync_at_once_is_never_taken_back() -> None:
    """The same where nothing runs beside."""
    disk = Disk()
    disk.refuses = True
    settle = SyncAtOnce()
    with pytest.raises(JournalError, match="1 cannot be synced"):
        settle(Segment(disk, "1"), mark(1))
    disk.refuses = False
    with pytest.raises(JournalError, match="1 cannot be synced"):
        settle(Segment(disk, "2"), mark(2))
    assert settle.statistics() == SyncStatistics()
    assert disk.done == ["close 1", "close 2"]


@pytest.mark.asyncio
async def test_a_journal_whose_disk_failed_takes_nothing_more(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """It refuses the next burst, seals nothing, and says why again at the end."""
    disk = Disk()
    disk.may_run.set()

    async def failing(work: Callable[[], None]) -> None:
        raise JournalError("cannot sync: no such device")

    slowness = Slowness("syncs", LIMITS, clock=SlowClock(), log=lambda *_, **__: None)
    syncer = Syncer(failing, clock=SlowClock(), slowness=slowness, every_s=0.1)
    files = FolderFiles(tmp_path_factory.mktemp("journal"))
    journaler = Journaler(files, created_ns=1, settle=syncer, sync_every_ms=100)
    entry = Entry(EntryKind.FRAME, 1, 1, b"x")
    journaler.append([entry])
    with pytest.raises(JournalError, match="no such device"):
        await syncer.run()
    with pytest.raises(JournalError, match="no such device"):
        journaler.append([entry])
    with pytest.raises(JournalError, match="no such device"):
        journaler.close()
    assert scan(files.read(segment_name(1))).end is Ending.OPEN
    Journaler(files, created_ns=2).close()


@pytest.mark.asyncio
async def test_a_slow_disk_is_told_of() -> None:
    """What `power` promises depends on it."""
    disk = Disk()
    disk.may_run.set()
    syncer = made(disk)
    syncer(Segment(disk, "1"), mark(1))
    await running(disk, syncer, lambda: None)
    assert disk.told == [("disk_state", "slow")]
    found = syncer.statistics()
    assert (found.slowest_ms, found.disk.slowest_ms) == (2_000, 2_000)
    assert found.disk.state is DiskState.SLOW


def hanging(
    clock: VirtualClock, told: list[object], *, goes_on: bool
) -> tuple[Syncer, list[Callable[[], None]]]:
    """A syncer whose threads hang, by what they were to do."""
    asked: list[Callable[[], None]] = []

    async def in_thread(work: Callable[[], None]) -> None:
        asked.append(work)
        await asyncio.get_running_loop().create_future()

    def log(event: str, /, **fields: object) -> None:
        told.append((event, fields["state"]))

    slowness = Slowness("syncs", DiskLimits(1.0, 10.0), clock=clock, log=log)
    return Syncer(in_thread, clock=clock, slowness=slowness, every_s=0.1, goes_on=goes_on), asked


def test_a_sync_that_is_never_answered_has_failed() -> None:
    """It is told of when it is slow and when it is given up, and then ends the task."""
    told: list[object] = []

    async def main(clock: VirtualClock) -> None:
        syncer, _ = hanging(clock, told, goes_on=False)
        syncer(Segment(Disk(), "1"), mark(1))
        start_ns = clock.monotonic_ns()
        with pytest.raises(JournalError, match="has not answered for 10 s"):
            await syncer.run()
        assert 10e9 <= clock.monotonic_ns() - start_ns < 11e9
        with pytest.raises(JournalError, match="has not answered"):
            syncer.finish()

    run_virtual(main)
    assert told == [("disk_state", "slow"), ("disk_state", "stuck")]


def test_no_run_is_begun_while_a_sync_is_not_answered() -> None:
    """Otherwise each would be given up in turn, with a thread that hangs; behind it, one is."""

    async def main(clock: VirtualClock) -> None:
        syncer, asked = hanging(clock, [], goes_on=True)
        syncer(Segment(Disk(), "1"), mark(1))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(syncer.run())
            await clock.sleep_s(60)
            assert len(asked) == 1
            with pytest.raises(JournalError, match="has not answered for 10 s"):
                syncer.renew()
            asked[0]()
            syncer.renew()
            assert syncer.failure == ""
            task.cancel()

    run_virtual(main)


@pytest.mark.asyncio
async def test_an_interval_that_is_changed_is_that_of_the_next_wait() -> None:
    """And where there is none, none begins."""
    clock = SlowClock()

    def syncer(every_s: float | None) -> Syncer:
        slowness = Slowness("syncs", LIMITS, clock=clock, log=lambda _event, /, **_: None)
        return Syncer(disk.in_thread, clock=clock, slowness=slowness, every_s=every_s)

    async def for_turns(running: Syncer, turns: int) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(running.run())
            for _ in range(turns):
                await asyncio.sleep(0)
            running.sync_every(0.025)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()

    disk = Disk()
    await for_turns(syncer(0.1), 3)
    assert set(clock.waits) == {0.1, 0.025}
    assert clock.waits == sorted(clock.waits, reverse=True)
    clock.waits.clear()
    await for_turns(syncer(None), 3)
    assert clock.waits == []
