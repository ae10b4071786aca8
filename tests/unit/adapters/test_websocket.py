"""The WebSocket adapter speaks to real servers on loopback and maps every failure."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tapekeeper.adapters.http_session import open_session, place, retry_after_s
from tapekeeper.adapters.token_forms import Auth, TokenForms
from tapekeeper.adapters.websocket import AiohttpTransport, HubSocket
from tapekeeper.errors import (
    ConnectFailedError,
    ConnectionLostError,
    DeadlineError,
    OutsideError,
    ProtocolError,
)
from tapekeeper.model.secret import Secret

_TEXT = "test-canary-not-a-secret"
_TOKEN = Secret(_TEXT)


def _log(event: str, /, **fields: object) -> None:
    del event, fields


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def _serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server on loopback that answers every request with `handler`; its http(s) URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/hub"
    finally:
        await runner.cleanup()


def _self_signed(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate for 127.0.0.1 that no authority has signed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl command to make a certificate with")
    key, certificate = folder / "test.key", folder / "test.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext"
    subprocess.run(
        [
            *(openssl, *request.split(), "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@asynccontextmanager
async def _transport(
    auth: Auth = "header", *, size: int = 1 << 20
) -> AsyncIterator[AiohttpTransport]:
    async with open_session() as session:
        yield AiohttpTransport(
            session, TokenForms(auth, _log), message_bytes_max=size, close_timeout_s=0.5
        )


def _socket_server(talk: Callable[[web.WebSocketResponse], Awaitable[None]]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        await talk(ws)
        return ws

    return handler


async def _connected(url: str, transport: AiohttpTransport) -> HubSocket:
    return await transport.connect(url, token=_TOKEN, timeout_s=5)


async def _failure(of: Awaitable[object]) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        await of
    return caught.value


def _leaks(error: BaseException) -> bool:
    """Whether the token shows in the error, its traceback or anything it carries along."""
    seen: list[BaseException | None] = [error]
    texts = ["".join(traceback.format_exception(error))]
    while seen:
        one = seen.pop()
        if one is not None:
            texts += [str(one), repr(one), repr(one.args)]
            seen += [one.__cause__, one.__context__]
    return any(_TEXT in text for text in texts)


@pytest.mark.asyncio
async def test_text_and_binary_are_received_and_sent() -> None:
    """Servers may choose either opcode; we send what the protocol is."""
    heard: list[aiohttp.WSMessage] = []

    async def talk(ws: web.WebSocketResponse) -> None:
        await ws.send_str("hé\x1e")
        await ws.send_bytes(b"raw\x1e")
        heard.extend([await ws.receive(), await ws.receive()])
        await ws.receive()

    async with _serving(_socket_server(talk)) as url, _transport() as transport:
        connection = await _connected(url, transport)
        assert await connection.receive() == "hé\x1e".encode()
        assert await connection.receive() == b"raw\x1e"
        await connection.send(b"\xc3\xa9\x1e")
        await connection.send(b"\x02\x91\x06", binary=True)
        await connection.close()
    assert (heard[0].type, heard[0].data) == (aiohttp.WSMsgType.TEXT, "é\x1e")
    assert (heard[1].type, heard[1].data) == (aiohttp.WSMsgType.BINARY, b"\x02\x91\x06")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("auth", "header", "query"), [("header", f"Bearer {_TEXT}", None), ("query", None, _TEXT)]
)
async def test_the_token_travels_where_it_was_told_to(
    auth: Auth, header: str | None, query: str | None
) -> None:
    """In the header by default, in the query only where that is chosen, never in both."""
    seen: list[tuple[str, str | None, str | None]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        token = request.query.get("access_token")
        seen.append((request.method, request.headers.get("Authorization"), token))
        assert request.query["id"] == "a b&c"
        return web.Response(status=200, body=b"{}")

    async with _serving(handler) as url, _transport(auth) as transport:
        asked = f"{url}?id=a%20b%26c"
        assert await transport.post(asked, token=_TOKEN, timeout_s=5) == b"{}"
        await _failure(transport.connect(asked, token=_TOKEN, timeout_s=5))
    assert seen == [("POST", header, query), ("GET", header, query)]


def _reader(form: str, good: set[str], seen: list[tuple[str, str]]) -> Handler:
    """A hub that reads the token in one form only; `seen` is method and form of what came."""

    async def handler(request: web.Request) -> web.StreamResponse:
        query = request.query.get("access_token", "")
        header = request.headers.get("Authorization", "").removeprefix("Bearer ")
        assert not (query and header)
        seen.append((request.method, "query" if query else "header"))
        if (query if form == "query" else header) not in good:
            return web.Response(status=401)
        if request.method == "POST":
            return web.Response(body=b"{}")
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        return ws

    return handler


_OLD, _FRESH, _LATER = (Secret(f"{_TEXT}-{name}") for name in ("old", "fresh", "later"))


@pytest.mark.asyncio
async def test_auto_finds_the_query_and_keeps_it() -> None:
    """Header with two tokens, then the fresh one in the query: from then on only the query."""
    seen: list[tuple[str, str]] = []
    good = {_FRESH.reveal()}
    async with _serving(_reader("query", good, seen)) as url, _transport("auto") as transport:
        assert (await _failure(transport.post(url, token=_OLD, timeout_s=5))).__class__ is (
            ConnectFailedError
        )
        assert await transport.post(url, token=_FRESH, timeout_s=5) == b"{}"
        assert await transport.post(url, token=_FRESH, timeout_s=5) == b"{}"
        error = await _failure(transport.post(url, token=_LATER, timeout_s=5))
        assert isinstance(error, ConnectFailedError)
        assert error.status == 401
    forms = [form for _, form in seen]
    assert forms == ["header", "header", "query", "query", "query"]


@pytest.mark.asyncio
async def test_auto_keeps_the_header_that_worked() -> None:
    """A token that ends later is not taken for a wrong form: it never shows in a query."""
    seen: list[tuple[str, str]] = []
    good = {_FRESH.reveal()}
    async with _serving(_reader("header", good, seen)) as url, _transport("auto") as transport:
        await (await transport.connect(url, token=_FRESH, timeout_s=5)).close()
        good.clear()
        for token in (_FRESH, _LATER, _OLD, _OLD, _OLD, _OLD):
            await _failure(transport.connect(url, token=token, timeout_s=5))
    assert {form for _, form in seen} == {"header"}


@pytest.mark.asyncio
async def test_auto_tries_the_query_once_for_a_fresh_token_that_nobody_wants() -> None:
    """Refused in both forms, the failure is the header's 401, and nothing goes back and forth."""
    seen: list[tuple[str, str]] = []
    async with _serving(_reader("query", set(), seen)) as url, _transport("auto") as transport:
        for token in (_OLD, _FRESH, _FRESH, _FRESH, _LATER):
            error = await _failure(transport.connect(url, token=token, timeout_s=5))
            assert isinstance(error, ConnectFailedError)
            assert error.status == 401
            assert not _leaks(error)
    forms = [form for _, form in seen]
    assert forms == ["header", "header", "query", *["header"] * 3, "query"]


@pytest.mark.asyncio
async def test_auto_asks_each_address_of_its_own() -> None:
    """Many a hub reads the header at the negotiation and the query at the upgrade."""
    seen: list[tuple[str, str]] = []
    good = {_FRESH.reveal()}
    header, query = _reader("header", good, seen), _reader("query", good, seen)

    async def handler(request: web.Request) -> web.StreamResponse:
        return await (header if request.method == "POST" else query)(request)

    async with _serving(handler) as url, _transport("auto") as transport:
        await transport.post(f"{url}/negotiate", token=_FRESH, timeout_s=5)
        await (await transport.connect(url, token=_FRESH, timeout_s=5)).close()
        await transport.post(f"{url}/negotiate", token=_FRESH, timeout_s=5)
    assert seen == [
        *(("POST", "header"), ("GET", "header"), ("GET", "query"), ("POST", "header")),
    ]


@pytest.mark.asyncio
@pytest.mark.parametrize("auth", ["header", "query", "auto"])
async def test_no_error_shows_the_token(auth: Auth) -> None:
    """Neither texts nor tracebacks nor the errors behind them hold it."""

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=401)

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    errors: list[OutsideError] = []
    async with _transport(auth) as transport:
        for handler in (refuse, hang):
            async with _serving(handler) as url:
                errors.append(await _failure(transport.post(url, token=_TOKEN, timeout_s=0.05)))
                errors.append(await _failure(transport.connect(url, token=_TOKEN, timeout_s=0.05)))
        for call in (transport.post, transport.connect):
            errors.append(await _failure(call("http://127.0.0.1:1/h", token=_TOKEN, timeout_s=5)))
            errors.append(await _failure(call("http://[nonsense", token=_TOKEN, timeout_s=5)))
    assert len(errors) == 8
    assert [error for error in errors if _leaks(error)] == []


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 503])
async def test_a_refusal_carries_its_status_and_what_it_asks_for(status: int) -> None:
    """Status and `Retry-After` are on the error of both calls."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Retry-After": "7"})

    async with _serving(handler) as url, _transport() as transport:
        for call in (transport.post, transport.connect):
            error = await _failure(call(url, token=_TOKEN, timeout_s=5))
            assert isinstance(error, ConnectFailedError)
            assert (error.status, error.retry_after_s) == (status, 7.0)
            assert str(error).endswith(f"was refused with status {status}")


@pytest.mark.asyncio
async def test_a_redirect_of_the_negotiation_is_not_followed() -> None:
    """Only the protocol's own redirects may move the token to another place."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with _serving(handler) as url, _transport() as transport:
        error = await _failure(transport.post(url, token=_TOKEN, timeout_s=5))
    assert isinstance(error, ConnectFailedError)
    assert error.status == 307


@pytest.mark.asyncio
@pytest.mark.parametrize("auth", ["header", "query"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_redirect_of_the_upgrade_is_not_followed(
    auth: Auth, status: int, host: str
) -> None:
    """Neither within the origin nor to another one: the token goes where it was sent, once."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(f"{request.host} {request.path}")
        port = request.url.port
        return web.Response(status=status, headers={"Location": f"http://{host}:{port}/else"})

    async with _serving(handler) as url, _transport(auth) as transport:
        error = await _failure(transport.connect(url, token=_TOKEN, timeout_s=5))
    assert isinstance(error, ConnectFailedError)
    assert error.status == status
    assert asked == [f"{url.split('/')[2]} /hub"]
    assert not _leaks(error)


@pytest.mark.asyncio
@pytest.mark.parametrize("url", ["http://hub.invalid/h", "ws://10.0.0.1/h", "http://[::1/h"])
async def test_a_way_that_others_can_read_is_not_taken(url: str) -> None:
    """Wherever an address comes from, nothing is sent in the clear to another machine."""
    async with _transport() as transport:
        for call in (transport.post, transport.connect):
            error = await _failure(call(url, token=_TOKEN, timeout_s=5))
            assert isinstance(error, ConnectFailedError)
            assert error.status is None
            assert str(error).endswith(("could read the token: refused", "is not a URL"))


@pytest.mark.asyncio
async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """TLS is verified on both calls, on loopback too, and no token is sent without it."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(body=b"{}")

    async with (
        _serving(handler, tls=_self_signed(tmp_path)) as url,
        _transport() as transport,
    ):
        for call in (transport.post, transport.connect):
            error = await _failure(call(url, token=_TOKEN, timeout_s=5))
            assert isinstance(error, ConnectFailedError)
            assert "TLS failed (SSLCertVerificationError)" in str(error)
    assert asked == []


@pytest.mark.asyncio
async def test_nobody_listening_is_a_failed_connection() -> None:
    """The sentence names host and path and says what happened."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        port = holder.getsockname()[1]
        async with _transport() as transport:
            error = await _failure(
                transport.connect(f"http://127.0.0.1:{port}/hub?x=1", token=None, timeout_s=5)
            )
    assert isinstance(error, ConnectFailedError)
    assert error.status is None
    assert str(error).startswith(f"the connection to http://127.0.0.1:{port}/hub failed: ")


@pytest.mark.asyncio
async def test_an_unknown_host_is_a_failed_connection() -> None:
    """A name that does not resolve is said to be one."""
    async with _transport() as transport:
        error = await _failure(transport.connect("https://hub.invalid/", token=None, timeout_s=5))
    assert isinstance(error, ConnectFailedError)
    assert "the host name was not found" in str(error)


@pytest.mark.asyncio
async def test_a_server_that_never_answers_meets_the_deadline() -> None:
    """Both calls are bounded."""

    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with _serving(hang) as url, _transport() as transport:
        for call in (transport.post, transport.connect):
            assert isinstance(await _failure(call(url, token=None, timeout_s=0.05)), DeadlineError)


@pytest.mark.asyncio
async def test_an_oversized_negotiation_is_refused() -> None:
    """A server cannot fill the memory through the negotiation."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 300_000)

    async with _serving(handler) as url, _transport() as transport:
        assert isinstance(
            await _failure(transport.post(url, token=None, timeout_s=5)), ProtocolError
        )


@pytest.mark.asyncio
async def test_a_close_frame_is_told_with_code_and_reason() -> None:
    """What the server says on closing is in the sentence; later calls fail the same way."""

    async def talk(ws: web.WebSocketResponse) -> None:
        await ws.close(code=1012, message=b"restart")

    async with _serving(_socket_server(talk)) as url, _transport() as transport:
        connection = await _connected(url, transport)
        with pytest.raises(ConnectionLostError, match="code 1012, restart"):
            await connection.receive()
        with pytest.raises(ConnectionLostError):
            await connection.receive()
        with pytest.raises(ConnectionLostError):
            await connection.send(b"late")


@pytest.mark.asyncio
async def test_a_cut_connection_is_told_as_lost() -> None:
    """TCP that ends without a close frame is an end like any other."""

    async def handler(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        return ws

    async with _serving(handler) as url, _transport() as transport:
        connection = await _connected(url, transport)
        with pytest.raises(ConnectionLostError, match="code 1006"):
            await connection.receive()
        await connection.close()


@pytest.mark.asyncio
async def test_a_message_beyond_the_limit_ends_the_connection() -> None:
    """The limit is explicit; nothing larger is held in memory."""

    async def talk(ws: web.WebSocketResponse) -> None:
        await ws.send_bytes(b"x" * 5000)
        await ws.receive()

    async with _serving(_socket_server(talk)) as url, _transport(size=4096) as transport:
        connection = await _connected(url, transport)
        with pytest.raises(ConnectionLostError, match="code 1009"):
            await connection.receive()


@pytest.mark.asyncio
async def test_closing_is_bounded_and_may_be_repeated() -> None:
    """A server that does not answer the close frame does not hold us."""
    release = asyncio.Event()

    async def talk(ws: web.WebSocketResponse) -> None:
        await release.wait()

    async with _serving(_socket_server(talk)) as url, _transport() as transport:
        connection = await _connected(url, transport)
        async with asyncio.timeout(5):
            await connection.close()
            await connection.close()
        release.set()


@pytest.mark.asyncio
async def test_no_compression_is_offered_and_no_cookie_is_kept() -> None:
    """The upgrade asks for nothing optional, and a cookie does not come back."""
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.Response(body=b"{}", headers={"Set-Cookie": "a=b"})

    async with _serving(handler) as url, _transport() as transport:
        await transport.post(url, token=None, timeout_s=5)
        await _failure(transport.connect(url, token=None, timeout_s=5))
    assert "Sec-WebSocket-Extensions" not in seen[1].headers
    assert "Cookie" not in seen[1].headers
    assert "Authorization" not in seen[1].headers


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"Retry-After": "12"}, 12.0),
        ({"Retry-After": "999999"}, 600.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "Mon, 05 Jan 2026 15:00:30 GMT"}, None),
        (
            {
                "Retry-After": "Mon, 05 Jan 2026 15:00:30 GMT",
                "Date": "Mon, 05 Jan 2026 15:00:00 GMT",
            },
            30.0,
        ),
    ],
)
def test_retry_after_is_read_in_both_forms(headers: dict[str, str], wait_s: float | None) -> None:
    """Seconds or a date beside the answer's own date; nonsense says nothing."""
    assert retry_after_s(headers) == wait_s


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "url",
    [
        "https://a..b/hub",
        f"https://{'a' * 64}.test/hub",
        f"https://user:{_TEXT}@hub.test/hub",
        "https://hub.test/\x00",
    ],
)
async def test_an_address_that_cannot_be_used_is_refused_before_it_is_tried(url: str) -> None:
    """A redirect may name any; credentials in it are not shown."""
    async with _transport() as transport:
        for call in (transport.post, transport.connect):
            error = await _failure(call(url, token=None, timeout_s=5))
            assert isinstance(error, ConnectFailedError)
            assert "no address that can be connected to" in str(error)
            assert not _leaks(error)


@pytest.mark.asyncio
@pytest.mark.parametrize("text", [f"{_TEXT}\r\nX: y", f"{_TEXT}\x00", f"{_TEXT} b", "\u00e4", ""])
async def test_a_token_that_would_break_a_header_is_refused(text: str) -> None:
    """It may come from a redirect; neither form sends it, and no text shows it."""
    forms: tuple[Auth, ...] = ("header", "query")
    for auth in forms:
        async with _transport(auth) as transport:
            for call in (transport.post, transport.connect):
                error = await _failure(call("https://hub.test", token=Secret(text), timeout_s=5))
                assert str(error) == "the token holds characters that no header can carry"
                assert not _leaks(error)


def test_only_safe_parts_of_a_url_are_shown() -> None:
    """Neither the query nor credentials in the host part are."""
    url = f"wss://user:pass@hub.test:8443/hubs/market?access_token={_TEXT}#x"
    assert place(url) == "wss://hub.test:8443/hubs/market"
