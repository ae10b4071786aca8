"""The REST adapter asks as documented, within the gateway's limits, and maps every refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.http_session import open_session
from tapekeeper.adapters.rest import (
    REST_BREAKER,
    GatewayAuth,
    GatewayRest,
    RestCaller,
    Retry,
)
from tapekeeper.core.breaker import BreakerPolicy, BreakerState
from tapekeeper.core.gateway.rest_payloads import BarUnit, Operation
from tapekeeper.errors import (
    AuthError,
    ConnectFailedError,
    DeadlineError,
    GatewayError,
    RateLimitError,
)
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock
from tapekeeper.sim.manual_clock import ManualClock
from tapekeeper.sim.seeded import Seeded

_NS = 1_000_000_000
_CONTRACT = {
    "id": "CON.F.US.MES.Z26",
    "name": "MESZ6",
    "description": "Micro E-mini S&P 500",
    "tickSize": 0.25,
    "tickValue": 1.25,
    "activeContract": True,
    "symbolId": "F.US.MES",
}


class _Gateway:
    """Answers by path from `answers` (status, body, headers), and remembers what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, Any], dict[str, str]]]] = {}
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []

    def answer(
        self, path: str, status: int = 200, /, *, wait_s: int | None = 7, **members: object
    ) -> None:
        body = {"success": True, "errorCode": 0, "errorMessage": None} | members
        headers = {} if wait_s is None else {"Retry-After": str(wait_s)}
        self.answers.setdefault(path, []).append((status, body, headers))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        path = request.path.removeprefix("/api/")
        bearer = request.headers.get("Authorization")
        self.asked.append((path, bearer, json.loads(text) if text else {}))
        answers = self.answers[path]
        status, body, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.json_response(body, status=status, headers=headers)


class _Tokens:
    """Gives a new token after each invalidation."""

    def __init__(self) -> None:
        self.refused: list[Secret] = []

    async def __call__(self) -> Secret:
        return Secret(f"test-token-{len(self.refused)}-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        self.refused.append(refused)


class _Patience:
    """A clock that notes how long it should have slept, and does not."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    def now_ns(self) -> int:
        """Not asked."""
        raise AssertionError("no wall clock has a part in this")

    def monotonic_ns(self) -> int:
        """Stands still."""
        return 0

    async def sleep_s(self, delay_s: float) -> None:
        """Take note."""
        self.slept_s.append(delay_s)


@asynccontextmanager
async def _serving(
    gateway: _Gateway, *, clock: Clock | None = None, breaker: BreakerPolicy = REST_BREAKER
) -> AsyncIterator[RestCaller]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gateway.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with open_session() as session:
            yield RestCaller(session, url, clock or SystemClock(), timeout_s=5, breaker=breaker)
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
async def test_login_validation_and_logout() -> None:
    """The key is in the body of the login only; the token is in the header of the others."""
    gateway = _Gateway()
    gateway.answer("Auth/loginKey", token="test-a-not-a-secret")
    gateway.answer("Auth/validate", newToken="test-b-not-a-secret")
    gateway.answer("Auth/logout")
    async with _serving(gateway) as caller:
        auth = GatewayAuth(caller)
        first = await auth.login_key("test-user", Secret("test-key-not-a-secret"))
        second = await auth.validate(first)
        assert second == Secret("test-b-not-a-secret")
        await auth.logout(second)
    login = {"userName": "test-user", "apiKey": "test-key-not-a-secret"}
    assert gateway.asked == [
        ("Auth/loginKey", None, login),
        ("Auth/validate", "Bearer test-a-not-a-secret", {}),
        ("Auth/logout", "Bearer test-b-not-a-secret", {}),
    ]


@pytest.mark.asyncio
async def test_contracts_are_found_by_text_by_id_and_listed() -> None:
    """The directory gives instruments; the data tier goes with every search."""
    gateway = _Gateway()
    gateway.answer("Contract/search", contracts=[_CONTRACT])
    gateway.answer("Contract/available", contracts=[_CONTRACT])
    gateway.answer("Contract/searchById", contract=_CONTRACT)
    async with _serving(gateway) as caller:
        rest = GatewayRest(caller, _Tokens(), live=True)
        found = await rest.search("MES")
        assert found == await rest.available() == [await rest.by_id("CON.F.US.MES.Z26")]
    assert (found[0].name, found[0].tick_size, found[0].product) == ("MESZ6", 0.25, "MES")
    assert [body for _, _, body in gateway.asked] == [
        {"searchText": "MES", "live": True},
        {"live": True},
        {"contractId": "CON.F.US.MES.Z26"},
    ]


@pytest.mark.asyncio
async def test_an_unknown_id_is_none_and_not_an_error() -> None:
    """The gateway's ContractNotFound is an answer."""
    gateway = _Gateway()
    gateway.answer("Contract/searchById", success=False, errorCode=1, contract=None)
    async with _serving(gateway) as caller:
        assert await GatewayRest(caller, _Tokens()).by_id("CON.F.US.XX.Z26") is None


@pytest.mark.asyncio
async def test_accounts_are_listed() -> None:
    """Whether closed ones are wanted goes along."""
    gateway = _Gateway()
    gateway.answer("Account/search", accounts=[{"id": 7, "name": "TEST", "balance": 1.5}])
    async with _serving(gateway) as caller:
        (account,) = await GatewayRest(caller, _Tokens()).accounts(only_active=False)
    assert (account.id, account.name, account.balance) == (7, "TEST", 1.5)
    assert gateway.asked[0][2] == {"onlyActiveAccounts": False}


@pytest.mark.asyncio
async def test_a_page_of_bars_comes_oldest_first() -> None:
    """Times travel as ISO text in UTC."""
    gateway = _Gateway()
    bar = {"o": 1.0, "h": 2.0, "l": 0.5, "c": 1.5, "v": 9}
    newest_first = [{"t": "2026-01-05T15:01:00+00:00"} | bar, {"t": "2026-01-05T15:00:00Z"} | bar]
    gateway.answer("History/retrieveBars", bars=newest_first)
    start_ns = 1_767_625_200 * _NS
    async with _serving(gateway) as caller:
        bars = await GatewayRest(caller, _Tokens()).retrieve_bars(
            "CON.F.US.MES.Z26", start_ns=start_ns, end_ns=start_ns + 60 * _NS, unit=BarUnit.MINUTE
        )
    assert [bar.ts_open - start_ns for bar in bars] == [0, 60 * _NS]
    assert (bars[0].o, bars[0].h, bars[0].l, bars[0].c, bars[0].v) == (1.0, 2.0, 0.5, 1.5, 9)
    asked = gateway.asked[0][2]
    assert asked["startTime"].startswith("2026-01-05T15:00:00")
    assert (asked["unit"], asked["unitNumber"], asked["limit"]) == (2, 1, 20_000)


@pytest.mark.asyncio
async def test_a_refused_token_is_renewed_once_within_the_call() -> None:
    """A 401 costs one renewal; the second one is the caller's."""
    gateway = _Gateway()
    gateway.answer("Contract/search", 401)
    gateway.answer("Contract/search", contracts=[])
    gateway.answer("Contract/search", 401)
    tokens = _Tokens()
    async with _serving(gateway) as caller:
        rest = GatewayRest(caller, tokens)
        assert await rest.search("MES") == []
        assert tokens.refused == [Secret("test-token-0-not-a-secret")]
        with pytest.raises(AuthError):
            await rest.search("MES")
    assert [bearer for _, bearer, _ in gateway.asked] == [
        f"Bearer test-token-{n}-not-a-secret" for n in (0, 1, 1, 2)
    ]


@pytest.mark.asyncio
async def test_too_many_requests_say_how_long_to_wait() -> None:
    """The gateway's `Retry-After` is on the error."""
    gateway = _Gateway()
    gateway.answer("Contract/search", 429)
    async with _serving(gateway) as caller:
        with pytest.raises(RateLimitError) as caught:
            await GatewayRest(caller, _Tokens()).search("MES")
    assert caught.value.retry_after_s == 7.0


@pytest.mark.asyncio
async def test_a_business_refusal_is_an_error_of_one_sentence() -> None:
    """Status 200 with `success: false` is a refusal, and so is a login's."""
    gateway = _Gateway()
    gateway.answer("Contract/search", success=False, errorCode=9, errorMessage="no")
    gateway.answer("Auth/loginKey", success=False, errorCode=3)
    async with _serving(gateway) as caller:
        with pytest.raises(GatewayError, match="Contract/search: the gateway refused"):
            await GatewayRest(caller, _Tokens()).search("MES")
        with pytest.raises(AuthError, match="InvalidCredentials"):
            await GatewayAuth(caller).login_key("test-user", Secret("test-bad-not-a-secret"))


@pytest.mark.asyncio
async def test_ping_tells_an_answer_from_a_refusal() -> None:
    """It needs no token."""
    gateway = _Gateway()
    gateway.answer("Status/ping")
    gateway.answer("Status/ping", 503)
    async with _serving(gateway) as caller:
        rest = GatewayRest(caller, _Tokens())
        await rest.ping()
        with pytest.raises(GatewayError) as caught:
            await rest.ping()
    assert (caught.value.status, caught.value.retryable) == (503, True)
    assert gateway.asked[0][1] is None


@pytest.mark.asyncio
async def test_no_answer_is_a_failed_connection_without_the_key() -> None:
    """A gateway that is away is named by its place only."""
    async with open_session() as session:
        caller = RestCaller(session, "http://127.0.0.1:1", SystemClock())
        with pytest.raises(ConnectFailedError, match=r"127\.0\.0\.1:1/api/Auth/loginKey") as caught:
            await GatewayAuth(caller).login_key("test-user", Secret("test-key-not-a-secret"))
    assert "test-key" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.asyncio
async def test_a_late_answer_meets_the_deadline() -> None:
    """Every request is bounded."""

    class Hanging(_Gateway):
        async def handle(self, request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

    async with _serving(Hanging()) as caller:
        caller._timeout_s = 0.05
        with pytest.raises(DeadlineError, match=r"took longer than 0.05 s"):
            await caller.ping()


@pytest.mark.asyncio
async def test_what_only_reads_is_asked_again_where_that_can_help() -> None:
    """After 503 and 429, with growing random delays, and as long as the gateway asks for."""
    gateway, patience = _Gateway(), _Patience()
    gateway.answer("Contract/search", 503, wait_s=None)
    gateway.answer("Contract/search", 429)
    gateway.answer("Contract/search", contracts=[_CONTRACT])
    async with _serving(gateway) as caller:
        retry = Retry(patience, Seeded(1, "retry"))
        assert len(await GatewayRest(caller, _Tokens(), retry=retry).search("MES")) == 1
    first_s, second_s = patience.slept_s
    assert 0 <= first_s < 0.5
    assert 7 <= second_s < 8


@pytest.mark.asyncio
async def test_asking_again_has_an_end() -> None:
    """Three attempts, and then the caller is told."""
    gateway = _Gateway()
    gateway.answer("Contract/search", 503, wait_s=None)
    async with _serving(gateway) as caller:
        rest = GatewayRest(caller, _Tokens(), retry=Retry(_Patience(), Seeded(1, "retry")))
        with pytest.raises(GatewayError, match="status 503"):
            await rest.search("MES")
    assert len(gateway.asked) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "wait_s", "members"),
    [
        (400, None, {}),
        (403, None, {}),
        (200, None, {"success": False, "errorCode": 9}),
        (429, 16, {}),
    ],
)
async def test_what_a_retry_cannot_help_is_asked_once(
    status: int, wait_s: int | None, members: dict[str, object]
) -> None:
    """A refusal stays one, and nobody waits longer than is bearable."""
    gateway, patience = _Gateway(), _Patience()
    gateway.answer("Account/search", status, wait_s=wait_s, **members)
    async with _serving(gateway) as caller:
        rest = GatewayRest(caller, _Tokens(), retry=Retry(patience, Seeded(1, "retry")))
        with pytest.raises(GatewayError):
            await rest.accounts()
    assert (len(gateway.asked), patience.slept_s) == (1, [])


@pytest.mark.asyncio
async def test_a_login_is_never_repeated() -> None:
    """It makes a session; neither the login itself nor a read that needs one asks twice."""
    gateway = _Gateway()
    gateway.answer("Auth/loginKey", 503, wait_s=None)
    async with _serving(gateway) as caller:
        auth = GatewayAuth(caller)

        class Tokens(_Tokens):
            async def __call__(self) -> Secret:
                return await auth.login_key("test-user", Secret("test-key-not-a-secret"))

        retry = Retry(_Patience(), Seeded(1, "retry"))
        with pytest.raises(GatewayError, match="Auth/loginKey"):
            await GatewayRest(caller, Tokens(), retry=retry).search("MES")
    assert [path for path, _, _ in gateway.asked] == ["Auth/loginKey"]


@pytest.mark.asyncio
async def test_a_gateway_that_fails_in_a_row_is_left_alone_for_a_while() -> None:
    """Nothing is sent while the breaker is open; then one probe finds out."""
    gateway, clock = _Gateway(), ManualClock()
    for _ in range(2):
        gateway.answer("Contract/search", 503, wait_s=None)
    gateway.answer("Contract/search", contracts=[])
    second_ns = 1_000_000_000
    policy = BreakerPolicy(failures_max=2, cool_down_ns=5 * second_ns)
    async with _serving(gateway, clock=clock, breaker=policy) as caller:
        rest = GatewayRest(caller, _Tokens())
        for _ in range(2):
            with pytest.raises(GatewayError, match="503"):
                await rest.search("MES")
        clock.advance(3)
        with pytest.raises(ConnectFailedError, match="failed 2 times in a row") as caught:
            await rest.search("MES")
        assert caught.value.retry_after_s == 2.0
        assert len(gateway.asked) == 2
        clock.advance(2)
        assert await rest.search("MES") == []
        assert caller.health().state is BreakerState.CLOSED


@pytest.mark.asyncio
async def test_refusals_do_not_open_the_breaker() -> None:
    """A gateway that says no is there."""
    gateway = _Gateway()
    gateway.answer("Contract/search", 429)
    async with _serving(gateway, breaker=BreakerPolicy(failures_max=1)) as caller:
        for _ in range(3):
            with pytest.raises(RateLimitError):
                await GatewayRest(caller, _Tokens()).search("MES")
        assert caller.health().failed == 0


@pytest.mark.asyncio
async def test_a_ping_is_sent_although_the_breaker_is_open() -> None:
    """It is how one finds out; its success lets everybody through again."""
    gateway = _Gateway()
    gateway.answer("Contract/search", 500)
    gateway.answer("Status/ping")
    async with _serving(gateway, breaker=BreakerPolicy(failures_max=1)) as caller:
        rest = GatewayRest(caller, _Tokens())
        with pytest.raises(GatewayError, match="500"):
            await rest.search("MES")
        assert caller.health().state is BreakerState.OPEN
        await rest.ping()
        assert caller.health().state is BreakerState.CLOSED


@pytest.mark.asyncio
async def test_no_key_is_sent_where_others_could_read_it() -> None:
    """Plain http to another machine is refused before anything is sent."""
    async with open_session() as session:
        caller = RestCaller(session, "http://gateway.invalid", SystemClock(), timeout_s=5)
        with pytest.raises(ConnectFailedError, match="is not encrypted"):
            await GatewayAuth(caller).login_key("test-user", Secret("test-key-not-a-secret"))


@pytest.mark.asyncio
@pytest.mark.parametrize("operation", list(Operation))
async def test_what_changes_something_is_asked_once(operation: Operation) -> None:
    """A login, a validation and a logout are not repeated; everything else only reads."""
    gateway = _Gateway()
    gateway.answer(operation.value, 503, wait_s=None)
    changes = {Operation.LOGIN_KEY, Operation.VALIDATE, Operation.LOGOUT}
    async with _serving(gateway) as caller:
        rest = GatewayRest(caller, _Tokens(), retry=Retry(_Patience(), Seeded(1, "jitter")))
        with pytest.raises(GatewayError, match="503"):
            await rest._call(operation, b"{}")
    assert len(gateway.asked) == (1 if operation in changes else 3)


@pytest.mark.asyncio
async def test_an_operation_that_no_token_helps_does_not_log_in_for_ever() -> None:
    """One renewal, then none for a quarter of an hour; others renew as before."""
    clock = ManualClock()
    gateway = _Gateway()
    gateway.answer("Contract/search", 401)
    tokens = _Tokens()
    async with _serving(gateway, clock=clock) as caller:
        rest = GatewayRest(caller, tokens)
        for _ in range(20):
            with pytest.raises(AuthError):
                await rest.search("MES")
        assert len(tokens.refused) == 1
        clock.advance(900)
        for _ in range(20):
            with pytest.raises(AuthError):
                await rest.search("MES")
        assert len(tokens.refused) == 2
        gateway.answer("Contract/available", 401)
        gateway.answer("Contract/available", contracts=[])
        assert await rest.available() == []
        assert len(tokens.refused) == 3


@pytest.mark.asyncio
async def test_an_operation_that_works_again_may_renew_again() -> None:
    """What was in vain is forgotten with the next success."""
    gateway = _Gateway()
    for status in (401, 401, 200, 401, 200):
        gateway.answer("Contract/search", status, contracts=[])
    tokens = _Tokens()
    async with _serving(gateway) as caller:
        rest = GatewayRest(caller, tokens)
        with pytest.raises(AuthError):
            await rest.search("MES")
        assert await rest.search("MES") == []
        assert await rest.search("MES") == []
    assert len(tokens.refused) == 2


@pytest.mark.asyncio
async def test_a_busy_gateway_says_how_long_to_wait_with_any_status() -> None:
    """A login that is to come later is not only one that was answered with 429."""
    for status in (401, 403, 500, 503):
        gateway = _Gateway()
        gateway.answer("Auth/loginKey", status, wait_s=120)
        async with _serving(gateway) as caller:
            with pytest.raises(GatewayError) as caught:
                await GatewayAuth(caller).login_key("test-user", Secret("test-key-not-a-secret"))
        assert caught.value.retry_after_s == 120
