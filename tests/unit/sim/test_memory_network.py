"""The network and the disk in memory: what arrives, what ends, and what is refused."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tapekeeper.errors import JournalError, UnreadableSourceError
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.gateway import MEMORY_PORT, SimGateway
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import HIGH_WATER_BYTES, MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual


class _Peer(asyncio.Protocol):
    """Remembers what happened to it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.received = bytearray()
        self.pieces = 0
        self.lost: list[BaseException | None] = []
        self.paused: list[bool] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.pieces += 1

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.append(exc)

    def pause_writing(self) -> None:
        self.paused.append(True)

    def resume_writing(self) -> None:
        self.paused.append(False)


async def _joined(seed: int = 1) -> tuple[_Peer, _Peer, MemoryNetwork]:
    network = MemoryNetwork(Seeded(seed, "network"))
    client, server = _Peer(), _Peer()
    network.listen(80, lambda: server)
    await network.connect(80, client)
    return client, server, network


def test_bytes_arrive_in_order_and_cut_anywhere() -> None:
    """Nothing is lost or swapped, and some writes come in two pieces."""

    async def main(clock: VirtualClock) -> None:
        client, server, _ = await _joined()
        for number in range(500):
            client.transport.write(b"%03d," % number)
        client.transport.close()
        await clock.sleep_s(1)
        assert bytes(server.received) == b"".join(b"%03d," % number for number in range(500))
        assert server.pieces > 500
        assert (client.lost, server.lost) == ([None], [None])

    run_virtual(main)


def test_a_cut_is_felt_as_an_end_or_a_reset_and_leaves_nothing_open() -> None:
    """Both happen, each end learns of it once, and writing afterwards does nothing."""

    async def main(clock: VirtualClock) -> set[str]:
        felt = set()
        for seed in range(20):
            client, server, network = await _joined(seed)
            server.transport.abort()
            server.transport.write(b"too late")
            await clock.sleep_s(1)
            assert server.lost == [None]
            assert len(client.lost) == 1
            assert client.received == b""
            assert network.open_ends == 0
            felt.add(type(client.lost[0]).__name__)
        return felt

    assert run_virtual(main) == {"NoneType", "ConnectionResetError"}


def test_a_reader_that_waits_makes_the_writer_wait() -> None:
    """Beyond the mark the writer is paused; when it is read, it goes on."""

    async def main(clock: VirtualClock) -> None:
        client, server, _ = await _joined()
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.write(bytes(HIGH_WATER_BYTES + 1))
        await clock.sleep_s(1)
        assert (client.paused, bytes(server.received)) == ([True], b"")
        assert client.transport.get_write_buffer_size() == HIGH_WATER_BYTES + 1
        server.transport.resume_reading()
        await clock.sleep_s(1)
        assert client.paused == [True, False]
        assert len(server.received) == HIGH_WATER_BYTES + 1

    run_virtual(main)


def test_a_gateway_is_reached_through_the_http_library() -> None:
    """The same routes as over sockets; where nobody listens, connections are refused."""

    async def main(clock: VirtualClock) -> None:
        network = MemoryNetwork(Seeded(1, "network"))
        gateway = SimGateway(SimConfig(), clock, Seeded(1, "gateway"), network=network)
        async with aiohttp.ClientSession(connector=MemoryConnector(network)) as http:
            async with gateway:
                assert gateway.urls.rest == f"http://127.0.0.1:{MEMORY_PORT}"
                async with http.get(f"{gateway.urls.rest}/api/Status/ping") as answer:
                    assert await answer.text() == "pong"
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.get(f"{gateway.urls.rest}/api/Status/ping")
        await clock.sleep_s(1)
        assert network.connections == 1
        assert network.open_ends == 0

    run_virtual(main)


def test_a_disk_in_memory_keeps_what_was_appended() -> None:
    """Like a folder: names are sorted, files are new, one writes at a time."""
    files = MemoryFiles()
    lock = files.lock()
    with pytest.raises(JournalError, match="one writer"):
        files.lock()
    lock.release()
    assert not files.is_locked
    for name in ("b", "a"):
        segment = files.create(name)
        segment.append(name.encode() * 2)
        segment.append(b"!")
        segment.sync()
        segment.close()
    assert files.names() == ["a", "b"]
    assert (files.read("b"), files.size("b")) == (b"bb!", 3)
    with pytest.raises(JournalError, match="closed"):
        segment.append(b"x")
    with pytest.raises(JournalError, match="it exists"):
        files.create("a")
    with pytest.raises(UnreadableSourceError, match="no c in memory"):
        files.read("c")
