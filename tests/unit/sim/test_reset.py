"""A reset is met as an error, over a socket and in memory, and never as an end of the stream."""

from __future__ import annotations

import asyncio

import pytest

from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.reset import reset
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual


class _Peer(asyncio.Protocol):
    """Remembers its transport and how it ended."""

    def __init__(self) -> None:
        self.transport: asyncio.BaseTransport
        self.lost: list[Exception | None] = []
        self.saw_the_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def eof_received(self) -> None:
        self.saw_the_end = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


@pytest.mark.parametrize("seed", range(8))
def test_in_memory(seed: int) -> None:
    """Whatever is drawn: an abort may come as an end of the stream, a reset does not."""

    async def main(clock: VirtualClock) -> None:
        network = MemoryNetwork(Seeded(seed, "network"))
        server, client = _Peer(), _Peer()
        network.listen(1, lambda: server)
        await network.connect(1, client)
        reset(server.transport)
        reset(server.transport)  # once is enough
        await clock.sleep_s(1)
        assert server.lost == [None]
        assert [type(error) for error in client.lost] == [ConnectionResetError]
        assert not client.saw_the_end

    run_virtual(main)


@pytest.mark.asyncio
async def test_over_a_socket() -> None:
    """The reader of the other end fails, where a close would give it nothing more to read."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer.transport)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(10):
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
