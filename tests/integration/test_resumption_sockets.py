"""A tape over real sockets whose connections are cut and whose tokens are renewed under load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.app.config import Config
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.runtime.line_values import HubCall, ResumeTally
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls

START_NS = 1_767_625_200_000_000_000
TRADES = 10_000
CUTS = 20
PRODUCTS = ("MES", "MNQ")


def config_for(urls: SimUrls, folder: Path, protocol: str) -> Config:
    """A configuration that asks for connections that can be resumed."""
    return Config.model_validate(
        {
            "gateway": {
                "rest_url": urls.rest,
                "market_hub_url": urls.market_hub,
                "user_hub_url": urls.user_hub,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
                "protocol": protocol,
                "stateful_reconnect": True,
            },
            "journal": {"dir": str(folder), "segment_mb": 1},
            "history": {"enabled": False},
            "log": {"level": "error"},
        }
    )


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, at most a minute."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - counters have no event
            await asyncio.sleep(0)


def resumes(status: TapeStatus) -> ResumeTally:
    """Of both hubs."""
    return sum((pool.resumes for pool in status.pools), ResumeTally())


def uncovered_calls(status: TapeStatus) -> list[HubCall]:
    """The subscriptions of every interval that no connection covered."""
    return [call for pool in status.pools for each in pool.uncovered for call in each.calls]


def both_resumed(gateway: SimGateway, tape: Tape) -> tuple[int, int]:
    """How often the gateway took a transport back, and the tape went on with one."""
    return gateway.statistics().market.resumed, resumes(tape.status()).succeeded


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", ["json", "messagepack"])
async def test_a_storm_of_cuts_under_load_loses_nothing(tmp_path: Path, protocol: str) -> None:
    """Cut as soon as it flows again, at full speed: every print once, and no gap is reported."""
    config = SimConfig(seed=7, speed="max", products=PRODUCTS, start_ns=START_NS, trades_max=TRADES)
    sessions = calendar_by_name("cme")
    async with SimGateway(config, SystemClock(), SystemRandom(), sessions=sessions) as gateway:
        tape = Tape(config_for(gateway.urls, tmp_path, protocol))
        async with tape:
            for product in PRODUCTS:
                await tape.subscribe(product, ["1s", "1m"])
            for cut in range(CUTS):
                # A piece of the whole between two cuts; behind the last piece they come idle.
                so_far = min((cut + 1) * 900, TRADES * 2)
                await until(lambda: tape.status().trades.accepted >= so_far)  # noqa: B023 - at once
                assert gateway.faults.drop_all("market") == 1
                # A cut that came sooner would meet a transport that is gone, or not resumed yet.
                cuts = (cut + 1, cut + 1)
                await until(lambda: both_resumed(gateway, tape) == cuts)  # noqa: B023 - at once
            await gateway.finished.wait()
            await until(lambda: tape.status().trades.accepted == TRADES * len(PRODUCTS))
        status = tape.status()
        statistics = gateway.statistics()
    assert status.holds
    assert status.trades.duplicate == 0
    assert status.trades.received == TRADES * len(PRODUCTS)
    assert [pool.uncovered_count for pool in status.pools] == [0, 0]
    assert [pool.connections for pool in status.pools] == [1, 1]
    tally = resumes(status)
    assert (tally.tried, tally.succeeded) == (CUTS, CUTS)
    assert (statistics.market.connections, statistics.market.resumed) == (1, CUTS)
    again = replay(tmp_path, ReplayOptions(calendar_by_name("24x7")))
    assert (again.problems, again.harmless) == ([], [])
    assert again.bars == tape.result().bars
    assert again.trades == status.trades


@pytest.mark.asyncio
async def test_a_gateway_that_forgets_is_followed_as_ever(tmp_path: Path) -> None:
    """It is reconnected to, and the interval is reported."""
    config = SimConfig(seed=7, speed="max", products=PRODUCTS, start_ns=START_NS)
    sessions = calendar_by_name("cme")
    async with SimGateway(config, SystemClock(), SystemRandom(), sessions=sessions) as gateway:
        async with Tape(config_for(gateway.urls, tmp_path, "json")) as tape:
            await tape.subscribe("MES", ["1s"])
            await until(lambda: tape.status().trades.accepted > 100)
            gateway.faults.drop_all("market", forget=True)
            await until(lambda: tape.status().pools[0].connections == 2)
            before = tape.status().trades.accepted
            await until(lambda: tape.status().trades.accepted > before)
            # Of a life this short nothing but its acknowledgements is proven, each at its time.
            await until(lambda: len(uncovered_calls(tape.status())) == 2)
            targets = [call.target for call in uncovered_calls(tape.status())]
            assert sorted(targets) == ["SubscribeContractQuotes", "SubscribeContractTrades"]
            assert resumes(tape.status()) == ResumeTally(tried=1)
        assert tape.status().holds
