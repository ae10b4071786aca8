"""A tape through bad days of its gateway: it comes back by itself, and its counts stay true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.app.config import Config
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.app.tape import Tape
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.runtime.line_values import LineState
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls
from tests.simulated_gateway import account_at

START_NS = 1_767_625_200_000_000_000
"""2026-01-05 15:00 UTC, a Monday morning in Chicago."""
HOUR_NS = 3_600_000_000_000


def market(*, start_ns: int = START_NS, port: int = 0, trades_max: int | None = None) -> SimGateway:
    """Two contracts, as fast as they are read."""
    config = SimConfig(
        seed=7,
        speed="max",
        products=("MES", "MNQ"),
        start_ns=start_ns,
        port=port,
        trades_max=trades_max,
    )
    return SimGateway(config, SystemClock(), SystemRandom(), sessions=calendar_by_name("cme"))


def config_for(urls: SimUrls, folder: Path, **feed: int) -> Config:
    """A configuration that comes back quickly and keeps every bar."""
    return Config.model_validate(
        {
            "gateway": account_at(urls),
            "journal": {"dir": str(folder)},
            "line": {
                "backoff_base_ms": 10,
                "backoff_cap_ms": 20,
                "keep_alive_s": 0.2,
                "server_timeout_s": 0.5,
            },
            "bars": {"keep": 1_000_000},
            "feed": feed,
            "log": {"level": "error"},
        }
    )


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, at most a minute."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - counters have no event
            await asyncio.sleep(0)


async def flowing(tape: Tape, connections: int) -> None:
    """Wait until every line is on such a connection, all is subscribed, and prints come."""

    def back() -> bool:
        return all(
            line.connections >= connections
            and line.state is LineState.LIVE
            and not line.unconfirmed
            for line in tape.status().lines
        )

    await until(back)
    before = tape.status().trades.accepted
    await until(lambda: tape.status().trades.accepted > before + 50)


@asynccontextmanager
async def followed(urls: SimUrls, folder: Path) -> AsyncIterator[Tape]:
    """A tape of both contracts that flows; after it both identities and the replay are checked."""
    tape = Tape(config_for(urls, folder))
    async with tape:
        for product in ("MES", "MNQ"):
            await tape.subscribe(product, ["1s", "1m"])
        await flowing(tape, 1)
        yield tape
    assert tape.status().holds
    again = replay(folder, ReplayOptions(calendar_by_name("24x7")))
    assert (again.problems, again.harmless) == ([], [])
    assert again.bars == tape.result().bars
    assert again.trades == tape.status().trades
    assert again.rejected == tape.status().rejected


@pytest.mark.asyncio
async def test_a_gateway_that_restarts_is_followed_again(tmp_path: Path) -> None:
    """Another process on the same port, an hour later: tokens are void, everything is renewed."""
    gateway = market()
    urls = await gateway.start()
    try:
        async with followed(urls, tmp_path) as tape:
            await gateway.stop()
            await until(lambda: tape.status().lines[0].state is LineState.BACKING_OFF)
            port = int(urls.rest.rpartition(":")[2])
            gateway = market(start_ns=START_NS + HOUR_NS, port=port)
            await gateway.start()
            await flowing(tape, 2)
            trade = tape.last_trade("MES")
            assert trade is not None
            assert trade.ts_event > START_NS + HOUR_NS
            assert tape.status().rejected == {}
    finally:
        await gateway.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("allow_reconnect", [True, False])
async def test_a_close_of_the_server_is_no_end(*, allow_reconnect: bool, tmp_path: Path) -> None:
    """With or without its leave: a recorder that runs unattended comes back."""
    gateway = market()
    async with gateway, followed(gateway.urls, tmp_path) as tape:
        gateway.faults.close_all(error="going down", allow_reconnect=allow_reconnect)
        await flowing(tape, 2)


@pytest.mark.asyncio
async def test_a_silent_connection_is_left(tmp_path: Path) -> None:
    """Half open, it says nothing and does not end; another one is made."""
    gateway = market()
    async with gateway, followed(gateway.urls, tmp_path) as tape:
        gateway.faults.go_silent()
        await flowing(tape, 2)


@pytest.mark.asyncio
async def test_connections_that_drop_again_and_again_lose_no_count(tmp_path: Path) -> None:
    """Cut while it subscribes and while it flows, twenty times."""
    gateway = market()
    async with gateway, followed(gateway.urls, tmp_path) as tape:
        for drop in range(20):
            await until(lambda: tape.status().lines[0].connections > drop)  # noqa: B023 - at once
            for _ in range(drop):
                await asyncio.sleep(0)
            gateway.faults.drop_all("market")
        await flowing(tape, 1)


GARBAGE = (
    b"nonsense\x1e",
    b"\x1e",
    b"{}\x1e",
    b'{"type":99}\x1e',
    b"\xff\xfe\x80\x1e",
    b"[" * 50_000 + b"\x1e",
    b'{"type":1,"target":"GatewayTrade"}\x1e',
    b'{"type":1,"target":"GatewayTrade","arguments":[]}\x1e',
    b'{"type":1,"target":"GatewayTrade","arguments":["CON.F.US.MES.H26",null]}\x1e',
    b'{"type":1,"target":"GatewayTrade","arguments":["CON.F.US.MES.H26",[5,null,{"price":1e999}]]}\x1e',
    b'{"type":1,"target":"GatewayQuote","arguments":["CON.F.US.MES.H26",{"lastPrice":"x"}]}\x1e',
    b'{"type":1,"target":"GatewayUserOrder","arguments":[{"action":7,"data":[]}]}\x1e',
    b'{"type":3,"invocationId":"777"}\x1e',
    b'{"type":3,"invocationId":7,"error":{}}\x1e',
    b'{"type":6',  # runs into the next record
)


@pytest.mark.asyncio
async def test_garbage_is_counted_and_nothing_else_suffers(tmp_path: Path) -> None:
    """On both hubs, between good records: it is quarantined, and the replay counts the same."""
    gateway = market()
    async with gateway, followed(gateway.urls, tmp_path) as tape:
        for data in GARBAGE:
            gateway.faults.send_raw(data)
            before = tape.status().trades.accepted
            await until(lambda: tape.status().trades.accepted > before)  # noqa: B023 - at once
        await flowing(tape, 1)
        assert tape.status().rejected["malformed"] >= 1


@pytest.mark.asyncio
async def test_a_small_queue_holds_the_gateway_back_and_loses_nothing(tmp_path: Path) -> None:
    """Two frames of room against a market at full speed: slower, but every print is there."""
    async with market(trades_max=20_000) as gateway:
        tape = Tape(config_for(gateway.urls, tmp_path, max_frames=2, max_mb=1))
        async with tape, asyncio.timeout(60):
            for product in ("MES", "MNQ"):
                await tape.subscribe(product, ["1s"])
            await gateway.finished.wait()
            sent = sum(gateway.statistics().trades_sent.values())
            await until(lambda: tape.status().trades.received == sent)
        status = tape.status()
        assert status.holds
        assert status.trades.accepted == 40_000
        assert status.feed.waiting_frames_max <= 3  # one of each line may come over the limit
