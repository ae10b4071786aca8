"""The gateway as a whole: starting, stopping, and the parts between wire and methods."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path

import aiohttp
import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import UnreadableSourceError, UsageError
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.sim.config import BAD_PORTS, TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway, listen
from tapekeeper.sim.manual_clock import ManualClock
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.sessions import Sessions

LIMIT_S = 20


def new_gateway(config: SimConfig | None = None) -> SimGateway:
    """A gateway on a clock that stands still."""
    return SimGateway(config or SimConfig(), ManualClock(), Seeded(1, "test"))


@pytest.mark.asyncio
async def test_stopping_ends_connections_without_a_word_and_leaves_no_task() -> None:
    """As when a server's process ends; stopping twice is allowed."""
    before = asyncio.all_tasks()
    gateway = new_gateway()
    urls = await gateway.start()
    async with aiohttp.ClientSession() as http:
        credentials = {"userName": TEST_USER, "apiKey": TEST_API_KEY}
        async with http.post(f"{urls.rest}/api/Auth/loginKey", json=credentials) as answer:
            token = (await answer.json())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        client = await http.ws_connect(urls.market_hub, headers=headers)
        await client.send_str('{"protocol":"json","version":1}\x1e')
        assert await client.receive_str() == "{}\x1e"
        await gateway.stop()
        await gateway.stop()
        await client.receive()
        assert client.close_code == 1006
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.post(f"{urls.rest}/api/Auth/loginKey", json=credentials)
    async with asyncio.timeout(LIMIT_S):
        while asyncio.all_tasks() != before:  # noqa: ASYNC110 - the end of a task of aiohttp
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_gateway_can_be_started_again() -> None:
    """After a stop the same object serves anew, with the tokens it issued still good."""
    gateway = new_gateway()
    await gateway.start()
    await gateway.stop()
    urls = await gateway.start()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{urls.rest}/api/Status/ping") as answer,
    ):
        assert answer.status == 200
    await gateway.stop()


@pytest.mark.asyncio
async def test_a_bug_in_the_market_comes_out_of_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing dies in silence: the task that owns the gateway is woken and gets the error."""
    gateway = new_gateway()

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(gateway.feed, "run", broken)

    async def own() -> None:
        async with gateway, asyncio.timeout(LIMIT_S):
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as found:
        await own()
    assert found.value.subgroup(ZeroDivisionError) is not None


@pytest.mark.asyncio
async def test_a_taken_port_is_named_in_one_sentence() -> None:
    """And nothing stays behind: the same gateway starts when the port is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gateway = new_gateway(SimConfig(port=port))
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is in use"):
            await gateway.start()
    urls = await gateway.start()
    assert urls.rest == f"http://127.0.0.1:{port}"
    assert urls.market_hub == f"http://127.0.0.1:{port}/hubs/market"
    assert urls.user_hub == f"http://127.0.0.1:{port}/hubs/user"
    await gateway.stop()


def test_a_port_that_may_not_be_used_is_named_with_the_systems_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any other refusal of the system is a sentence, too."""

    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(UsageError, match=r"cannot listen on port 81 of 127.0.0.1: Permission"):
        listen("127.0.0.1", 81)


def test_a_free_port_is_never_one_that_web_clients_block() -> None:
    """Port 0 means any usable one."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] not in BAD_PORTS


@pytest.mark.asyncio
async def test_what_cannot_be_traded_or_played_is_refused_at_the_start(tmp_path: Path) -> None:
    """Before any port is opened."""
    with pytest.raises(UsageError, match="unknown product 'XX'"):
        await new_gateway(SimConfig(products=("XX",))).start()
    with pytest.raises(UnreadableSourceError, match="there is no file"):
        await new_gateway(SimConfig(play=tmp_path)).start()


@pytest.mark.parametrize("name", ["cme", "24x7"])
def test_the_calendar_is_the_callers_choice(name: str) -> None:
    """What the gateway asks of sessions is what `core.calendar` offers."""
    sessions: Sessions = calendar_by_name(name)
    now_ns = ManualClock().now_ns()
    assert sessions.is_open(now_ns)
    assert sessions.session_of(now_ns).open_ns <= now_ns < sessions.next_open_ns(now_ns)
    assert sessions.interval(Timeframe.parse("1m"), now_ns).start_ns == now_ns
