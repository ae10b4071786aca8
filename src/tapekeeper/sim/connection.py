"""One established WebSocket of a hub."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from aiohttp import WSMsgType, web

from tapekeeper.ports import Clock
from tapekeeper.sim.config import HubLimits
from tapekeeper.sim.outbox import Outbox
from tapekeeper.sim.packed import packed_record
from tapekeeper.sim.session import SECOND_NS, Call, ServerSession

WEBSOCKET_BYTES_MAX = 4 * 1024 * 1024
"""Largest WebSocket message that is read at all; the protocol's own limit is far below."""

WRITER_LIMIT_BYTES = 2_048
"""Written between two looks at whether the way is blocked; the library's own 256 KiB would let a
slow reader of a quiet market go unnoticed for minutes."""

CLOSE_TIMEOUT_S = 5.0
"""How long a server waits for the peer's close frame."""


HANDSHAKE_ANSWER = b"{}\x1e"
"""What accepts a handshake, in every protocol."""

RECENT_RECORDS = 64
"""Records of a connection that are remembered, so that they can be sent a second time."""

SLOW_STEP_S = 0.1
"""How often a slow writer looks whether its connection still stands."""


@dataclass(frozen=True, slots=True)
class Slowness:
    """How a connection writes for a while.

    Attributes:
        for_s: how long; then it writes at once again.
        delay_s: wait before each message.
        chunk_bytes: largest message; 0 leaves messages whole, anything else cuts through records.
    """

    for_s: float
    delay_s: float
    chunk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Spoiled:
    """Bytes that are no record as they should be, for each protocol a connection may speak."""

    json: bytes
    packed: bytes


class HubConnection:
    """Reads, answers and writes one connection until it ends.

    A reader and a writer run in one task group. Calls are answered one at a time, in order, as
    the server's default of one parallel invocation per client wants it.

    Args:
        request: the upgrade request.
        limits: timers and limits.
        clock: for the timers; only its monotonic side is used.
        answer: handles one call, sending what it has to through `send`.
        over: called once, as soon as nothing more can reach the client.
    """

    def __init__(
        self,
        request: web.Request,
        limits: HubLimits,
        clock: Clock,
        answer: Callable[[HubConnection, Call], None],
        over: Callable[[HubConnection], None],
    ) -> None:
        self._request = request
        self._limits = limits
        self._clock = clock
        self._answer = answer
        self._over = over
        self._outbox = Outbox(limits.send_buffer_bytes)
        self._session = ServerSession(limits, self.send_raw, clock.monotonic_ns())
        self._blocked_since_ns: int | None = None
        self._slowness: Slowness | None = None
        self._slow_until_ns = 0
        self._recent: deque[bytes] = deque(maxlen=RECENT_RECORDS)
        self._dropped = False
        self._refuses_handshake: str | None = None
        self.socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S,
            max_msg_size=WEBSOCKET_BYTES_MAX,
            compress=False,
            writer_limit=WRITER_LIMIT_BYTES,
        )
        self.records_sent = 0
        """Records handed to the outbox."""
        self._muted = False
        self.muted_records = 0
        """Records lost because the connection was muted."""
        self.aborted_because: str | None = None
        """Why this side cut the connection without a word, if it did."""

    async def serve(self) -> None:
        """Run until either side ends the connection."""
        try:
            await self.socket.prepare(self._request)
        except ConnectionError:
            # The client went, or was evicted, between the door and here.
            self._end(drop=True)
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            try:
                await self._read()
            finally:
                self._end(drop=True)

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.TEXT:
                data = message.data.encode()
            elif message.type is WSMsgType.BINARY:
                data = message.data
            else:
                return
            if self._refuses_handshake is not None and not self._session.open:
                self._session.refuse_handshake(self._refuses_handshake)
            for call in self._session.receive(data, self._clock.monotonic_ns()):
                self._answer(self, call)
            self._end_if_over()

    async def _write(self) -> None:
        try:
            while burst := await self._outbox.take():
                for message in self._messages(burst):
                    await self._wait_while_slow()
                    self._blocked_since_ns = self._clock.monotonic_ns()
                    await self.socket.send_frame(message, self._opcode())
                    self._blocked_since_ns = None
            await self.socket.close(code=1000)
        except ConnectionError:
            # The peer is gone; the reader learns of it by itself.
            self._end(drop=True)

    def _opcode(self) -> Literal[WSMsgType.TEXT, WSMsgType.BINARY]:
        """That of the protocol, which an accepted handshake has settled before it is answered."""
        return WSMsgType.BINARY if self._session.protocol.is_binary else WSMsgType.TEXT

    def _messages(self, burst: bytes) -> Iterator[bytes]:
        """One message, or many while the connection is to trickle."""
        while burst:
            slow = self._slow()
            size = slow.chunk_bytes if slow is not None and slow.chunk_bytes else len(burst)
            yield burst[:size]
            burst = burst[size:]

    def _slow(self) -> Slowness | None:
        slow = self._slowness
        if slow is None or self._dropped or self._clock.monotonic_ns() >= self._slow_until_ns:
            return None
        return slow

    async def _wait_while_slow(self) -> None:
        slow = self._slow()
        if slow is None:
            return
        over_ns = self._clock.monotonic_ns() + round(slow.delay_s * SECOND_NS)
        while self._slow() and (left_ns := over_ns - self._clock.monotonic_ns()) > 0:
            await self._clock.sleep_s(min(left_ns / SECOND_NS, SLOW_STEP_S))

    def _offer(self, record: bytes) -> bool:
        if self._muted:
            self.muted_records += 1
            return False
        taken = self._outbox.put(record)
        if taken:
            self.records_sent += 1
            self._recent.append(record)
        elif not self._outbox.ended:
            self.abort("its send buffer is full")
        return taken

    def _end_if_over(self) -> None:
        if self._session.ended:
            self._end(drop=False)

    def _end(self, *, drop: bool) -> None:
        if drop:
            self._dropped = True
            self._outbox.drop()
        if not self._outbox.ended:
            self._outbox.end()
            self._over(self)

    def send(self, record: bytes) -> bool:
        """Queue a record; a connection whose buffer is full is aborted. Whether it was taken.

        Args:
            record: as JSON with its separator, which is put into the connection's protocol.
        """
        if self._session.ended:
            return False
        return self._offer(packed_record(record) if self.is_packed else record)

    def send_raw(self, data: bytes | Spoiled) -> None:
        """Queue bytes that need not be a record."""
        if isinstance(data, Spoiled):
            data = data.packed if self.is_packed else data.json
        self._offer(data)

    def refuse_handshake(self, text: str | None) -> None:
        """Answer the handshake, which has not come yet, with an error; None never answers it."""
        self._refuses_handshake = text
        self._muted = text is None

    def slow_down(self, slowness: Slowness) -> None:
        """Write slowly for a while, from the next message on."""
        self._slowness = slowness
        self._slow_until_ns = self._clock.monotonic_ns() + round(slowness.for_s * SECOND_NS)

    def replay(self, count: int) -> int:
        """Send the last `count` records a second time; how many there were."""
        # The answer to the handshake is no record of the protocol, and no server repeats it.
        again = [record for record in self._recent if record != HANDSHAKE_ANSWER][-count:]
        for record in again:
            self.send_raw(record)
        return len(again)

    @property
    def is_packed(self) -> bool:
        """Whether records are MessagePack; otherwise they are JSON."""
        return self._session.protocol.is_binary

    @property
    def is_muted(self) -> bool:
        """Whether nothing is ever sent any more."""
        return self._muted

    @property
    def port(self) -> int | None:
        """The port of the gateway that it came by; None once it has ended."""
        transport = self._request.transport
        return None if transport is None else transport.get_extra_info("sockname")[1]

    @property
    def is_open(self) -> bool:
        """Whether the handshake succeeded and nothing has ended the connection."""
        return self._session.open and not self._session.ended and not self._outbox.ended

    @property
    def protocol_error(self) -> str | None:
        """What the client did wrong, if that ended the connection."""
        return self._session.protocol_error

    @property
    def is_crowded(self) -> bool:
        """Whether a sender that can wait should."""
        return self._outbox.is_crowded

    async def room(self) -> None:
        """Wait until the outbox has room or the connection has ended."""
        await self._outbox.room()

    def on_tick(self) -> None:
        """What time asks for; called about once a second."""
        now_ns = self._clock.monotonic_ns()
        since_ns = self._blocked_since_ns
        if since_ns is not None and now_ns - since_ns > self._limits.send_timeout_s * SECOND_NS:
            self.abort("a write was blocked for too long")
            return
        self._session.on_tick(now_ns)
        self._end_if_over()

    def close(self, *, error: str | None = None, allow_reconnect: bool = False) -> None:
        """Send Close after what waits, then end with code 1000."""
        self._session.close(error=error, allow_reconnect=allow_reconnect)
        self._end_if_over()

    def mute(self) -> None:
        """Stay connected and never say anything again."""
        self._muted = True
        self._outbox.drop()

    def abort(self, reason: str) -> None:
        """Cut the TCP connection: no Close record, no close frame."""
        if self.aborted_because is None:
            self.aborted_because = reason
        self._end(drop=True)
        if self._request.transport is not None:
            self._request.transport.abort()
