"""Every fault of the menu, scripted as TOML and met by a client over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.fault_file import parse_faults
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.manual_clock import ManualClock
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.subscriptions import Stream

LIMIT_S = 20
MES = "CON.F.US.MES.Z26"


class Client:
    """A gateway with one scheduled fault, and a client that is logged in."""

    def __init__(
        self, gateway: SimGateway, clock: ManualClock, http: aiohttp.ClientSession
    ) -> None:
        self.gateway = gateway
        self.clock = clock
        self.http = http
        self.headers: dict[str, str] = {}
        self.messages: deque[bytes] = deque()
        # Held to the end: a connection that nobody holds is reported when it is collected.
        self.opened: list[aiohttp.ClientWebSocketResponse] = []

    async def log_in(self) -> None:
        """Get a token."""
        credentials = {"userName": TEST_USER, "apiKey": TEST_API_KEY}
        url = f"{self.gateway.urls.rest}/api/Auth/loginKey"
        async with self.http.post(url, json=credentials) as answer:
            self.headers = {"Authorization": f"Bearer {(await answer.json())['token']}"}

    async def strike(self) -> None:
        """Let the second pass at which the fault is due, and the runner act on it."""
        self.clock.advance(1.0)
        async with asyncio.timeout(LIMIT_S):
            while not self.gateway.runner.happened:  # noqa: ASYNC110 - it acts within a few turns
                await asyncio.sleep(0)

    async def negotiate(self) -> tuple[int, dict[str, Any], str | None]:
        """Status, body and `Retry-After` of a negotiation."""
        url = f"{self.gateway.urls.market_hub}/negotiate?negotiateVersion=1"
        async with self.http.post(url, headers=self.headers) as answer:
            body = await answer.json() if answer.status == 200 else {}
            return answer.status, body, answer.headers.get("Retry-After")

    async def connect(self, *, handshake: bool = True) -> aiohttp.ClientWebSocketResponse:
        """Upgrade and, if asked to, shake hands."""
        socket = await self.http.ws_connect(self.gateway.urls.market_hub, headers=self.headers)
        self.opened.append(socket)
        await socket.send_str('{"protocol":"json","version":1}\x1e')
        if handshake:
            assert await socket.receive_str() == "{}\x1e"
        return socket

    async def call(self, socket: aiohttp.ClientWebSocketResponse, target: str) -> None:
        """Call a method for the one contract, without waiting."""
        call = {"type": 1, "invocationId": "7", "target": target, "arguments": [MES]}
        await socket.send_str(json.dumps(call) + "\x1e")


@asynccontextmanager
async def scripted(fault: str) -> AsyncIterator[Client]:
    """A gateway on which `fault` (TOML members) happens after a second."""
    schedule = parse_faults(f"[[fault]]\nat_s = 1\n{fault}")
    clock = ManualClock()
    config = SimConfig(products=("MES",), trades_max=1, trades_per_s=0.001)
    async with (
        asyncio.timeout(LIMIT_S),
        SimGateway(config, clock, Seeded(1, "test"), schedule=schedule) as gateway,
        aiohttp.ClientSession() as http,
    ):
        client = Client(gateway, clock, http)
        await client.log_in()
        yield client
        for socket in client.opened:
            await socket.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        ('kind = "close"\nallow_reconnect = true', '{"type":7,"allowReconnect":true}\x1e'),
        ('kind = "unknown_record"\ntype = 9', '{"type":9,"sequenceId":1}\x1e'),
        ('kind = "logout"', '{"type":1,"target":"GatewayLogout","arguments":["logged out"]}\x1e'),
        ('kind = "partial"', '{"type":1,"target":"GatewayTrade","argumen'[:40]),
    ],
)
async def test_what_a_live_connection_is_sent(fault: str, sent: str) -> None:
    """The bytes of the fault reach the client."""
    async with scripted(fault) as client:
        socket = await client.connect()
        await client.strike()
        assert await socket.receive_str() == sent


@pytest.mark.asyncio
async def test_a_replay_repeats_records_and_never_the_answer_to_the_handshake() -> None:
    """The last record comes once more; the answer, which is none, is passed over."""
    async with scripted('kind = "replay"\nrecords = 64') as client:
        socket = await client.connect()
        await client.call(socket, "Nonsense")
        refused = await socket.receive_str()
        await client.strike()
        assert await socket.receive_str() == refused


@pytest.mark.asyncio
async def test_garbage_need_not_be_text() -> None:
    """The message holds bytes that are no UTF-8, which a strict client refuses with 1007."""
    async with scripted('kind = "garbage"') as client:
        socket = await client.connect()
        await client.strike()
        message = await socket.receive()
        assert message.type in {aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSED}
        assert socket.close_code in {1006, 1007}


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ['kind = "drop"', 'kind = "outage"'])
async def test_a_cut_connection_ends_without_a_close_frame(fault: str) -> None:
    """The client sees 1006."""
    async with scripted(fault) as client:
        socket = await client.connect()
        await client.strike()
        await socket.receive()
        assert socket.close_code == 1006


@pytest.mark.asyncio
async def test_silence_keeps_the_connection_and_says_nothing() -> None:
    """The next ping is due and is not sent."""
    async with scripted('kind = "silence"') as client:
        socket = await client.connect()
        await client.strike()
        while not client.gateway.statistics().market.records_muted:
            client.clock.advance(1.0)
            await asyncio.sleep(0)
        assert not socket.closed


@pytest.mark.asyncio
async def test_doors_refuse_as_scheduled() -> None:
    """Status and `Retry-After` arrive, as often as they were planned."""
    async with scripted(
        'kind = "refuse"\ndoor = "negotiate"\nstatus = 429\nretry_after_s = 7\ncount = 2'
    ) as client:
        await client.strike()
        assert await client.negotiate() == (429, {}, "7")
        assert await client.negotiate() == (429, {}, "7")
        assert (await client.negotiate())[0] == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [401, 404, 409, 503])
async def test_upgrades_are_refused(status: int) -> None:
    """A refused upgrade says its status."""
    async with scripted(f'kind = "refuse"\ndoor = "upgrade"\nstatus = {status}') as client:
        await client.strike()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.connect()
        assert refused.value.status == status


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ['kind = "hang_up"\ndoor = "negotiate"', 'kind = "outage"'])
async def test_a_server_can_hang_up_in_place_of_an_answer(fault: str) -> None:
    """The request fails without a status."""
    async with scripted(fault) as client:
        await client.strike()
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.negotiate()


@pytest.mark.asyncio
async def test_an_outage_ends() -> None:
    """When its time is over, requests are answered again."""
    async with scripted('kind = "outage"\nfor_s = 5') as client:
        await client.strike()
        client.clock.advance(5.0)
        while client.gateway.faults.is_away:  # noqa: ASYNC110 - it acts within a few turns
            await asyncio.sleep(0)
        assert (await client.negotiate())[0] == 200


@pytest.mark.asyncio
async def test_an_answer_can_stay_away() -> None:
    """Until the server loses patience itself, the request waits."""
    async with scripted('kind = "no_answer"\ndoor = "negotiate"') as client:
        await client.strike()
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(_failure_of(client))
            waited_s = 0
            while not asked.done():
                client.clock.advance(1.0)
                waited_s += 1
                await asyncio.sleep(0)
        assert isinstance(asked.result(), aiohttp.ClientConnectionError)
        assert waited_s >= 120


async def _failure_of(client: Client) -> aiohttp.ClientError | None:
    try:
        await client.negotiate()
    except aiohttp.ClientError as error:
        return error
    return None


@pytest.mark.asyncio
async def test_a_negotiation_can_be_redirected() -> None:
    """The answer names a hub and a token that opens it."""
    async with scripted('kind = "redirect"') as client:
        await client.strike()
        _, body, _ = await client.negotiate()
        assert body["url"] == client.gateway.urls.market_hub
        client.headers = {"Authorization": f"Bearer {body['accessToken']}"}
        assert "connectionToken" in (await client.negotiate())[1]


@pytest.mark.asyncio
async def test_handshakes_are_refused_or_ignored() -> None:
    """An error instead of the answer, or no answer."""
    async with scripted('kind = "bad_handshake"') as client:
        await client.strike()
        socket = await client.connect(handshake=False)
        assert await socket.receive_str() == '{"error":"Handshake refused on demand."}\x1e'
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    async with scripted('kind = "no_handshake"') as client:
        await client.strike()
        await client.connect(handshake=False)
        while not client.gateway.statistics().market.records_muted:  # noqa: ASYNC110 - few turns
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_subscriptions_are_refused_or_never_answered() -> None:
    """A refused one is not in force, one without a completion is."""
    async with scripted('kind = "refuse_subscription"\ntext = "No."') as client:
        socket = await client.connect()
        await client.strike()
        await client.call(socket, "SubscribeContractTrades")
        assert json.loads((await socket.receive_str())[:-1])["error"].endswith("HubException: No.")
        assert not client.gateway.delivers(Stream.TRADES, MES)
    async with scripted('kind = "no_completion"') as client:
        socket = await client.connect()
        await client.strike()
        await client.call(socket, "SubscribeContractTrades")
        while not client.gateway.delivers(Stream.TRADES, MES):  # noqa: ASYNC110 - few turns
            await asyncio.sleep(0)
        await client.call(socket, "Nonsense")
        assert "Method does not exist" in await socket.receive_str()


@pytest.mark.asyncio
async def test_a_frozen_subscription_is_forgotten_by_the_gateway_alone() -> None:
    """The connection stays; until it ends, the subscription counts as frozen."""
    async with scripted('kind = "freeze"\nstream = "trades"') as client:
        socket = await client.connect()
        await client.call(socket, "SubscribeContractTrades")
        await socket.receive_str()
        await client.strike()
        assert client.gateway.faults.is_frozen(Stream.TRADES, MES)
        assert not client.gateway.faults.is_frozen(Stream.QUOTES, MES)
        await socket.close()
        while client.gateway.faults.is_frozen(Stream.TRADES, MES):  # noqa: ASYNC110 - few turns
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_session_limit_evicts_the_older_connection() -> None:
    """The new one is served, the old one is cut."""
    async with scripted('kind = "session_limit"') as client:
        old = await client.connect()
        await client.strike()
        new = await client.connect()
        await old.receive()
        assert old.close_code == 1006
        assert not new.closed


@pytest.mark.asyncio
async def test_tokens_are_refused_from_a_moment_on() -> None:
    """The live connection stays, the next upgrade needs a new token."""
    async with scripted('kind = "refuse_tokens"') as client:
        socket = await client.connect()
        await client.strike()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.connect()
        assert refused.value.status == 401
        await client.log_in()
        await client.connect()
        assert not socket.closed


@pytest.mark.asyncio
async def test_a_burst_holds_back_and_a_trickle_cuts() -> None:
    """Nothing comes until the hold is over, then all of it; or pieces that are no records."""
    async with scripted('kind = "burst"\nfor_s = 3') as client:
        socket = await client.connect()
        await client.strike()
        for _ in range(3):
            await client.call(socket, "Nonsense")
        async with asyncio.TaskGroup() as tasks:
            got = tasks.create_task(socket.receive_str())
            while not got.done():
                client.clock.advance(0.1)
                await asyncio.sleep(0)
        assert client.clock.monotonic_ns() >= 4_000_000_000
    async with scripted('kind = "trickle"\nbytes = 9\npause_ms = 0') as client:
        socket = await client.connect()
        await client.strike()
        await client.call(socket, "Nonsense")
        pieces = [await socket.receive_str()]
        while not pieces[-1].endswith("\x1e"):
            pieces.append(await socket.receive_str())
        assert max(map(len, pieces)) == 9
        assert "Method does not exist" in "".join(pieces)


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [1000, 1006, 1009, 1011, 1012])
async def test_a_close_frame_comes_with_its_code(code: int) -> None:
    """And without a Close record before it."""
    async with scripted(f'kind = "close_code"\ncode = {code}') as client:
        socket = await client.connect()
        await client.strike()
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)


@pytest.mark.asyncio
async def test_a_reset_is_an_error_and_no_end_of_the_stream() -> None:
    """The system of the peer is told to forget the connection."""
    async with scripted('kind = "reset"') as client:
        socket = await client.connect()
        await client.strike()
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSED or isinstance(message.data, OSError)
        assert isinstance(socket.exception(), ConnectionResetError | aiohttp.ClientOSError)


@pytest.mark.asyncio
async def test_on_a_half_open_connection_nothing_passes() -> None:
    """Neither a call nor a farewell is answered; after a while the server gives it up."""
    async with scripted('kind = "half_open"') as client:
        socket = await client.connect()
        await client.strike()
        await client.call(socket, "SubscribeContractTrades")
        (connection,) = client.gateway.faults.chosen()
        client.clock.advance(100.0)  # far longer than a server waits for a client's ping
        connection.on_tick()
        assert connection.is_open
        assert socket._reader.is_eof() is False
        client.clock.advance(20.0)
        connection.on_tick()
        assert connection.aborted_because == "nothing came through any more"


@pytest.mark.asyncio
async def test_a_redirected_upgrade_says_where_to() -> None:
    """It leads back to where it came from."""
    async with scripted('kind = "refuse"\ndoor = "upgrade"\nstatus = 302') as client:
        await client.strike()
        async with client.http.get(
            client.gateway.urls.market_hub, headers=client.headers, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/hubs/market")
