"""Compaction of a journal into its archive: whole, verified, idempotent, resumed after a kill."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import archive_journal, confirmed_through, read_manifest
from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.history import read_history
from tapekeeper.app.archive.manifest import Manifest
from tapekeeper.app.archive.rerunning import segments_of
from tapekeeper.core.journal import segment_name
from tapekeeper.core.journal.retention import CONFIRMATIONS
from tapekeeper.errors import JournalError, UnreadableSourceError, UsageError
from tapekeeper.model.timeframe import HOUR_NS
from tests.unit.app.archived_journal import (
    FRAMES,
    MES,
    MNQ,
    START_NS,
    Oracle,
    session,
    some_frames,
)


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


class MortalDisk(ArchiveDisk):
    """A disk under a process that dies before its n-th step, or in the middle of it."""

    lives = 0
    halves = False

    def sync(self, descriptor: int) -> None:
        """A dead process takes nothing from the system with it, so nothing needs forcing."""

    def _step(self) -> bool:
        """Whether this step is the last one; it is then left undone or half done."""
        MortalDisk.lives -= 1
        return MortalDisk.lives < 0

    def stage(self, name: str, data: bytes) -> Path:
        """Half of the bytes may be there."""
        if self._step():
            if self.halves:
                super().stage(name, data[: len(data) // 2])
            raise Killed
        return super().stage(name, data)

    def publish(self, name: str) -> None:
        """The name may be there."""
        if self._step():
            if self.halves:
                super().publish(name)
            raise Killed
        super().publish(name)

    def remove(self, name: str) -> None:
        """The file may be gone."""
        if self._step():
            if self.halves:
                super().remove(name)
            raise Killed
        super().remove(name)

    def append_line(self, path: Path, line: bytes) -> None:
        """Half of the line may be there."""
        if self._step():
            if self.halves:
                with path.open("ab") as file:
                    file.write(line[: len(line) // 2])
            raise Killed
        super().append_line(path, line)


def manifest_of(journal: Path) -> Manifest:
    """Of the archive within a journal."""
    return read_manifest(ArchiveDisk(journal / "archive"))


def require_whole(journal: Path, oracle: Oracle) -> None:
    """Everything that can be read is what one plain repetition of the journal has."""
    for contract_id in (MES, MNQ):
        assert read_history(journal, contract_id, "trades").rows() == oracle.rows(contract_id)
        for timeframe in FRAMES:
            bars = read_history(journal, contract_id, timeframe)
            wanted = {
                (
                    *(bar.ts_open, bar.open, bar.high, bar.low, bar.close, bar.volume),
                    *(bar.n, bar.revision, str(bar.state)),
                )
                for run in oracle.bars.values()
                for bar in run
                if bar.contract_id == contract_id and bar.timeframe == timeframe
            }
            columns = ["ts_open", "open", "high", "low", "close", "volume", "n", "revision"]
            assert set(bars.select([*columns, "state"]).rows()) == wanted


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Two runs: the first was killed, the second is being written."""
    folder = session(tmp_path / "journal", some_frames(60), seal=False)
    return session(folder, some_frames(40, from_ns=START_NS + HOUR_NS), seal=False)


def test_everything_settled_is_archived_and_confirmed(journal: Path) -> None:
    """All but the segment that is being written; the rest is read from the journal."""
    oracle = Oracle(journal)
    last = segments_of(FolderFiles(journal))[-1]
    done = archive_journal(journal)
    assert (done.through_segment, done.confirmed) == (last - 1, last - 1)
    assert done.problems == ()
    assert confirmed_through(journal) == last - 1
    require_whole(journal, oracle)


def test_a_sealed_end_is_settled(tmp_path: Path) -> None:
    """An orderly end needs no later segment to be archived whole."""
    journal = session(tmp_path / "journal", some_frames(20))
    oracle = Oracle(journal)
    archive_journal(journal)
    assert manifest_of(journal).through_segment == segments_of(FolderFiles(journal))[-1]
    # But it has to stay: a journal without a segment would begin with number 1 again.
    assert confirmed_through(journal) == manifest_of(journal).through_segment - 1
    assert sum(manifest_of(journal).volumes.values()) == sum(each.size for _, each in oracle.trades)


def test_archiving_again_changes_nothing(journal: Path) -> None:
    """No file is written, and no confirmation."""
    archive_journal(journal)
    before = {path: path.read_bytes() for path in journal.rglob("*") if path.is_file()}
    done = archive_journal(journal)
    assert done.files == 0
    assert {path: path.read_bytes() for path in journal.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("rows_per_pass", [1, 7, 10**6])
def test_the_number_of_passes_makes_no_difference(journal: Path, rows_per_pass: int) -> None:
    """Bars that last from one pass into the next are those that one pass would have made."""
    oracle = Oracle(journal)
    archive_journal(journal, rows_per_pass=rows_per_pass)
    require_whole(journal, oracle)


def test_what_is_confirmed_can_be_removed(journal: Path) -> None:
    """Nothing is lost with the confirmed segments, and archiving goes on behind them."""
    oracle = Oracle(journal)
    for number in range(1, archive_journal(journal).confirmed + 1):
        (journal / segment_name(number)).unlink()
    require_whole(journal, oracle)
    session(journal, some_frames(30, from_ns=START_NS + 2 * HOUR_NS))
    assert archive_journal(journal).problems == ()
    rows = read_history(journal, "MES", "trades")
    assert rows.rows()[: len(oracle.rows(MES))] == oracle.rows(MES)
    assert rows.height == len(oracle.rows(MES)) + 15


@pytest.mark.parametrize("halves", [False, True], ids=["before", "within"])
def test_a_kill_at_any_step_costs_nothing(tmp_path: Path, *, halves: bool) -> None:
    """Before and within every write, rename, removal and line: readable meanwhile, whole after."""
    journal = session(tmp_path / "journal", some_frames(18), seal=False)
    session(journal, some_frames(10, from_ns=START_NS + HOUR_NS), seal=False)
    oracle = Oracle(journal)
    MortalDisk.halves = halves
    for lives in range(10_000):
        copy = tmp_path / f"kill-{lives}"
        shutil.copytree(journal, copy)
        MortalDisk.lives = lives
        try:
            archive_journal(copy, rows_per_pass=8, disk_of=MortalDisk)
        except Killed:
            pass
        else:
            break
        # What was confirmed is in the archive, and both together have everything once.
        assert confirmed_through(copy) <= manifest_of(copy).through_segment
        if lives % 12 == 0:
            require_whole(copy, oracle)
        MortalDisk.lives = 10**9
        done = archive_journal(copy, rows_per_pass=8, disk_of=MortalDisk)
        assert done.confirmed == done.through_segment == segments_of(FolderFiles(copy))[-1] - 1
        files = set(ArchiveDisk(copy / "archive").names())
        manifest = manifest_of(copy)
        assert manifest.carry is not None
        assert files == {part.path for part in manifest.parts} | {
            "manifest.json",
            "journal.lock",
            manifest.carry.path,
        }
        if lives % 4 == 0:
            require_whole(copy, oracle)
        shutil.rmtree(copy)
    assert lives > 30


def test_half_a_confirmation_does_not_count(tmp_path: Path) -> None:
    """Only whole lines do, and the next one stands on a line of its own."""
    path = tmp_path / CONFIRMATIONS
    path.write_bytes(b'{"through_segment": 3}\n{"through_seg')
    assert confirmed_through(tmp_path) == 3
    ArchiveDisk(tmp_path / "archive").append_line(path, b'{"through_segment":5}')
    assert confirmed_through(tmp_path) == 5
    assert [json.loads(line) for line in path.read_bytes().splitlines()[::2]] == [
        {"through_segment": 3},
        {"through_segment": 5},
    ]


def test_damage_is_named_and_not_confirmed(journal: Path) -> None:
    """What can be read is archived; the damaged segment is evidence until somebody accepts it."""
    path = journal / segment_name(3)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    oracle = Oracle(journal)
    done = archive_journal(journal)
    assert done.confirmed == 0
    assert len(done.problems) == 1
    assert "segment-000003" in done.problems[0]
    require_whole(journal, oracle)
    again = archive_journal(journal, accept_damage=True)
    assert again.confirmed == again.through_segment == done.through_segment


def test_a_missing_segment_is_damage(journal: Path) -> None:
    """A hole in front of what is archived, too."""
    (journal / segment_name(1)).unlink()
    done = archive_journal(journal)
    assert done.confirmed == 0
    assert "segment-000001" in done.problems[0]


def test_an_archive_of_another_journal_is_refused(journal: Path, tmp_path: Path) -> None:
    """Two journals in one archive would be one history that never was."""
    archive_journal(journal, tmp_path / "archive")
    other = session(tmp_path / "other", some_frames(20, step_ns=10**9))
    with pytest.raises(UsageError, match="another journal"):
        archive_journal(other, tmp_path / "archive")


def test_an_archive_without_its_manifest_is_not_emptied(journal: Path) -> None:
    """Files that nothing names are kept when the journal says that they were confirmed."""
    archive_journal(journal)
    (journal / "archive" / "manifest.json").unlink()
    files = ArchiveDisk(journal / "archive").names()
    with pytest.raises(UnreadableSourceError, match="manifest is gone"):
        archive_journal(journal)
    assert ArchiveDisk(journal / "archive").names() == files


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{", "is damaged"), (b'{"format": 99}', "format 99")]
)
def test_a_manifest_that_cannot_be_read_is_named(
    journal: Path, content: bytes, reason: str
) -> None:
    """Nothing is done to an archive of which nothing is known."""
    archive_journal(journal)
    (journal / "archive" / "manifest.json").write_bytes(content)
    with pytest.raises(UnreadableSourceError, match=reason):
        archive_journal(journal)


def test_a_second_archiver_is_refused(journal: Path) -> None:
    """One process writes an archive."""
    lock = FolderFiles(journal / "archive").lock()
    with pytest.raises(UsageError, match="another process"):
        archive_journal(journal)
    lock.release()


def test_what_does_not_read_back_is_not_confirmed(journal: Path) -> None:
    """A disk that changes bytes is found before the journal is released."""

    class LyingDisk(ArchiveDisk):
        def stage(self, name: str, data: bytes) -> Path:
            return super().stage(name, data[:-9] + b"X" + data[-8:])

    with pytest.raises(JournalError, match="read back"):
        archive_journal(journal, disk_of=LyingDisk)
    assert confirmed_through(journal) == 0


def test_a_file_that_was_lost_is_not_confirmed(journal: Path) -> None:
    """A pass that was killed before its confirmation looks at the files first."""
    archive_journal(journal)
    (journal / CONFIRMATIONS).unlink()
    next((journal / "archive").rglob("part-*.parquet")).unlink()
    with pytest.raises(JournalError, match="manifest says"):
        archive_journal(journal)


def test_files_are_by_contract_and_trade_date(journal: Path) -> None:
    """The session that opens at 17:00 in Chicago belongs to the next trade date."""
    archive_journal(journal)
    rows = pl.scan_parquet(journal / "archive" / "trades", hive_partitioning=True).collect()
    assert set(rows["contract"]) == {MES, MNQ}
    opens_ns = START_NS + 10 * 10**9
    by_date = rows.group_by("trade_date").agg(pl.col("ts_event").min(), last=pl.max("ts_event"))
    dates = {str(date): (low, high) for date, low, high in by_date.rows()}
    assert set(dates) == {"2026-01-05", "2026-01-06"}
    assert dates["2026-01-05"][1] < opens_ns <= dates["2026-01-06"][0]


def test_an_archive_without_a_journal_is_named(tmp_path: Path) -> None:
    """A wrong folder is told before anything is made in it."""
    with pytest.raises(UnreadableSourceError, match="no journal"):
        archive_journal(tmp_path)
    assert list(tmp_path.iterdir()) == []
