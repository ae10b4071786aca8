"""Recorded gold and ES trades in the archive: every digit, in at most six bytes a trade."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benches.archive import write_journal
from tapekeeper.app.archive.compaction import archive_journal, read_manifest
from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.history import read_history
from tapekeeper.app.archive.layout import TRADES
from tapekeeper.model.timeframe import Timeframe

pytestmark = pytest.mark.data

BYTES_MAX = 6.0
COLUMNS = ["ts_event", "price", "size", "side", "ts_recv"]


@pytest.mark.parametrize("name", ["gc_2013-10-07_08", "esh2_2022-01-24_0830et"])
def test_a_trade_costs_at_most_six_bytes(name: str, shared_data: Path, tmp_path: Path) -> None:
    """Footers and statistics of the files included; what is read back is the recording."""
    rows = pl.read_parquet(shared_data / name / "trades.parquet")
    journal = tmp_path / "journal"
    write_journal(journal, rows, jitter=False, timeframes=(Timeframe.parse("1h"),))
    assert archive_journal(journal).trades == rows.height
    parts = read_manifest(ArchiveDisk(journal / "archive")).parts
    size = sum(part.size_bytes for part in parts if part.kind == TRADES)
    assert size / rows.height <= BYTES_MAX
    for (symbol,), recorded in rows.sort("seq").group_by("symbol", maintain_order=True):
        back = read_history(journal, str(symbol), "trades", columns=COLUMNS)
        wanted = recorded.sort("ts_event", maintain_order=True).select(COLUMNS).cast(back.schema)
        assert back.equals(wanted), symbol
