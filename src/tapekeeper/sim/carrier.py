"""One WebSocket under a hub connection; a connection that can be resumed has several in turn."""

from __future__ import annotations

from aiohttp import web

from tapekeeper.sim.config import HubLimits
from tapekeeper.sim.outbox import Outbox
from tapekeeper.sim.reset import reset

WEBSOCKET_BYTES_MAX = 4 * 1024 * 1024
"""Largest WebSocket message that is read at all; the protocol's own limit is far below."""

WRITER_LIMIT_BYTES = 2_048
"""Written between two looks at whether the way is blocked; the library's own 256 KiB would let a
slow reader of a quiet market go unnoticed for minutes."""

CLOSE_TIMEOUT_S = 5.0
"""How long a server waits for the peer's close frame."""


class Carrier:
    """A socket, what waits to be written to it, and how it is doing.

    Attributes:
        outbox: what waits to be written.
        socket: the WebSocket.
        blocked_since_ns: when the write that is under way began, monotonic.
        is_muted: whether nothing is ever written any more, although it stays.
        deaf_until_ns: when this side gives it up whose other end is out of reach, monotonic; None
            where it is not.
        close_code: of the close frame that ends it politely.
        is_dropped: whether it ended, or was ended, without regard to what waits.
        aborted_because: why this side cut it without a word, if it did.
    """

    def __init__(self, request: web.Request, limits: HubLimits) -> None:
        self._request = request
        self.outbox = Outbox(limits.send_buffer_bytes)
        self.socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S,
            max_msg_size=WEBSOCKET_BYTES_MAX,
            compress=False,
            writer_limit=WRITER_LIMIT_BYTES,
        )
        self.blocked_since_ns: int | None = None
        self.is_muted = False
        self.deaf_until_ns: int | None = None
        self.close_code = 1000
        self.is_dropped = False
        self.aborted_because: str | None = None

    @property
    def port(self) -> int | None:
        """The port of the gateway that it came by; None once it has ended."""
        transport = self._request.transport
        return None if transport is None else transport.get_extra_info("sockname")[1]

    async def prepare(self) -> bool:
        """Accept the upgrade; False if the client went, or was cut, before it came here."""
        try:
            await self.socket.prepare(self._request)
        except ConnectionError:
            return False
        return True

    def end(self, *, drop: bool) -> None:
        """Write nothing more than what waits, or not even that."""
        if drop:
            self.is_dropped = True
            self.outbox.drop()
        self.outbox.end()

    async def close(self) -> None:
        """Say farewell, where it can be heard."""
        if self.deaf_until_ns is None:
            await self.socket.close(code=self.close_code)

    def mute(self) -> None:
        """Stay, and never write anything again."""
        self.is_muted = True
        self.outbox.drop()

    def go_deaf(self, until_ns: int) -> None:
        """Half-open: nothing is written any more, and nothing that comes is read, not even an end.

        Args:
            until_ns: when this side will notice, monotonic.
        """
        self.mute()
        self.deaf_until_ns = until_ns
        if self._request.transport is not None:
            self._request.transport.pause_reading()

    def abort(self, reason: str, *, with_reset: bool = False) -> None:
        """Cut the TCP connection: no Close record, no close frame.

        Args:
            reason: for the statistics; the first one is kept.
            with_reset: whether TCP ends with a reset, and what is on its way is lost.
        """
        if self.aborted_because is None:
            self.aborted_because = reason
        self.end(drop=True)
        if self._request.transport is None:
            return
        if with_reset:
            reset(self._request.transport)
        else:
            self._request.transport.abort()
