"""WebSockets to a hub over aiohttp. Fills `ports.Transport` and `ports.Connection`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from weakref import WeakSet

import aiohttp

from tapekeeper.adapters.dates import GatewayDates
from tapekeeper.adapters.http_session import (
    LIBRARY_ERRORS,
    describe,
    place,
    read_at_most,
    require_private_way,
    require_token,
    retry_after_s,
    too_large,
)
from tapekeeper.adapters.token_forms import Form, TokenForms
from tapekeeper.deadline import deadline
from tapekeeper.errors import ConnectFailedError, ConnectionLostError, OutsideError
from tapekeeper.model.secret import Secret

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""Servers set no limit on what they send (20 MB was measured), the library's 4 MiB is too small."""

NEGOTIATE_BYTES_MAX = 256 * 1024
CLOSE_TIMEOUT_S = 5.0
"""How long a polite close may take; the reference server waits as long for our close frame."""

_REASON_CHARS_MAX = 200
_OK = 200
_UNAUTHORIZED = 401

_Answer = TypeVar("_Answer")
_Socket: TypeAlias = "aiohttp.ClientWebSocketResponse[Literal[False]]"
_Message: TypeAlias = "aiohttp.http.WSMessageNoDecodeText"


class AiohttpTransport:
    """Opens connections over one client session, which it does not own.

    Args:
        session: from `http_session.open_session`.
        forms: where the token travels.
        message_bytes_max: a larger message ends the connection.
        close_timeout_s: bound of a polite close.
        dates: learns from answers what time it is at the gateway.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        forms: TokenForms,
        *,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
        dates: GatewayDates | None = None,
    ) -> None:
        self._dates = dates
        self._sockets: WeakSet[HubSocket] = WeakSet()
        self._session = session
        self._forms = forms
        self._message_bytes_max = message_bytes_max
        self._close_timeout_s = close_timeout_s

    @property
    def open_websockets(self) -> int:
        """WebSockets that were opened here and are not closed, whoever holds them."""
        return sum(not socket.closed for socket in self._sockets)

    async def post(self, url: str, *, token: Secret | None, timeout_s: float) -> bytes:
        """POST with an empty body; the body of a 200 answer. Redirects are not followed.

        Raises:
            ConnectFailedError: no connection, another status than 200, not encrypted, or an
                address or a token that cannot be sent.
            DeadlineError: `timeout_s` passed.
            ProtocolError: the answer is larger than any negotiation.
        """
        require_private_way(url)
        require_token(token)
        async with deadline(timeout_s, f"negotiation with {place(url)}"):
            return await self._in_its_form(self._post, url, token)

    async def connect(self, url: str, *, token: Secret | None, timeout_s: float) -> HubSocket:
        """Upgrade `url` (http, https, ws or wss) to a WebSocket. Redirects are not followed.

        Raises:
            ConnectFailedError: no connection, the upgrade was refused (with its status), not
                encrypted, or an address or a token that cannot be sent.
            DeadlineError: `timeout_s` passed.
        """
        require_private_way(url)
        require_token(token)
        async with deadline(timeout_s, f"the connection to {place(url)}"):
            return await self._in_its_form(self._connect, url, token)

    async def _in_its_form(
        self,
        send: Callable[[str, Secret | None, Form], Awaitable[_Answer]],
        url: str,
        token: Secret | None,
    ) -> _Answer:
        """Send with the token in the form that works there; see `token_forms`."""
        where = place(url)
        form = self._forms.of(where)
        refused: ConnectFailedError
        try:
            answer = await send(url, token, form)
        except ConnectFailedError as error:
            if token is None or error.status != _UNAUTHORIZED:
                raise
            if not self._forms.may_try_query(where, token):
                raise
            refused = error
        else:
            if token is not None:
                self._forms.worked(where, form, token)
            return answer
        try:
            answer = await send(url, token, "query")
        except ConnectFailedError as error:
            if error.status == _UNAUTHORIZED:
                self._forms.query_refused(where)
            raise refused from None  # what the header met is what the line has to act on
        self._forms.worked(where, "query", token)
        return answer

    async def _post(self, url: str, token: Secret | None, form: Form) -> bytes:
        what = f"negotiation with {place(url)}"
        failure: OutsideError
        try:
            status, headers, body = await self._exchange(url, token, form)
        except LIBRARY_ERRORS as error:
            failure = _failed(what, error)
        else:
            if status != _OK:
                failure = _refused(what, status, headers)
            elif body is None:
                failure = too_large(NEGOTIATE_BYTES_MAX)
            else:
                return body
        raise failure

    async def _exchange(
        self, url: str, token: Secret | None, form: Form
    ) -> tuple[int, Mapping[str, str], bytes | None]:
        """Status, headers and body (None if it is too large) of one POST.

        A frame of its own, because the repr of a response shows the whole URL: nothing of ours
        is raised here, so this frame is in no traceback of ours.
        """
        asked_ns = 0 if self._dates is None else self._dates.now_ns()
        async with self._session.post(
            _addressed(url, token, form), headers=_headers(token, form), allow_redirects=False
        ) as response:
            if self._dates is not None:
                self._dates.learn(asked_ns, response.headers)
            body = await read_at_most(response, NEGOTIATE_BYTES_MAX)
            return response.status, response.headers, body

    async def _connect(self, url: str, token: Secret | None, form: Form) -> HubSocket:
        what = f"the connection to {place(url)}"
        failure: ConnectFailedError
        try:
            socket = await self._session.ws_connect(
                _addressed(url, token, form),
                headers=_headers(token, form),
                timeout=aiohttp.ClientWSTimeout(ws_close=self._close_timeout_s),
                # Pings are answered by `HubSocket.receive`, which the library would do as well;
                # but then it would keep the answers to ours for itself.
                autoping=False,
                compress=0,
                max_msg_size=self._message_bytes_max,
                decode_text=False,
            )
        except aiohttp.WSServerHandshakeError as error:
            failure = _refused(what, error.status, error.headers or {})
        except LIBRARY_ERRORS as error:
            failure = _failed(what, error)
        else:
            opened = HubSocket(socket, close_timeout_s=self._close_timeout_s)
            self._sockets.add(opened)
            return opened
        raise failure


class HubSocket:
    """One established WebSocket."""

    __slots__ = ("__weakref__", "_close_timeout_s", "_pings", "_pongs", "_socket")

    def __init__(self, socket: _Socket, *, close_timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        self._socket = socket
        self._close_timeout_s = close_timeout_s
        self._pings = 0
        self._pongs: dict[bytes, asyncio.Future[None]] = {}  # bound: one per waiting caller

    @property
    def closed(self) -> bool:
        """Whether it is closed on both ends, or lost."""
        return self._socket.closed

    async def receive(self) -> bytes:
        """The next whole message; text and binary alike, as servers may choose either.

        Raises:
            ConnectionLostError: the connection ended; the text says how.
        """
        try:
            message = await self._data()
        except LIBRARY_ERRORS as error:
            ending = describe(error)
        else:
            if message.type is aiohttp.WSMsgType.TEXT or message.type is aiohttp.WSMsgType.BINARY:
                data: bytes = message.data
                return data
            ending = self._ending(message.type, message.data, message.extra)
        raise ConnectionLostError(f"the connection ended: {ending}")

    async def _data(self) -> _Message:
        """The next message that is no ping and no answer to one."""
        while True:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is aiohttp.WSMsgType.PONG:
                waiting = self._pongs.get(bytes(message.data))
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)
            else:
                return message

    async def ping(self) -> None:
        """Send a ping, and return when `receive` has read its answer.

        Raises:
            ConnectionLostError: the connection ended before the ping was sent.
        """
        self._pings += 1
        payload = self._pings.to_bytes(8, "big")
        answered = self._pongs[payload] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.ping(payload)
            await answered
        except LIBRARY_ERRORS as error:
            ending = describe(error)
        else:
            return
        finally:
            del self._pongs[payload]
        raise ConnectionLostError(f"the connection ended while sending: {ending}")

    async def send(self, data: bytes, *, binary: bool = False) -> None:
        """Send one message, as text or as binary; waits while the peer does not read.

        Raises:
            ConnectionLostError: the connection ended.
        """
        try:
            kind = aiohttp.WSMsgType.BINARY if binary else aiohttp.WSMsgType.TEXT
            await self._socket.send_frame(data, kind)
        except LIBRARY_ERRORS as error:
            ending = describe(error)
        else:
            return
        raise ConnectionLostError(f"the connection ended while sending: {ending}")

    async def close(self) -> None:
        """Close with code 1000 and release the socket; bounded in time, safe to call twice."""
        try:
            # The library drops the TCP connection itself when it is cancelled here.
            async with asyncio.timeout(self._close_timeout_s):
                await self._socket.close()
        except LIBRARY_ERRORS:  # a TimeoutError is an OSError
            return

    def _ending(self, kind: aiohttp.WSMsgType, data: object, extra: object) -> str:
        code = self._socket.close_code
        if kind is aiohttp.WSMsgType.CLOSE:
            reason = str(extra or "")[:_REASON_CHARS_MAX]
            return f"code {data}" + (f", {reason}" if reason else "")
        if isinstance(data, aiohttp.WebSocketError):
            return f"code {data.code}, {data}"
        return f"code {code}, no close frame" if code else "it is closed"


def _headers(token: Secret | None, form: Form) -> dict[str, str]:
    headers = {"X-Requested-With": "XMLHttpRequest"}
    if token is not None and form == "header":
        headers["Authorization"] = f"Bearer {token.reveal()}"
    return headers


def _addressed(url: str, token: Secret | None, form: Form) -> str:
    if token is None or form == "header":
        return url
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), ("access_token", token.reveal())]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _refused(what: str, status: int, headers: Mapping[str, str]) -> ConnectFailedError:
    return ConnectFailedError(
        f"{what} was refused with status {status}",
        status=status,
        retry_after_s=retry_after_s(headers),
    )


def _failed(what: str, error: Exception) -> ConnectFailedError:
    return ConnectFailedError(f"{what} failed: {describe(error)}")
