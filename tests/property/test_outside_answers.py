"""Whatever the outside answers becomes a value or an OutsideError; nothing else gets in."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapekeeper.adapters.http_session import open_session
from tapekeeper.adapters.reach import clock_difference_s
from tapekeeper.adapters.rest import RestCaller
from tapekeeper.adapters.token_forms import TokenForms
from tapekeeper.adapters.websocket import AiohttpTransport
from tapekeeper.core.gateway.rest_payloads import Operation
from tapekeeper.errors import OutsideError
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import Arrival, LineSpec
from tapekeeper.sim.memory_network import HOST, MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_PORT = 8_790
_HUB = f"http://{HOST}:{_PORT}/hub"
_TOKEN = Secret("test-token-not-a-secret")


def _redirect(url: str, token: str) -> bytes:
    return json.dumps({"url": url, "accessToken": token}).encode()


def _named(token: str) -> bytes:
    offer = {"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}
    names = {"negotiateVersion": 1, "connectionId": "a", "connectionToken": token}
    return json.dumps({**names, "availableTransports": [offer]}).encode()


_DATES = [
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 +2359",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Mon, 05 Jan 2026 15:00:00 GMT",
    "9" * 5_000,
    "-1",
    "1e9",
    "\u0663",
    "",
]
_URLS = [
    f"{_HUB}/next",
    "https://a..b/hub",
    f"https://{'a' * 64}.test/hub",
    f"https://{'a.' * 200}test/hub",
    "https://user:word@gateway.test/hub",
    f"http://user:word@{HOST}:{_PORT}/hub",
    "https://gateway.test:99999/hub",
    "https://[::1/hub",
    "https://gate\x00way.test/hub",
    "https://\ud800.test/hub",
    "https://xn--\u00fc.test/hub",
    "https:///hub",
    f"{_HUB}?a=\r\nb: c",
    f"{_HUB}\x00",
    f"{_HUB}/\ud800",
    "",
]
_WORDS = [
    "test-other-not-a-secret",
    "a\r\nb",
    "a\x00b",
    "\u00e4",
    "\ud800",
    " ",
    "",
    "a" * 100_000,
]
_BODIES = st.one_of(
    st.builds(_redirect, st.sampled_from(_URLS) | st.text(), st.sampled_from(_WORDS) | st.text()),
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"",
            _named("\ud800"),
            _named("\x00\r\n"),
            b'{"success":true,"token":"\\ud800"}',
            b"[" * 10_000,
        ]
    ),
)
_HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just("Retry-After"), st.sampled_from(_DATES)),
        st.tuples(st.just("Date"), st.sampled_from(_DATES)),
        st.tuples(st.just("Location"), st.sampled_from(_URLS)),
        st.tuples(st.just("Content-Encoding"), st.sampled_from(["gzip", "br", "deflate", "x"])),
        st.tuples(st.just("Transfer-Encoding"), st.sampled_from(["chunked", "x", "chunked, x"])),
        st.tuples(st.just("Content-Length"), st.sampled_from(["-1", "1e3", "9" * 40, "5"])),
        st.tuples(st.just("Content-Type"), st.sampled_from(["text/html; charset=x", ";", ""])),
        st.tuples(st.just("Set-Cookie"), st.sampled_from(["a=b; expires=x", "\x00=;", "=" * 9])),
        st.tuples(st.just("Upgrade"), st.sampled_from(["websocket", "x"])),
        st.tuples(st.just("Connection"), st.sampled_from(["upgrade", "close", "keep-alive"])),
        st.tuples(st.just("Sec-WebSocket-Accept"), st.sampled_from(["x", ""])),
        st.tuples(st.just("Sec-WebSocket-Extensions"), st.sampled_from(["permessage-deflate; a"])),
        st.tuples(st.just("Sec-WebSocket-Protocol"), st.sampled_from(["x"])),
    ),
    max_size=5,
)


def _answer(status: int, headers: list[tuple[str, str]], body: bytes, *, measured: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in headers)]
    if measured:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


_ANSWERS = st.one_of(
    st.builds(
        _answer,
        st.sampled_from([101, 200, 204, 301, 302, 307, 400, 401, 403, 404, 429, 500, 503, 999]),
        _HEADERS,
        _BODIES,
        measured=st.booleans(),
    ),
    st.binary(max_size=300),
)


class _Peer(asyncio.Protocol):
    """Answers every request with the same bytes, and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if data and not self._transport.is_closing():
            self._transport.write(self._answer)
            self._transport.close()


class _Tokens:
    async def __call__(self) -> Secret:
        return _TOKEN

    def invalidate(self, refused: Secret) -> None:
        del refused


class _Inbox:
    def __call__(self, arrival: Arrival, /) -> bool:
        del arrival
        return True

    async def wait_room(self) -> None:
        raise AssertionError("there is always room")


def _log(event: str, /, **fields: object) -> None:
    del event, fields


async def _outside(of: Awaitable[object]) -> None:
    said = ""
    try:
        await of
    except OutsideError as error:
        said = str(error)
    assert _TOKEN.reveal() not in said


def _meet(answer: bytes, act: Callable[[VirtualClock, AiohttpTransport], Awaitable[None]]) -> None:
    async def main(clock: VirtualClock) -> None:
        network = MemoryNetwork(Seeded(1, "network"))
        network.listen(_PORT, lambda: _Peer(answer))
        async with open_session(connector=MemoryConnector(network)) as session:
            transport = AiohttpTransport(session, TokenForms("header", _log))
            caller = RestCaller(session, f"http://{HOST}:{_PORT}", clock)
            await _outside(transport.post(_HUB, token=_TOKEN, timeout_s=5))
            await _outside(transport.connect(_HUB, token=_TOKEN, timeout_s=5))
            await _outside(caller.call(Operation.CONTRACT_SEARCH, b"{}", bearer=_TOKEN))
            await _outside(caller.ping())
            await _outside(clock_difference_s(session, _HUB, clock, timeout_s=5))
            await act(clock, transport)

    run_virtual(main)


async def _live(clock: VirtualClock, transport: AiohttpTransport) -> None:
    """Some lives of a line that negotiates; whatever it meets, it goes on until it is stopped."""
    line = Line(
        LineSpec(name="market", hub_url=_HUB, negotiate=True, backoff_base_ms=200),
        transport=transport,
        tokens=_Tokens(),
        clock=clock,
        random=Seeded(1, "jitter"),
        inbox=_Inbox(),
        log=_log,
        numbers=itertools.count(1).__next__,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(line.run())
        await clock.sleep_s(60)
        assert line.status().attempts >= 1
        await line.stop()


@settings(max_examples=150)
@given(_ANSWERS)
@example(_answer(503, [("Retry-After", _DATES[0])], b"", measured=True))
@example(_answer(503, [("Retry-After", _DATES[2]), ("Date", _DATES[1])], b"", measured=True))
@example(_answer(200, [("Date", _DATES[0])], b"", measured=True))
@example(_answer(200, [("Date", _DATES[1])], b"", measured=True))
@example(_answer(200, [], _redirect(f"{_HUB}/next", "a\r\nb"), measured=True))
@example(_answer(200, [], _redirect(f"{_HUB}/next", "a\x00b"), measured=True))
@example(_answer(200, [], _redirect("https://a..b/hub", "a"), measured=True))
@example(_answer(200, [], _redirect(f"https://{'a' * 64}.test/hub", "a"), measured=True))
@example(_answer(200, [], _redirect(f"http://user:word@{HOST}:{_PORT}/hub", "a"), measured=True))
def test_a_hostile_answer_is_a_value_or_an_outside_error(answer: bytes) -> None:
    """Status, headers, body: no bytes a peer can send end a line, or a REST call, as a bug."""
    _meet(answer, _live)
