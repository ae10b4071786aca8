"""Names and partitions of the archive: trade dates, and folders that are good anywhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.app.archive.layout import by_trade_date, folder_text, trades_folder
from tapekeeper.app.config_archive import ArchiveConfig
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.timeframe import DAY_NS, HOUR_NS

RESERVED = set('<>:"/\\|?*') | {chr(code) for code in range(32)}


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_folder_is_good_on_every_system(one: str, other: str) -> None:
    """No reserved character, no dot at the end, and no two values in one folder on Windows."""
    encoded = folder_text(one)
    assert unquote(encoded) == one
    assert not set(encoded) & RESERVED
    assert not encoded.endswith((".", " "))
    assert (encoded.lower() == folder_text(other).lower()) == (one == other)


def test_an_id_of_the_gateway_reads_as_it_is() -> None:
    """Nothing of it needs encoding, and `CON` is no device behind `contract=`."""
    folder = trades_folder("CON.F.US.MES.H26", "2026-01-06")
    assert folder == "trades/contract=CON.F.US.MES.H26/trade_date=2026-01-06"


@pytest.mark.parametrize("name", ["cme", "24x7"])
@given(stamps=st.lists(st.integers(0, 400 * 24), min_size=1, max_size=20))
def test_every_row_is_filed_by_its_session(name: str, stamps: list[int]) -> None:
    """All rows once, in their order, each under the trade date of its own session."""
    calendar = calendar_by_name(name)
    start_ns = 19_700 * DAY_NS
    frame = pl.DataFrame({"ts": [start_ns + stamp * HOUR_NS for stamp in stamps]})
    found = dict(by_trade_date(frame, "ts", calendar))
    assert sum(rows.height for rows in found.values()) == frame.height
    for date, rows in found.items():
        wanted = [
            ts for ts in frame["ts"] if calendar.session_of(ts).trade_date.isoformat() == date
        ]
        assert sorted(rows["ts"]) == sorted(wanted)


def test_the_default_is_beside_the_journal() -> None:
    """No folder of its own unless it is asked for."""
    assert ArchiveConfig().dir is None
    assert ArchiveConfig(dir=Path("cold")).dir == Path("cold")
