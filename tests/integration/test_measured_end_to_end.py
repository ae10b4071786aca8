"""Bars beyond time over sockets: the tape's and the replay's are one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.app.frames import write_bars
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.app.tape import Tape
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import UsageError
from tapekeeper.model.measure import Measure
from tapekeeper.runtime.history import WarmUp
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls
from tests.simulated_gateway import account_at

CALENDAR = calendar_by_name("cme")
MEASURES = ("50tick", "100vol", "1500000dollar", "6range", "4renko")


def config_for(urls: SimUrls, folder: Path) -> dict[str, object]:
    """A configuration for the simulated gateway that keeps every bar."""
    return {
        "gateway": account_at(urls),
        "journal": {"dir": str(folder)},
        "bars": {"keep": 1_000_000, "timeframes": ["1m", *MEASURES]},
        "log": {"level": "error"},
    }


@pytest.mark.data
@pytest.mark.asyncio
async def test_live_bars_are_those_of_the_replay_byte_for_byte(
    shared_data: Path, tmp_path: Path
) -> None:
    """A recorded minute of ES at full speed, through gateway, sockets, journal and back."""
    folder = shared_data / "esh2_2022-01-24_0830et"
    config = SimConfig(play=folder, speed="max", products=())
    async with SimGateway(config, SystemClock(), SystemRandom()) as gateway:
        tape = Tape(config_for(gateway.urls, tmp_path / "journal"))
        async with tape, asyncio.timeout(90):
            (contract_id,) = gateway.contracts
            instrument = await tape.subscribe(contract_id)
            assert await tape.wait_ready(contract_id, "4renko") is WarmUp.OFF
            with pytest.raises(UsageError, match=r"no 7tick bars: .* 1m, 50tick, 100vol"):
                tape.bars(contract_id, "7tick")
            await gateway.finished.wait()
            sent = sum(gateway.statistics().trades_sent.values())
            while tape.status().trades.received < sent:  # noqa: ASYNC110 - counters have no event
                await asyncio.sleep(0)
        status, live = tape.status(), tape.result()
        frame = tape.frame(contract_id, Measure.parse("50tick"))
    assert status.holds
    assert instrument.tick_value == 12.5
    again = replay(tmp_path / "journal", ReplayOptions(CALENDAR))
    for result, name in ((live, "live"), (again, "again")):
        write_bars(result.bars, result.symbols, tmp_path / name)
    for path in (tmp_path / "live").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
    assert frame.height == len(live.bars["50tick"])
    trades = pl.read_parquet(folder / "trades.parquet")
    assert list(live.bars) == ["1m", *MEASURES]
    for measure in MEASURES:
        bars = live.bars[measure]
        assert len(bars) > 5
        assert sum(bar.volume for bar in bars) == trades["size"].sum()
        assert sum(bar.n for bar in bars) == trades.height
    # At this speed exchange time runs ahead of the host's, so the end of the start is put anew more
    # than once, and bars end there; none has more than was asked for.
    assert max(bar.n for bar in live.bars["50tick"]) == 50
    assert {bar.ordinal for bar in live.bars["50tick"]} == set(range(len(live.bars["50tick"])))
