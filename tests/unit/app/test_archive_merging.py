"""Many small files of a day become one: whole, verified, resumed after a kill, under readers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive import merging
from tapekeeper.app.archive.cold import ColdFiles
from tapekeeper.app.archive.compaction import archive_journal
from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.history import Archive, HistoryQuery, read_history
from tapekeeper.app.archive.manifest import Part
from tapekeeper.app.archive.merging import mergeable, replaced
from tapekeeper.errors import JournalError
from tapekeeper.model.timeframe import HOUR_NS
from tests.unit.app.archived_journal import MES, START_NS, Oracle, session, some_frames
from tests.unit.app.test_archive_compaction import Killed, MortalDisk, manifest_of, require_whole


def part(name: str, date: str, rows: int = 10, through: int = 1) -> Part:
    """A file of trades."""
    return Part(name, "trades", MES, date, through, rows, rows, 0, 1, 100, "")


def test_a_day_that_is_over_is_merged_and_one_that_goes_on_when_it_is_many() -> None:
    """Whatever is merged, nothing is left to merge; a bound on the rows of a file holds."""
    days = [part("a/part-000001.parquet", "1"), part("a/part-000002.parquet", "1")]
    assert mergeable(tuple(days)) == []
    later = part("b/part-000003.parquet", "2")
    assert mergeable((*days, later)) == [days]
    many = [part(f"b/part-{number:06}.parquet", "2") for number in range(3, 3 + merging.PARTS_MAX)]
    assert mergeable((*days, *many)) == [days, many]
    large = [part(f"a/{n}", "1", rows=merging.MERGED_ROWS_MAX // 2) for n in range(5)]
    groups = mergeable((*large, later))
    assert [len(group) for group in groups] == [2, 2]
    made = [part(f"m/{n}", "1", rows=merging.MERGED_ROWS_MAX) for n in range(2)]
    left = replaced((*large, later), groups, made)
    assert left == [*made, large[4], later]
    assert mergeable(tuple(left)) == []


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Archived in many passes, none of whose files are merged yet."""
    folder = session(tmp_path / "journal", some_frames(36), seal=False)
    session(folder, some_frames(12, from_ns=START_NS + HOUR_NS), seal=False)
    with monkeypatch.context() as patched:
        patched.setattr("tapekeeper.app.archive.compaction.mergeable", lambda _parts: [])
        archive_journal(folder, rows_per_pass=4)
    monkeypatch.setattr(merging, "PARTS_MAX", 2)
    return folder


def test_what_is_merged_is_what_it_was(journal: Path) -> None:
    """Every print and bar in one file a day, and merging again changes nothing."""
    oracle = Oracle(journal)
    before = manifest_of(journal)
    bars = read_history(journal, "MES", "1s")
    done = archive_journal(journal)
    after = manifest_of(journal)
    assert done.files == 0
    assert done.merged > len(after.parts)
    assert after.volumes == before.volumes
    kinds = [(part.kind, part.contract_id, part.timeframe, part.trade_date) for part in after.parts]
    assert len(set(kinds)) == len(kinds) < len(before.parts)
    require_whole(journal, oracle)
    assert read_history(journal, "MES", "1s").equals(bars)
    files = {path: path.read_bytes() for path in journal.rglob("*") if path.is_file()}
    assert archive_journal(journal).merged == 0
    assert {path: path.read_bytes() for path in journal.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("halves", [False, True], ids=["before", "within"])
def test_a_kill_while_merging_costs_nothing(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, halves: bool
) -> None:
    """At every step readers have each print once, and the next archiving leaves no file over."""
    monkeypatch.setattr("tapekeeper.app.archive.compaction.BATCH", 3)
    oracle = Oracle(journal)
    wanted = oracle.rows(MES)
    MortalDisk.halves = halves
    for lives in range(10_000):
        copy = tmp_path / f"kill-{lives}"
        shutil.copytree(journal, copy)
        MortalDisk.lives = lives
        try:
            archive_journal(copy, disk_of=MortalDisk)
        except Killed:
            pass
        else:
            break
        assert read_history(copy, "MES", "trades").rows() == wanted
        if lives % 3 == 0:
            MortalDisk.lives = 10**9
            archive_journal(copy, disk_of=MortalDisk)
            manifest = manifest_of(copy)
            assert manifest.carry is not None
            assert set(ArchiveDisk(copy / "archive").names()) == {
                *(part.path for part in manifest.parts),
                *("manifest.json", "journal.lock", manifest.carry.path),
            }
            assert mergeable(manifest.parts) == []
            assert read_history(copy, "MES", "trades").rows() == wanted
        shutil.rmtree(copy)
    assert lives > 20
    require_whole(copy, oracle)


@pytest.mark.parametrize("timeframe", ["trades", "1s"])
def test_files_may_be_merged_under_a_reading(
    journal: Path, monkeypatch: pytest.MonkeyPatch, timeframe: str
) -> None:
    """Between the manifest and its files: the reading is done again, and is whole."""
    wanted = read_history(journal, "MES", timeframe)
    source = Archive(FolderFiles(journal), journal / "archive")
    lazy = source.scan("MES", HistoryQuery.of(timeframe))
    load = ColdFiles.load
    times: list[int] = []

    def merging_first(
        self: ColdFiles, parts: Sequence[Part], columns: Sequence[str], bytes_max: int
    ) -> None:
        if not times:
            times.append(archive_journal(journal).merged)
        load(self, parts, columns, bytes_max)

    monkeypatch.setattr(ColdFiles, "load", merging_first)
    assert source.read("MES", HistoryQuery.of(timeframe)).equals(wanted)
    assert times[0] > 0
    # A frame that was made before they were merged is collected after it.
    assert lazy.collect().equals(wanted)


def test_a_file_that_has_changed_is_not_merged(journal: Path) -> None:
    """What is damaged stays where it can be seen, and its neighbours whole."""
    damaged = journal / "archive" / manifest_of(journal).parts[0].path
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    before = manifest_of(journal)
    with pytest.raises(JournalError, match="manifest says"):
        archive_journal(journal)
    assert manifest_of(journal) == before
