"""`tapekeeper replay` on recorded data, as a user runs it."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import polars as pl
import pytest

from tapekeeper.cli.main import main
from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.signalr.framing import RecordSplitter
from tapekeeper.core.signalr.records import Invocation, decode

pytestmark = pytest.mark.data

TIMEFRAMES = ("1s", "5s", "15s", "1m", "5m", "15m", "1h", "4h", "1d")
ORACLE_NAMES = {"4h": "4h_session", "1d": "1d_session"}
COLUMNS = [
    *("symbol", "ts_open", "open", "high", "low", "close"),
    *("volume", "n", "buy_vol", "sell_vol", "ts_first", "ts_last"),
]
TICK_SIZES = {"btcusdt": "0.1", "es": "0.25", "gc": "0.1", "transplant": "0.1"}
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
    "esu4_2024-07-01.signalr.jsonl.gz": "esu4_2024-07-01_utc_midnight",
    "esh2_2022-01-24_sparse_faults.signalr.jsonl.gz": "esh2_2022-01-24_0830et",
}


def bars(path: Path) -> pl.DataFrame:
    """The compared columns of a file of bars, in one order."""
    return pl.read_parquet(path).select(COLUMNS).sort("symbol", "ts_open")


def tick_size(name: str) -> str:
    """The tick size of a set, as its meta.json has it."""
    return next(size for prefix, size in TICK_SIZES.items() if name.startswith(prefix))


@pytest.mark.parametrize("name", SETS)
def test_bars_of_every_set_equal_the_oracle(name: str, shared_data: Path, tmp_path: Path) -> None:
    """Every column of every bar of every timeframe, clock changes included."""
    source = shared_data / name / "trades.parquet"
    arguments = ["--session", "cme", "--tick-size", tick_size(name), "--out", str(tmp_path)]
    assert main(["replay", str(source), *arguments]) == 0
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(
        f"bars_{timeframe}" for timeframe in TIMEFRAMES
    )
    for timeframe in TIMEFRAMES:
        oracle = shared_data / name / f"bars_{ORACLE_NAMES.get(timeframe, timeframe)}.parquet"
        assert bars(tmp_path / f"bars_{timeframe}.parquet").equals(bars(oracle)), timeframe


def decoded(path: Path) -> list[tuple[int, float, int, int]]:
    """Every print of a wire capture, in order of arrival."""
    splitter, decoder, burst = RecordSplitter(), MarketDecoder(), Burst()
    for line in gzip.decompress(path.read_bytes()).splitlines():
        for raw in splitter.feed(msgspec.json.decode(line)["ws"].encode()):
            record = decode(raw)
            if isinstance(record, Invocation):
                decoder.decode(record, 0, burst)
    assert burst.rejected == []
    return [
        row
        for batch in burst.trades.values()
        for row in zip(batch.ts_event, batch.price, batch.size, batch.side, strict=True)
    ]


@pytest.mark.parametrize(("wire", "ticks"), WIRE.items())
def test_wire_samples_hold_exactly_their_ticks(wire: str, ticks: str, shared_data: Path) -> None:
    """Every print of the archive, with the 100 ns that the wire has, and none besides."""
    frame = pl.read_parquet(shared_data / ticks / "trades.parquet")
    on_wire = frame.select(pl.col("ts_event") // 100 * 100, "price", "size", "side")
    assert sorted(decoded(shared_data / "wire" / wire)) == sorted(on_wire.rows())


@pytest.mark.parametrize(("wire", "ticks"), WIRE.items())
def test_wire_samples_make_their_bars(
    wire: str, ticks: str, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every bar is the archive's, those included whose last prints came after they had closed."""
    source = shared_data / "wire" / wire
    assert main(["replay", str(source), "--tick-size", "0.25", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "late" not in printed
    for timeframe in TIMEFRAMES:
        oracle = shared_data / ticks / f"bars_{ORACLE_NAMES.get(timeframe, timeframe)}.parquet"
        made, expected = bars(tmp_path / f"bars_{timeframe}.parquet"), bars(oracle)
        assert made["ts_open"].to_list() == expected["ts_open"].to_list()
        exact = ["high", "low", "volume", "n", "buy_vol", "sell_vol"]
        assert made.select(exact).equals(expected.select(exact)), timeframe
        if "faults" not in wire:  # late prints of one time may change places
            assert made.select("open", "close").equals(expected.select("open", "close")), timeframe
