"""Negotiation: from a hub's URL to the URL of its WebSocket.

A POST to `{hub}/negotiate` answers with an id and the transports the server offers, or with
another URL to ask (a redirect). Negotiation may be skipped, since WebSockets is the only
transport spoken here; then the WebSocket URL carries no id.
Source: dotnet/aspnetcore TransportProtocols.md, and answers measured from a 9.0.7 server.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import msgspec

from tapekeeper.errors import ProtocolError
from tapekeeper.model.secret import Secret

REDIRECTS_MAX = 100
"""Redirects that official clients follow for one connection before they give up."""

_VERSION_KEY = "negotiateVersion"
_STATEFUL_KEY = "useStatefulReconnect"
_SECURE = {"http": False, "ws": False, "https": True, "wss": True}


class Negotiated(msgspec.Struct, frozen=True):
    """The server gave an id. It expires within seconds (15 by default) and serves one upgrade.

    Attributes:
        connection_id: the public name of the connection.
        connection_token: from version 1 on the secret id for the WebSocket URL; None in version 0.
        version: the negotiate version of the answer, 0 or 1.
        stateful: whether the connection can be resumed (stateful reconnect), which the id then
            serves for, too.
    """

    connection_id: str
    connection_token: str | None
    version: int
    stateful: bool = False


class Redirect(msgspec.Struct, frozen=True):
    """The server sent us elsewhere, for this connection only.

    Attributes:
        url: the hub URL to negotiate at next.
        access_token: the token to use from there on, or None to keep the one in use, which is
            for the same origin alone.
    """

    url: str
    access_token: Secret | None


class _Transport(msgspec.Struct, rename="camel"):
    transport: str
    transfer_formats: list[str] = []


class _Answer(msgspec.Struct, rename="camel"):
    error: str | None = None
    old_version: str | None = msgspec.field(name="ProtocolVersion", default=None)
    url: str | None = None
    access_token: Secret | None = None
    use_stateful_reconnect: bool | None = None
    negotiate_version: int = 0
    connection_id: str | None = None
    connection_token: str | None = None
    available_transports: list[_Transport] = []


def _secret(_wanted: type, value: object) -> Secret:
    if isinstance(value, str):
        return Secret(value)
    del value  # see below
    raise ValueError("expected text")  # msgspec says in which field


# The token is hidden from the first: an answer that is refused is in the locals of a traceback.
_decode_answer = msgspec.json.Decoder(_Answer, dec_hook=_secret).decode


def negotiate_url(hub_url: str, *, stateful: bool = False) -> str:
    """Where to POST: `/negotiate` behind the path, the query kept, `negotiateVersion=1` added.

    A version that the query already names is left alone (servers compare keys without case).

    Args:
        hub_url: the hub, or where the last redirect pointed to.
        stateful: whether to ask for a connection that can be resumed.
    """
    scheme, host, path, query, _ = urlsplit(hub_url)
    keys = {key.lower() for key, _ in parse_qsl(query, keep_blank_values=True)}
    if _VERSION_KEY.lower() not in keys:
        query = _joined(query, f"{_VERSION_KEY}=1")
    if stateful and _STATEFUL_KEY.lower() not in keys:
        query = _joined(query, f"{_STATEFUL_KEY}=true")
    http = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    return urlunsplit((http, host, path.rstrip("/") + "/negotiate", query, ""))


def websocket_url(hub_url: str, negotiated: Negotiated | None) -> str:
    """The URL to upgrade: http becomes ws, and `id` is added unless negotiation was skipped.

    Args:
        hub_url: the hub, or where the last redirect pointed to.
        negotiated: the answer, or None where negotiation was skipped.
    """
    scheme, host, path, query, _ = urlsplit(hub_url)
    if negotiated is not None:
        name = negotiated.connection_token or negotiated.connection_id
        query = _joined(query, "id=" + quote(name, safe=""))
    ws = {"http": "ws", "https": "wss"}.get(scheme, scheme)
    return urlunsplit((ws, host, path, query, ""))


def redirected_url(hub_url: str, redirect: Redirect) -> str:
    """The hub URL to go on with after `redirect`.

    Raises:
        ProtocolError: it is not an http(s) URL, it leads from https to http, where the token
            would travel in the clear, or it leads to another origin without a token for there:
            the one in use was given for this origin. (Official clients send it along.)
    """
    try:
        target = urlsplit(redirect.url)
    except ValueError:
        target = urlsplit("")
    if target.scheme not in {"http", "https"} or not target.netloc:
        raise ProtocolError("the negotiation redirects to something that is not an http(s) URL")
    if target.scheme == "http" and urlsplit(hub_url).scheme in {"https", "wss"}:
        raise ProtocolError("the negotiation redirects from https to plain http: refused")
    if not redirect.access_token and _origin(redirect.url) != _origin(hub_url):
        raise ProtocolError(
            "the negotiation redirects to another origin without a token for there: refused"
        )
    return redirect.url


def _origin(url: str) -> tuple[bool | None, str | None, int | None] | None:
    """Security, host and port; None where they cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    secure = _SECURE.get(parts.scheme)
    default = 443 if secure else 80
    return secure, parts.hostname, default if port is None else port


def parse_answer(
    body: bytes, *, stateful: bool = False, binary: bool = False
) -> Negotiated | Redirect:
    """Read the body of a 200 answer.

    Args:
        body: of the answer.
        stateful: whether a connection that can be resumed was asked for; a server need not
            offer it.
        binary: whether messages will be binary; otherwise they will be text.

    Raises:
        ProtocolError: the server reports an error, speaks the old ASP.NET SignalR, offers no
            WebSockets for such messages, insists on stateful reconnect, or answers something
            else.
    """
    try:
        answer = _decode_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the negotiation answer cannot be read: {error}") from error
    finally:
        del body  # it may hold a token, and tracebacks may show locals
    if answer.error is not None:
        raise ProtocolError(f"the server refused the negotiation: {answer.error}")
    if answer.old_version is not None:
        raise ProtocolError(
            "the server speaks the old ASP.NET SignalR, which is another protocol; "
            "an ASP.NET Core SignalR hub is needed"
        )
    if answer.url is not None:
        return Redirect(answer.url, answer.access_token or None)
    if answer.use_stateful_reconnect and not stateful:
        raise ProtocolError("the server insists on stateful reconnect, which was not asked for")
    _require_websockets(answer, "Binary" if binary else "Text")
    return _named(answer)


def _require_websockets(answer: _Answer, transfer_format: str) -> None:
    for offer in answer.available_transports:
        if offer.transport == "WebSockets" and transfer_format in offer.transfer_formats:
            return
    offered = ", ".join(offer.transport for offer in answer.available_transports) or "none"
    raise ProtocolError(
        f"the server does not offer the WebSockets transport for {transfer_format.lower()} "
        f"(it offers: {offered})"
    )


def _named(answer: _Answer) -> Negotiated:
    stateful = bool(answer.use_stateful_reconnect)
    if not answer.connection_id:
        raise ProtocolError("the negotiation answer has no connectionId")
    if answer.negotiate_version < 1:
        return Negotiated(answer.connection_id, None, 0, stateful)
    if not answer.connection_token:
        raise ProtocolError("the negotiation answer has no connectionToken")
    return Negotiated(
        answer.connection_id, answer.connection_token, answer.negotiate_version, stateful
    )


def _joined(query: str, member: str) -> str:
    return f"{query}&{member}" if query else member
