"""A key and tokens that are looked for everywhere after a bad day, and found nowhere.

The key is the gateway's only one; the tokens are all that the gateway signs, noted as they are
made. Each is looked for whole, in its parts, and in the encodings that a log or a URL may have.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import os
import re
import stat
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

import pytest
from aiohttp import web

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.adapters.given_tokens import GivenTokens
from tapekeeper.adapters.http_session import open_session
from tapekeeper.adapters.log import open_log
from tapekeeper.adapters.rest import GatewayAuth, GatewayRest, RestCaller
from tapekeeper.adapters.token_forms import Auth, TokenForms
from tapekeeper.adapters.tokens import KeptTokens, KeyLogin
from tapekeeper.adapters.websocket import AiohttpTransport
from tapekeeper.app.config import load_config
from tapekeeper.app.tape import Tape
from tapekeeper.core.gateway.rest_payloads import Operation
from tapekeeper.errors import ConfigError, TapekeeperError
from tapekeeper.model.secret import Secret
from tapekeeper.sim.config import TEST_USER, SimConfig
from tapekeeper.sim.door import Doorkeeper
from tapekeeper.sim.faults import Door, Faults
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.tokens import TokenOffice

posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits")
linux_only = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="only Linux shows processes as files"
)


class Canaries:
    """What must not be found. Its own repr hides them, because tracebacks show locals."""

    def __init__(self) -> None:
        self.key = Secret("test-canary/key+of=the gateway-not-a-secret")
        self._needles: set[str] = set()
        self.tokens = 0
        self.note(self.key)

    def __repr__(self) -> str:
        return f"<{len(self._needles)} canaries>"

    def note(self, secret: Secret) -> None:
        """Look for `secret`, too."""
        text = secret.reveal()
        encoded = base64.b64encode(text.encode()).decode().rstrip("=")
        self._needles |= {text, quote(text, safe=""), quote(text), encoded}
        if text.count(".") == 2:
            self.tokens += 1
            # The header of a JWT is the same in all of them and tells nothing.
            self._needles |= set(text.split(".")[1:])

    def sits_in(self, what: str | bytes) -> bool:
        """Whether one of them is in `what`."""
        text = what.decode("latin-1") if isinstance(what, bytes) else what
        return any(needle in text for needle in self._needles)

    def places(self, found: Iterator[tuple[str, str | bytes]]) -> list[str]:
        """Names of the places where one of them is."""
        return [name for name, text in found if self.sits_in(text)]


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> Canaries:
    """The key, and every token that a gateway of this test signs."""
    noted = Canaries()
    sign = TokenOffice._sign

    def signed(self: TokenOffice, *arguments: str) -> str:
        token = sign(self, *arguments)
        noted.note(Secret(token))
        return token

    monkeypatch.setattr(TokenOffice, "_sign", signed)
    for name in list(os.environ):
        if name.startswith("TAPEKEEPER_"):
            monkeypatch.delenv(name)
    return noted


class Tap:
    """A relay on loopback that keeps what clients send to the gateway."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: list[bytearray] = []
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    def through(self, url: str) -> str:
        """`url`, by way of here."""
        return url.replace(f":{self._port}", f":{self.port}")

    def requests(self) -> list[tuple[str, str, str]]:
        """Request line, `Authorization` header, and the rest, of every HTTP request."""
        found = []
        for stream in self._streams:
            text = stream.decode("latin-1")
            # A body ends without a line's end, so a request need not begin a line.
            for one in re.split(r"(?=(?:GET|POST) /\S* HTTP/1\.1\r\n)", text):
                line, _, rest = one.partition("\r\n")
                bearer = "".join(re.findall(r"^Authorization:.*$", rest, re.MULTILINE))
                if line:
                    found.append((line, bearer, rest.replace(bearer, "") if bearer else rest))
        return found

    async def _relay(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        kept = bytearray()
        self._streams.append(kept)
        gateway, on = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {back, on}

        async def carry(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, copy: bytearray
        ) -> None:
            with suppress(OSError):
                while data := await source.read(65_536):
                    copy += data
                    sink.write(data)
                    await sink.drain()
            sink.transport.abort() if sink is back else sink.close()

        async with asyncio.TaskGroup() as both:
            both.create_task(carry(client, on, kept))
            both.create_task(carry(gateway, back, bytearray()))
        self._open -= {back, on}


def everything(error: BaseException) -> str:
    """All that a reporter can make of an error: texts, locals of its frames, its whole chain."""
    texts = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        shown = traceback.TracebackException.from_exception(one, capture_locals=True)
        texts += [*shown.format(), str(one), repr(one), repr(one.args), repr(vars(one))]
    return "\n".join(texts)


def living_objects() -> Iterator[tuple[str, str]]:
    """The repr of every living object whose class is the package's own."""
    for one in gc.get_objects():
        module = getattr(type(one), "__module__", None)
        if isinstance(module, str) and module.startswith("tapekeeper."):
            yield f"repr of {type(one).__qualname__}", repr(one)


def files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()


class Errors:
    """Errors as text. Its own repr is short, because it is a local of the frames it is about."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """The block raises one of our errors, which is kept."""
        with pytest.raises(TapekeeperError) as caught:
            yield
        self.texts.append((f"{name}: {type(caught.value).__name__}", everything(caught.value)))


TROUBLES: dict[str, Callable[[Faults], object]] = {
    "nothing but a loss": lambda _: None,
    "refused at the negotiation": lambda faults: faults.refuse(Door.NEGOTIATE, 1, 500),
    "refused at the upgrade": lambda faults: faults.refuse(Door.UPGRADE, 1, 500),
    "redirected": lambda faults: faults.redirect(1),
    "a bad handshake": lambda faults: faults.spoil_handshakes(1, "no"),
    "a refused token": lambda faults: faults.refuse_tokens(),
    "closed with an error": lambda faults: faults.close_all("market", error="gone"),
    "closed in order": lambda faults: faults.close_all("market", allow_reconnect=True),
}
"""What happens before the market hub drops its connections, by its name."""


async def bad_day(tape: Tape, gateway: SimGateway) -> list[tuple[str, str]]:
    """Live through every trouble; what the tape says of itself after each."""
    said = []
    async with tape, asyncio.timeout(60):
        await tape.subscribe("MES", ["1s"])
        for name, trouble in TROUBLES.items():
            before = gateway.statistics().market.connections
            trouble(gateway.faults)
            gateway.faults.drop_all("market")
            while (  # noqa: ASYNC110 - counters and states have no event
                gateway.statistics().market.connections == before
                or tape.status().lines[0].state != "live"
            ):
                await asyncio.sleep(0)
            said.append((f"status, {name}", repr(tape.status())))
            said += living_objects()
    said.append(("status at the end", f"{tape.status()} {tape!r} {tape.result()!r}"))
    return said


def settings(gateway: SimGateway, tap: Tap, folder: Path, **changes: object) -> Path:
    """A configuration file beside a key file, as a user has them."""
    urls = gateway.urls
    lines = [
        *("[gateway]", f'rest_url = "{tap.through(urls.rest)}"'),
        f'market_hub_url = "{tap.through(urls.market_hub)}"',
        f'user_hub_url = "{tap.through(urls.user_hub)}"',
        *(f'user_name = "{TEST_USER}"', 'api_key_file = "gateway.key"'),
        f'auth = "{changes.get("auth", "header")}"',
        *("[line]", "backoff_base_ms = 1", "backoff_cap_ms = 1"),
        *("[log]", f'level = "{changes.get("level", "debug")}"'),
        f'format = "{changes.get("form", "console")}"',
        *("[[subscribe]]", 'contract = "MES"', 'timeframes = ["1s"]'),
    ]
    path = folder / "tapekeeper.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def key_file(canaries: Canaries, folder: Path, mode: int = 0o600) -> None:
    """The API key in a file of its own."""
    path = folder / "gateway.key"
    path.write_text(canaries.key.reveal(), encoding="utf-8")
    path.chmod(mode)


def simulated(canaries: Canaries, **changes: Any) -> SimGateway:
    """A gateway whose only key is the canary."""
    config = SimConfig(products=("MES",), api_key=canaries.key, **changes)
    return SimGateway(config, SystemClock(), SystemRandom())


def query_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make hubs deaf to the header, as some gateways are."""
    reads = Doorkeeper._token

    def deaf(self: Doorkeeper, request: web.Request, *, is_hub: bool) -> Secret | None:
        if is_hub and "access_token" not in request.query:
            return None
        return reads(self, request, is_hub=is_hub)

    monkeypatch.setattr(Doorkeeper, "_token", deaf)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("auth", "level", "form"),
    [
        ("header", "debug", "console"),
        ("header", "debug", "json"),
        ("header", "info", "json"),
        ("header", "warning", "console"),
        ("header", "error", "json"),
        ("query", "debug", "json"),
        ("auto", "debug", "console"),
    ],
)
async def test_a_bad_day_shows_no_secret(
    auth: str,
    level: str,
    form: str,
    canaries: Canaries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Login, refresh, refusals and every kind of loss: nothing in logs, status, reprs and files."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(enabled=True)
    if auth == "auto":
        query_only(monkeypatch)
    secrets, journal = tmp_path / "secrets", tmp_path / "secrets" / "journal"
    secrets.mkdir()
    key_file(canaries, secrets)
    async with (
        simulated(canaries, allow_query_token=auth != "header") as gateway,
        Tap(urlsplit(gateway.urls.rest).port or 0) as tap,
    ):
        tape = Tape(settings(gateway, tap, secrets, auth=auth, level=level, form=form))
        said = await bad_day(tape, gateway)
        requests = tap.requests()
    assert canaries.tokens >= 2  # the login, and the renewal after the refusal
    captured = capfd.readouterr()
    said += [("standard output", captured.out), ("standard error", captured.err)]
    said += [("the log of libraries", caplog.text)]
    assert (captured.err != "") == (level != "error")
    assert len(list(files_below(journal))) >= 1
    assert canaries.places(iter(said)) == []
    assert canaries.places(files_below(journal)) == []
    assert canaries.places((name, value) for name, value in os.environ.items()) == []
    assert canaries.places(iter([("arguments", "\0".join(sys.argv))])) == []
    _check_wire(canaries, requests, auth)
    if auth == "auto":
        assert set(tape.status().token_forms.values()) == {"query"}


def _check_wire(canaries: Canaries, requests: list[tuple[str, str, str]], auth: str) -> None:
    """Secrets travel where they must and nowhere else."""
    in_lines = [line.split("?")[0] for line, _, _ in requests if canaries.sits_in(line)]
    in_headers = [line for line, bearer, _ in requests if canaries.sits_in(bearer)]
    in_rest = [line for line, _, rest in requests if canaries.sits_in(rest)]
    assert set(in_rest) == {"POST /api/Auth/loginKey HTTP/1.1"}
    assert any(line.startswith("POST /api/") for line in in_headers)
    assert all("/hubs/" in line for line in in_lines)
    assert (in_lines == []) == (auth == "header")
    assert any("/hubs/" in line for line in in_headers) == (auth != "query")


@posix_only
@pytest.mark.asyncio
async def test_what_is_written_is_for_its_owner_alone(canaries: Canaries, tmp_path: Path) -> None:
    """The journal tells of accounts: its folder is 0700 at most, its files are 0600."""
    key_file(canaries, tmp_path)
    async with (
        simulated(canaries) as gateway,
        Tap(urlsplit(gateway.urls.rest).port or 0) as tap,
        Tape(settings(gateway, tap, tmp_path, level="error")) as tape,
    ):
        await tape.subscribe("MES", ["1s"])
    journal = tmp_path / "journal"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in journal.rglob("*")}
    assert modes
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(journal.stat().st_mode) & 0o077 == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("auth", ["header", "query", "auto"])
async def test_no_failure_shows_a_secret(auth: Auth, canaries: Canaries) -> None:
    """Refusals, nonsense, silence and absence, on REST and hubs, the locals of frames included."""
    errors = Errors()
    clock = SystemClock()
    forms = TokenForms(auth, open_log("error", "json"))
    async with simulated(canaries) as gateway, open_session() as session:
        caller = RestCaller(session, gateway.urls.rest, clock, timeout_s=2)
        tokens = KeptTokens(KeyLogin(GatewayAuth(caller), TEST_USER, canaries.key), clock)
        held = await tokens()
        await tokens.renew()
        rest = GatewayRest(caller, tokens)
        for status in (400, 401, 403, 404, 429, 500, 503):
            gateway.faults.refuse(Door.REST, 2, status)
            with errors.of(f"REST {status}"):
                await rest.search("MES")
            gateway.faults.clear()
            gateway.faults.refuse(Door.LOGIN, 1, status)
            with errors.of(f"login {status}"):
                await GatewayAuth(caller).login_key(TEST_USER, canaries.key)
            gateway.faults.clear()
        with errors.of("another user"):
            await GatewayAuth(caller).login_key("test-other", canaries.key)
        transport = AiohttpTransport(session, forms)
        for url, answer in await _hostile(errors, transport, held):
            assert answer, url
    assert len(errors.texts) > 25
    assert canaries.tokens >= 2
    assert canaries.places(iter(errors.texts)) == []


@pytest.mark.asyncio
async def test_no_failure_of_a_user_s_own_token_source_shows_a_secret(canaries: Canaries) -> None:
    """What it raises and what it gives instead of a token, the locals of frames included."""
    errors = Errors()
    for name, source in BAD_SOURCES.items():
        tokens = KeptTokens(GivenTokens(partial(source, canaries.key)), SystemClock())
        with errors.of(name):
            await tokens()
    assert canaries.places(iter(errors.texts)) == []


def _fails(key: Secret, kind: type[BaseException]) -> str:
    text = key.reveal()
    raise kind(f"refused: {text}")


async def _fails_later(key: Secret, kind: type[BaseException]) -> str:
    return _fails(key, kind)


BAD_SOURCES: dict[str, Callable[[Secret], Any]] = {
    "a dict": lambda key: {"token": key.reveal()},
    "bytes": lambda key: key.reveal().encode(),
    "far too long": lambda key: key.reveal() * 5_000,
    "with a blank": lambda key: f"{key.reveal()} {key.reveal()}",
    "an error": lambda key: _fails(key, ValueError),
    "an error of a coroutine": lambda key: _fails_later(key, ValueError),
    "an exit": lambda key: _fails(key, SystemExit),
    "an exit of a coroutine": lambda key: _fails_later(key, SystemExit),
}


async def _hostile(
    errors: Errors, transport: AiohttpTransport, held: Secret
) -> list[tuple[str, bool]]:
    """Both calls, and a login, against servers that do wrong; whether each was asked at all."""
    outcome = []
    async with open_session() as session:
        for name, handler in HOSTILE.items():
            asked: list[str] = []
            async with _serving(handler, asked) as url:
                for call in (transport.post, transport.connect):
                    with errors.of(f"{name}, {call.__name__}"):
                        await call(f"{url}/hub?a=1", token=held, timeout_s=0.2)
                caller = RestCaller(session, url, SystemClock(), timeout_s=0.2)
                with errors.of(f"{name}, login"):
                    await GatewayAuth(caller).login_key(TEST_USER, held)
                with errors.of(f"{name}, validate"):
                    await caller.call(Operation.VALIDATE, b"{}", bearer=held)
            outcome.append((name, bool(asked)))
        for name, url in {"absent": "http://127.0.0.1:1", "plain": "http://hub.invalid"}.items():
            for call in (transport.post, transport.connect):
                with errors.of(f"{name}, {call.__name__}"):
                    await call(f"{url}/hub", token=held, timeout_s=2)
            caller = RestCaller(session, url, SystemClock(), timeout_s=2)
            with errors.of(f"{name}, login"):
                await GatewayAuth(caller).login_key(TEST_USER, held)
    return outcome


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _move(request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": str(request.rel_url.with_path("/else"))})


async def _refuse(_: web.Request) -> web.StreamResponse:
    return web.Response(status=401)


async def _flood(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"x" * 300_000)


HOSTILE: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
    "hangs": _hang,
    "hangs up": _hang_up,
    "redirects": _move,
    "refuses": _refuse,
    "refuses again": _refuse,
    "floods": _flood,
}


def _serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], asked: list[str]
) -> AbstractAsyncContextManager[str]:
    return _Server(handler, asked)


class _Server:
    """A server on loopback; entering it gives its URL."""

    def __init__(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], asked: list[str]
    ) -> None:
        async def note(request: web.Request) -> web.StreamResponse:
            asked.append(request.method)
            return await handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", note)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


WRONG_FILES = {
    "no TOML": 'api_key = "{key}"\n=',
    "no UTF-8": 'api_key = "{key}"\n# \udcff',
    "unknown setting": '[gateway]\napi_key = "{key}"\nnope = 1',
    "another setting out of range": '[gateway]\napi_key = "{key}"\n[bars]\nkeep = 0',
    "two keys": '[gateway]\napi_key = "{key}"\napi_key_file = "x"',
    "key in the wrong place": 'api_key = "{key}"',
    "key in an address": '[gateway]\nrest_url = "https://gateway.invalid/?access_token={key}"',
    "password in an address": '[gateway]\nrest_url = "https://me:{key}@gateway.invalid"',
}


@pytest.mark.parametrize("text", WRONG_FILES.values(), ids=list(WRONG_FILES))
def test_a_wrong_configuration_file_does_not_show_its_key(
    text: str, canaries: Canaries, tmp_path: Path
) -> None:
    """Neither the sentence nor, as far as frames of ours go, the locals."""
    path = tmp_path / "tapekeeper.toml"
    path.write_bytes(
        text.replace("{key}", canaries.key.reveal()).encode("utf-8", "surrogateescape")
    )
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert not canaries.sits_in(shown(caught.value))


@posix_only
@pytest.mark.parametrize("name", ["gateway.key", "tapekeeper.toml"])
def test_a_file_that_others_may_read_is_refused_without_its_key(
    name: str, canaries: Canaries, tmp_path: Path
) -> None:
    """The mode is told, the content is not."""
    key_file(canaries, tmp_path, mode=0o644)
    line = 'api_key_file = "gateway.key"'
    if name == "tapekeeper.toml":
        line = f'api_key = "{canaries.key.reveal()}"'
    path = tmp_path / "tapekeeper.toml"
    path.write_text(f"[gateway]\n{line}\n", encoding="utf-8")
    path.chmod(0o644)
    del line
    with pytest.raises(ConfigError, match=f"{name} holds an API key.*0644") as caught:
        load_config(path)
    assert not canaries.sits_in(shown(caught.value))


@pytest.mark.parametrize(
    "variable",
    ["TAPEKEEPER_GATWAY__API_KEY", "TAPEKEEPER_GATEWAY", "TAPEKEEPER_GATEWAY__APIKEY"],
)
def test_a_misspelt_variable_does_not_show_its_key(
    variable: str, canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key under a wrong name is told by the name."""
    monkeypatch.setenv(variable, canaries.key.reveal())
    with pytest.raises(ConfigError, match=variable) as caught:
        load_config()
    assert not canaries.sits_in(shown(caught.value))


def shown(error: BaseException) -> str:
    """What a reporter shows of an error: its text, and its traceback with the locals."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "\n".join([*report.format(), str(error), repr(error)])


@linux_only
@pytest.mark.asyncio
async def test_no_process_shows_the_key(canaries: Canaries, tmp_path: Path) -> None:
    """The command has it neither in its arguments nor its environment, and starts no process."""
    key_file(canaries, tmp_path)
    clean = {name: value for name, value in os.environ.items() if "TAPEKEEPER" not in name}
    async with (
        simulated(canaries) as gateway,
        Tap(urlsplit(gateway.urls.rest).port or 0) as tap,
    ):
        config = settings(gateway, tap, tmp_path)
        command = [sys.executable, "-m", "tapekeeper", "run", str(config), "--seconds", "1"]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=clean,
        )
        assert process.stdout is not None
        first = await process.stdout.readline()  # it runs now, and shows its first status
        place = Path(f"/proc/{process.pid}")
        seen = [(name, (place / name).read_bytes()) for name in ("cmdline", "environ")]
        children = (place / "task" / str(process.pid) / "children").read_text()
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"market live" in first
    assert children == ""
    assert canaries.tokens >= 1
    assert canaries.places(iter([*seen, ("output", first + out), ("errors", err)])) == []
