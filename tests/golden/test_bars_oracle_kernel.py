"""Bars of real prints against bars that were made three other ways, which agree exactly."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tapekeeper.core.bars import ContractBars
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe

SETS = (
    "gc_2013-10-07_08",
    "esh2_2022-01-24_0830et",
    "esu4_2024-07-01_utc_midnight",
    "esm4_2024-05-08_2s",
    "btcusdt_perp_2024-08-08",
    "transplant_dst_2024-03_gc",
    "transplant_dst_2024-11_gc",
)
GRIDS = {name: name for name in ("1s", "5s", "15s", "1m", "5m", "15m", "1h")}
FILES = {
    "cme": {**GRIDS, "4h": "4h_session", "1d": "1d_session"},
    "24x7": {**GRIDS, "1d": "1d_utc"},
}
COLUMNS = (
    "ts_open",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "n",
    "buy_vol",
    "sell_vol",
    "ts_first",
    "ts_last",
)
Rows = dict[tuple[str, int], tuple[float, ...]]


def batches(trades: pl.DataFrame, contract_id: str, size: int) -> list[TradeBatch]:
    """The prints of one contract in arrival order, `size` to a batch."""
    mine = trades.filter(pl.col("symbol") == contract_id).sort("seq")
    columns = [
        mine[name].to_list() for name in ("ts_event", "price", "size", "side", "ts_recv", "seq")
    ]
    return [
        TradeBatch(contract_id, *(column[start : start + size] for column in columns))
        for start in range(0, len(mine), size)
    ]


def made(folder: Path, calendar_name: str, size: int) -> dict[str, Rows]:
    """Bars of all contracts of a set, by timeframe."""
    trades = pl.read_parquet(folder / "trades.parquet")
    calendar = calendar_by_name(calendar_name)
    timeframes = [Timeframe.parse(name) for name in FILES[calendar_name]]
    result: dict[str, Rows] = {name: {} for name in FILES[calendar_name]}
    for contract_id in trades["symbol"].unique(maintain_order=True):
        bars = ContractBars(contract_id, timeframes, calendar)
        everything: list[Bar] = []
        for batch in batches(trades, contract_id, size):
            folded = bars.fold(batch)
            assert folded.late == []
            everything += folded.closed
        for bar in everything + bars.forming_all():
            rows = result[bar.timeframe]
            assert (contract_id, bar.ts_open) not in rows
            rows[contract_id, bar.ts_open] = tuple(getattr(bar, name) for name in COLUMNS)
    return result


def oracle(folder: Path, name: str) -> Rows:
    """The oracle's bars of one timeframe."""
    table = pl.read_parquet(folder / f"bars_{name}.parquet")
    return {
        (row["symbol"], row["ts_open"]): tuple(row[column] for column in COLUMNS)
        for row in table.iter_rows(named=True)
    }


@pytest.mark.data
@pytest.mark.parametrize("size", [1, 7, 512, 1_000_000])
@pytest.mark.parametrize("name", SETS)
def test_bars_of_real_prints_are_the_oracles(shared_data: Path, name: str, size: int) -> None:
    """Every column of every bar of nine timeframes is equal, whatever the size of a batch."""
    result = made(shared_data / name, "cme", size)
    for timeframe, file in FILES["cme"].items():
        assert result[timeframe] == oracle(shared_data / name, file), timeframe


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_without_sessions_days_are_those_of_utc(shared_data: Path, name: str) -> None:
    """On the calendar 24x7 every bar up to a day is the oracle's of the epoch grid."""
    result = made(shared_data / name, "24x7", 512)
    for timeframe, file in FILES["24x7"].items():
        assert result[timeframe] == oracle(shared_data / name, file), timeframe


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_a_session_counts_exactly_the_prints_of_its_day(shared_data: Path, name: str) -> None:
    """The daily bars of a set hold the volume of its prints, contract by contract."""
    trades = pl.read_parquet(shared_data / name / "trades.parquet")
    expected = dict(trades.group_by("symbol").agg(pl.col("size").sum()).iter_rows())
    volumes = dict.fromkeys(expected, 0.0)
    for (contract_id, _), row in made(shared_data / name, "cme", 512)["1d"].items():
        volumes[contract_id] += row[COLUMNS.index("volume")]
    assert volumes == expected
