"""Sealed segments are read back, and go when they may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import Entry, EntryKind, Position, segment_name, segment_number
from tapekeeper.core.journal.retention import CONFIRMATIONS, Retention, marker_name
from tapekeeper.errors import JournalError
from tapekeeper.runtime.caretaker import (
    ENTRIES_AT_ONCE,
    PAUSE_S,
    PRUNE_EVERY,
    CareStatistics,
    Caretaker,
    Removed,
    confirmed,
    prune,
    troubles,
)
from tapekeeper.runtime.journal_reader import JournalReader, ProblemKind
from tapekeeper.runtime.journaler import Journaler, JournalStatistics
from tapekeeper.runtime.syncer import Mark

EVERYTHING = Retention(keep_ns=0, keep_bytes=0)


class Turns:
    """Time that passes whenever somebody waits, and counts how often; fills `ports.Clock`."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now_ns(self) -> int:
        """Far behind all that was written."""
        return 10**18

    def monotonic_ns(self) -> int:
        """Not asked."""
        raise AssertionError

    async def sleep_s(self, delay_s: float) -> None:
        """Let the others run."""
        self.waits.append(delay_s)
        await asyncio.sleep(0)


class Told:
    """Says that these segments were sealed; fills what a caretaker asks of a writer."""

    def __init__(self, marks: list[Mark]) -> None:
        self.marks = marks

    def sealed(self) -> list[Mark]:
        """One at a time."""
        return [self.marks.pop()] if self.marks else []

    def statistics(self) -> JournalStatistics:
        """Nothing of note."""
        return JournalStatistics()


class Bench:
    """A journal of small segments, and who looks after it."""

    def __init__(self, folder: Path, policy: Retention = EVERYTHING) -> None:
        self.files = FolderFiles(folder)
        self.journaler = Journaler(self.files, segment_bytes_max=300, created_ns=1)
        self.told: list[tuple[str, dict[str, object]]] = []
        self.clock = Turns()
        self.threads = 0
        self.care = Caretaker(
            files=self.files,
            journaler=self.journaler,
            policy=policy,
            in_thread=self._in_thread,
            clock=self.clock,
            log=self._log,
        )

    async def _in_thread(self, work: Callable[[], None]) -> None:
        self.threads += 1
        work()

    def _log(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        self.told.append((event, {"level": level, **fields}))

    def write(self, entries: int) -> None:
        """So many bursts of one."""
        for number in range(entries):
            self.journaler.append([Entry(EntryKind.FRAME, 1, number, b"x%d" % number)])

    def segments(self) -> list[int]:
        """What is there."""
        return [number for number in map(segment_number, self.files.names()) if number]

    def confirm(self, through: int) -> None:
        """As the archive does."""
        (self.files.path / CONFIRMATIONS).write_text(f'{{"through_segment": {through}}}\n')

    async def look(self, turns: int = 400) -> CareStatistics:
        """Let the caretaker work for a while."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.care.run())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
        return self.care.statistics()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A journal of many segments, the last of which is open."""
    made = Bench(tmp_path)
    made.write(60)
    assert len(made.segments()) > 12
    return made


@pytest.mark.asyncio
async def test_sealed_segments_are_read_back_once(bench: Bench) -> None:
    """All but the one that is written, each once."""
    sealed = len(bench.segments()) - 1
    found = await bench.look()
    assert (found.read_back, found.failed, found.waiting, found.failure) == (sealed, 0, 0, "")
    assert (await bench.look()).read_back == sealed
    bench.journaler.close()
    assert (await bench.look()).read_back == sealed + 1
    assert bench.told == []


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "gone"])
@pytest.mark.asyncio
async def test_what_is_not_what_was_written_is_loud(bench: Bench, damage: str) -> None:
    """A disk that gives back something else is an error in the log and in the statistics."""
    path = bench.files.path / segment_name(3)
    data = path.read_bytes()
    if damage == "flip":
        path.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    elif damage == "cut":
        path.write_bytes(data[:-36])
    elif damage == "swap":
        path.write_bytes(bench.files.read(segment_name(4)))
    else:
        path.unlink()
    found = await bench.look()
    assert (found.read_back, found.failed) == (len(bench.segments()) - 2 + (damage == "gone"), 1)
    assert "segment-000003.tkj is not what was written: " in found.failure
    assert troubles(JournalStatistics(), found) == (f"journal: {found.failure}",)
    (event, fields) = bench.told[0]
    assert (event, fields["level"], fields["segment"]) == ("journal_read_back_failed", "error", 3)


@pytest.mark.asyncio
async def test_a_segment_with_fewer_entries_than_were_written_is_loud(tmp_path: Path) -> None:
    """Even a whole and sealed one: it is not the one that was written."""
    bench = Bench(tmp_path)
    bench.write(60)
    marks = [Mark(Position(2, 999))]
    bench.care = Caretaker(
        files=bench.files,
        journaler=Told(marks),
        policy=Retention(),
        in_thread=bench._in_thread,
        clock=bench.clock,
        log=bench._log,
    )
    assert "entries are there of 999" in (await bench.look()).failure


@pytest.mark.asyncio
async def test_reading_back_is_done_in_small_pieces(tmp_path: Path) -> None:
    """With a pause behind each, so that the loop and the disk have time for what arrives."""
    bench = Bench(tmp_path, Retention())
    bench.write(1)
    bench.journaler.append([Entry(EntryKind.FRAME, 1, 1)] * (5 * ENTRIES_AT_ONCE))
    bench.journaler.close()
    await bench.look()
    # Each file is read at once, and its entries are looked through bit by bit to the end.
    pieces = 1 + 6
    assert bench.threads == 2 + pieces
    assert bench.clock.waits.count(PAUSE_S) == pieces
    assert bench.care.statistics().read_back == 2


@pytest.mark.asyncio
async def test_what_the_archive_has_goes_now_and_then(bench: Bench) -> None:
    """After some looks, with a word in the log; the reader calls none of it missing."""
    bench.confirm(3)
    found = await bench.look(2_000)
    assert found.removed == 3
    assert found.removed_bytes > 0
    assert bench.segments()[0] == 4
    assert ("journal_pruned", bench.segments()[0]) in [(event, 4) for event, _ in bench.told]
    reader = JournalReader(bench.files)
    assert next(iter(reader)).ts_ns > 0
    assert [*reader][-1].ts_ns == 59
    assert reader.problems == []
    assert bench.clock.waits.count(5.0) >= PRUNE_EVERY


@pytest.mark.asyncio
async def test_nothing_goes_that_is_not_confirmed(bench: Bench) -> None:
    """No word of the archive is no."""
    before = bench.segments()
    await bench.look(2_000)
    assert bench.segments() == before
    assert bench.told == []


@pytest.mark.asyncio
async def test_by_default_nothing_goes(tmp_path: Path) -> None:
    """Not even what is confirmed."""
    bench = Bench(tmp_path, Retention())
    bench.write(60)
    bench.confirm(10)
    await bench.look(2_000)
    assert bench.segments()[0] == 1


@pytest.mark.asyncio
async def test_a_removal_that_fails_is_told_and_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs room and nothing else, so the tape goes on."""
    bench.confirm(3)

    def refuses(_self: FolderFiles, name: str) -> None:
        raise JournalError(f"cannot remove {name}: it is read")

    with monkeypatch.context() as patch:
        patch.setattr(FolderFiles, "remove", refuses)
        found = await bench.look(2_000)
    assert found.problem == "cannot remove segment-000001.tkj: it is read"
    assert bench.told[0][0] == "journal_prune_failed"
    assert (await bench.look(2_000)).removed == 3


def test_pruning_can_be_killed_at_any_moment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was removed is told; what was not is read, and goes the next time."""
    bench.confirm(4)
    real = FolderFiles.remove
    for survive in range(3):
        left = [survive]

        def dies(files: FolderFiles, name: str, left: list[int] = left) -> None:
            if not left[0]:
                raise JournalError("killed")
            left[0] -= 1
            real(files, name)

        monkeypatch.setattr(FolderFiles, "remove", dies)
        with pytest.raises(JournalError, match="killed"):
            prune(bench.files, EVERYTHING, now_ns=10**18)
        reader = JournalReader(bench.files)
        assert [*reader][-1].ts_ns == 59
        assert reader.problems == []
    monkeypatch.undo()
    prune(bench.files, EVERYTHING, now_ns=10**18)
    assert bench.segments()[0] == 5
    assert [name for name in bench.files.names() if "retired" in name] == [marker_name(4)]


def test_a_later_pruning_replaces_the_marker(bench: Bench) -> None:
    """One marker is enough, and it is never less than what is gone."""
    bench.confirm(2)
    assert prune(bench.files, EVERYTHING, now_ns=10**18).segments == (1, 2)
    bench.confirm(4)
    assert prune(bench.files, EVERYTHING, now_ns=10**18, dry_run=True).segments == (3, 4)
    assert bench.segments()[0] == 3
    assert prune(bench.files, EVERYTHING, now_ns=10**18).segments == (3, 4)
    assert [name for name in bench.files.names() if "retired" in name] == [marker_name(4)]
    assert prune(bench.files, EVERYTHING, now_ns=10**18) == Removed((), 0, 4)


def test_age_is_from_the_next_segment(bench: Bench) -> None:
    """A segment is as old as the one that followed it."""
    bench.confirm(99)
    headers = [next(iter(JournalReader(bench.files, {number}))).ts_ns for number in (1, 2, 3, 4)]
    policy = Retention(keep_ns=0)
    assert prune(bench.files, policy, now_ns=headers[2] + 1).segments == (1, 2)


def test_a_hole_behind_what_was_removed_is_missing(bench: Bench) -> None:
    """A marker excuses what is in front of it and nothing else."""
    bench.confirm(2)
    prune(bench.files, EVERYTHING, now_ns=10**18)
    bench.files.remove(segment_name(3))
    reader = JournalReader(bench.files)
    list(reader)
    assert [(problem.segment, problem.kind) for problem in reader.problems] == [
        (3, ProblemKind.MISSING)
    ]


def test_numbers_are_never_used_again(bench: Bench) -> None:
    """Even if somebody removes all that is left, a next run goes on behind it."""
    bench.journaler.close()
    bench.confirm(99)
    prune(bench.files, EVERYTHING, now_ns=10**18)
    removed = bench.segments()[0] - 1
    for number in bench.segments():
        bench.files.remove(segment_name(number))
    journaler = Journaler(bench.files, created_ns=2)
    journaler.append([Entry(EntryKind.CLOCK, 0, 2)])
    journaler.close()
    assert bench.segments() == [removed + 1]
    reader = JournalReader(bench.files)
    assert len(list(reader)) == 1
    assert reader.problems == []


def test_no_confirmation_is_none(tmp_path: Path) -> None:
    """An absent file confirms nothing."""
    assert confirmed(FolderFiles(tmp_path)) == 0
