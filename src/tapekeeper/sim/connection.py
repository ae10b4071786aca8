"""One connection of a hub, over one WebSocket or, where it can be resumed, over several in turn.

As on the real server, a connection that was negotiated for stateful reconnect and whose handshake
says version 2 is kept for a while when its transport is lost. What is sent meanwhile is kept for
it; an upgrade with its id goes on, begins with Sequence, and sends again what the client has not
acknowledged. An upgrade while the old transport still stands takes the old one's place. When more
than `stateful_buffer_bytes` are not acknowledged, sending waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from aiohttp import WSMsgType, web

from tapekeeper.ports import Clock
from tapekeeper.sim.carrier import Carrier
from tapekeeper.sim.config import HubLimits
from tapekeeper.sim.packed import packed_record
from tapekeeper.sim.session import SECOND_NS, Call, ServerSession

HANDSHAKE_ANSWER = b"{}\x1e"
"""What accepts a handshake, in every protocol."""

RECENT_RECORDS = 64
"""Records of a connection that are remembered, so that they can be sent a second time."""

DEAF_S = 120
"""How long a connection is kept whose other end cannot be reached any more."""

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

    A reader and a writer run in one task group per transport. Calls are answered one at a time,
    in order, as the server's default of one parallel invocation per client wants it.

    Args:
        request: the upgrade request.
        limits: timers and limits.
        clock: for the timers; only its monotonic side is used.
        answer: handles one call, sending what it has to through `send`.
        over: called once, as soon as nothing more can reach the client.
        stateful: whether its negotiation agreed on stateful reconnect.
    """

    def __init__(
        self,
        request: web.Request,
        limits: HubLimits,
        clock: Clock,
        answer: Callable[[HubConnection, Call], None],
        over: Callable[[HubConnection], None],
        *,
        stateful: bool = False,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._answer = answer
        self._over = over
        self._first = Carrier(request, limits)
        self._carrier: Carrier | None = self._first
        self.aborted_because: str | None = None
        """Why this side last cut it without a word, if it did."""
        self._session = ServerSession(
            limits, self.send_raw, clock.monotonic_ns(), stateful=stateful
        )
        self._slowness: Slowness | None = None
        self._slow_until_ns = 0
        self._recent: deque[bytes] = deque(maxlen=RECENT_RECORDS)
        self._refuses_handshake: str | None = None
        self._held: deque[bytes] = deque()  # bound: `send_buffer_bytes`; waits for an Ack
        self._held_bytes = 0
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._detached_ns = 0  # since when there is no transport
        self.is_over = False
        """Whether nothing can reach the client any more, now or later."""
        self.records_sent = 0
        """Records handed over to be written; what is sent again counts again."""
        self.muted_records = 0
        """Records lost because the connection was muted."""

    # --- transports -------------------------------------------------------------------------

    async def serve(self) -> Carrier:
        """Run on the WebSocket of its own request until either side ends it."""
        return await self._serve(self._first)

    async def resume(self, request: web.Request) -> Carrier:
        """Go on with the WebSocket of another request."""
        old, self._carrier = self._carrier, Carrier(request, self._limits)
        self._session.detached()
        if old is not None:
            old.abort("its client came back by another transport")
        return await self._serve(self._carrier)

    async def _serve(self, carrier: Carrier) -> Carrier:
        if not await carrier.prepare():
            self._lost(carrier, graceful=False)
            return carrier
        if self.is_over:
            carrier.end(drop=True)
        elif carrier is self._carrier and not self._session.is_attached:
            for record in self._session.reattached(self._clock.monotonic_ns()):
                carrier.outbox.put(record)
                self.records_sent += 1
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(carrier))
            graceful = False
            try:
                graceful = await self._read(carrier)
            finally:
                self._lost(carrier, graceful=graceful)
        return carrier

    def _lost(self, carrier: Carrier, *, graceful: bool) -> None:
        """A transport has ended, politely or not."""
        carrier.end(drop=True)
        if carrier is not self._carrier:
            return
        self._carrier = None
        self._detached_ns = self._clock.monotonic_ns()
        self._session.detached()
        if graceful or not self.can_resume:
            self._finish()

    def _finish(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        self._held.clear()
        self._roomy.set()
        if self._carrier is not None:
            self._carrier.end(drop=False)
        self._over(self)

    async def _read(self, carrier: Carrier) -> bool:
        """Read until the transport ends; whether the client closed it."""
        while True:
            try:
                message = await carrier.socket.receive()
            except ConnectionError:  # where a ping came just before the end, its answer fails
                return False
            if message.type is WSMsgType.TEXT:
                data = message.data.encode()
            elif message.type is WSMsgType.BINARY:
                data = message.data
            else:
                return message.type is WSMsgType.CLOSE
            if carrier is not self._carrier:
                return False
            if self._refuses_handshake is not None and not self._session.open:
                self._session.refuse_handshake(self._refuses_handshake)
            for call in self._session.receive(data, self._clock.monotonic_ns()):
                self._answer(self, call)
            self._release()
            self._end_if_over()

    async def _write(self, carrier: Carrier) -> None:
        try:
            while burst := await carrier.outbox.take():
                for message in self._messages(carrier, burst):
                    await self._wait_while_slow(carrier)
                    carrier.blocked_since_ns = self._clock.monotonic_ns()
                    await carrier.socket.send_frame(message, self._opcode())
                    carrier.blocked_since_ns = None
            await carrier.close()
        except ConnectionError:
            # The peer is gone; the reader learns of it by itself.
            self._lost(carrier, graceful=False)

    def _opcode(self) -> Literal[WSMsgType.TEXT, WSMsgType.BINARY]:
        """That of the protocol, which an accepted handshake has settled before it is answered."""
        return WSMsgType.BINARY if self._session.protocol.is_binary else WSMsgType.TEXT

    def _messages(self, carrier: Carrier, burst: bytes) -> Iterator[bytes]:
        """One message, or many while the connection is to trickle."""
        while burst:
            slow = self._slow(carrier)
            size = slow.chunk_bytes if slow is not None and slow.chunk_bytes else len(burst)
            yield burst[:size]
            burst = burst[size:]

    def _slow(self, carrier: Carrier) -> Slowness | None:
        slow = self._slowness
        if slow is None or carrier.is_dropped or self._clock.monotonic_ns() >= self._slow_until_ns:
            return None
        return slow

    async def _wait_while_slow(self, carrier: Carrier) -> None:
        slow = self._slow(carrier)
        if slow is None:
            return
        over_ns = self._clock.monotonic_ns() + round(slow.delay_s * SECOND_NS)
        while self._slow(carrier) and (left_ns := over_ns - self._clock.monotonic_ns()) > 0:
            await self._clock.sleep_s(min(left_ns / SECOND_NS, SLOW_STEP_S))

    def _end_if_over(self) -> None:
        if self._session.ended:
            self._finish()

    # --- what is sent -----------------------------------------------------------------------

    def send(self, record: bytes) -> bool:
        """Queue a record; a connection whose buffer is full is aborted. Whether it was taken.

        Args:
            record: as JSON with its separator, which is put into the connection's protocol.
        """
        return self._send(packed_record(record) if self.is_packed else record)

    def _send(self, record: bytes) -> bool:
        if self._session.ended or self.is_over:
            return False
        if self._session.resume is None:
            return self._offer(record)
        self._held.append(record)
        self._held_bytes += len(record)
        self._release()
        if self._held_bytes > self._limits.send_buffer_bytes:
            self.abort("its send buffer is full", forget=True)
            return False
        return True

    def _release(self) -> None:
        """Send what waits for an Ack, as far as there is room."""
        resume = self._session.resume
        if resume is None:
            return
        while self._held and not resume.is_full:
            record = self._held.popleft()
            self._held_bytes -= len(record)
            resume.keep(record)
            if self._session.is_attached:
                self._offer(record)
        if self._held and not self.is_over:
            self._roomy.clear()
        else:
            self._roomy.set()

    def _offer(self, record: bytes, *, may_repeat: bool = True) -> bool:
        carrier = self._carrier
        if carrier is None:
            return False
        if carrier.is_muted:
            self.muted_records += 1
            return False
        taken = carrier.outbox.put(record)
        if taken:
            self.records_sent += 1
            if may_repeat:
                self._recent.append(record)
        elif not carrier.outbox.ended:
            self.abort("its send buffer is full", forget=True)
        return taken

    def send_raw(self, data: bytes | Spoiled) -> None:
        """Queue bytes that need not be a record."""
        if isinstance(data, Spoiled):
            data = data.packed if self.is_packed else data.json
        # Where records are counted, those that come here are not: Acks, and what goes out once more
        # on a new transport. Repeated as if they were, each would shift the count of its client.
        self._offer(data, may_repeat=self._session.resume is None)

    def refuse_handshake(self, text: str | None) -> None:
        """Answer the handshake, which has not come yet, with an error; None never answers it."""
        self._refuses_handshake = text
        self._first.is_muted = text is None

    def slow_down(self, slowness: Slowness) -> None:
        """Write slowly for a while, from the next message on."""
        self._slowness = slowness
        self._slow_until_ns = self._clock.monotonic_ns() + round(slowness.for_s * SECOND_NS)

    def replay(self, count: int) -> int:
        """Send the last `count` records a second time; how many there were.

        Where records are counted these are counted, too: a server that sent them without would
        make its client drop as many new ones.
        """
        # The answer to the handshake is no record of the protocol, and no server repeats it.
        again = [record for record in self._recent if record != HANDSHAKE_ANSWER][-count:]
        for record in again:
            if self._session.resume is None:
                self.send_raw(record)
            else:
                self._send(record)
        return len(again)

    # --- how it stands ----------------------------------------------------------------------

    @property
    def is_packed(self) -> bool:
        """Whether records are MessagePack; otherwise they are JSON."""
        return self._session.protocol.is_binary

    @property
    def is_muted(self) -> bool:
        """Whether nothing is ever sent any more by the present transport."""
        return self._carrier is not None and self._carrier.is_muted

    @property
    def stands(self) -> bool:
        """Whether the handshake succeeded and nothing has ended the connection."""
        return self._session.open and not self._session.ended and not self.is_over

    @property
    def port(self) -> int | None:
        """The port of the gateway that it came by; None while it has no transport."""
        return None if self._carrier is None else self._carrier.port

    @property
    def is_open(self) -> bool:
        """Whether it stands, and has a transport."""
        return self.stands and self.is_attached

    @property
    def is_attached(self) -> bool:
        """Whether it has a transport."""
        return self._carrier is not None and not self._carrier.outbox.ended

    @property
    def is_done(self) -> bool:
        """Whether it is over, and its last transport has ended as well."""
        return self.is_over and self._carrier is None

    @property
    def can_resume(self) -> bool:
        """Whether another transport may go on where this one ends."""
        return self.stands and self._session.resume is not None

    @property
    def resumed(self) -> int:
        """How often its client went on with it on another transport."""
        return self._session.resumed

    @property
    def protocol_error(self) -> str | None:
        """What the client did wrong, if that ended the connection."""
        return self._session.protocol_error

    @property
    def is_crowded(self) -> bool:
        """Whether a sender that can wait should."""
        crowded = self._carrier is not None and self._carrier.outbox.is_crowded
        return crowded or not self._roomy.is_set()

    async def room(self) -> None:
        """Wait until there is room to send, or the connection has ended."""
        await self._roomy.wait()
        if self._carrier is not None:
            await self._carrier.outbox.room()

    def on_tick(self) -> None:
        """What time asks for; called about once a second."""
        now_ns = self._clock.monotonic_ns()
        carrier = self._carrier
        if carrier is None:
            if now_ns - self._detached_ns > self._limits.id_life_s * SECOND_NS:
                self._finish()
            return
        if carrier.deaf_until_ns is not None:
            if now_ns >= carrier.deaf_until_ns:
                self.abort("nothing came through any more")
            return
        since_ns = carrier.blocked_since_ns
        if since_ns is not None and now_ns - since_ns > self._limits.send_timeout_s * SECOND_NS:
            self.abort("a write was blocked for too long")
            return
        self._session.on_tick(now_ns)
        self._end_if_over()

    # --- ends -------------------------------------------------------------------------------

    def close(self, *, error: str | None = None, allow_reconnect: bool = False) -> None:
        """Send Close after what waits, then end with code 1000."""
        self._session.close(error=error, allow_reconnect=allow_reconnect)
        self._end_if_over()

    def close_frame(self, code: int) -> None:
        """End the transport with this code, after what waits, without a Close record."""
        if self._carrier is not None:
            self._carrier.close_code = code
            self._carrier.end(drop=False)

    def mute(self) -> None:
        """Stay connected and never say anything again by this transport."""
        if self._carrier is not None:
            self._carrier.mute()

    def go_deaf(self) -> None:
        """Half-open: by this transport nothing passes any more, in either direction."""
        if self._carrier is not None:
            self._carrier.go_deaf(self._clock.monotonic_ns() + DEAF_S * SECOND_NS)

    def abort(self, reason: str, *, forget: bool = False, with_reset: bool = False) -> None:
        """Cut the TCP connection: no Close record, no close frame.

        Args:
            reason: for the statistics.
            forget: whether the connection ends with it, although it could be resumed.
            with_reset: whether TCP ends with a reset.
        """
        carrier = self._carrier
        if carrier is not None:
            self.aborted_because = self.aborted_because or reason
            carrier.abort(reason, with_reset=with_reset)
            self._lost(carrier, graceful=forget)
        elif forget:
            self._finish()
