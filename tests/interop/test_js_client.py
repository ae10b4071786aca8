"""The official JavaScript client against the simulated gateway, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, HubLimits, SimConfig
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.wire import MarketEvent, Trades

HERE = Path(__file__).resolve().parent
TRADES_PER_CONTRACT = 3_000
CLIENT_LIMIT_S = 45
INSTALL_LIMIT_S = 90

pytestmark = pytest.mark.node


def unavailable(reason: str) -> NoReturn:
    """Skip, or fail where CI promises that node is there."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{reason}, and CI=true says that it must work")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def node() -> str:
    """The node program, with the client's packages installed beside the script."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        unavailable("node and npm are not installed")
    packages = json.loads((HERE / "package.json").read_text())["dependencies"]
    if not all((HERE / "node_modules" / name / "package.json").is_file() for name in packages):
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            done = subprocess.run(
                command, cwd=HERE, capture_output=True, timeout=INSTALL_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            unavailable("npm did not install the client in time")
        if done.returncode != 0:
            unavailable("npm could not install the client")
    return node


class Ledger:
    """What the gateway handed to its connections, in the form the client's checksum has."""

    def __init__(self) -> None:
        self.trades = 0
        self._hash = hashlib.sha256()

    def add(self, event: MarketEvent) -> None:
        """Count the prints of a record; JavaScript writes 5500.00 as 5500."""
        if isinstance(event, Trades):
            stamp = format_ns(event.ts_ns)
            for one in event.prints:
                price = repr(float(one.price)).removesuffix(".0")
                line = f"{event.contract_id} {stamp} {price} {one.size} {one.side}\n"
                self._hash.update(line.encode())
            self.trades += len(event.prints)

    def checksum(self) -> str:
        """The checksum of all prints so far."""
        return self._hash.hexdigest()


@asynccontextmanager
async def gateway_at_full_speed(
    limits: HubLimits | None = None,
) -> AsyncIterator[tuple[SimGateway, Ledger, str]]:
    """A gateway with two contracts, the record of what it sends, and a token."""
    config = SimConfig(
        products=("MES", "MCL"),
        speed="max",
        trades_max=TRADES_PER_CONTRACT,
        zero_sizes=True,
        hub=limits or HubLimits(),
    )
    async with SimGateway(config, SystemClock(), SystemRandom()) as gateway:
        ledger = Ledger()
        gateway.feed.taps.append(ledger.add)
        credentials = {"userName": TEST_USER, "apiKey": TEST_API_KEY}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{gateway.urls.rest}/api/Auth/loginKey", json=credentials) as answer,
        ):
            token = (await answer.json())["token"]
        yield gateway, ledger, token


async def run_client(node: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run the client with a task on its standard input, as a token belongs in no argument."""
    process = await asyncio.create_subprocess_exec(
        node,
        "client.mjs",
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CLIENT_LIMIT_S):
            out, err = await process.communicate(json.dumps(task).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    report: dict[str, Any] = json.loads(out)
    return report


def task_for(gateway: SimGateway, token: str, **changes: Any) -> dict[str, Any]:
    """What the client is told."""
    return {
        "url": gateway.urls.market_hub,
        "token": token,
        "contracts": gateway.contracts,
        "expected": TRADES_PER_CONTRACT * len(gateway.contracts),
        "skipNegotiation": False,
        "quotes": False,
        "protocol": "json",
        "bufferBytes": 0,
        "limitMs": (CLIENT_LIMIT_S - 10) * 1000,
        **changes,
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("skip", [False, True], ids=["negotiation", "skip-negotiation"])
@pytest.mark.parametrize("protocol", ["json", "messagepack"])
async def test_the_official_client_receives_every_trade(
    node: str,
    protocol: str,
    skip: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """With the token in the header only, every print arrives once, in order, unchanged."""
    async with gateway_at_full_speed() as (gateway, ledger, token):
        task = task_for(gateway, token, skipNegotiation=skip, protocol=protocol)
        report = await run_client(node, task)
        sent = gateway.statistics()
    assert report.get("error") is None
    assert report["trades"] == ledger.trades == sum(sent.trades_sent.values())
    assert report["byContract"] == sent.trades_sent
    assert report["checksum"] == ledger.checksum()
    assert sent.market.negotiations == (0 if skip else 1)
    assert (report["connectionIds"][0] is None) is skip


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", ["json", "messagepack"])
async def test_the_official_client_survives_a_close_that_allows_reconnecting(
    node: str, protocol: str
) -> None:
    """After Close with `allowReconnect` it comes back, resubscribes and misses nothing sent."""
    async with gateway_at_full_speed() as (gateway, ledger, token):
        closed: list[int] = []

        def close_in_the_middle(_: MarketEvent) -> None:
            if ledger.trades > TRADES_PER_CONTRACT and not closed:
                closed.append(gateway.faults.close_all(error="restarting", allow_reconnect=True))

        gateway.feed.taps.append(close_in_the_middle)
        report = await run_client(node, task_for(gateway, token, quotes=True, protocol=protocol))
        sent = gateway.statistics()
    assert closed == [1]
    assert report.get("error") is None
    assert (report["reconnecting"], report["reconnected"]) == (1, 1)
    assert len(set(report["connectionIds"])) == 2
    assert report["trades"] == ledger.trades == TRADES_PER_CONTRACT * 2
    assert report["checksum"] == ledger.checksum()
    assert report["quotes"] == sum(sent.quotes_sent.values())
    assert sent.market.connections == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("protocol", ["json", "messagepack"])
async def test_the_official_client_reads_a_refused_subscription(node: str, protocol: str) -> None:
    """An awaited subscription of an unknown contract fails with the hub's own words."""
    async with gateway_at_full_speed() as (gateway, _, token):
        report = await run_client(node, task_for(gateway, token, protocol=protocol))
    assert report["refusal"] == (
        "An unexpected error occurred invoking 'SubscribeContractTrades' on the server. "
        "HubException: Contract not found."
    )


@pytest.mark.asyncio
@pytest.mark.parametrize(("protocol", "kept_bytes"), [("json", 140_000), ("messagepack", 86_000)])
async def test_the_official_client_goes_on_where_it_was_cut(
    node: str, protocol: str, kept_bytes: int
) -> None:
    """Five cuts in the middle: every trade once, in order, and the client's user hears nothing.

    The next cut waits for what the last one did: a client that is cut while it comes back gives
    up. Meanwhile the market goes on for as many bytes as are kept, which the client acknowledges
    once a second; that is a sixth of all, so that the market is not over before the last cut.
    """
    limits = HubLimits(stateful_buffer_bytes=kept_bytes)
    async with gateway_at_full_speed(limits) as (gateway, ledger, token):
        cuts: list[int] = []

        def cut_now_and_then(_: MarketEvent) -> None:
            due = len(cuts) < 5 and ledger.trades > 900 * (len(cuts) + 1)
            if due and gateway.statistics().market.resumed == len(cuts):
                cuts.append(gateway.faults.drop_all())

        gateway.feed.taps.append(cut_now_and_then)
        task = task_for(gateway, token, protocol=protocol, bufferBytes=100_000)
        report = await run_client(node, task)
        sent = gateway.statistics()
    assert cuts == [1] * 5
    assert report.get("error") is None  # which onclose would have set
    assert (report["reconnecting"], report["reconnected"]) == (0, 0)
    assert len(report["connectionIds"]) == 1
    assert report["trades"] == ledger.trades == TRADES_PER_CONTRACT * 2
    assert report["byContract"] == sent.trades_sent
    assert report["checksum"] == ledger.checksum()
    assert (sent.market.connections, sent.market.resumed) == (1, 5)
