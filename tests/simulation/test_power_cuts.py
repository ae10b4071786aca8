"""The power may fail between any two operations of the disk, and what is confirmed is there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from tapekeeper.core.journal import Entry, EntryKind, Position, segment_number
from tapekeeper.core.ledger import line_of
from tapekeeper.model.gap import Gap, GapCause
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.runtime.journal_reader import JournalReader, ProblemKind
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.slowness import DiskLimits, Slowness
from tapekeeper.runtime.syncer import WAITING_MAX, Durability, SyncAtOnce, Syncer
from tapekeeper.sim.power_disk import Fate, Moment, PowerDisk

SEEDS = 60
SEGMENT_BYTES = 700
SMALL_SEEDS = 3
SMALL_STEPS = 22
PAGES_MAX = 6
"""What is not synced is divided into so many pages, of which each may be there or not."""


class Turns:
    """A clock and a thread that go on when the driver says so; fills `ports.Clock`."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    def now_ns(self) -> int:
        """No time passes."""
        return 0

    def monotonic_ns(self) -> int:
        """No time passes."""
        return 0

    async def sleep_s(self, delay_s: float) -> None:
        """Until the next turn."""
        self.waiting.append(asyncio.get_running_loop().create_future())
        await self.waiting[-1]

    async def in_thread(self, work: Callable[[], None]) -> None:
        """A thread that may come late, and whose answer may be."""
        await self.sleep_s(0)
        work()
        await self.sleep_s(0)

    async def turn(self) -> None:
        """Let what waits go on, to where it waits again."""
        for future in self.waiting:
            future.set_result(None)
        self.waiting.clear()
        for _ in range(3):
            await asyncio.sleep(0)


def no_log(event: str, /, **fields: object) -> None:
    """Nothing is slow here."""


class Run:
    """One run of the real writer on the disk, in an order that a seed decides."""

    def __init__(self, seed: int, durability: Durability, disk: PowerDisk | None = None) -> None:
        self.random = Random(seed)
        self.disk = disk or PowerDisk()
        self.entries: dict[int, list[Entry]] = {}
        every_s = 0.1 if durability is Durability.POWER else None
        self.turns = Turns()
        slowness = Slowness("syncs", DiskLimits(), clock=self.turns, log=no_log)
        self.syncer = Syncer(
            self.turns.in_thread, clock=self.turns, slowness=slowness, every_s=every_s
        )
        self.journaler = Journaler(
            self.disk,
            segment_bytes_max=SEGMENT_BYTES,
            created_ns=1,
            settle=self.syncer,
            sync_every_ms=None if every_s is None else 100,
        )
        self.disk.observe = lambda: self.syncer.statistics().durable

    def go(self, steps: int) -> Run:
        """Append and sync, one at a time."""
        asyncio.run(self._go(steps))
        return self

    async def _go(self, steps: int) -> None:
        async with asyncio.TaskGroup() as group:
            syncing = group.create_task(self.syncer.run())
            for _ in range(steps):
                if self.random.random() < 0.5:
                    self.append()
                else:
                    await self.turns.turn()
            syncing.cancel()

    def append(self) -> None:
        """A burst of a few frames, each of its own number."""
        number = sum(map(len, self.entries.values()))
        burst = [
            Entry(EntryKind.FRAME, 1, number + each, self.random.randbytes(30))
            for each in range(self.random.randrange(1, 4))
        ]
        self.journaler.append(burst)
        # Known for certain only now: the burst may have begun a segment.
        self.entries.setdefault(self.journaler.position.segment, []).extend(burst)


def judged(run: Run, moment_number: int, fate: Fate, seed: int) -> tuple[str, int]:
    """What is wrong with what a power cut left, or "", and how many segments lost anything."""
    moment = run.disk.moments[moment_number]
    return judged_left(run, moment, run.disk.left_at(moment, fate, Random(seed)))


def judged_left(run: Run, moment: Moment, left: dict[str, bytes]) -> tuple[str, int]:
    """The same of what is found."""
    durable = moment.observed
    assert isinstance(durable, Position)
    written = {number for name in moment.files if (number := segment_number(name))}
    if not any(map(segment_number, left)):
        return ("nothing is left" if durable > Position(0, 0) else ""), len(written)
    found: dict[int, list[Entry]] = {}
    after = PowerDisk.of(left)
    reader = JournalReader(after)
    for entry in reader:
        found.setdefault(reader.position.segment, []).append(entry)
    for number, entries in found.items():
        if entries != run.entries[number][: len(entries)]:
            return f"segment {number} has entries that nobody wrote", 0
    lost = 0
    for number in written:
        wanted = len(run.entries.get(number, []))
        have = len(found.get(number, []))
        if number < durable.segment and have < wanted:
            return f"segment {number} was confirmed and has {have} of {wanted} entries", 0
        if number == durable.segment and have < durable.entries:
            return f"{durable.entries} entries were confirmed and {have} are left", 0
        lost += have < wanted
    return _gone_on(after, found, reader), lost


def _gone_on(after: PowerDisk, found: dict[int, list[Entry]], before: JournalReader) -> str:
    """What is wrong with a journal that a next run goes on with, or ""."""
    journaler = Journaler(after, created_ns=2, settle=SyncAtOnce())
    more = Entry(EntryKind.FRAME, 2, 2, b"after the cut")
    journaler.append([more])
    journaler.close()
    reader = JournalReader(after)
    entries = list(reader)
    if entries != [*(entry for each in found.values() for entry in each), more]:
        return "the next run changes what is read of the one before"
    named = {(each.segment, each.kind) for each in before.problems}
    if not named <= {(each.segment, each.kind) for each in reader.problems}:
        return "the next run hides what was lost"
    return ""


@pytest.mark.parametrize("durability", Durability)
def test_what_the_disk_has_confirmed_survives_every_power_cut(durability: Durability) -> None:
    """Nothing in front of the watermark is lost, nothing is invented, and the next run goes on.

    What is lost behind it is in segments that were not confirmed: at `process` those that wait to
    be synced and the open one, at `power` those of one interval.
    """
    cuts = 0
    lost_most = 0
    for seed in range(SEEDS):
        run = Run(seed, durability).go(90)
        for moment in range(len(run.disk.moments)):
            fate = list(Fate)[cuts % len(Fate)]
            wrong, lost = judged(run, moment, fate, cuts)
            assert not wrong, f"seed {seed}, moment {moment}, {fate}: {wrong}"
            lost_most = max(lost_most, lost)
            cuts += 1
        assert run.journaler.statistics().segments > 2
    assert cuts >= 5_000
    assert 1 <= lost_most <= WAITING_MAX + 2


@pytest.mark.parametrize("durability", Durability)
def test_whatever_a_power_cut_leaves_of_a_small_journal_keeps_what_was_confirmed(
    durability: Durability,
) -> None:
    """Every subset of the pages that were not synced, torn at each, at every moment of a run."""
    cuts = 0
    for seed in range(SMALL_SEEDS):
        run = Run(seed, durability).go(SMALL_STEPS)
        for number, moment in enumerate(run.disk.moments):
            for left in run.disk.every_left_at(moment, PAGES_MAX):
                wrong, _ = judged_left(run, moment, left)
                assert not wrong, f"seed {seed}, moment {number}: {wrong}"
                cuts += 1
        assert run.journaler.statistics().segments > 1
    assert cuts >= 5_000


def test_whatever_a_power_cut_leaves_of_a_ledger_is_read_and_invents_nothing() -> None:
    """Its file is never synced: each gap of it is as it was told, or is not there.

    What was lost with its end is told again by the journal, in which every gap stands as well.
    """
    disk = PowerDisk()
    gaps = [
        Gap(number, "CON.F.US.MES.H26", GapCause.DISCONNECT, number, number + 5, "it was cut", 7)
        for number in range(1, 6)
    ]
    file = disk.create("gaps-000001.jsonl")
    for gap in gaps:
        file.append(line_of(gap))
    found_of: Counter[int] = Counter()
    for moment in disk.moments:
        for left in disk.every_left_at(moment, 8):
            ledger, problems = read_ledger(PowerDisk.of(left))
            found = ledger.find()
            assert all(gap in gaps for gap in found)
            lines = left.get("gaps-000001.jsonl", b"").split(b"\n")
            whole = [gap for gap in gaps if line_of(gap).rstrip() in lines]
            assert found == whole
            assert len(problems) <= len(lines)
            found_of[len(found)] += 1
    assert set(found_of) == set(range(6))


@pytest.mark.parametrize("durability", Durability)
@pytest.mark.parametrize("lie", ["syncs", "names"])
def test_a_disk_that_lies_is_found_out(durability: Durability, lie: str) -> None:
    """Without the sync of the bytes, or that of the name, something confirmed is lost."""
    found = set()
    for seed in range(6):
        run = Run(seed, durability, PowerDisk(syncs=lie != "syncs", names=lie != "names")).go(90)
        for moment in range(len(run.disk.moments)):
            wrong, _ = judged(run, moment, Fate.LOST, moment)
            found.add(wrong)
    assert len(found) > 1


def test_the_watermark_moves_on_with_what_is_written() -> None:
    """At `power` it follows within two turns of the disk, entry by entry, and never goes back."""
    run = Run(1, Durability.POWER).go(90)
    observed = [moment.observed for moment in run.disk.moments]
    marks = [mark for mark in observed if isinstance(mark, Position)]
    assert len(marks) == len(observed)
    assert all(earlier <= later for earlier, later in pairwise(marks))
    assert len(set(marks)) > 10


@pytest.mark.parametrize("fate", [Fate.CUT, Fate.HOLES, Fate.UNFILLED, Fate.GARBAGE])
def test_what_is_lost_inside_a_file_is_named(fate: Fate) -> None:
    """Unless it is cut off at the edge of a burst, where a journal simply ends."""
    unnamed = named = 0
    for seed in range(6):
        run = Run(seed, Durability.PROCESS).go(60)
        for number, moment in enumerate(run.disk.moments):
            reader_disk = PowerDisk.of(run.disk.left_at(moment, fate, Random(number)))
            if not reader_disk.names():
                continue
            reader = JournalReader(reader_disk)
            found = sum(1 for _ in reader)
            problems = {problem.kind for problem in reader.problems}
            last = max(filter(None, map(segment_number, reader_disk.names())))
            wanted = sum(len(run.entries.get(each, [])) for each in range(1, last))
            if found < wanted:
                assert problems & {ProblemKind.CORRUPT, ProblemKind.MISSING, ProblemKind.TORN}
                named += 1
            unnamed += not problems
    assert named
    assert unnamed
