"""The simulated gateway's hubs over real sockets, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, HubLimits, SimConfig
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.manual_clock import ManualClock
from tapekeeper.sim.seeded import Seeded

MES = "CON.F.US.MES.Z26"
PING = {"type": 6}
LIMIT_S = 20


class HubClient:
    """A bare hub client: it sends what it is told and collects whole records."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._records: deque[dict[str, Any]] = deque()
        self._ids = 0

    async def send(self, *records: dict[str, Any]) -> None:
        """Send records in one message."""
        await self.socket.send_str("".join(json.dumps(one) + "\x1e" for one in records))

    async def record(self) -> dict[str, Any]:
        """The next record; the end of the connection is `{"closed": code}`."""
        async with asyncio.timeout(LIMIT_S):
            while not self._records:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return {"closed": self.socket.close_code}
                *whole, rest = message.data.split("\x1e")
                assert rest == ""
                self._records.extend(json.loads(one) for one in whole)
            return self._records.popleft()

    async def handshake(self) -> None:
        """Open the session, without the ping that would arm the client timeout."""
        await self.send({"protocol": "json", "version": 1})
        assert await self.record() == {}

    async def call(
        self, target: str, *arguments: object
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Invoke and wait: the records before the completion, and the completion."""
        self._ids += 1
        id_ = str(self._ids)
        await self.send(
            {"type": 1, "invocationId": id_, "target": target, "arguments": list(arguments)}
        )
        before = []
        while (record := await self.record()).get("invocationId") != id_:
            assert "closed" not in record
            before.append(record)
        return before, record


class Bench:
    """A running gateway, its clock, and a session with a valid token."""

    def __init__(
        self, gateway: SimGateway, clock: ManualClock, http: aiohttp.ClientSession, token: str
    ) -> None:
        self.gateway = gateway
        self.clock = clock
        self.http = http
        self.token = token
        # Held to the end: a connection that nobody holds is reported when it is collected.
        self.opened: list[aiohttp.ClientWebSocketResponse] = []

    @property
    def headers(self) -> dict[str, str]:
        """The header every real client sends."""
        return {"Authorization": f"Bearer {self.token}"}

    async def negotiate(self, version: int = 1) -> dict[str, Any]:
        """The answer to a negotiation."""
        url = f"{self.gateway.urls.market_hub}/negotiate?negotiateVersion={version}"
        async with self.http.post(url, headers=self.headers) as answer:
            assert answer.status == 200
            found: dict[str, Any] = await answer.json()
            return found

    async def upgrade(
        self, query: str = "", *, url: str | None = None, headers: dict[str, str] | None = None
    ) -> HubClient:
        """A connection before its handshake."""
        where = (url or self.gateway.urls.market_hub) + query
        sent = self.headers if headers is None else headers
        self.opened.append(await self.http.ws_connect(where, headers=sent))
        return HubClient(self.opened[-1])

    async def connect(self, hub: str = "market") -> HubClient:
        """A connection behind its handshake, negotiation skipped."""
        urls = self.gateway.urls
        client = await self.upgrade(url=urls.market_hub if hub == "market" else urls.user_hub)
        await client.handshake()
        return client

    async def status_of_upgrade(self, query: str = "", **kwargs: Any) -> int:
        """The HTTP status of an upgrade that is refused."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await self.upgrade(query, **kwargs)
        return refused.value.status


@asynccontextmanager
async def bench(config: SimConfig | None = None, **kwargs: Any) -> AsyncIterator[Bench]:
    """A gateway whose market does nothing unless asked, and a logged-in session."""
    clock = ManualClock()
    async with (
        SimGateway(config or SimConfig(), clock, Seeded(1, "test"), **kwargs) as gateway,
        aiohttp.ClientSession() as http,
    ):
        credentials = {"userName": TEST_USER, "apiKey": TEST_API_KEY}
        url = f"{gateway.urls.rest}/api/Auth/loginKey"
        async with http.post(url, json=credentials) as answer:
            token = (await answer.json())["token"]
        made = Bench(gateway, clock, http, token)
        yield made
        async with asyncio.timeout(LIMIT_S):
            for socket in made.opened:
                await socket.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


def full_speed(trades_max: int = 2_000, **changes: Any) -> SimConfig:
    """One contract as fast as it is read."""
    return SimConfig(
        products=changes.pop("products", ("MES",)), speed="max", trades_max=trades_max, **changes
    )


# --- coming in -------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("version", [0, 1])
async def test_a_negotiated_id_opens_one_connection(version: int) -> None:
    """In use it is a conflict, afterwards nobody knows it."""
    async with bench() as it:
        answer = await it.negotiate(version)
        id_ = answer["connectionToken" if version else "connectionId"]
        client = await it.upgrade(f"?id={id_}")
        await client.handshake()
        assert await it.status_of_upgrade(f"?id={id_}") == 409
        await client.socket.close()
        await until(lambda: it.gateway.statistics().market.live == 0)
        assert await it.status_of_upgrade(f"?id={id_}") == 404


@pytest.mark.asyncio
async def test_ids_that_are_unknown_or_too_old_are_not_found() -> None:
    """The public id of version 1 is no token, and a token waits 15 s."""
    async with bench() as it:
        answer = await it.negotiate()
        assert await it.status_of_upgrade("?id=unknown") == 404
        assert await it.status_of_upgrade(f"?id={answer['connectionId']}") == 404
        it.clock.advance(15.0)
        assert await it.status_of_upgrade(f"?id={answer['connectionToken']}") == 404


@pytest.mark.asyncio
async def test_requests_that_are_no_upgrade_are_refused_as_the_real_server_does() -> None:
    """GET negotiate 405; no id 400; unknown id 404; POST to a WebSocket connection 405."""
    async with bench() as it:
        hub = it.gateway.urls.market_hub
        token = (await it.negotiate())["connectionToken"]
        client = await it.upgrade(f"?id={token}")
        await client.handshake()
        expected = [
            ("GET", f"{hub}/negotiate", 405, None),
            ("GET", hub, 400, "Connection ID required"),
            ("GET", f"{hub}?id=x", 404, "No Connection with that ID"),
            ("POST", f"{hub}?id=x", 404, "No Connection with that ID"),
            ("POST", f"{hub}?id={token}", 405, None),
        ]
        for method, url, status, text in expected:
            async with it.http.request(method, url, headers=it.headers) as answer:
                assert answer.status == status, url
                assert text is None or await answer.text() == text


@pytest.mark.asyncio
async def test_the_hubs_want_a_token_on_negotiation_and_upgrade() -> None:
    """401 with a challenge, before any id is looked at; an expired token is refused, too."""
    async with bench(SimConfig(token_life_s=60.0)) as it:
        url = f"{it.gateway.urls.market_hub}/negotiate?negotiateVersion=1"
        async with it.http.post(url) as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert await it.status_of_upgrade(headers={}) == 401
        assert await it.status_of_upgrade("?id=unknown", headers={}) == 401
        it.clock.advance(60.0)
        assert await it.status_of_upgrade() == 401


@pytest.mark.asyncio
async def test_a_live_connection_outlives_its_token() -> None:
    """The token is checked at the upgrade and never again."""
    async with bench(SimConfig(token_life_s=60.0)) as it:
        client = await it.connect()
        it.clock.advance(61.0)
        _, completion = await client.call("SubscribeContractTrades", MES)
        assert completion["result"] is None


@pytest.mark.asyncio
async def test_a_query_token_counts_only_where_it_is_switched_on() -> None:
    """Off: header only. On: the query works, and wins over a good header when it is bad."""
    async with bench() as it:
        query = f"?access_token={it.token}"
        assert await it.status_of_upgrade(query, headers={}) == 401
        await (await it.upgrade(query)).handshake()
    async with bench(SimConfig(allow_query_token=True)) as it:
        query = f"?access_token={it.token}"
        await (await it.upgrade(query, headers={})).handshake()
        await it.connect()
        assert await it.status_of_upgrade("?access_token=bad") == 401
        url = f"{it.gateway.urls.rest}/api/Auth/validate{query}"
        async with it.http.post(url) as answer:
            assert answer.status == 401


# --- talking ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_refused_handshake_ends_with_code_1000() -> None:
    """The error record comes first."""
    async with bench() as it:
        client = await it.upgrade()
        await client.send({"protocol": "xyz", "version": 1})
        assert await client.record() == {"error": "The protocol 'xyz' is not supported."}
        assert await client.record() == {"closed": 1000}


@pytest.mark.asyncio
async def test_the_handshake_may_come_in_a_binary_message() -> None:
    """The opcode does not matter."""
    async with bench() as it:
        client = await it.upgrade()
        await client.socket.send_bytes(b'{"protocol":"json","version":1}\x1e')
        assert await client.record() == {}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("target", "arguments", "error"),
    [
        (
            "SubscribeContractDepth",
            [MES],
            (
                "Failed to invoke 'SubscribeContractDepth' due to an error on the server. "
                "HubException: Method does not exist."
            ),
        ),
        (
            "SubscribeContractTrades",
            [],
            "Failed to invoke 'SubscribeContractTrades' due to an error on the server.",
        ),
        (
            "SubscribeContractTrades",
            [MES, MES],
            "Failed to invoke 'SubscribeContractTrades' due to an error on the server.",
        ),
        (
            "SubscribeContractTrades",
            [7],
            "Failed to invoke 'SubscribeContractTrades' due to an error on the server.",
        ),
        (
            "SubscribeContractTrades",
            ["CON.F.US.NONE.Z26"],
            (
                "An unexpected error occurred invoking 'SubscribeContractTrades' on the server. "
                "HubException: Contract not found."
            ),
        ),
    ],
)
async def test_wrong_calls_are_answered_in_the_servers_words(
    target: str, arguments: list[object], error: str
) -> None:
    """The error names the method as the client wrote it; the connection lives on."""
    async with bench() as it:
        client = await it.connect()
        _, completion = await client.call(target, *arguments)
        assert completion == {"type": 3, "invocationId": "1", "error": error}
        _, completion = await client.call("subscribecontracttrades", MES)
        assert completion == {"type": 3, "invocationId": "2", "result": None}


@pytest.mark.asyncio
async def test_calls_without_an_id_are_never_answered_and_streams_are_refused() -> None:
    """A failing non-blocking call is silent; type 4 on a normal method has its own text."""
    async with bench() as it:
        client = await it.connect()
        await client.send(
            {"type": 1, "target": "NoSuch", "arguments": []},
            {"type": 1, "target": "SubscribeContractTrades", "arguments": [MES]},
            {
                "type": 4,
                "invocationId": "s",
                "target": "SubscribeContractTrades",
                "arguments": [MES],
            },
        )
        assert await client.record() == {
            "type": 3,
            "invocationId": "s",
            "error": (
                "The client attempted to invoke the non-streaming "
                "'SubscribeContractTrades' method with a streaming invocation."
            ),
        }


@pytest.mark.asyncio
async def test_an_unknown_contract_may_be_configured_to_stay_silent() -> None:
    """What the real gateway does is not known, so both can be tried."""
    async with bench(SimConfig(unknown_contract="silent")) as it:
        client = await it.connect()
        _, completion = await client.call("SubscribeContractTrades", "CON.F.US.NONE.Z26")
        assert completion["result"] is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "data", [b'{"type":1}\x1e', b"\x1e", b"x" * 40_000], ids=["broken", "empty", "too large"]
)
async def test_a_violation_ends_with_close_and_code_1000(data: bytes) -> None:
    """The client may come back."""
    async with bench() as it:
        client = await it.connect()
        await client.socket.send_bytes(data)
        assert await client.record() == {
            "type": 7,
            "error": "Connection closed with an error.",
            "allowReconnect": True,
        }
        assert await client.record() == {"closed": 1000}
        await until(lambda: it.gateway.statistics().market.live == 0)
        assert it.gateway.statistics().market.protocol_errors == 1


@pytest.mark.asyncio
async def test_pings_and_the_client_timeout_follow_the_clock() -> None:
    """A ping after 15 s; 30 s after its own last ping a silent client is sent away."""
    async with bench() as it:
        client = await it.connect()
        it.clock.advance(15.0)
        assert await client.record() == PING
        await client.send(PING)
        await client.call("SubscribeContractTrades", MES)
        it.clock.advance(31.0)
        close = await client.record()
        assert close["type"] == 7
        assert "ClientTimeoutInterval" in close["error"]
        assert await client.record() == {"closed": 1000}


@pytest.mark.asyncio
async def test_a_client_that_says_goodbye_hears_it_back() -> None:
    """Close is echoed, then code 1000."""
    async with bench() as it:
        client = await it.connect()
        await client.send({"type": 7})
        assert await client.record() == {"type": 7}
        assert await client.record() == {"closed": 1000}


@pytest.mark.asyncio
async def test_the_user_hub_greets_with_the_account_before_the_completion() -> None:
    """The event is wrapped; an account id is a whole number that exists."""
    async with bench() as it:
        client = await it.connect("user")
        before, completion = await client.call("SubscribeAccounts")
        (event,) = before
        assert event["target"] == "GatewayUserAccount"
        assert event["arguments"][0]["action"] == 1
        account_id = event["arguments"][0]["data"]["id"]
        assert completion["result"] is None
        for name in ("Orders", "Positions", "Trades"):
            _, completion = await client.call(f"Subscribe{name}", account_id)
            assert completion.get("error") is None
            _, completion = await client.call(f"Unsubscribe{name}", account_id)
            assert completion.get("error") is None
            _, completion = await client.call(f"Subscribe{name}", str(account_id))
            assert completion["error"].startswith("Failed to invoke")
            _, completion = await client.call(f"Subscribe{name}", account_id + 1)
            assert completion["error"].endswith("HubException: Account not found.")


# --- the market ------------------------------------------------------------------------------


async def collect(client: HubClient, count: int) -> list[dict[str, Any]]:
    """The next `count` prints, each with its contract id; other records are passed over."""
    prints: list[dict[str, Any]] = []
    while len(prints) < count:
        record = await client.record()
        assert "closed" not in record
        if record.get("target") == "GatewayTrade":
            contract_id, found = record["arguments"]
            prints += [{"contractId": contract_id, **one} for one in found]
    return prints


@pytest.mark.asyncio
async def test_what_is_sent_is_what_is_received_and_what_history_has() -> None:
    """Counts, order and the volume of the bars over REST agree with the wire."""
    async with bench(full_speed(2_000)) as it:
        client = await it.connect()
        await client.call("SubscribeContractTrades", MES)
        prints = await collect(client, 2_000)
        async with asyncio.timeout(LIMIT_S):
            await it.gateway.finished.wait()
        assert len(prints) == 2_000
        assert it.gateway.statistics().trades_sent == {MES: 2_000}
        stamps = [parse_ns(one["timestamp"]) for one in prints]
        assert stamps == sorted(stamps)
        body = {
            "contractId": MES,
            "startTime": "2026-11-20T15:00:00Z",
            "endTime": "2026-11-21T15:00:00Z",
            "unit": 1,
            "unitNumber": 1,
            "limit": 20_000,
            "includePartialBar": True,
        }
        url = f"{it.gateway.urls.rest}/api/History/retrieveBars"
        async with it.http.post(url, json=body, headers=it.headers) as answer:
            bars = (await answer.json())["bars"]
        assert sum(bar["v"] for bar in bars) == sum(one["volume"] for one in prints)
        assert bars[0]["c"] == prints[-1]["price"]


@pytest.mark.asyncio
async def test_two_subscribers_get_the_same_and_unsubscribing_ends_it() -> None:
    """A record goes to everybody who listens; after the completion nothing more comes."""
    async with bench(SimConfig(products=("MES",), speed=1.0)) as it:
        first, second = await it.connect(), await it.connect()
        await first.call("SubscribeContractTrades", MES)
        await second.call("SubscribeContractTrades", MES)
        it.clock.advance(60.0)
        prints = await collect(first, 50)
        assert await collect(second, len(prints)) == prints
        await first.call("UnsubscribeContractTrades", MES)
        sent = it.gateway.statistics().trades_sent[MES]
        it.clock.advance(60.0)
        await collect(second, 50)
        before, _ = await first.call("UnsubscribeContractTrades", MES)
        assert [one for one in before if one != PING] == []
        assert it.gateway.statistics().trades_sent[MES] > sent


@pytest.mark.asyncio
async def test_a_subscription_dies_with_its_connection() -> None:
    """A new connection of the same user hears nothing until it subscribes."""
    async with bench(SimConfig(products=("MES",))) as it:
        first = await it.connect()
        await first.call("SubscribeContractTrades", MES)
        await first.socket.close()
        second = await it.connect()
        await until(lambda: it.gateway.statistics().market.live == 1)
        it.clock.advance(10.0)
        await until(lambda: it.gateway.feed.trades_made[MES] > 10)
        before, _ = await second.call("UnsubscribeContractTrades", MES)
        assert before == []
        assert it.gateway.statistics().trades_sent == {}


@pytest.mark.asyncio
async def test_a_late_subscriber_of_quotes_gets_the_whole_state_first() -> None:
    """The state comes before the completion; what follows is sparse."""
    async with bench(SimConfig(products=("MES",))) as it:
        client = await it.connect()
        it.clock.advance(10.0)
        await until(lambda: it.gateway.feed.trades_made[MES] > 10)
        before, _ = await client.call("SubscribeContractQuotes", MES)
        state = before[0]
        assert set(state["arguments"][1]) >= {"bestBid", "bestAsk", "lastPrice", "volume", "high"}
        it.clock.advance(4.0)
        delta = (await client.record())["arguments"][1]
        assert len(delta) < len(state["arguments"][1])


@pytest.mark.asyncio
async def test_a_closed_market_says_nothing_until_it_opens() -> None:
    """With the exchange's sessions a Saturday is quiet; pings go on."""
    saturday_ns = parse_ns("2026-11-21T12:00:00Z")
    sessions = calendar_by_name("cme")
    config = SimConfig(products=("MES",), start_ns=saturday_ns, speed=1.0)
    async with bench(config, sessions=sessions) as it:
        client = await it.connect()
        await client.call("SubscribeContractTrades", MES)
        it.clock.advance(3_600.0)
        assert await client.record() == PING
        it.clock.advance((sessions.next_open_ns(saturday_ns) - saturday_ns) / 1e9)
        (first,) = (await collect(client, 1))[:1]
        assert parse_ns(first["timestamp"]) >= sessions.next_open_ns(saturday_ns)


@pytest.mark.data
@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["esh2_2022-01-24_0830et", "esu4_2024-07-01_utc_midnight"])
async def test_a_recording_arrives_row_by_row(shared_data: Path, name: str) -> None:
    """Every row from the first one on: the player waits for its subscriber."""
    folder = shared_data / name
    trades = pl.read_parquet(folder / "trades.parquet").sort("seq")
    async with bench(full_speed(0, products=(), play=folder)) as it:
        (contract_id,) = it.gateway.contracts
        client = await it.connect()
        await client.call("SubscribeContractQuotes", contract_id)
        await client.call("SubscribeContractTrades", contract_id)
        prints = await collect(client, trades.height)
        async with asyncio.timeout(LIMIT_S):
            await it.gateway.finished.wait()
        received = [
            (parse_ns(one["timestamp"]), one["price"], one["volume"], one.get("type", -1))
            for one in prints
        ]
        assert (
            received
            == trades.select(pl.col("ts_event") // 100 * 100, "price", "size", "side").rows()
        )
        quotes = pl.read_parquet(folder / "quotes.parquet")
        assert it.gateway.statistics().quotes_sent == {contract_id: quotes.height}


@pytest.mark.asyncio
async def test_a_recording_in_real_time_keeps_its_distances(tmp_path: Path) -> None:
    """The first row comes with the subscriber, the next one when its time has come."""
    pl.DataFrame(
        {
            "ts_event": [10**18, 10**18 + 5 * 10**9],
            "price": [1.5, 2.5],
            "size": [1, 2],
            "side": [0, 1],
            "symbol": ["ESU4", "ESU4"],
            "seq": [0, 1],
        }
    ).write_parquet(tmp_path / "trades.parquet")
    async with bench(SimConfig(products=(), play=tmp_path)) as it:
        client = await it.connect()
        it.clock.advance(100.0)
        await client.call("SubscribeContractTrades", it.gateway.contracts[0])
        (first,) = await collect(client, 1)
        it.clock.advance(4.9)
        await client.call("UnsubscribeContractMarketDepth", it.gateway.contracts[0])
        assert it.gateway.statistics().trades_sent == {it.gateway.contracts[0]: 1}
        it.clock.advance(0.1)
        (second,) = await collect(client, 1)
        assert (first["price"], second["price"]) == (1.5, 2.5)


# --- trouble ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_dropped_connection_ends_without_a_word() -> None:
    """No Close record, no close frame; both hubs unless one is named."""
    async with bench() as it:
        market, user = await it.connect(), await it.connect("user")
        assert it.gateway.faults.drop_all("market") == 1
        assert await market.record() == {"closed": 1006}
        assert (await user.call("SubscribeAccounts"))[1]["result"] is None
        assert it.gateway.faults.drop_all() == 1
        assert await user.record() == {"closed": 1006}
        await until(lambda: it.gateway.statistics().user.live == 0)
        assert it.gateway.statistics().market.aborted == {"dropped on demand": 1}


@pytest.mark.asyncio
async def test_close_on_demand_follows_what_was_sent_before() -> None:
    """With and without permission to come back; code 1000."""
    async with bench() as it:
        for allow in (True, False):
            client = await it.connect()
            it.gateway.faults.close_all(error="bye", allow_reconnect=allow)
            close = {"type": 7, "error": "bye"} | ({"allowReconnect": True} if allow else {})
            assert await client.record() == close
            assert await client.record() == {"closed": 1000}


@pytest.mark.asyncio
async def test_a_silent_connection_hears_neither_data_nor_pings_and_a_new_one_does() -> None:
    """Half open: TCP lives, nothing comes; later connections are not touched."""
    async with bench() as it:
        silent = await it.connect()
        assert it.gateway.faults.go_silent() == 1
        healthy = await it.connect()
        it.clock.advance(15.0)
        assert await healthy.record() == PING
        await silent.send({"type": 1, "invocationId": "1", "target": "X", "arguments": []})
        await until(lambda: it.gateway.statistics().market.records_muted == 2)
        it.gateway.faults.drop_all()
        assert await silent.record() == {"closed": 1006}


@pytest.mark.asyncio
async def test_refused_doors_open_again() -> None:
    """The next N get the status, with the time to wait where one was given."""
    async with bench() as it:
        it.gateway.faults.refuse(Door.UPGRADE, 2, 503, retry_after_s=3)
        it.gateway.faults.refuse(Door.NEGOTIATE, 1, 429)
        assert await it.status_of_upgrade() == 503
        assert await it.status_of_upgrade() == 503
        await it.connect()
        url = f"{it.gateway.urls.market_hub}/negotiate"
        async with it.http.post(url, headers=it.headers) as answer:
            assert answer.status == 429
        assert "connectionToken" in await it.negotiate()
        assert it.gateway.statistics().market.refused == 3


@pytest.mark.asyncio
async def test_raw_bytes_are_sent_as_they_are() -> None:
    """Half a record, an unknown type: whatever a test wants."""
    async with bench() as it:
        client = await it.connect()
        it.gateway.faults.send_raw(b'{"type":')
        message = await client.socket.receive()
        it.gateway.faults.send_raw(b"99}\x1e")
        assert message.data + (await client.socket.receive()).data == '{"type":99}\x1e'


@pytest.mark.asyncio
async def test_a_reader_that_stopped_reading_is_cut_off_after_ten_seconds() -> None:
    """A write blocked for longer than the send timeout aborts the connection."""
    async with bench(SimConfig(hub=HubLimits(send_buffer_bytes=1 << 30))) as it:
        client = await it.connect()
        # More than any socket buffer takes, and nobody reads: the client library pauses.
        for _ in range(1_000):
            it.gateway.faults.send_raw(b" " * 60_000 + b"\x1e")
        for _ in range(2_000):
            await asyncio.sleep(0)
        it.clock.advance(9.0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert it.gateway.statistics().market.live == 1
        it.clock.advance(2.0)
        await until(lambda: it.gateway.statistics().market.live == 0)
        assert it.gateway.statistics().market.aborted == {"a write was blocked for too long": 1}
        assert not client.socket.closed


@pytest.mark.asyncio
async def test_in_real_time_a_full_buffer_cuts_the_reader_off() -> None:
    """The market does not wait for one reader; a bounded buffer means the line is lost."""
    limits = HubLimits(send_buffer_bytes=1_000)
    async with bench(SimConfig(products=("MES",), hub=limits)) as it:
        client = await it.connect()
        await client.call("SubscribeContractTrades", MES)
        it.clock.advance(600.0)
        while "closed" not in await client.record():
            pass
        await until(lambda: it.gateway.statistics().market.live == 0)
        assert it.gateway.statistics().market.aborted == {"its send buffer is full": 1}
