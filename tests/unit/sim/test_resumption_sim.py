"""The server's side of stateful reconnect: what is offered, kept, sent again, and forgotten."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tapekeeper.adapters.http_session import open_session
from tapekeeper.core.signalr.records import encode_ack, encode_invocation, encode_sequence
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, HubLimits, SimConfig
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.session import CLOSED_WITH_ERROR, SEQUENCE_BEYOND
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

VERSION_2 = b'{"protocol":"json","version":2}\x1e'


class _Client:
    """A raw client in virtual time: says bytes, reads records."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames = 0

    async def say(self, data: bytes) -> None:
        await self.socket.send_bytes(data)

    async def read(self) -> list[dict[str, Any]]:
        """The records of the next message; a closed socket is `{"closed": code}`."""
        message = await self.socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            return [{"closed": message.data}]
        return [json.loads(raw) for raw in message.data.split("\x1e") if raw]


class _Bench:
    """A gateway without a market of its own, and what it takes to talk to its market hub."""

    def __init__(
        self, gateway: SimGateway, http: aiohttp.ClientSession, clock: VirtualClock, token: str
    ) -> None:
        self.gateway = gateway
        self.http = http
        self.clock = clock
        self._headers = {"Authorization": f"Bearer {token}"}
        self.id = ""

    async def negotiate(self, query: str = "&useStatefulReconnect=true") -> dict[str, Any]:
        url = f"{self.gateway.urls.market_hub}/negotiate?negotiateVersion=1{query}"
        async with self.http.post(url, headers=self._headers) as answer:
            body: dict[str, Any] = await answer.json()
        self.id = body["connectionToken"]
        return body

    async def connect(self) -> _Client:
        """Upgrade with the id; refusals raise `aiohttp.WSServerHandshakeError`."""
        url = f"{self.gateway.urls.market_hub}?id={self.id}"
        return _Client(await self.http.ws_connect(url, headers=self._headers))

    async def opened(self, handshake: bytes = VERSION_2) -> _Client:
        """A connection that is open and subscribed to nothing."""
        await self.negotiate()
        client = await self.connect()
        await client.say(handshake)
        assert await client.read() == [{}]
        return client

    async def refused(self) -> int:
        """The status that an upgrade with the id is refused with."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await self.connect()
        return caught.value.status

    def tell(self, *numbers: int) -> None:
        """Send records of the hub that hold these numbers."""
        for connection in self.gateway.faults.chosen("market"):
            for number in numbers:
                assert connection.send(encode_invocation("Told", [number]))


@asynccontextmanager
async def _bench(clock: VirtualClock, limits: HubLimits) -> AsyncIterator[_Bench]:
    network = MemoryNetwork(Seeded(1, "network"))
    config = SimConfig(products=(), hub=limits)
    gateway = SimGateway(config, clock, Seeded(1, "gateway"), network=network)
    async with gateway, open_session(connector=MemoryConnector(network)) as http:
        credentials = {"userName": TEST_USER, "apiKey": TEST_API_KEY}
        url = f"{gateway.urls.rest}/api/Auth/loginKey"
        async with http.post(url, json=credentials) as answer:
            token = (await answer.json())["token"]
        yield _Bench(gateway, http, clock, token)


def play(scenario: Callable[[_Bench], Awaitable[None]], **limits: Any) -> None:
    """Run a scenario in virtual time."""

    async def main(clock: VirtualClock) -> None:
        async with _bench(clock, HubLimits(**limits)) as bench:
            await scenario(bench)

    run_virtual(main)


def numbers(records: list[dict[str, Any]]) -> list[int]:
    """What `tell` told in these records."""
    return [record["arguments"][0] for record in records if record.get("target") == "Told"]


@pytest.mark.parametrize(
    ("query", "offers", "offered"),
    [
        ("&useStatefulReconnect=true", True, True),
        ("&USESTATEFULRECONNECT=True", True, True),
        ("&useStatefulReconnect=false", True, False),
        ("", True, False),
        ("&useStatefulReconnect=true", False, False),
    ],
)
def test_it_is_offered_to_who_asks(query: str, *, offers: bool, offered: bool) -> None:
    """As the first member of the answer, unless the server was told not to."""

    async def scenario(bench: _Bench) -> None:
        body = await bench.negotiate(query)
        assert body.get("useStatefulReconnect") is (True if offered else None)
        assert (next(iter(body)) == "useStatefulReconnect") is offered

    play(scenario, stateful_reconnect=offers)


def test_a_lost_transport_is_followed_by_all_that_was_not_acknowledged() -> None:
    """Sequence says the first of them, and what was sent meanwhile comes in the same message."""

    async def scenario(bench: _Bench) -> None:
        client = await bench.opened()
        bench.tell(1, 2, 3)
        assert numbers(await client.read()) == [1, 2, 3]
        await client.say(encode_ack(2))
        await bench.clock.sleep_s(0.1)
        bench.gateway.faults.drop_all()
        bench.tell(4)
        statistics = bench.gateway.statistics().market
        assert (statistics.kept, statistics.resumed) == (1, 0)
        again = await bench.connect()
        records = await again.read()
        assert records[0] == {"type": 9, "sequenceId": 3}
        assert numbers(records) == [3, 4]
        assert bench.gateway.statistics().market.resumed == 0  # until the client says so
        await again.say(encode_sequence(1))
        await bench.clock.sleep_s(0.1)
        bench.tell(5)
        assert numbers(await again.read()) == [5]
        statistics = bench.gateway.statistics().market
        assert (statistics.connections, statistics.resumed, statistics.kept) == (1, 1, 0)
        assert statistics.aborted == {"dropped on demand": 1}

    play(scenario)


def test_nothing_to_send_again_is_a_sequence_alone() -> None:
    """Of the next number."""

    async def scenario(bench: _Bench) -> None:
        client = await bench.opened()
        bench.tell(1)
        await client.read()
        await client.say(encode_ack(1))
        await bench.clock.sleep_s(0.1)
        bench.gateway.faults.drop_all()
        assert await (await bench.connect()).read() == [{"type": 9, "sequenceId": 2}]

    play(scenario)


def test_the_client_s_calls_are_acknowledged_and_dropped_when_they_come_again() -> None:
    """An Ack within about a second; the same call sent again is not answered again."""
    call = encode_invocation("SubscribeContractTrades", ["no"], invocation_id="7")

    async def scenario(bench: _Bench) -> None:
        client = await bench.opened()
        await client.say(call)
        assert (await client.read())[0]["invocationId"] == "7"
        assert await client.read() == [{"type": 8, "sequenceId": 1}]
        bench.gateway.faults.drop_all()
        again = await bench.connect()
        await again.read()
        await again.say(encode_sequence(1) + call + call.replace(b"7", b"8"))
        assert [one["invocationId"] for one in await again.read()] == ["8"]
        assert await again.read() == [{"type": 8, "sequenceId": 2}]

    play(scenario)


def test_a_sequence_beyond_what_was_received_ends_the_connection() -> None:
    """With the measured words, leave to reconnect, and code 1000; the id is forgotten."""

    async def scenario(bench: _Bench) -> None:
        await bench.opened()
        bench.gateway.faults.drop_all()
        again = await bench.connect()
        await again.read()
        await again.say(encode_sequence(5))
        assert await again.read() == [{"type": 7, "error": SEQUENCE_BEYOND, "allowReconnect": True}]
        assert await again.read() == [{"closed": 1000}]
        assert await bench.refused() == 404
        assert CLOSED_WITH_ERROR not in SEQUENCE_BEYOND

    play(scenario)


def test_another_transport_takes_the_place_of_one_that_still_stands() -> None:
    """The client may know of a loss before the server does."""

    async def scenario(bench: _Bench) -> None:
        first = await bench.opened()
        bench.tell(1)
        assert numbers(await first.read()) == [1]
        second = await bench.connect()
        assert numbers(await second.read()) == [1]
        assert "closed" in (await first.read())[0]
        bench.tell(2)
        assert numbers(await second.read()) == [2]
        assert bench.gateway.statistics().market.live == 1

    play(scenario)


def test_only_what_a_client_goes_on_with_is_counted() -> None:
    """Once per transport, however often it says so; it is remembered when all is over."""

    async def scenario(bench: _Bench) -> None:
        await bench.opened()
        bench.gateway.faults.drop_all()
        await (await bench.connect()).read()
        bench.gateway.faults.drop_all()  # before it has said where it goes on
        client = await bench.connect()
        await client.read()
        await client.say(encode_sequence(1) + encode_sequence(1))
        await bench.clock.sleep_s(0.1)
        assert bench.gateway.statistics().market.resumed == 1
        bench.gateway.faults.drop_all(forget=True)
        await bench.clock.sleep_s(0.1)
        statistics = bench.gateway.statistics().market
        assert (statistics.live, statistics.kept, statistics.resumed) == (0, 0, 1)

    play(scenario)


def test_a_muted_transport_loses_nothing() -> None:
    """Half open, the records are kept, and the next transport has them."""

    async def scenario(bench: _Bench) -> None:
        await bench.opened()
        bench.gateway.faults.go_silent()
        bench.tell(1, 2)
        assert numbers(await (await bench.connect()).read()) == [1, 2]

    play(scenario)


def test_a_close_frame_ends_a_transport_and_not_the_connection() -> None:
    """A proxy ends with any code; what comes meanwhile is kept."""

    async def scenario(bench: _Bench) -> None:
        first = await bench.opened()
        bench.tell(1)
        assert bench.gateway.faults.close_frames(1012) == 1
        bench.tell(2)
        assert numbers(await first.read()) == [1]
        assert await first.read() == [{"closed": 1012}]
        assert numbers(await (await bench.connect()).read()) == [1, 2]

    play(scenario)


def test_a_reset_ends_a_transport_and_not_the_connection() -> None:
    """What was under way is lost, and sent again."""

    async def scenario(bench: _Bench) -> None:
        first = await bench.opened()
        bench.tell(1)
        assert bench.gateway.faults.reset() == 1
        assert "closed" in (await first.read())[0]
        assert numbers(await (await bench.connect()).read()) == [1]

    play(scenario)


def test_a_half_open_transport_hears_nothing_and_is_given_up() -> None:
    """Not the client's farewell either; another transport takes its place before or after that."""

    async def scenario(bench: _Bench) -> None:
        first = await bench.opened()
        market = bench.gateway.statistics
        bench.gateway.faults.go_deaf()
        bench.tell(1)
        await first.socket.close()
        await bench.clock.sleep_s(100)
        assert market().market.live == 1
        second = await bench.connect()
        assert numbers(await second.read()) == [1]
        assert market().market.live == 1
        bench.gateway.faults.go_deaf()
        await bench.clock.sleep_s(125)
        assert (market().market.live, market().market.kept) == (0, 1)
        assert market().market.aborted["nothing came through any more"] == 1
        assert numbers(await (await bench.connect()).read()) == [1]

    play(scenario)


def test_what_ends_a_half_open_connection_cannot_be_heard() -> None:
    """A Close record and its frame stay here; the connection is over when it is given up."""

    async def scenario(bench: _Bench) -> None:
        client = await bench.opened()
        bench.gateway.faults.go_deaf()
        bench.gateway.faults.close_all()
        await bench.clock.sleep_s(100)
        assert not client.socket.closed
        assert bench.gateway.statistics().market.live == 1
        await bench.clock.sleep_s(25)
        assert bench.gateway.statistics().market.live == 0

    play(scenario)


def test_a_ping_that_comes_with_the_end_is_no_trouble() -> None:
    """Its answer cannot be sent any more, and the transport has ended like any other."""

    async def scenario(bench: _Bench) -> None:
        await bench.opened()
        (connection,) = bench.gateway.faults.chosen()
        assert connection._carrier is not None
        inbound = connection._carrier.socket._reader
        assert inbound is not None
        inbound.feed_data(aiohttp.WSMessage(aiohttp.WSMsgType.PING, b"", None), 0)
        connection.abort("cut", with_reset=True)
        await bench.clock.sleep_s(1)
        assert bench.gateway.statistics().market.aborted == {"cut": 1}
        assert bench.gateway.statistics().market.kept == 1

    play(scenario)


def test_a_connection_is_forgotten_in_time() -> None:
    """After the life of an id, with its subscriptions; then it is unknown."""

    async def scenario(bench: _Bench) -> None:
        await bench.opened()
        bench.gateway.faults.drop_all()
        await bench.clock.sleep_s(14)
        assert bench.gateway.statistics().market.kept == 1
        await bench.clock.sleep_s(3)
        assert bench.gateway.statistics().market.kept == 0
        assert list(bench.gateway.faults.chosen()) == []
        assert await bench.refused() == 404

    play(scenario)


@pytest.mark.parametrize("how", ["forget", "close", "outage", "close frame", "version 1"])
def test_what_ends_a_connection_for_good(how: str) -> None:
    """A server that forgets, a Close record, a restart, a polite end, a handshake of version 1."""

    async def scenario(bench: _Bench) -> None:
        version_1 = VERSION_2.replace(b"2}", b"1}")
        client = await bench.opened(version_1 if how == "version 1" else VERSION_2)
        faults = bench.gateway.faults
        match how:
            case "close":
                faults.close_all(allow_reconnect=True)
            case "close frame":
                await client.socket.close()
            case _:
                faults.drop_all(forget=how != "version 1")
        await bench.clock.sleep_s(0.5)
        assert bench.gateway.statistics().market.kept == 0
        assert await bench.refused() == 404

    play(scenario)


def test_a_client_that_never_acknowledges_is_sent_no_more_than_the_limit() -> None:
    """The rest waits; an Ack lets it go, in order; too much of it ends the connection."""

    async def scenario(bench: _Bench) -> None:
        client = await bench.opened()
        bench.tell(*range(100))
        connection = bench.gateway.faults.chosen("market")[0]
        assert connection.is_crowded
        had = numbers(await client.read())
        assert had == list(range(len(had)))
        assert len(had) < 30
        await client.say(encode_ack(len(had)))
        more = numbers(await client.read())
        assert more == list(range(len(had), len(had) + len(more)))
        while connection.send(encode_invocation("Told", ["x" * 500])):
            assert connection.stands
        assert await bench.refused() == 404
        assert not connection.is_crowded

    play(scenario, stateful_buffer_bytes=1_000, send_buffer_bytes=20_000)


def test_a_record_sent_twice_is_counted_twice() -> None:
    """Otherwise the client would take as many new ones for old."""

    async def scenario(bench: _Bench) -> None:
        client = await bench.opened()
        bench.tell(1)
        assert bench.gateway.faults.replay(1) == 1
        assert numbers(await client.read()) == [1, 1]
        await client.say(encode_ack(2))
        await bench.clock.sleep_s(0.1)
        bench.gateway.faults.drop_all()
        assert await (await bench.connect()).read() == [{"type": 9, "sequenceId": 3}]

    play(scenario)


def test_what_is_repeated_is_what_was_counted_and_once() -> None:
    """Not the Ack between, and not what was sent again on a new transport a second time."""
    call = encode_invocation("SubscribeContractTrades", ["no"], invocation_id="7")

    async def scenario(bench: _Bench) -> None:
        client = await bench.opened()
        await client.say(call)
        await client.read()
        assert await client.read() == [{"type": 8, "sequenceId": 1}]
        bench.tell(1)
        bench.gateway.faults.drop_all()
        client = await bench.connect()
        assert numbers(await client.read()) == [1]
        assert bench.gateway.faults.replay(9) == 2
        answer, told = await client.read()
        assert (answer["invocationId"], numbers([told])) == ("7", [1])

    play(scenario)
