"""One reading of archive and journal: no seam, nothing twice, nothing left out."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import archive_journal
from tapekeeper.app.archive.history import (
    HISTORY_BARS,
    HISTORY_TRADES,
    Archive,
    HistoryQuery,
    read_history,
)
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.journal import segment_name
from tapekeeper.core.runlog import gap_entry
from tapekeeper.errors import UnknownContractError, UnreadableSourceError, UsageError
from tapekeeper.model.gap import Gap, GapCause
from tapekeeper.model.timeframe import HOUR_NS, SECOND_NS
from tests.unit.app.archived_journal import (
    MES,
    START_NS,
    Oracle,
    archive_first,
    session,
    some_frames,
)

DAY_NS = START_NS - 5 * HOUR_NS
"""In the middle of a session."""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Archived for the greater part, with a run that goes on in the journal."""
    folder = session(tmp_path / "journal", some_frames(60), seal=False)
    archive_first(folder, 6)
    return folder


def test_a_frame_has_its_columns_and_types(journal: Path) -> None:
    """Whatever tiers it comes from, also where it has no row."""
    for end in (None, 0):
        trades = read_history(journal, "MES", "trades", end=end)
        assert dict(trades.schema) == {key: kind() for key, kind in HISTORY_TRADES.items()}
        bars = read_history(journal, "MES", "1m", end=end)
        assert bars.columns == list(HISTORY_BARS)
    assert bars.height == 0
    assert read_history(journal, "MES", "1d").height == 0


@pytest.fixture
def two_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two trade dates in row groups of eight, all in the archive, and nothing of it in memory."""
    monkeypatch.setattr("tapekeeper.app.archive.compaction.ROWS_PER_GROUP", 8)
    days = [*some_frames(60, from_ns=DAY_NS), *some_frames(60, from_ns=DAY_NS + 24 * HOUR_NS)]
    folder = session(tmp_path / "journal", days, segment_bytes_max=10**6)
    archive_journal(folder)
    return folder


def spoil(path: Path) -> None:
    """Spoil the first row group of a file, so that whoever reads it fails."""
    data = bytearray(path.read_bytes())
    data[4:64] = bytes(60)
    path.write_bytes(data)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_day_reads_its_own_files_alone(two_days: Path, *, lazy: bool) -> None:
    """Those of other days, contracts and kinds may be gone, be it asked for a day or filtered."""
    wanted = Oracle(two_days).rows(MES, DAY_NS + 12 * HOUR_NS)
    kept = "trades/contract=CON.F.US.MES.H26/trade_date=2026-01-06"
    for path in (two_days / "archive").rglob("*.parquet"):
        if kept not in path.as_posix():
            path.unlink()
    rows: pl.DataFrame | pl.LazyFrame
    if lazy:
        rows = read_history(two_days, "MES", "trades", DAY_NS + 12 * HOUR_NS, lazy=True)
        assert rows.filter(pl.col("size") > 2).collect().rows() == [r for r in wanted if r[3] > 2]
        assert rows.select("price").head(3).collect()["price"].to_list() == [
            row[2] for row in wanted[:3]
        ]
    else:
        rows = read_history(two_days, "MES", "trades", DAY_NS + 12 * HOUR_NS)
        assert rows.rows() == wanted
    with pytest.raises(UnreadableSourceError, match="is gone"):
        read_history(two_days, "MES", "trades")


def test_a_time_reads_its_own_row_groups_alone(two_days: Path) -> None:
    """Bounds that are asked for, and those of a lazy frame's filter, reach into the files."""
    wanted = [row for row in Oracle(two_days).rows(MES) if row[1] >= DAY_NS + 24 * HOUR_NS]
    late_ns = wanted[len(wanted) // 2][1]
    for path in (two_days / "archive").rglob("*.parquet"):
        spoil(path)
    columns = ["ts_event", "price"]
    rows = read_history(two_days, "MES", "trades", late_ns, columns=columns)
    assert rows.rows() == [row[1:3] for row in wanted if row[1] >= late_ns]
    day_ns = DAY_NS + 12 * HOUR_NS
    lazy = read_history(two_days, "MES", "trades", day_ns, columns=columns, lazy=True)
    assert_frame_equal(lazy.filter(pl.col("ts_event") >= late_ns).collect(), rows)
    with pytest.raises(pl.exceptions.PolarsError):
        lazy.collect()


def test_lazy_and_eager_are_the_same(journal: Path) -> None:
    """The lazy frame is the eager one, collected later."""
    for timeframe in ("trades", "1s"):
        eager = read_history(journal, "MES", timeframe)
        assert_frame_equal(read_history(journal, "MES", timeframe, lazy=True).collect(), eager)


def test_bounds_are_half_open_and_may_be_times(journal: Path) -> None:
    """The first stamp is in, the last is not; datetimes and ns mean the same."""
    rows = read_history(journal, "MES", "trades")
    middle = rows["ts_event"][rows.height // 2]
    before = read_history(journal, "MES", "trades", end=middle)
    after = read_history(journal, "MES", "trades", middle)
    assert_frame_equal(pl.concat([before, after]), rows)
    opened = dt.datetime(2026, 1, 5, 23, tzinfo=dt.UTC)
    assert_frame_equal(
        read_history(journal, "MES", "trades", opened),
        read_history(journal, "MES", "trades", START_NS + 10 * SECOND_NS),
    )
    assert read_history(journal, "MES", "trades", dt.date(2026, 1, 6)).height == 0


def test_a_reading_goes_on_where_the_last_one_stopped(journal: Path) -> None:
    """What came meanwhile is there, be it a new run or what another pass has archived."""
    source = Archive(FolderFiles(journal), journal / "archive")
    wanted = HistoryQuery.of("trades")
    assert source.read("MES", wanted).rows() == Oracle(journal).rows(MES)
    session(journal, some_frames(30, from_ns=START_NS + 60 * SECOND_NS), seal=False)
    assert source.read("MES", wanted).rows() == Oracle(journal).rows(MES)
    archive_journal(journal)
    assert source.read("MES", wanted).rows() == Oracle(journal).rows(MES)


def test_a_small_cache_changes_nothing(journal: Path) -> None:
    """What may not be kept is read again."""
    source = Archive(FolderFiles(journal), journal / "archive", keep_bytes=0)
    for _ in range(2):
        assert source.read("MES", HistoryQuery.of("trades")).rows() == Oracle(journal).rows(MES)


def test_memory_is_kept_and_given_back(two_days: Path) -> None:
    """Both levels count; a file that was read is read no more, until its memory is wanted."""
    session(two_days, some_frames(60, from_ns=DAY_NS + 25 * HOUR_NS), seal=False)
    source = Archive(FolderFiles(two_days), two_days / "archive")
    wanted = HistoryQuery.of("trades")
    first = source.read("MES", wanted)
    held = source.held_bytes
    cold = first.filter(pl.col("ts_event") < DAY_NS + 25 * HOUR_NS).height * 33
    assert held > cold
    files = list((two_days / "archive").rglob("*.parquet"))
    contents = {path: path.read_bytes() for path in files}
    for path in files:
        path.unlink()
    assert_frame_equal(source.read("MES", wanted), first)
    assert source.shrink(1) > 0
    assert 0 < source.held_bytes < held
    with pytest.raises(UnreadableSourceError, match="is gone"):
        source.read("MES", wanted)
    for path, content in contents.items():
        path.write_bytes(content)
    assert_frame_equal(source.read("MES", wanted), first)
    assert source.held_bytes == held
    assert source.shrink(held) == held
    assert source.held_bytes == 0
    assert_frame_equal(source.read("MES", wanted), first)


@pytest.mark.parametrize("keep_bytes", [0, 2_000, 20_000, 200_000])
def test_what_is_kept_is_within_its_limit(two_days: Path, keep_bytes: int) -> None:
    """Whatever is read, and in whatever order."""
    source = Archive(FolderFiles(two_days), two_days / "archive", keep_bytes=keep_bytes)
    for contract in ("MES", "MNQ"):
        for timeframe in ("trades", "1s", "1m", "trades"):
            source.read(contract, HistoryQuery.of(timeframe))
            assert source.held_bytes <= keep_bytes


def test_memory_that_a_reading_holds_goes_at_its_end(journal: Path) -> None:
    """Who asks for it is not held up."""

    class Asking(FolderFiles):
        __slots__ = ()
        gone: ClassVar[list[int]] = []

        def read(self, name: str) -> bytes:
            self.gone.append(source.shrink(10**9))
            return super().read(name)

    source = Archive(Asking(journal), journal / "archive")
    wanted = HistoryQuery.of("trades")
    assert source.read("MES", wanted).rows() == Oracle(journal).rows(MES)
    assert set(Asking.gone) == {0}
    kept = source.held_bytes
    assert source.shrink(10**9) == kept < 10_000


class Moving(FolderFiles):
    """A journal that is archived, and removed as far as that is confirmed, amid a reading."""

    __slots__ = ("looks",)

    def __init__(self, path: Path, looks: int) -> None:
        super().__init__(path)
        self.looks = looks

    def _look(self) -> None:
        self.looks -= 1
        if self.looks == 0:
            for number in range(1, archive_journal(self.path).confirmed + 1):
                (self.path / segment_name(number)).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """What is there just before it is not."""
        found = super().names()
        self._look()
        return found

    def size(self, name: str) -> int:
        """The same."""
        self._look()
        return super().size(name)

    def read(self, name: str) -> bytes:
        """The same."""
        self._look()
        return super().read(name)


def test_a_reading_may_be_overtaken_by_archiving(tmp_path: Path) -> None:
    """At each look at the journal all may go into the archive and be removed: nothing is missed."""
    journal = session(tmp_path / "journal", some_frames(16), seal=False)
    archive_first(journal, 1)
    session(journal, some_frames(6, from_ns=START_NS + HOUR_NS), seal=False)
    wanted = Oracle(journal).rows(MES)
    bars = read_history(journal, "MES", "1s").select("ts_open", "volume").rows()
    for looks in range(1, 1_000):
        copy = tmp_path / f"at-{looks}"
        shutil.copytree(journal, copy)
        files = Moving(copy, looks)
        source = Archive(files, copy / "archive")
        assert source.read("MES", HistoryQuery.of("trades")).rows() == wanted
        found = source.read("MES", HistoryQuery.of("1s"))
        assert found.select("ts_open", "volume").rows() == bars
        shutil.rmtree(copy)
        if files.looks > 0:
            break
    assert looks > 20


def test_what_is_kept_goes_when_less_may_be(journal: Path) -> None:
    """At once, later readings keep no more, and nothing is missing afterwards."""
    source = Archive(FolderFiles(journal), journal / "archive")
    wanted = HistoryQuery.of("trades")
    source.read("MES", wanted)
    before = source.held_bytes
    assert before > 0
    source.limit(before)
    assert source.held_bytes == before
    source.limit(0)
    for _ in range(2):
        assert source.held_bytes == 0
        assert source.read("MES", wanted).rows() == Oracle(journal).rows(MES)
    source.limit(before)
    source.read("MES", wanted)
    assert 0 < source.held_bytes <= before


def test_an_archive_is_enough(journal: Path, tmp_path: Path) -> None:
    """A journal that has been removed is not needed for what is archived."""
    (journal / "archive").rename(tmp_path / "archive")
    rows = read_history(tmp_path / "gone", "MES", "trades", archive=tmp_path / "archive")
    whole = Oracle(journal).rows(MES)
    assert 0 < rows.height < len(whole)
    assert rows.rows() == [row for row in whole if row[6] <= rows["seq"].max()]


def test_a_bar_is_given_once_and_at_its_best(tmp_path: Path) -> None:
    """Of two runs' bars of one minute the closed one; within a run the latest revision."""
    journal = session(tmp_path / "journal", some_frames(10), seal=False)
    session(journal, some_frames(150, from_ns=START_NS + 2 * SECOND_NS, step_ns=10**9), seal=False)
    for _ in range(2):
        bars = read_history(journal, "MES", "1m")
        assert bars["ts_open"].is_unique().all()
        assert bars.filter(pl.col("ts_open") < START_NS)["state"].to_list() == ["closed"]
        seconds = read_history(journal, "MES", "1s")
        assert seconds["ts_open"].is_unique().all()
        assert (seconds["revision"] > 0).any()
        archive_journal(journal, rows_per_pass=20)


def test_a_bar_that_a_crash_cut_says_so(tmp_path: Path) -> None:
    """As a replay does: of the time behind a run a later one tells, also in a later pass."""
    opened_ns = START_NS + 10 * SECOND_NS
    first = some_frames(6, from_ns=opened_ns)
    journal = session(tmp_path / "journal", first, seal=False)
    behind_ns, begun_ns = opened_ns + SECOND_NS, opened_ns + HOUR_NS
    gap = Gap(1, MES, GapCause.CRASH, behind_ns, begun_ns, "nobody was there", begun_ns)
    again = some_frames(8, from_ns=begun_ns)
    session(journal, [gap_entry(gap, begun_ns), *again], seal=False)
    replayed = replay(journal, ReplayOptions(calendar_by_name("cme"))).bars["1m"]
    assert [str(bar.completeness) for bar in replayed if bar.contract_id == MES][:1] == ["gap"]
    for _ in range(2):
        bars = read_history(journal, "MES", "1m", end=begun_ns)
        assert bars.select("ts_open", "completeness").rows() == [(opened_ns, "gap")]
        archive_journal(journal)


def test_what_cannot_be_is_refused(journal: Path, tmp_path: Path) -> None:
    """One sentence each: contract, column, timeframe, time without a zone, no journal."""
    with pytest.raises(UnknownContractError):
        read_history(journal, "ZZZ", "trades")
    with pytest.raises(UsageError, match="no column colour"):
        read_history(journal, "MES", "trades", columns=["colour"])
    with pytest.raises(UsageError, match="1 fortnight"):
        read_history(journal, "MES", "1 fortnight")
    with pytest.raises(UsageError, match="no time zone"):
        read_history(journal, "MES", "1m", dt.datetime(2026, 1, 5))  # noqa: DTZ001 - the point
    with pytest.raises(UnreadableSourceError, match="no journal"):
        read_history(tmp_path / "none", "MES", "1m")
