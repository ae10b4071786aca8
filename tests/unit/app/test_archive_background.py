"""Archiving beside a running tape: when, how often, and what becomes of trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tapekeeper.adapters.child import Ended
from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.background import Archiving
from tapekeeper.app.archive.compaction import archive_journal
from tapekeeper.cli.main import main
from tests.unit.app.archived_journal import session, some_frames


class HereAndNow:
    """Runs the command in this process, or does what a test wants instead."""

    def __init__(self) -> None:
        self.calls: list[Sequence[str]] = []
        self.instead: Ended | OSError | None = None
        self.waits: asyncio.Event | None = None
        self.stops = 0
        self.is_running = False

    async def __call__(self, arguments: Sequence[str], /) -> Ended:
        """Run to the end."""
        self.calls.append(arguments)
        if self.waits is not None:
            self.is_running = True
            await self.waits.wait()
            self.is_running = False
            return Ended(-15, "")
        if isinstance(self.instead, OSError):
            raise self.instead
        if self.instead is not None:
            return self.instead
        return Ended(main([each for each in arguments if each != "--background"]), "")

    def stop(self) -> None:
        """End what runs."""
        self.stops += 1
        if self.waits is not None:
            self.waits.set()


async def at_once(work: Callable[[], None]) -> None:
    """Stands for a thread."""
    work()


class Events:
    """A log that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Note one."""
        self.seen.append((event, fields))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal that is being written."""
    return session(tmp_path / "journal", some_frames(30), seal=False)


def archiving_of(journal: Path, child: HereAndNow, log: Events) -> Archiving:
    """Archiving with a child of the test."""
    return Archiving(
        journal=journal,
        archive=None,
        files=FolderFiles(journal),
        child=child,
        in_thread=at_once,
        clock=SystemClock(),
        log=log,
        every_s=60.0,
    )


@pytest.mark.asyncio
async def test_only_what_is_settled_makes_work(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One process archives it; with nothing new there is none; with a new segment there is."""
    child, log = HereAndNow(), Events()
    archiving = archiving_of(journal, child, log)
    await archiving.look()
    status = archiving.status()
    assert (status.passes, status.waiting_segments, status.trouble) == (1, 0, "")
    assert status.through_segment == status.confirmed > 0
    assert child.calls[0][:2] == ["archive", "--background"]
    assert [event for event, _ in log.seen] == ["journal_archived"]
    await archiving.look()
    assert len(child.calls) == 1
    session(journal, some_frames(10), seal=False)
    await archiving.look()
    assert archiving.status().passes == len(child.calls) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        (Ended(4, "error: disk full"), "disk full"),
        (Ended(-9, ""), "ended with -9"),
        (OSError(12, "Cannot allocate memory"), "allocate memory"),
    ],
    ids=["refused", "killed", "no process"],
)
async def test_trouble_is_told_and_tried_again(
    journal: Path, instead: Ended | OSError, reason: str
) -> None:
    """A tape goes on without an archive; the log and the status say why there is none."""
    child, log = HereAndNow(), Events()
    child.instead = instead
    archiving = archiving_of(journal, child, log)
    await archiving.look()
    assert archiving.status().failed == 1
    assert archiving.status().waiting_segments > 0
    ((event, fields),) = log.seen
    assert event == "archive_trouble"
    assert reason in str(fields["reason"])
    child.instead = None
    await archiving.look()
    assert archiving.status().passes == 1


@pytest.mark.asyncio
async def test_a_pause_stops_what_runs_and_begins_nothing(journal: Path) -> None:
    """What was stopped is no failure, and is done again after `resume`."""
    child, log = HereAndNow(), Events()
    child.waits = asyncio.Event()
    archiving = archiving_of(journal, child, log)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(archiving.look())
        while not child.is_running:  # noqa: ASYNC110 - the child has no event
            await asyncio.sleep(0)
        assert archiving.status().running
        archiving.pause()
    assert child.stops == 1
    assert (archiving.status().paused, archiving.status().failed, log.seen) == (True, 0, [])
    child.waits = None
    await archiving.look()
    assert len(child.calls) == 1
    archiving.resume()
    await archiving.look()
    assert archiving.status().passes == 1


@pytest.mark.asyncio
async def test_a_damaged_archive_stops_nothing(journal: Path) -> None:
    """It is told in the status, and no process is started for it."""
    archive_journal(journal)
    (journal / "archive" / "manifest.json").write_bytes(b"{")
    child, log = HereAndNow(), Events()
    archiving = archiving_of(journal, child, log)
    await archiving.look()
    assert child.calls == []
    assert "is damaged" in archiving.status().trouble
