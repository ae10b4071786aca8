"""The continuous series of recorded gold, all expiries, against what the oracle's bars say."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tapekeeper.app.continuous import Continuous, read_continuous
from tapekeeper.core.calendar import calendar_by_name

pytestmark = pytest.mark.data

SET = "gc_2013-10-07_08"
KEYS = ["symbol", "ts_open", "open", "high", "low", "close", "volume", "n"]


@pytest.fixture(scope="module")
def gold(shared_data: Path) -> Path:
    """Two full days of eleven expiries; the third session begins an hour before their end."""
    return shared_data / SET


def series(gold: Path, timeframe: str, roll: str = "volume", adjust: str = "none") -> Continuous:
    """The continuous series of gold."""
    return read_continuous(
        gold / "trades.parquet", "GC", timeframe, roll=roll, adjust=adjust, calendar="cme"
    )


def oracle(gold: Path, timeframe: str) -> pl.DataFrame:
    """The oracle's bars of a timeframe, in order of time."""
    return pl.read_parquet(gold / f"bars_{timeframe}.parquet").sort("ts_open").select(KEYS)


def test_the_roll_is_what_the_oracles_daily_bars_say(gold: Path) -> None:
    """The nearest expiry first; from the second session on the one with the most volume."""
    daily = oracle(gold, "1d_session")
    monday = daily.filter(pl.col("ts_open") == daily["ts_open"].min())
    busiest = monday.sort("volume")["symbol"][-1]
    found = series(gold, "1d")
    assert [each.contract_id for each in found.segments] == ["GCV3", busiest] == ["GCV3", "GCZ3"]
    tuesday = calendar_by_name("cme").session_of(int(monday["ts_open"][0])).date.day + 1
    assert [roll.session.day for roll in found.rolls] == [tuesday]
    assert found.frame().select(KEYS).rows() == [
        row
        for row in daily.rows()
        if row[0] == ("GCV3" if row[1] == monday["ts_open"][0] else "GCZ3")
    ]


@pytest.mark.parametrize(
    "roll", ["volume", "dates:2013-10-08=X3", "dates:2013-10-08=GCG4,2013-10-09=GCJ4"]
)
@pytest.mark.parametrize("timeframe", ["1m", "1h"])
def test_rows_and_measures_are_the_oracles(gold: Path, roll: str, timeframe: str) -> None:
    """Every row but the forming ones; differences of the last minute in which both traded."""
    found = series(gold, timeframe, roll)
    minutes, expected = oracle(gold, "1m"), oracle(gold, timeframe)
    rows = found.frame().select(KEYS).rows()
    assert rows == [
        row
        for segment in found.segments
        for row in expected.filter(pl.col("symbol") == segment.contract_id).rows()
        if row[1] >= segment.from_ns and (segment.to_ns is None or row[1] < segment.to_ns)
    ]
    assert len(found.rolls) == len(found.segments) - 1 >= 1
    for roll_made in found.rolls:
        before = minutes.filter(pl.col("ts_open") < roll_made.ts_roll)
        left, taken = (
            before.filter(pl.col("symbol") == symbol)
            for symbol in (roll_made.contract_from, roll_made.contract_to)
        )
        common = left.join(taken, on="ts_open", suffix="_to").sort("ts_open")
        assert roll_made.measured is not None
        assert (
            roll_made.measured.ts_open,
            roll_made.measured.close_from,
            roll_made.measured.close_to,
        ) == common.select("ts_open", "close", "close_to").row(-1)


def test_the_difference_takes_the_step_out(gold: Path) -> None:
    """The old contract's prices are moved by the whole of it, and end on the price ladder."""
    raw, moved = (series(gold, "1m", adjust=adjust) for adjust in ("none", "difference"))
    step = raw.rolls[0].difference
    assert step == 0.1
    old = [bar for bar in raw.bars if bar.contract_id == "GCV3"]
    assert len(old) > 20
    assert [bar.close for bar in moved.bars[: len(old)]] == [
        round(bar.close + 0.1, 1) for bar in old
    ]
    assert moved.bars[len(old) :] == raw.bars[len(old) :]
