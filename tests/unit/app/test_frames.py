"""Bars as frames and files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tapekeeper.app.frames import SCHEMA, bars_frame, require_folder, write_bars
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar, BarState

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
