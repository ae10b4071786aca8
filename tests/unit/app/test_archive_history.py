"""One reading of archive and journal: no seam, nothing twice, nothing left out."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

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


def test_only_what_is_wanted_is_read(journal: Path) -> None:
    """Columns and times are pushed into the files; the plan shows it."""
    plan = read_history(
        journal, "MES", "trades", START_NS, columns=["price", "ts_event"], lazy=True
    )
    text = plan.explain()
    assert "PROJECT 2/7 COLUMNS" in text
    assert "SELECTION" in text
    assert plan.collect().columns == ["price", "ts_event"]
    oracle = Oracle(journal)
    assert plan.collect()["price"].to_list() == [row[2] for row in oracle.rows(MES, START_NS)]


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
    assert source.read("MES", wanted).collect().rows() == Oracle(journal).rows(MES)
    session(journal, some_frames(30, from_ns=START_NS + 60 * SECOND_NS), seal=False)
    assert source.read("MES", wanted).collect().rows() == Oracle(journal).rows(MES)
    archive_journal(journal)
    assert source.read("MES", wanted).collect().rows() == Oracle(journal).rows(MES)


def test_a_small_cache_changes_nothing(journal: Path) -> None:
    """What may not be kept is read again."""
    source = Archive(FolderFiles(journal), journal / "archive", keep_rows=0)
    for _ in range(2):
        assert source.read("MES", HistoryQuery.of("trades")).collect().rows() == Oracle(
            journal
        ).rows(MES)


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
