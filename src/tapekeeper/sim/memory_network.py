"""A network in memory: byte streams between a client and the servers of one event loop.

It stands under the HTTP library, not beside it: client and server are the same code as over
sockets, down to the WebSocket frames, and only what carries bytes is replaced. So whatever is
found here is true of the real thing, and all of it runs in virtual time.

Bytes arrive in order, after a latency that is drawn for each write, cut where the draw says. A
server that cuts a connection is felt as the end of the stream or as a reset, which is drawn too.
The way may be stuck for a while: nothing is lost on it then, and nothing moves. A server may be
cut off by its port, and a client's process may die with all of its connections.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace

from tapekeeper.sim.seeded import Seeded

HIGH_WATER_BYTES = 65_536
"""What may be under way before a writer is asked to wait, as in asyncio."""
LOW_WATER_BYTES = HIGH_WATER_BYTES // 4

STUCK_WATER_BYTES = 2_048
"""The same while the way is stuck: a path that acknowledges nothing soon closes its window."""

LATENCY_S = (0.000_05, 0.02)
"""Least and most time under way."""

CUT_SHARE = 0.2
"""Share of writes that arrive in two pieces."""

KEPT_S = 1e9
"""For ever."""

HOST = "127.0.0.1"

ProtocolFactory = Callable[[], asyncio.Protocol]


class _Way:
    """What all connections share; time is that of the event loop, seconds."""

    def __init__(self) -> None:
        self.stuck_until_s = 0.0

    def high_water_bytes(self, now_s: float) -> int:
        """What may be under way in one direction of a connection."""
        return STUCK_WATER_BYTES if now_s < self.stuck_until_s else HIGH_WATER_BYTES


class End(asyncio.Transport):
    """One end of a connection. Two of them are joined; each sends into the other."""

    def __init__(
        self,
        numbers: Seeded,
        way: _Way,
        sockname: tuple[str, int],
        peer: tuple[str, int],
        over: Callable[[], None],
    ) -> None:
        super().__init__({"sockname": sockname, "peername": peer})
        self._over = over
        self._way = way
        self._loop = asyncio.get_running_loop()
        self._numbers = numbers
        self._peer: End
        self._protocol: asyncio.Protocol
        # bound: writers are asked to wait at HIGH_WATER_BYTES
        self._arrived: deque[bytes | None] = deque()
        self._under_way = 0
        self._last_s = 0.0
        self._reading = True
        self._writer_waits = False
        self._closing = False
        self._lost = False

    def join(self, peer: End, protocol: asyncio.Protocol) -> None:
        """Name the other end and who uses this one."""
        self._peer = peer
        self._protocol = protocol

    # --- asyncio.Transport ------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send; what is written to a closing end is lost."""
        if self._closing or not data:
            return
        whole = bytes(data)
        cut = len(whole)
        if self._numbers.random() < CUT_SHARE:
            cut = 1 + self._numbers.below(len(whole))
        for piece in (whole[:cut], whole[cut:]):
            if piece:
                self._under_way += len(piece)
                self._send(piece)
        high_water_bytes = self._way.high_water_bytes(self._loop.time())
        if self._under_way > high_water_bytes and not self._writer_waits:
            self._writer_waits = True
            self._protocol.pause_writing()

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._closing

    def close(self) -> None:
        """End the stream behind what was written."""
        if not self._closing:
            self._closing = True
            self._send(None)
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """Cut it; the other end learns of it by an end of stream or by a reset."""
        if self._closing:
            return
        if self._numbers.below(2):
            self.close()
        else:
            self.cut()

    def cut(self) -> None:
        """End it with a reset."""
        if self._closing:
            return
        self._closing = True
        reaches_s = max(self._loop.time(), self._way.stuck_until_s) + LATENCY_S[0]
        self._loop.call_at(reaches_s, self._peer.reset)
        self._loop.call_soon(self._lose, None)

    def reset(self) -> None:
        """The other end is gone; what is unread is lost."""
        self._arrived.clear()
        self._closing = True
        self._lose(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

    def can_write_eof(self) -> bool:
        """Half-closed streams are not needed."""
        return False

    def get_write_buffer_size(self) -> int:
        """Bytes under way."""
        return self._under_way

    def is_reading(self) -> bool:
        """Whether what arrives is handed on."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Hand nothing on."""
        self._reading = False

    def resume_reading(self) -> None:
        """Hand on again, beginning with what has arrived."""
        self._reading = True
        self._loop.call_soon(self._hand_on)

    # --- inside -----------------------------------------------------------------------------

    def _send(self, piece: bytes | None) -> None:
        low, high = LATENCY_S
        leaves_s = max(self._loop.time(), self._way.stuck_until_s)
        at_s = leaves_s + low + (high - low) * self._numbers.random() ** 4
        # A stream keeps its order, whatever is drawn; timers of one time run in any order.
        self._last_s = max(at_s, self._last_s + 1e-9)
        self._loop.call_at(self._last_s, self._peer.arrive, piece)

    def arrive(self, piece: bytes | None) -> None:
        """A piece, or None for the end of the stream, has come."""
        if not self._lost:
            self._arrived.append(piece)
            self._hand_on()

    def _hand_on(self) -> None:
        while self._arrived and self._reading and not self._lost:
            piece = self._arrived.popleft()
            if piece is None:
                self._protocol.eof_received()
                self.close()
                return
            self._peer.taken(len(piece))
            self._protocol.data_received(piece)

    def taken(self, size: int) -> None:
        """The other end has read so many bytes."""
        self._under_way -= size
        if self._writer_waits and self._under_way <= LOW_WATER_BYTES and not self._lost:
            self._writer_waits = False
            self._protocol.resume_writing()

    @property
    def is_lost(self) -> bool:
        """Whether its user has been told of the end."""
        return self._lost

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._over()
            self._protocol.connection_lost(error)


class MemoryNetwork:
    """Servers by port, and the connections to them.

    Args:
        numbers: draw latencies and cuts.
    """

    def __init__(self, numbers: Seeded) -> None:
        self._numbers = numbers
        self._way = _Way()
        self._servers: dict[int, ProtocolFactory] = {}  # bound: one per server
        self._cut_off: set[int] = set()
        # bound: one per open connection; the port of its server, and its two ends
        self._open: dict[int, tuple[int, End, End]] = {}
        self.connections = 0
        """Connections made so far."""
        self.open_ends = 0
        """Ends of connections that have not learnt of the end; two per connection."""
        self._clients = 50_000

    def listen(self, port: int, factory: ProtocolFactory) -> None:
        """Serve a port of `HOST`."""
        self._servers[port] = factory

    def listen_also(self, port: int, like: int) -> None:
        """Serve another port with the server of `like`: another address of the same hubs."""
        self._servers[port] = self._servers[like]

    def close(self, port: int) -> None:
        """Refuse connections from now on; safe to call twice."""
        self._servers.pop(port, None)

    def cut_off(self, port: int) -> None:
        """Cut what is connected to a port, and refuse connections to it for now."""
        self._cut_off.add(port)
        for its_port, _, far in list(self._open.values()):
            if its_port == port:
                far.abort()

    def restore(self, port: int) -> None:
        """Let connections to a port through again."""
        self._cut_off.discard(port)

    def stick(self, for_s: float) -> None:
        """Move nothing in either direction for a while; what is sent meanwhile arrives then."""
        until_s = asyncio.get_running_loop().time() + for_s
        self._way.stuck_until_s = max(self._way.stuck_until_s, until_s)

    def open_among(self, numbers: Iterable[int]) -> list[int]:
        """Those of these connections that have not ended on the client's side."""
        return [
            number
            for number in numbers
            if number in self._open and not self._open[number][1].is_lost
        ]

    def abort(self, numbers: Iterable[int]) -> None:
        """Cut connections from the client's side, as the system does for a dead process."""
        for number in numbers:
            if number in self._open:
                self._open[number][1].abort()

    async def connect(self, port: int, client: asyncio.Protocol) -> int:
        """Join a client to the server at `port`; the number of the connection.

        Raises:
            ConnectionRefusedError: there is none.
        """
        stuck_s = max(0.0, self._way.stuck_until_s - asyncio.get_running_loop().time())
        await asyncio.sleep(stuck_s + LATENCY_S[0] + LATENCY_S[1] * self._numbers.random())
        factory = self._servers.get(port)
        if factory is None or port in self._cut_off:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        self.connections += 1
        number = self.connections
        here, there = (HOST, self._clients + number), (HOST, port)
        over = partial(self._end_is_over, number)
        near = End(self._numbers, self._way, here, there, over)
        far = End(self._numbers, self._way, there, here, over)
        self.open_ends += 2
        self._open[number] = (port, near, far)
        server = factory()
        near.join(far, client)
        far.join(near, server)
        server.connection_made(far)
        client.connection_made(near)
        return number

    def _end_is_over(self, number: int) -> None:
        self.open_ends -= 1
        _, near, far = self._open[number]
        if near.is_lost and far.is_lost:
            del self._open[number]


class MemoryConnector(aiohttp.BaseConnector):
    """Lets a client session of the HTTP library reach the servers of a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork) -> None:
        # The library measures how long a connection has been idle by the clock of this machine,
        # which is none of a simulation's business: idle ones are kept until either side ends them.
        super().__init__(keepalive_timeout=KEPT_S)
        self._network = network
        self._made: list[int] = []  # bound: the open connections of one process
        self._is_dead = False

    @property
    def open_sockets(self) -> int:
        """Connections of this client that have not ended."""
        return len(self._network.open_among(self._made))

    def die(self) -> None:
        """Cut all connections and make none any more: the process is dead."""
        self._is_dead = True
        self._network.abort(self._made)

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],  # noqa: ARG002 - as the base class has it
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002, ASYNC109 - as the base class has it
    ) -> ResponseHandler:
        """What the library asks of a connector; its own are made in the same way."""
        protocol = self._factory()
        key = req.connection_key
        try:
            if self._is_dead:
                raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
            made = await self._network.connect(key.port or 80, protocol)
            self._made = [*self._network.open_among(self._made), made]
        except OSError as error:
            raise aiohttp.ClientConnectorError(key, error) from error
        return protocol
