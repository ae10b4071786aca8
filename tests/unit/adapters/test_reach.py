"""Each step towards a host fails with its own sentence, and within its deadline."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.http_session import open_session
from tapekeeper.adapters.reach import clock_difference_s, dial, inspect_tls, look_up
from tapekeeper.errors import ConnectFailedError, DeadlineError, ProtocolError


class _Fixed(SystemClock):
    """A host clock that stands at a moment of 2026."""

    def now_ns(self) -> int:
        """2026-01-05T15:00:07Z."""
        return 1_767_625_207_000_000_000


@asynccontextmanager
async def _answering(answer: bytes | None) -> AsyncIterator[int]:
    """A server that reads a request and answers these bytes, or for None nothing; its port."""
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        try:
            await reader.read(1)
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            return  # the client has left in its own way

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        # The server's own end does not wait for its connections.
        async with asyncio.timeout(10):
            await asyncio.gather(*serving)


@pytest.mark.asyncio
async def test_a_name_has_addresses_each_once() -> None:
    """An address is its own; a name that does not exist is a sentence."""
    assert await look_up("127.0.0.1", 80, timeout_s=5) == ["127.0.0.1"]
    with pytest.raises(ConnectFailedError, match=r"nowhere\.invalid was not found"):
        await look_up("nowhere.invalid", 80, timeout_s=5)


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["api..firm.invalid", "a" * 64 + ".invalid"])
async def test_a_name_that_cannot_be_is_a_sentence(host: str) -> None:
    """The resolver's encoding refuses it before anybody is asked."""
    with pytest.raises(ConnectFailedError, match="was not found: no name is spelt like that"):
        await look_up(host, 443, timeout_s=5)
    with pytest.raises(ConnectFailedError, match="failed: no host is spelt like that"):
        await dial(host, 443, timeout_s=5)


@pytest.mark.asyncio
async def test_a_port_is_open_or_refused() -> None:
    """The sentence names host and port."""
    async with _answering(b"") as port:
        await dial("127.0.0.1", port, timeout_s=5)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
        with pytest.raises(ConnectFailedError, match=f"127.0.0.1:{closed} failed"):
            await dial("127.0.0.1", closed, timeout_s=5)


@pytest.mark.asyncio
async def test_a_handshake_that_is_not_answered_meets_its_deadline() -> None:
    """A server that takes the connection and says nothing."""
    async with _answering(None) as port:
        with pytest.raises(DeadlineError, match=r"TLS connection to .* longer than 0.05 s"):
            await inspect_tls("127.0.0.1", port, timeout_s=0.05)


@pytest.mark.asyncio
async def test_the_clock_is_compared_with_the_answers_date() -> None:
    """To half a second, because the header has whole ones."""
    answer = b"HTTP/1.1 404 x\r\nDate: Mon, 05 Jan 2026 15:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    async with _answering(answer) as port, open_session() as session:
        ahead_s, margin_s = await clock_difference_s(
            session, f"http://127.0.0.1:{port}/x", _Fixed(), timeout_s=5
        )
    assert (ahead_s, margin_s) == (6.5, 0.5)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "date",
    [b"", b"Date: yesterday\r\n", b"Date: Mon, 01 Jan 99999999999999999999 00:00:00 GMT\r\n"],
)
async def test_an_answer_without_a_date_says_nothing(date: bytes) -> None:
    """An absent and an unreadable one alike."""
    answer = b"HTTP/1.1 200 x\r\n" + date + b"Content-Length: 0\r\n\r\n"
    async with _answering(answer) as port, open_session() as session:
        with pytest.raises(ProtocolError, match="without a readable date"):
            await clock_difference_s(session, f"http://127.0.0.1:{port}/", _Fixed(), timeout_s=5)


@pytest.mark.asyncio
async def test_no_answer_is_a_failed_connection() -> None:
    """With the place and the cause."""
    async with _answering(b"") as port, open_session() as session:
        with pytest.raises(ConnectFailedError, match=f"127.0.0.1:{port}/x failed"):
            await clock_difference_s(session, f"http://127.0.0.1:{port}/x", _Fixed(), timeout_s=5)
