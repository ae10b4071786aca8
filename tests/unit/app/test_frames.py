"""Bars as frames and files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tapekeeper.app.frames import (
    QUOTE_SCHEMA,
    SCHEMA,
    QuoteColumns,
    bars_frame,
    quotes_frame,
    require_folder,
    write_bars,
    write_quotes,
)
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.tick import Quote

BAR = Bar("CON.F.US.MES.H26", "1m", 60, 120, 1.0, 4.0, 0.5, 2.0, 7, 3, 4, 2, 61, 119)
FORMING = Bar("X", "1m", 120, 180, 1.0, 1.0, 1.0, 1.0, 0, 1, 0, 0, 121, 121, BarState.FORMING)


def test_a_frame_has_every_member_under_its_name() -> None:
    """One row a bar; a contract without a known name stands for itself."""
    frame = bars_frame([BAR, FORMING], {BAR.contract_id: "MESH6"})
    assert dict(frame.schema) == SCHEMA
    assert frame.rows(named=True)[0] == {
        "symbol": "MESH6",
        "ts_open": 60,
        "open": 1.0,
        "high": 4.0,
        "low": 0.5,
        "close": 2.0,
        "volume": 7,
        "n": 3,
        "buy_vol": 4,
        "sell_vol": 2,
        "ts_first": 61,
        "ts_last": 119,
        "ts_end": 120,
        "state": "closed",
        "contract_id": BAR.contract_id,
        "vwap": 0.0,
        "revision": 0,
        "completeness": "complete",
        "gap_ids": [],
        "live_share": 1.0,
        "ordinal": 0,
    }
    assert frame["symbol"].to_list() == ["MESH6", "X"]
    assert frame["state"].to_list() == ["closed", "forming"]


def test_no_bars_are_a_frame_with_the_same_columns() -> None:
    """A reader need not ask whether there was anything."""
    assert dict(bars_frame([], {}).schema) == SCHEMA


def test_equal_bars_give_equal_files(tmp_path: Path) -> None:
    """Files can be compared byte by byte, and read back."""
    first = write_bars({"1m": [BAR]}, {}, tmp_path / "a" / "b")
    second = write_bars({"1m": [BAR]}, {}, tmp_path / "c")
    assert [path.name for path in first] == ["bars_1m.parquet"]
    assert first[0].read_bytes() == second[0].read_bytes()
    assert pl.read_parquet(first[0]).equals(bars_frame([BAR], {}))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """One sentence that says where."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r"cannot write bars to .*file: it is a file, and must"):
        write_bars({"1m": [BAR]}, {}, tmp_path / "file")
    with pytest.raises(UsageError, match=r"cannot write bars to .*below"):
        require_folder(tmp_path / "file" / "below")


def test_a_write_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    """A full disk or Ctrl-C costs the new bars, not those of an earlier run."""
    before = write_bars({"1m": [BAR]}, {}, tmp_path)[0].read_bytes()
    # A folder in the place of the unfinished file makes the write fail for any user.
    (tmp_path / "bars_1m.partial").mkdir()
    with pytest.raises(UsageError, match="cannot write bars"):
        write_bars({"1m": [BAR, FORMING]}, {}, tmp_path)
    assert (tmp_path / "bars_1m.parquet").read_bytes() == before


QUOTES = [
    Quote("A", 1, 10, 0),
    Quote("B", 2, 11, 1, last=5.0, bid=4.75, ask=5.25, volume=0),
    Quote("A", 3, 12, 2, bid=1.5, volume=2**40),
]


def test_a_frame_of_quotes_has_null_for_what_was_not_told() -> None:
    """A volume of 0 is told, and is no null; there are no sizes."""
    frame = quotes_frame(QUOTES)
    assert frame.schema == pl.Schema(QUOTE_SCHEMA)
    assert frame.rows() == [
        (1, None, None, None, None, 10, 0),
        (2, 4.75, 5.25, 5.0, 0, 11, 1),
        (3, 1.5, None, None, 2**40, 12, 2),
    ]
    assert quotes_frame([]).schema == pl.Schema(QUOTE_SCHEMA)


def test_quotes_of_all_contracts_are_one_file(tmp_path: Path) -> None:
    """In order of arrival, with the contract's id; equal quotes give equal bytes."""
    columns = QuoteColumns()
    columns.add(QUOTES)
    assert len(columns) == 3
    path = write_quotes(columns, tmp_path / "one")
    assert pl.read_parquet(path)["contract_id"].to_list() == ["A", "B", "A"]
    assert path.read_bytes() == write_quotes(columns, tmp_path / "two").read_bytes()
    assert [each.name for each in (tmp_path / "one").iterdir()] == ["quotes.parquet"]
    empty = pl.read_parquet(write_quotes(QuoteColumns(), tmp_path / "none"))
    assert empty.schema == pl.Schema([*QUOTE_SCHEMA.items(), ("contract_id", pl.String)])
