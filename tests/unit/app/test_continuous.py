"""Continuous series out of recordings, with every roll and its evidence."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.app.continuous import (
    CONTINUOUS_SCHEMA,
    ROLL_SCHEMA,
    Reading,
    measures_of,
    read_continuous,
)
from tapekeeper.app.frames import SCHEMA
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import UnknownContractError, UsageError
from tapekeeper.model.continuous import Adjustment
from tapekeeper.model.timeframe import Timeframe


def at(text: str) -> int:
    """A time of March 2026, written DD HH:MM:SS, UTC, in ns."""
    return int(dt.datetime.fromisoformat(f"2026-03-{text}+00:00").timestamp()) * 10**9


ROWS = [  # of the sessions of 10, 11 and 12 March, which open at 22:00 UTC
    ("09 22:00:00", "MESH6", 6000.25, 5),
    ("10 15:00:10", "MESM6", 6050.25, 1),
    ("10 20:58:01", "MESH6", 6010.00, 5),
    ("10 20:59:30", "MESM6", 6061.00, 2),
    ("10 22:00:00", "MESH6", 6008.00, 4),
    ("11 20:57:10", "MESH6", 6012.00, 1),
    ("11 20:57:50", "MESM6", 6062.25, 6),  # decides, and is in the last common minute
    ("11 20:59:59", "MESH6", 6020.00, 0),
    ("11 22:00:00", "MESM6", 6070.75, 3),
    ("11 22:00:30", "MESH6", 6021.00, 9),
    ("12 14:00:00", "MESM6", 6080.00, 2),
]


def recording(folder: Path, rows: list[tuple[str, str, float, int]]) -> Path:
    """A Parquet file of these trades."""
    path = folder / "trades.parquet"
    pl.DataFrame(
        {
            "ts_event": [at(row[0]) for row in rows],
            "price": [row[2] for row in rows],
            "size": [row[3] for row in rows],
            "side": [0] * len(rows),
            "symbol": [row[1] for row in rows],
        }
    ).write_parquet(path)
    return path


@pytest.fixture
def trades(tmp_path: Path) -> Path:
    """Two expiries in three sessions; the later one is the busier in the second."""
    return recording(tmp_path, ROWS)


def test_a_roll_by_volume_without_adjustment(trades: Path) -> None:
    """Rows are of one contract each, and the next one's begin at the open after the decision."""
    found = read_continuous(trades, "MES", "1d")
    frame = found.frame()
    assert dict(frame.schema) == CONTINUOUS_SCHEMA
    assert frame.select("symbol", "ts_open", "open", "close", "volume", "adjustment").rows() == [
        ("MESH6", at("09 22:00:00"), 6000.25, 6010.0, 10, None),
        ("MESH6", at("10 22:00:00"), 6008.0, 6020.0, 5, None),
        ("MESM6", at("11 22:00:00"), 6070.75, 6080.0, 5, None),
    ]
    assert [(each.contract_id, each.session.day) for each in found.segments] == [
        ("MESH6", 10),
        ("MESM6", 12),
    ]
    rolls = found.rolls_frame()
    assert dict(rolls.schema) == ROLL_SCHEMA
    assert rolls.row(0, named=True) == {
        "ts_roll": at("11 22:00:00"),
        "session": dt.date(2026, 3, 12),
        "symbol_from": "MESH6",
        "symbol_to": "MESM6",
        "difference": 50.25,
        "ratio": 6062.25 / 6012.0,
        "measured_timeframe": "1m",
        "measured_ts_open": at("11 20:57:00"),
        "close_from": 6012.0,
        "close_to": 6062.25,
        "completeness_from": "complete",
        "completeness_to": "complete",
        "reason": "volume 6 (complete) of MESM6 above 5 (complete) of MESH6 "
        "in the session of 2026-03-11",
        "contract_from": "MESH6",
        "contract_to": "MESM6",
    }


@pytest.mark.parametrize("timeframe", ["1s", "1m", "1h", "1d", "1w"])
def test_every_timeframe_is_adjusted_by_the_same(trades: Path, timeframe: str) -> None:
    """The difference is measured on minutes whatever is read; no bar mixes expiries."""
    raw = read_continuous(trades, "MES", timeframe).frame()
    found = read_continuous(trades, "MES", timeframe, adjust="difference")
    frame = found.frame()
    assert found.adjust is Adjustment.DIFFERENCE
    assert found.rolls[0].difference == 50.25
    shift = pl.when(pl.col("symbol") == "MESH6").then(50.25).otherwise(0.0)
    prices = ["open", "high", "low", "close", "vwap"]
    moved = raw.with_columns(pl.col(prices) + shift).drop("adjustment")
    if timeframe == "1w":  # opened with the old contract, and stays its own to its end
        assert frame["symbol"].to_list() == ["MESH6"]
        assert frame["volume"].to_list() == [24]
        return
    assert frame.drop("adjustment").equals(moved)
    assert dict(zip(frame["symbol"], frame["adjustment"], strict=True)) == {
        "MESH6": 50.25,
        "MESM6": None,
    }


def test_a_ratio_keeps_returns(trades: Path) -> None:
    """Each price before the roll is multiplied by the closes' ratio, the average price as well."""
    frame = read_continuous(trades, "MES", "1d", adjust="ratio").frame()
    ratio = 6062.25 / 6012.0
    assert frame["close"].to_list() == pytest.approx([6010 * ratio, 6020 * ratio, 6080], rel=1e-15)
    vwaps = [(6000.25 + 6010) / 2 * ratio, (6008 * 4 + 6012) / 5 * ratio, 6074.45]
    assert frame["vwap"].to_list() == pytest.approx(vwaps, rel=1e-12)
    assert frame["adjustment"].to_list() == [ratio, ratio, None]


def test_rules_of_the_calendar_and_given_dates(trades: Path) -> None:
    """The third Friday is the 20th; a date given goes before everything."""
    by_calendar = read_continuous(trades, "MES", "1d", roll="calendar:7")
    assert [roll.session.day for roll in by_calendar.rolls] == [11]
    given = {"H26": dt.date(2026, 3, 13)}
    by_day = read_continuous(trades, "MES", "1d", roll="calendar:1", last_trading_days=given)
    assert [roll.session.day for roll in by_day.rolls] == [12]
    by_date = read_continuous(trades, "MES", "1d", roll="dates:2026-03-11=MESM6")
    assert [roll.session.day for roll in by_date.rolls] == [11]


def test_each_product_has_its_own_last_trading_day_and_calendar(tmp_path: Path) -> None:
    """Gold leaves its month on the third last business day of it, by COMEX's calendar."""
    days = ("24", "25", "26", "27")
    rows = [(f"{day} 15:00:00", code, 3_000.0, 5) for day in days for code in ("GCH6", "GCM6")]
    path = recording(tmp_path, rows)
    series = read_continuous(path, "GC", "1d", roll="calendar:0")
    (roll,) = series.rolls
    assert roll.session == dt.date(2026, 3, 27)
    assert roll.reason == (
        "0 trading days before 2026-03-27, the last trading day (third last business day) of GCH6"
    )
    own = {"gc": "4 business days before day 31"}
    series = read_continuous(path, "GC", "1d", roll="calendar:0", expiries=own)
    assert [roll.session.day for roll in series.rolls] == [25]
    options = ReplayOptions(calendar_by_name("cme"), (Timeframe.parse("1d"),), by_product=True)
    calendars = replay(path, options).calendars
    assert {name: each.spec.name for name, each in calendars.items()} == {
        "GCH6": "comex",
        "GCM6": "comex",
    }
    rows = [(text, code.replace("GC", "XYZ"), price, size) for text, code, price, size in rows]
    path = recording(tmp_path, rows)
    with pytest.raises(UsageError, match="nobody knows when XYZH6 trades last"):
        read_continuous(path, "XYZ", "1d", roll="calendar:0")
    assert len(read_continuous(path, "XYZ", "1d").segments) == 1
    assert replay(path, options).calendars["XYZH6"].spec.name == "cme"


def test_a_roll_that_cannot_be_measured_is_told(tmp_path: Path) -> None:
    """Without adjustment it is a null; with one it is an error that says what to do instead."""
    rows = [row for row in ROWS if not (row[1] == "MESH6" and row[0].startswith("11 20:57"))]
    path = recording(tmp_path, rows)
    found = read_continuous(path, "MES", "1h")
    assert [roll.measured for roll in found.rolls] == [None]
    row = found.rolls_frame().row(0, named=True)
    assert [row[name] for name in ("difference", "ratio", "close_to", "measured_ts_open")] == [
        None
    ] * 4
    for adjust in ("difference", "ratio"):
        with pytest.raises(UsageError, match="MESH6 -> MESM6 of 2026-03-12 cannot be measured: "):
            read_continuous(path, "MES", "1h", adjust=adjust)


def test_one_contract_is_a_series_without_a_roll(tmp_path: Path) -> None:
    """Under every adjustment its prices are its own."""
    path = recording(tmp_path, [row for row in ROWS if row[1] == "MESM6"])
    for adjust in Adjustment:
        found = read_continuous(path, "MES", "1d", adjust=adjust)
        assert found.rolls == ()
        assert found.frame()["adjustment"].to_list() == [None] * 3
        assert found.frame(2).equals(found.frame().tail(2))
        assert dict(found.rolls_frame().schema) == ROLL_SCHEMA
    assert set(SCHEMA) < set(CONTINUOUS_SCHEMA)


def test_the_calendar_of_a_recording_can_be_named(trades: Path) -> None:
    """On days of UTC the earlier contract is the busier one on the 11th, by 10 to 9."""
    found = read_continuous(trades, "MES", "1d", calendar="24x7")
    assert found.rolls == ()
    assert found.frame().select("ts_open", "volume").rows() == [
        (at("09 00:00:00"), 5),
        (at("10 00:00:00"), 9),
        (at("11 00:00:00"), 10),
    ]


@pytest.mark.parametrize(
    ("reading", "sentence"),
    [
        (("1x", "volume", "none"), "unknown timeframe '1x'"),
        (("1m", "oi", "none"), "unknown roll rule 'oi': write volume"),
        (("1m", "volume", "both"), "unknown adjustment 'both': write none, difference, rat"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    reading: tuple[str, str, str], sentence: str
) -> None:
    """One sentence that names what is allowed."""
    with pytest.raises(UsageError, match=sentence):
        Reading("MES", *reading)


def test_a_product_that_is_not_there(trades: Path) -> None:
    """Said with those that are."""
    with pytest.raises(UnknownContractError, match=r"no product is named 'NQ'.*there are MES"):
        read_continuous(trades, "NQ", "1m")


def test_rolls_are_measured_from_a_minute_on() -> None:
    """In a second both seldom trade; longer bars are tried after shorter ones."""
    names = ("1d", "1s", "5m", "30s", "1m")
    assert [str(each) for each in measures_of(map(Timeframe.parse, names))] == ["1m", "5m", "1d"]
