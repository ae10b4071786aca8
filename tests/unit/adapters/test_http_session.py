"""The session counts every socket it opens until that is closed, and pings are answered."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tapekeeper.adapters.http_session import open_session, socket_count
from tapekeeper.adapters.token_forms import TokenForms
from tapekeeper.adapters.websocket import AiohttpTransport, HubSocket
from tapekeeper.errors import ConnectionLostError


class Server:
    """Answers requests, and holds WebSockets until they end."""

    def __init__(self) -> None:
        self.sockets: list[web.WebSocketResponse] = []
        self.accepted = 0
        self.url = ""
        self.autoping = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if "Upgrade" not in request.headers:
            return web.Response(text="yes")
        socket = web.WebSocketResponse(autoping=self.autoping)
        await socket.prepare(request)
        self.sockets.append(socket)
        while True:
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.PONG:
                await socket.send_bytes(b"pong " + message.data)
            elif message.type is not aiohttp.WSMsgType.PING:
                return socket


@asynccontextmanager
async def serving(*, autoping: bool = True) -> AsyncIterator[Server]:
    """A server on loopback."""
    server = Server()
    server.autoping = autoping
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield server
    finally:
        await runner.cleanup()


def _transport(session: aiohttp.ClientSession) -> AiohttpTransport:
    forms = TokenForms("header", lambda *_, **__: None)
    return AiohttpTransport(session, forms, close_timeout_s=0.5)


async def _opened(transport: AiohttpTransport, url: str) -> HubSocket:
    return await transport.connect(url, token=None, timeout_s=5)


@pytest.mark.asyncio
async def test_sockets_are_counted_until_they_are_closed() -> None:
    """A WebSocket is one, an idle connection is one, a refused attempt is none."""
    async with serving() as server, open_session() as session:
        count, transport = socket_count(session), _transport(session)
        assert count.open_sockets == 0
        first, second = [await _opened(transport, server.url) for _ in range(2)]
        assert (count.open_sockets, transport.open_websockets) == (2, 2)
        async with session.get(server.url) as response:
            await response.read()
        assert (count.open_sockets, transport.open_websockets) == (3, 2)
        with pytest.raises(aiohttp.ClientError):
            await session.get("http://127.0.0.1:1/")
        await first.close()
        await second.close()
        while count.open_sockets > 1:  # noqa: ASYNC110 - the loop closes a socket in its own time
            await asyncio.sleep(0)
        assert (count.open_sockets, transport.open_websockets) == (1, 0)
    while count.open_sockets:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_forgotten_websocket_stays_in_the_census() -> None:
    """Nobody holds it any more, and it is open: that is what a census is for."""
    async with serving() as server, open_session() as session:
        count, transport = socket_count(session), _transport(session)
        forgotten = [await _opened(transport, server.url) for _ in range(3)]
        del forgotten
        assert count.open_sockets == 3


def test_a_session_that_does_not_count_is_refused() -> None:
    """There is no census with a hole in it."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TypeError, match="does not count"):
                socket_count(session)

    asyncio.run(main())
    gc.collect()


@pytest.mark.asyncio
async def test_a_ping_returns_with_its_answer_and_no_data_is_lost() -> None:
    """Answers to pings are read among messages and are none themselves."""
    async with serving() as server, open_session() as session:
        socket = await _opened(_transport(session), server.url)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(socket.receive())
            async with asyncio.timeout(10):
                await asyncio.gather(socket.ping(), socket.ping())
            await server.sockets[0].send_bytes(b"data")
            assert await reading == b"data"
        await socket.close()


@pytest.mark.asyncio
async def test_pings_of_the_server_are_answered_with_their_payload() -> None:
    """As the protocol demands; a server ends a connection whose pongs do not come."""
    async with serving(autoping=False) as server, open_session() as session:
        socket = await _opened(_transport(session), server.url)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(socket.receive())
            await server.sockets[0].ping(b"mine")
            assert await reading == b"pong mine"
        await socket.close()


@pytest.mark.asyncio
async def test_a_ping_on_a_lost_connection_says_so() -> None:
    """The reader finds out as well; whoever pings is told, too."""
    async with serving() as server, open_session() as session:
        socket = await _opened(_transport(session), server.url)
        await socket.close()
        with pytest.raises(ConnectionLostError):
            await socket.ping()
