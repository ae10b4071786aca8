"""What the WebSocket and the REST adapter share: one client session, and sentences for errors.

The library's own error texts hold whole URLs, and a URL may hold a token where the query form
is switched on. So no text of the library that names a URL is passed on: sentences are made here
from the parts that are safe, and errors are raised outside the `except` block that caught the
library's, so that no traceback carries it along as context.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
from aiohttp.connector import AddrInfoType

from tapekeeper.core.backoff import RETRY_AFTER_MAX_S
from tapekeeper.errors import ConnectFailedError, ProtocolError
from tapekeeper.model.address import is_private_way, is_usable
from tapekeeper.model.secret import Secret

USER_AGENT = "tapekeeper"

LIBRARY_ERRORS = (aiohttp.ClientError, OSError, ValueError)
"""What a call of the library raises where the outside is to blame: to be caught around such calls
and nothing else. It has a tree of its own, but addresses, headers and dates that came from a
server end in plain ValueErrors of the standard library (UnicodeError among them), too."""

_CHUNK_BYTES = 65_536
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class CountedConnector(aiohttp.TCPConnector):
    """Opens TCP connections and knows how many sockets of its own are open.

    Asked of the sockets and not of what the library remembers, so that one that everybody has
    forgotten is counted until it is closed or collected.
    """

    def __init__(self) -> None:
        super().__init__(socket_factory=self._socket)
        self._sockets: WeakSet[socket.socket] = WeakSet()

    @property
    def open_sockets(self) -> int:
        """Sockets that are not closed: in use, idle for the next request, or connecting."""
        return sum(one.fileno() >= 0 for one in self._sockets)

    def _socket(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        return made


@runtime_checkable
class CountsSockets(Protocol):
    """A connector that can say how many connections are open."""

    @property
    def open_sockets(self) -> int:
        """Connections that are not closed."""
        ...


def socket_count(session: aiohttp.ClientSession) -> CountsSockets:
    """What counts the sockets of a session, also after the session was closed.

    Raises:
        TypeError: nobody counts them; a session of ours comes from `open_session`.
    """
    connector: object = session.connector
    if not isinstance(connector, CountsSockets):
        raise TypeError(f"{type(connector).__name__} does not count its sockets")
    return connector


def open_session(
    *, trust_env: bool = False, connector: aiohttp.BaseConnector | None = None
) -> aiohttp.ClientSession:
    """A client session for one gateway; close it with `async with` or `close()`.

    No cookies are kept (a cookie would be a second, invisible credential), no timeout of the
    library applies (each call brings its own deadline), and proxy variables of the environment
    are ignored unless `trust_env`: data must not take a way that nobody chose. Certificates are
    always verified, and no argument of ours reaches the switch that says otherwise.
    A `connector` other than `CountedConnector` carries the bytes in its own way, and counts its
    connections itself.
    """
    return aiohttp.ClientSession(
        connector=CountedConnector() if connector is None else connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"User-Agent": USER_AGENT},
        trust_env=trust_env,
        middlewares=(_stay_here,),
    )


async def _stay_here(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Fail an upgrade that is redirected, before the library follows.

    `ws_connect` follows up to ten redirects and has no argument against it. It takes the
    `Authorization` header along within an origin and drops it on the way to another one, so a
    redirect would either move the token to a path that nobody chose, or connect without it. All
    other requests of ours say `allow_redirects=False` themselves.
    """
    response = await send(request)
    if response.status in _REDIRECTS and "Upgrade" in request.headers:
        response.close()
        raise aiohttp.WSServerHandshakeError(
            response.request_info, (), status=response.status, headers=response.headers
        )
    return response


def require_private_way(url: str) -> None:
    """Refuse an address that cannot be used, or where a token could be read on the way.

    The configuration refuses such addresses with a better sentence; this is for those that come
    from a server, and for callers that bring their own.

    Raises:
        ConnectFailedError: it is plain http or ws to another machine, or no address at all.
    """
    if not is_usable(url):
        raise ConnectFailedError(f"{place(url)!r} is no address that can be connected to")
    if not is_private_way(url):
        raise ConnectFailedError(
            f"{place(url)} is not encrypted, so anybody on the way could read the token: refused"
        )


def fits_header(token: Secret) -> bool:
    """Whether a header or a query takes the token as it is: visible ASCII, and some of it.

    Anything else comes from a mistake or from somebody who wants to write headers of his own.
    """
    text = token.reveal()
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def require_token(token: Secret | None) -> None:
    """Refuse a token that no header can carry.

    Raises:
        ConnectFailedError: it is such a one; the text does not show it.
    """
    if token is not None and not fits_header(token):
        raise ConnectFailedError("the token holds characters that no header can carry")


def place(url: str) -> str:
    """Scheme, host, port and path of `url`: what a sentence or a log may show of it.

    Raises:
        ConnectFailedError: it is no URL; it is not shown, because it may hold a token.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None:
        raise ConnectFailedError("the address is not a URL")
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def describe(error: Exception) -> str:
    """One clause that says what went wrong, without any URL."""
    clause = type(error).__name__
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            clause = f"TLS failed ({type(error.os_error).__name__})"
        case aiohttp.ClientConnectorDNSError():
            clause = "the host name was not found"
        case aiohttp.ClientOSError(errno=errno.ECONNREFUSED):
            clause = "nothing listens there (connection refused); is it running?"
        case aiohttp.ClientOSError():
            clause = error.strerror or clause
        case aiohttp.ServerDisconnectedError():
            clause = "the server hung up"
        case aiohttp.InvalidURL() | UnicodeError():
            clause = "the address is not a URL"
        case _:
            pass
    return clause


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` header, 0 to `RETRY_AFTER_MAX_S`; None where it says nothing.

    Both forms of RFC 9110 section 10.2.3 are read; a date is measured against the `Date` header
    of the same answer, so that a wrong clock of this host does not matter.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        until = parsedate_to_datetime(text)
        sent = parsedate_to_datetime(headers.get("Date", ""))
        wait_s = (until - sent).total_seconds()
    except (TypeError, ValueError, OverflowError):  # the last for numbers beyond any calendar
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)


async def read_body(response: aiohttp.ClientResponse, *, bytes_max: int) -> bytes:
    """The whole body.

    Raises:
        ProtocolError: it is larger than `bytes_max`.
    """
    body = await read_at_most(response, bytes_max)
    if body is None:
        raise too_large(bytes_max)
    return body


async def read_at_most(response: aiohttp.ClientResponse, bytes_max: int) -> bytes | None:
    """The whole body, or None if it is larger than `bytes_max`."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > bytes_max:
            return None
    return bytes(body)


def too_large(bytes_max: int) -> ProtocolError:
    """What to raise for an answer that is larger than `bytes_max`."""
    return ProtocolError(f"an answer exceeds {bytes_max:,} bytes")
