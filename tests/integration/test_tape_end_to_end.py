"""Recorded ticks through the simulated gateway, sockets, line, journal and bars."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.app.config import Config
from tapekeeper.app.frames import bars_frame, write_bars
from tapekeeper.app.replay import ReplayOptions, ReplayResult, replay
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls

TIMEFRAMES = ("1s", "5s", "15s", "1m", "5m", "15m", "1h", "4h", "1d")
ORACLE_NAMES = {"4h": "4h_session", "1d": "1d_session"}
SETS = (
    "btcusdt_perp_2024-08-08",
    "esh2_2022-01-24_0830et",
    "esm4_2024-05-08_2s",
    "esu4_2024-07-01_utc_midnight",
    "gc_2013-10-07_08",
    "transplant_dst_2024-03_gc",
    "transplant_dst_2024-11_gc",
)
WIRE_NS = 100
"""The resolution of time on the wire; the archives have more digits in two sets."""


def config_for(
    urls: SimUrls, folder: Path, *, negotiate: bool = True, protocol: str = "json"
) -> Config:
    """A configuration for the simulated gateway that keeps every bar."""
    return Config.model_validate(
        {
            "gateway": {
                "rest_url": urls.rest,
                "market_hub_url": urls.market_hub,
                "user_hub_url": urls.user_hub,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
                "negotiate": negotiate,
                "protocol": protocol,
            },
            "journal": {"dir": str(folder)},
            "bars": {"keep": 1_000_000},
            "history": {"enabled": False},  # only what is received makes the bars of these tests
            "log": {"level": "error"},
        }
    )


async def received(tape: Tape, trades: int) -> None:
    """Wait until the tape has received so many trades."""
    while tape.status().trades.received < trades:  # noqa: ASYNC110 - counters have no event
        await asyncio.sleep(0)


async def record(
    play: Path, folder: Path, protocol: str = "json"
) -> tuple[TapeStatus, ReplayResult, dict[str, int]]:
    """Follow every contract of a recording to its end; the tape's state and what was sent."""
    config = SimConfig(play=play, speed="max", products=())
    async with SimGateway(config, SystemClock(), SystemRandom()) as gateway:
        tape = Tape(config_for(gateway.urls, folder, protocol=protocol))
        async with tape, asyncio.timeout(90):
            for contract_id in gateway.contracts:
                await tape.subscribe(contract_id, TIMEFRAMES)
            await gateway.finished.wait()
            sent = gateway.statistics().trades_sent
            await received(tape, sum(sent.values()))
        return tape.status(), tape.result(), sent


def expected_bars(folder: Path, timeframe: str) -> pl.DataFrame:
    """The oracle's bars, with times as they are on the wire."""
    name = ORACLE_NAMES.get(timeframe, timeframe)
    on_wire = (pl.col("ts_first", "ts_last") // WIRE_NS) * WIRE_NS
    frame = pl.read_parquet(folder / f"bars_{name}.parquet").with_columns(on_wire)
    return frame.select(COLUMNS).sort("symbol", "ts_open")


COLUMNS = [
    *("symbol", "ts_open", "open", "high", "low", "close"),
    *("volume", "n", "buy_vol", "sell_vol", "ts_first", "ts_last"),
]


@pytest.mark.data
@pytest.mark.asyncio
@pytest.mark.parametrize("name", SETS)
async def test_recorded_ticks_over_sockets_make_the_oracle_bars(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    """Every print is accepted, every bar is the oracle's, and the journal repeats the bytes."""
    folder = shared_data / name
    status, live, sent = await record(folder, tmp_path / "journal")
    assert status.holds
    assert (
        status.trades.accepted
        == sum(sent.values())
        == pl.read_parquet(folder / "trades.parquet").height
    )
    assert list(live.bars) == list(TIMEFRAMES)
    for timeframe in TIMEFRAMES:
        frame = bars_frame(live.bars[timeframe], live.symbols)
        actual = frame.select(COLUMNS).sort("symbol", "ts_open")
        assert actual.equals(expected_bars(folder, timeframe)), timeframe
    again = replay(tmp_path / "journal", ReplayOptions(calendar_by_name("24x7")))
    assert again.problems == []
    assert again.trades == live.trades
    assert again.quotes == live.quotes
    written = write_bars(live.bars, live.symbols, tmp_path / "live")
    repeated = write_bars(again.bars, again.symbols, tmp_path / "replayed")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in repeated]


@pytest.mark.data
@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["esm4_2024-05-08_2s", "btcusdt_perp_2024-08-08"])
async def test_messagepack_makes_the_bars_that_json_makes(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    """Over sockets, live and byte for byte replayed; and they are the oracle's."""
    results = {}
    for protocol in ("json", "messagepack"):
        status, live, sent = await record(shared_data / name, tmp_path / protocol, protocol)
        assert status.holds
        assert status.trades.accepted == sum(sent.values()) > 0
        again = replay(tmp_path / protocol, ReplayOptions(calendar_by_name("24x7")))
        assert again.problems == []
        assert (again.trades, again.quotes) == (live.trades, live.quotes)
        written = write_bars(live.bars, live.symbols, tmp_path / f"{protocol}-live")
        repeated = write_bars(again.bars, again.symbols, tmp_path / f"{protocol}-again")
        assert [path.read_bytes() for path in written] == [path.read_bytes() for path in repeated]
        # Since when a bar is whole depends on the moment at which its contract was followed.
        results[protocol] = {
            timeframe: bars_frame(bars, live.symbols).select(COLUMNS).sort("symbol", "ts_open")
            for timeframe, bars in live.bars.items()
        }
    assert results["json"]["1s"].equals(expected_bars(shared_data / name, "1s"))
    for timeframe, frame in results["json"].items():
        assert frame.equals(results["messagepack"][timeframe]), timeframe


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["negotiate", "skip", "messagepack"])
async def test_a_synthetic_market_is_followed_without_loss(way: str, tmp_path: Path) -> None:
    """Three contracts, both hubs: every print that was sent is in the bars and on the streams."""
    config = SimConfig(
        seed=7, speed="max", products=("MES", "MNQ", "MGC"), trades_max=2_000, start_ns=START_NS
    )
    calendar = calendar_by_name("cme")
    async with SimGateway(config, SystemClock(), SystemRandom(), sessions=calendar) as gateway:
        settings = config_for(
            gateway.urls,
            tmp_path / "journal",
            negotiate=way != "skip",
            protocol="messagepack" if way == "messagepack" else "json",
        )
        tape = Tape(settings)
        async with tape, asyncio.timeout(60):
            streams = {}
            for product in config.products:
                instrument = await tape.subscribe(product, ["1s", "1m"])
                streams[instrument.contract_id] = tape.bars(product, "1s")
            await gateway.finished.wait()
            sent = gateway.statistics().trades_sent
            await received(tape, sum(sent.values()))
        status = tape.status()
        assert status.holds
        assert status.trades.accepted == sum(sent.values()) == 3 * 2_000
        assert [line.name for line in status.lines] == ["market", "user"]
        for contract_id, stream in streams.items():
            closed = [bar async for bar in stream]
            frame = tape.frame(contract_id, Timeframe.parse("1s"))
            kept = frame.filter(pl.col("state") == "closed")["ts_open"].to_list()
            # The market runs while the stream is asked for, so it begins with a later bar.
            assert closed
            assert [bar.ts_open for bar in closed] == kept[-len(closed) :]
            assert frame["n"].sum() == sent[contract_id]
            assert frame.filter(pl.col("state") == "forming").height <= 1


START_NS = 1_767_625_200_000_000_000
"""2026-01-05 15:00 UTC, a Monday morning in Chicago."""
