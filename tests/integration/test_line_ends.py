"""Every way in which a connection ends or is not made, over real sockets: the line comes back."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import ResolveResult

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.http_session import open_session
from tapekeeper.adapters.rest import GatewayAuth, RestCaller
from tapekeeper.adapters.token_forms import TokenForms
from tapekeeper.adapters.tokens import KeptTokens, KeyLogin
from tapekeeper.adapters.websocket import AiohttpTransport
from tapekeeper.core.signalr.session import SessionTimers
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import HubCall, LineState
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.seeded import Seeded
from tests.integration.followed_line import CountingInbox, log, market_line

HOST = "127.0.0.1"
SHORT = SessionTimers(
    handshake_timeout_ns=500_000_000,
    keep_alive_ns=200_000_000,
    server_timeout_ns=600_000_000,
    close_timeout_ns=200_000_000,
)


class Names(aiohttp.ThreadedResolver):
    """The system's resolver; while it is away, every name is one that does not exist."""

    is_away = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As the library asks for it."""
        return await super().resolve("away.invalid" if self.is_away else host, port, family)


class Front:
    """A port of its own before the gateway, with TLS or without, that can go away and come back."""

    def __init__(self, behind: int, tls: ssl.SSLContext | None) -> None:
        self.port = 0
        self._behind = behind
        self._tls = tls
        self._server: asyncio.Server
        self._writers: set[asyncio.StreamWriter] = set()  # bound: connections of one test

    async def listen(self) -> None:
        """Take connections, at the port of the last time if there was one."""
        self._server = await asyncio.start_server(
            self._pass_on, HOST, self.port, ssl=self._tls, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def go_away(self) -> None:
        """Refuse connections, and cut those that there are."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(HOST, self._behind)
        self._writers |= {writer, outer}
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, outer))
            group.create_task(_copy(inner, writer))
        self._writers -= {writer, outer}


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except OSError:
        pass  # one side was cut, and now the other one is closed
    finally:
        target.close()


class Running:
    """A line that follows trades of a gateway, and what it tells."""

    def __init__(self, gateway: SimGateway, front: Front, names: Names) -> None:
        self.gateway = gateway
        self.front = front
        self.names = names
        self.certify: Callable[[str], None]
        self.line: Line
        self.inbox = CountingInbox()

    def tells(self, what: str) -> bool:
        """Whether it has given this as the reason of a step back."""
        back = {LineState.BACKING_OFF, LineState.DOWN}
        return any(what in step.reason for step in self.inbox.steps if step.after in back)

    def drop(self) -> None:
        """Cut what is connected, so that the line connects anew."""
        self.gateway.faults.drop_all("market")

    def refuse(self, door: Door, status: int) -> None:
        """Refuse two requests, and cut the connection."""
        self.gateway.faults.refuse(door, 2, status)
        self.drop()

    def hang_up(self) -> None:
        """End TCP where two negotiations should be answered, and cut the connection."""
        self.gateway.faults.refuse(Door.NEGOTIATE, 2, 503, manner="hang_up")
        self.drop()

    def spoil_handshakes(self, error: str | None) -> None:
        """Answer two handshakes with an error or never, and cut the connection."""
        self.gateway.faults.spoil_handshakes(2, error)
        self.drop()

    def lose_names(self) -> None:
        """No name is found any more, and the connection is cut."""
        self.names.is_away = True
        self.drop()

    def show_certificate(self, name: str) -> None:
        """Show another certificate from now on, and cut the connection."""
        self.certify(name)
        self.drop()


def _nothing(_: Running) -> None:
    """What ends by itself needs no mending."""


async def _come_back(running: Running) -> None:
    await running.front.listen()


@dataclass(frozen=True)
class End:
    """One way to lose a connection, or not to get one.

    Attributes:
        begin: brings it about on a line that is live.
        told: what the line is to say of it.
        hub: where it connects to; `{gateway}` and `{front}` are ports.
        mend: ends the trouble, once the line has met it, where that needs help.
        comes_back: whether the front is to listen again.
    """

    begin: Callable[[Running], object]
    told: str
    hub: str = "http://127.0.0.1:{gateway}"
    mend: Callable[[Running], object] = _nothing
    comes_back: bool = False


def _closed_with(code: int) -> End:
    return End(lambda it: it.gateway.faults.close_frames(code, "market"), f"code {code}")


ENDS = {
    "refused TCP": End(
        lambda it: it.front.go_away(),
        "connection refused",
        hub="http://127.0.0.1:{front}",
        comes_back=True,
    ),
    "DNS failure": End(
        Running.lose_names,
        "the host name was not found",
        hub="http://localhost:{gateway}",
        mend=lambda it: setattr(it.names, "is_away", False),
    ),
    "TLS failure": End(
        lambda it: it.show_certificate("unknown"),
        "TLS failed",
        hub="https://127.0.0.1:{front}",
        mend=lambda it: it.certify("known"),
    ),
    "negotiation refused": End(
        lambda it: it.refuse(Door.NEGOTIATE, 503), "was refused with status 503"
    ),
    "negotiation cut off": End(Running.hang_up, "the server hung up"),
    "upgrade redirected": End(
        lambda it: it.refuse(Door.UPGRADE, 302), "was refused with status 302"
    ),
    "handshake error": End(
        lambda it: it.spoil_handshakes("Not today."), "refused the handshake: Not today."
    ),
    "handshake silence": End(lambda it: it.spoil_handshakes(None), "no handshake answer"),
    "FIN": End(Running.drop, "code 1006, no close frame"),
    "RST": End(lambda it: it.gateway.faults.reset("market"), "code 1006, no close frame"),
    **{f"code {code}": _closed_with(code) for code in (1000, 1006, 1009, 1011, 1012)},
    "half-open": End(
        lambda it: it.gateway.faults.go_deaf("market"), "nothing received from the server"
    ),
}


def _certificate(folder: Path, name: str) -> Path:
    """A certificate for 127.0.0.1 that nobody but itself vouches for, with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    command = [openssl, "req", "-x509", "-nodes", "-days", "10", "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN=test {name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "-", "-out", "-"]
    path = folder / f"test-{name}.pem"
    path.write_bytes(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    return path


@asynccontextmanager
async def _following(hub: str, folder: Path) -> AsyncIterator[Running]:
    """A line at such an address that is live and gets trades."""
    serving = trusted = None
    paths: dict[str, Path] = {}
    if hub.startswith("https"):
        paths = {name: _certificate(folder, name) for name in ("known", "unknown")}
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(paths["known"])
        trusted = ssl.create_default_context(cafile=paths["known"])
    config = SimConfig(speed=100.0, products=("MES", "MNQ"))
    async with AsyncExitStack() as stack:
        gateway = SimGateway(config, SystemClock(), Seeded(1, "gateway"))
        await stack.enter_async_context(gateway)
        port = int(gateway.urls.rest.rpartition(":")[2])
        running = Running(gateway, Front(port, serving), Names())
        if serving is not None:
            running.certify = lambda name: serving.load_cert_chain(paths[name])
        await running.front.listen()
        stack.callback(running.front.go_away)
        # Each request goes by a connection of its own, so that each meets what there is to meet.
        connector = aiohttp.TCPConnector(
            force_close=True, use_dns_cache=False, resolver=running.names, ssl=trusted or True
        )
        session = await stack.enter_async_context(open_session(connector=connector))
        running.line = _line(running, session, hub.format(gateway=port, front=running.front.port))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(running.line.run())
        running.line.want(HubCall("SubscribeContractTrades", (gateway.contracts[0],)))
        await running.inbox.more_trades()
        yield running
        await running.line.stop()


def _line(running: Running, session: aiohttp.ClientSession, base: str) -> Line:
    clock = SystemClock()
    auth = GatewayAuth(RestCaller(session, running.gateway.urls.rest, clock))
    return market_line(
        f"{base}/hubs/market",
        running.inbox,
        transport=AiohttpTransport(session, TokenForms("header", log), close_timeout_s=0.2),
        tokens=KeptTokens(KeyLogin(auth, TEST_USER, Secret(TEST_API_KEY)), clock),
        timers=SHORT,
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ENDS)
async def test_the_line_comes_back_from(name: str, tmp_path: Path) -> None:
    """It says what it met; then it is live again, subscribed, and trades come."""
    end = ENDS[name]
    async with _following(end.hub, tmp_path) as running:
        end.begin(running)
        await running.inbox.until(lambda: running.tells(end.told))
        end.mend(running)
        if end.comes_back:
            await _come_back(running)
        await running.inbox.until(lambda: running.inbox.lives == 2)
        await running.inbox.more_trades()
        status = running.line.status()
        assert (status.unconfirmed, status.connections >= 2) == ((), True)
        assert running.inbox.lives == 2


@pytest.mark.asyncio
async def test_nothing_at_all_comes_of_a_half_open_connection(tmp_path: Path) -> None:
    """Not even its end: the gateway still holds it when the line has long left it for another."""
    async with _following(ENDS["half-open"].hub, tmp_path) as running:
        hub = running.gateway.statistics
        running.gateway.faults.go_deaf("market")
        await running.inbox.until(lambda: running.inbox.lives == 2)
        await running.inbox.more_trades()
        assert hub().market.live == 2
        assert hub().market.aborted == {}
