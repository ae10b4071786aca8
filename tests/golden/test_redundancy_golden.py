"""Recorded prints over two lines: delayed, batched apart, joined late, and one of them killed."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.model.bar import Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe

pytestmark = pytest.mark.data

SETS = (
    "esh2_2022-01-24_0830et",
    "esm4_2024-05-08_2s",
    "esu4_2024-07-01_utc_midnight",
    "btcusdt_perp_2024-08-08",
    "gc_2013-10-07_08",
)
FILES = {"1s": "1s", "5s": "5s", "1m": "1m", "5m": "5m", "1h": "1h", "1d": "1d_session"}
COLUMNS = (
    "symbol",
    "ts_open",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "n",
    "ts_first",
    "ts_last",
)
MS = 1_000_000
DELAY_MS_MAX = 500

Row = tuple[int, float, int, int, str]
Arrival = tuple[int, int, int]  # time of receipt, place in the source, line


def arrivals(
    rows: list[Row], line: int, first: int, last: int, rng: random.Random
) -> list[Arrival]:
    """When a line that lives from row `first` to row `last` brings each of them."""
    found: list[Arrival] = []
    at_ns = delay_ns = 0
    for place in range(first, last):
        if rng.random() < 0.02:
            delay_ns = rng.randrange(DELAY_MS_MAX) * MS
        at_ns = max(at_ns, rows[place][0] + delay_ns)
        found.append((at_ns, place, line))
    return found


def made(rows: list[Row], came: list[Arrival], rng: random.Random) -> tuple[Pipeline, list[Bar]]:
    """The bars of what came, in random bursts."""
    pipeline = Pipeline(grace_ns=0)
    timeframes = tuple(map(Timeframe.parse, FILES))
    contracts = dict.fromkeys(row[4] for row in rows)
    for contract_id in contracts:
        instrument = Instrument(contract_id, contract_id)
        pipeline.subscribe(Subscription(instrument, timeframes, calendar_by_name("cme")))
    bars: list[Bar] = []

    def note(outputs: Outputs) -> None:
        bars.extend(outputs.closed)
        assert outputs.rejected == []
        assert pipeline.trade_counts().holds

    batches: dict[str, TradeBatch] = {}
    present = -1
    for seq, (recv_ns, place, line) in enumerate(came):
        if line != present or rng.random() < 0.1:
            for batch in batches.values():
                pipeline.take_trades(batch, present)
            batches, present = {}, line
            if rng.random() < 0.1:
                note(pipeline.step())
        ts_event, price, size, side, contract_id = rows[place]
        batch = batches.setdefault(contract_id, TradeBatch(contract_id))
        batch.append(ts_event, price, size, side, recv_ns, seq)
    for batch in batches.values():
        pipeline.take_trades(batch, present)
    note(pipeline.step())
    for contract_id in contracts:
        note(pipeline.close_due(contract_id, 0))
    return pipeline, [*bars, *pipeline.forming_all()]


def table(bars: list[Bar], timeframe: str) -> list[tuple[object, ...]]:
    """The compared columns of the bars of one timeframe, in one order."""
    return sorted(
        (bar.contract_id, *(getattr(bar, name) for name in COLUMNS[1:]))
        for bar in bars
        if bar.timeframe == timeframe
    )


@pytest.mark.parametrize("survivor", [0, 1])
@pytest.mark.parametrize("name", SETS)
def test_two_lines_of_which_one_dies_make_the_oracles_bars(
    shared_data: Path, name: str, survivor: int
) -> None:
    """Either line may join late or be killed at any moment; every bar is as of one whole line."""
    frame = pl.read_parquet(shared_data / name / "trades.parquet").sort("seq")
    rows: list[Row] = frame.select("ts_event", "price", "size", "side", "symbol").rows()
    rng = random.Random(f"{name} {survivor}")
    for _ in range(3 if len(rows) < 10_000 else 1):
        cut = rng.randrange(len(rows))
        # The survivor brings all; the other one begins and ends somewhere, or the survivor joins.
        other = arrivals(rows, 1 - survivor, cut // 2, cut + 1, rng)
        joined = rng.randrange(cut // 2 + 1) if survivor else 0
        whole = arrivals(rows, survivor, joined, len(rows), rng)
        if joined:
            other = arrivals(rows, 1 - survivor, 0, cut + 1, rng)
        pipeline, bars = made(rows, sorted([*whole, *other]), rng)
        counts = pipeline.trade_counts()
        assert counts.accepted == len(rows)
        assert counts.duplicate == len(whole) + len(other) - len(rows)
        for timeframe, file in FILES.items():
            oracle = pl.read_parquet(shared_data / name / f"bars_{file}.parquet")
            assert table(bars, timeframe) == sorted(oracle.select(COLUMNS).rows()), timeframe
