"""The rules as they are shipped leave all recorded data alone."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import polars as pl
import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.runlog import Rerun
from tapekeeper.core.validate import QuoteRules, RulePolicy, StampRules, TradeRules
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.tick import Quote, TradeBatch
from tapekeeper.model.timeframe import Timeframe

pytestmark = pytest.mark.data

SETS = (
    "btcusdt_perp_2024-08-08",
    "esh2_2022-01-24_0830et",
    "esm4_2024-05-08_2s",
    "esu4_2024-07-01_utc_midnight",
    "gc_2013-10-07_08",
    "transplant_dst_2024-03_gc",
    "transplant_dst_2024-11_gc",
)
WIRE = {
    "esu4_2024-07-01.signalr.jsonl.gz": {},
    "esh2_2022-01-24_sparse_faults.signalr.jsonl.gz": {"malformed": 1},
}
MARGIN = 2
"""By so much the thresholds are divided: no print comes as near to them as this."""


def batches(path: Path) -> list[TradeBatch]:
    """The trades of each contract of a set, in order of arrival."""
    rows = pl.read_parquet(path).sort("seq", maintain_order=True)
    return [
        TradeBatch(
            str(part["symbol"][0]),
            part["ts_event"].to_list(),
            part["price"].to_list(),
            part["size"].to_list(),
            part["side"].to_list(),
            part["ts_recv"].to_list(),
            part["seq"].to_list(),
        )
        for part in rows.partition_by("symbol", maintain_order=True)
    ]


def tight() -> RulePolicy:
    """The rules as they are shipped, with every threshold divided."""
    usual = RulePolicy()
    return msgspec.structs.replace(
        usual,
        band_ticks=usual.band_ticks / MARGIN,
        band_percent=usual.band_percent / MARGIN,
        band_factor=usual.band_factor / MARGIN,
        ahead_ns=usual.ahead_ns // MARGIN,
    )


def tick_size_of(folder: Path) -> float:
    """The price step of a set."""
    return float(json.loads((folder / "meta.json").read_text())["tick_size"])


@pytest.mark.parametrize("name", SETS)
def test_no_recorded_print_comes_near_a_threshold(name: str, shared_data: Path) -> None:
    """Nothing is set aside, not even provisionally, with every threshold at half its width."""
    tick_size = tick_size_of(shared_data / name)
    for batch in batches(shared_data / name / "trades.parquet"):
        assert StampRules(tight()).sift(1, batch) is None
        assert TradeRules(tick_size, tight()).judge(batch) is None


@pytest.mark.parametrize("name", SETS[:4])
def test_no_recorded_quote_comes_near_a_threshold(name: str, shared_data: Path) -> None:
    """The same of quotes, one state after the other as they were received."""
    rules = QuoteRules(tick_size_of(shared_data / name), tight())
    rows = pl.read_parquet(shared_data / name / "quotes.parquet").sort("seq", maintain_order=True)
    columns = rows.select("ts_event", "ts_recv", "seq", "bid", "ask").iter_rows()
    for ts_event, ts_recv, seq, bid, ask in columns:
        assert rules.fault(Quote("C", ts_event, ts_recv, seq, bid=bid, ask=ask)) is None
    assert len(rows) > 100


@pytest.mark.parametrize("name", WIRE)
def test_of_recorded_frames_only_what_is_no_record_is_set_aside(
    name: str, shared_data: Path
) -> None:
    """The seeded faults of the file are one record that is not JSON, and duplicates of shape."""

    def found(contract_id: str) -> Subscription:
        instrument = Instrument(contract_id, contract_id, tick_size=0.25)
        return Subscription(instrument, (Timeframe.parse("1m"),), calendar_by_name("cme"))

    pipeline = Pipeline(grace_ns=0, discover=found)
    rerun = Rerun(pipeline)
    with gzip.open(shared_data / "wire" / name) as lines:
        for text in lines:
            line = json.loads(text)
            entry = Entry(EntryKind.FRAME, 0, line["t"], line["ws"].encode())
            assert all(not outputs.readmitted for outputs in rerun.take(entry))
    assert pipeline.reasons() == WIRE[name]
    assert pipeline.trade_counts().accepted > 100
