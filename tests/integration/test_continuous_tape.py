"""Two expiries over sockets: the running tape and its journal give the same series."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.app.config import Config
from tapekeeper.app.continuous import read_continuous
from tapekeeper.app.tape import Tape
from tapekeeper.errors import UnknownContractError, UsageError
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls
from tests.simulated_gateway import account_at

H26, M26 = "CON.F.US.MES.H26", "CON.F.US.MES.M26"
ROLL_DAY = 3


def rows() -> pl.DataFrame:
    """Five sessions of a print a minute in the first hour, of each contract.

    The earlier one begins at 6000 and gains a point a minute; the later one is 50.25 above it and
    trades more from the third session on, so that it is the front one in the fourth.
    """
    made = []
    for day in range(5):
        opens_ns = int(dt.datetime(2026, 3, 8 + day, 22, tzinfo=dt.UTC).timestamp()) * 10**9
        for minute in range(60):
            ts_ns = opens_ns + minute * 60 * 10**9
            price = 6000.0 + 60 * day + minute
            busy = day >= ROLL_DAY - 1
            made.append((ts_ns, price, 1 if busy else 3, "MESH6"))
            made.append((ts_ns + 10**9, price + 50.25, 3 if busy else 1, "MESM6"))
    names = ["ts_event", "price", "size", "symbol"]
    frame = pl.DataFrame(made, schema=names, orient="row")
    return frame.with_columns(
        side=pl.lit(0), seq=pl.int_range(pl.len()), ts_recv=pl.col("ts_event")
    )


def config_for(urls: SimUrls, folder: Path) -> Config:
    """A configuration for the simulated gateway that keeps every bar and asks for no history."""
    return Config.model_validate(
        {
            "gateway": account_at(urls),
            "journal": {"dir": str(folder)},
            "bars": {"keep": 1_000_000},
            "history": {"enabled": False},
            "log": {"level": "error"},
        }
    )


@pytest.mark.asyncio
async def test_a_running_tape_and_its_journal_give_one_series(tmp_path: Path) -> None:
    """Under each adjustment and rule, rolls and rows are equal; an ended subscription counts."""
    played = rows()
    played.write_parquet(tmp_path / "trades.parquet")
    journal = tmp_path / "journal"
    sim = SimConfig(play=tmp_path / "trades.parquet", speed="max", products=())
    async with SimGateway(sim, SystemClock(), SystemRandom()) as gateway:
        tape = Tape(config_for(gateway.urls, journal))
        async with tape, asyncio.timeout(90):
            for contract_id in (H26, M26):
                await tape.subscribe(contract_id, ["1m", "5m", "1d"])
            await gateway.finished.wait()
            while tape.status().trades.received < played.height:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
            await tape.unsubscribe("MESH6")
            live = tape.continuous("MES", "5m", adjust="difference")
            with pytest.raises(UsageError, match="has no 1h bars: a continuous series needs"):
                tape.continuous("MES", "1h")
            with pytest.raises(UnknownContractError, match="no product is named 'NQ'"):
                tape.continuous("NQ", "5m")
        assert tape.status().trades.accepted == played.height
    assert [(roll.contract_from, roll.contract_to) for roll in live.rolls] == [(H26, M26)]
    assert live.rolls[0].difference == 50.25
    assert live.rolls[0].session == dt.date(2026, 3, 12)
    frame = live.frame()
    assert frame.height == 5 * 12
    # Without the roll it is one straight line, of the later contract's prices.
    closes = [6050.25 + 60 * day + 5 * bar + 4 for day in range(5) for bar in range(12)]
    assert frame["close"].to_list() == closes
    assert frame["symbol"].to_list() == ["MESH6"] * 36 + ["MESM6"] * 24
    for rule in ("volume", "calendar:7", "dates:2026-03-11=M26"):
        for adjust in ("none", "difference", "ratio"):
            again = read_continuous(journal, "MES", "5m", roll=rule, adjust=adjust)
            same = tape.continuous("MES", "5m", roll=rule, adjust=adjust)
            assert (again.rolls, again.segments) == (same.rolls, same.segments)
            assert again.frame().equals(same.frame())
            assert len(again.rolls) == 1
