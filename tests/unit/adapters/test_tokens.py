"""Tokens are kept while good, renewed early, and fetched by one caller at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import jwt
import pytest

from tapekeeper.adapters.tokens import DEFAULT_LIFE_S, KeptTokens, KeyLogin, market_data_claim
from tapekeeper.errors import (
    AuthError,
    ConnectFailedError,
    DeadlineError,
    GatewayError,
    OutsideError,
)
from tapekeeper.model.secret import Secret
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_T = TypeVar("_T")
_NS = 1_000_000_000
_SIGNING_KEY = "test-signing-key-not-a-secret-0000"
_KEY = Secret("test-key-not-a-secret")


class _Api:
    """Issues JWTs of `life_s`; `answers` may hold an error for each coming call."""

    def __init__(self, clock: VirtualClock, *, life_s: float = 1000.0) -> None:
        self.clock = clock
        self.life_s = life_s
        self.delay_s = 1.0
        self.calls: list[str] = []
        self.errors: list[OutsideError] = []
        self.validation = "fresh"
        self.readable = True
        self.skew_s = 0.0

    async def login_key(self, user_name: str, api_key: Secret) -> Secret:
        assert (user_name, api_key) == ("test-user", _KEY)
        return await self._answer("login")

    async def validate(self, held: Secret) -> Secret | None:
        token = await self._answer("validate")
        return {"fresh": token, "same": held}.get(self.validation)

    async def _answer(self, name: str) -> Secret:
        self.calls.append(name)
        await self.clock.sleep_s(self.delay_s)
        if self.errors:
            raise self.errors.pop(0)
        if not self.readable:
            return Secret(f"test-opaque-{len(self.calls)}-not-a-secret")
        issued_s = self.clock.now_ns() / _NS + self.skew_s
        claims = {"iat": issued_s, "exp": issued_s + self.life_s, "n": len(self.calls)}
        return Secret(jwt.encode(claims, _SIGNING_KEY, algorithm="HS256"))


def _with(
    scenario: Callable[[KeptTokens, _Api, VirtualClock], Awaitable[_T]],
) -> _T:
    async def main(clock: VirtualClock) -> _T:
        api = _Api(clock)
        return await scenario(KeptTokens(KeyLogin(api, "test-user", _KEY), clock), api, clock)

    return run_virtual(main)


def test_a_token_is_kept_until_a_share_of_its_life_is_over() -> None:
    """Four fifths of its life cost one login; then it is exchanged for a fresh one."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        first = await tokens()
        await clock.sleep_s(799)
        assert await tokens() == first
        await clock.sleep_s(1)
        assert await tokens() != first
        assert api.calls == ["login", "validate"]

    _with(scenario)


@pytest.mark.parametrize("skew_s", [-7 * 3600, 7 * 3600])
def test_the_life_is_read_from_the_token_whatever_the_host_s_clock_says(skew_s: float) -> None:
    """A host that is hours off keeps tokens as long as one that is not."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        api.skew_s = skew_s
        await tokens()
        await clock.sleep_s(799)
        await tokens()
        assert api.calls == ["login"]
        await clock.sleep_s(1)
        await tokens()
        assert api.calls == ["login", "validate"]

    _with(scenario)


def test_an_unreadable_token_lives_a_day() -> None:
    """The documented life serves where the token does not say."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        api.readable = False
        await tokens()
        await clock.sleep_s(DEFAULT_LIFE_S * 0.8 - 1)
        await tokens()
        assert api.calls == ["login"]
        await clock.sleep_s(1)
        await tokens()
        assert api.calls == ["login", "validate"]

    _with(scenario)


def test_concurrent_callers_share_one_login() -> None:
    """Whoever comes while one is under way gets its outcome."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        async with asyncio.TaskGroup() as group:
            callers = [group.create_task(tokens()) for _ in range(10)]
        assert len({caller.result().reveal() for caller in callers}) == 1
        assert api.calls == ["login"]

    _with(scenario)


def test_concurrent_callers_share_a_failure_too() -> None:
    """A refused login is not repeated by each of those who waited for it."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        api.errors = [AuthError("refused", status=200)]
        outcomes = await asyncio.gather(*(tokens() for _ in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [AuthError] * 5
        assert api.calls == ["login"]
        await tokens()  # a later caller tries again
        assert api.calls == ["login", "login"]

    _with(scenario)


def test_cancelling_the_caller_who_logs_in_cancels_nobody_else() -> None:
    """The next one takes over."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        async with asyncio.TaskGroup() as group:
            first, second, third = (group.create_task(tokens()) for _ in range(3))
            await clock.sleep_s(0.5)
            first.cancel()
        assert first.cancelled()
        assert second.result() == third.result()
        assert api.calls == ["login", "login"]

    _with(scenario)


def test_cancelling_a_caller_who_waits_cancels_nobody_else() -> None:
    """Neither the one who logs in nor the others who wait."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        async with asyncio.TaskGroup() as group:
            first, second, third = (group.create_task(tokens()) for _ in range(3))
            await clock.sleep_s(0.5)
            second.cancel()
        assert second.cancelled()
        assert first.result() == third.result()
        assert api.calls == ["login"]

    _with(scenario)


def test_an_invalidated_token_is_replaced_by_a_login() -> None:
    """What the gateway refused is not offered for validation."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        first = await tokens()
        tokens.invalidate(first)
        second = await tokens()
        assert second != first
        tokens.invalidate(first)  # a late complaint about an old token
        assert await tokens() == second
        assert api.calls == ["login", "login"]

    _with(scenario)


@pytest.mark.parametrize("answer", ["none", "same"])
def test_validation_without_a_new_token_leads_to_a_login(answer: str) -> None:
    """The old token would end soon."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        await tokens()
        api.validation = answer
        await clock.sleep_s(900)
        await tokens()
        assert api.calls == ["login", "validate", "login"]

    _with(scenario)


def test_a_revoked_token_leads_to_a_login() -> None:
    """A refused validation is no refusal of the credentials."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        first = await tokens()
        await clock.sleep_s(900)
        api.errors = [AuthError("revoked", status=401)]
        assert await tokens() != first
        assert api.calls == ["login", "validate", "login"]

    _with(scenario)


def test_an_expired_token_is_not_validated() -> None:
    """It could only be refused."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        await tokens()
        await clock.sleep_s(1000)
        await tokens()
        assert api.calls == ["login", "login"]

    _with(scenario)


def test_a_good_token_serves_on_while_the_gateway_is_away() -> None:
    """A renewal that fails does not take away what still works; an expired one is not offered."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        first = await tokens()
        await clock.sleep_s(850)
        api.errors = [ConnectFailedError("away"), ConnectFailedError("away")]
        assert await tokens() == first
        await clock.sleep_s(200)
        with pytest.raises(ConnectFailedError):
            await tokens()

    _with(scenario)


def test_a_good_token_serves_on_while_the_credentials_are_refused() -> None:
    """A key that was revoked ends no connection before its token does, and is not tried often."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        first = await tokens()
        await clock.sleep_s(850)
        api.errors = [AuthError("refused", status=200)] * 100
        for _ in range(100):
            assert await tokens() == first
            await clock.sleep_s(1)
        assert api.calls == ["login", "validate", "login", "validate", "login"]
        await clock.sleep_s(50)
        with pytest.raises(AuthError):
            await tokens()

    _with(scenario)


def test_a_refused_token_is_not_given_because_the_credentials_are_refused_too() -> None:
    """What somebody found to be useless is useless, however long it should have lived."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        first = await tokens()
        tokens.invalidate(first)
        api.errors = [AuthError("refused", status=200)]
        with pytest.raises(AuthError):
            await tokens()

    _with(scenario)


def test_a_renewal_waits_as_long_as_the_gateway_asked_to() -> None:
    """`Retry-After` of a refusal holds for the renewals of a token that is still good."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        first = await tokens()
        await clock.sleep_s(810)
        api.errors = [GatewayError("busy", status=503, retryable=True, retry_after_s=30)] * 9
        for _ in range(100):
            assert await tokens() == first
            await clock.sleep_s(1)
        assert len(api.calls) == 1 + 4

    _with(scenario)


def test_a_token_ages_with_the_wall_clock_while_the_machine_sleeps() -> None:
    """A clock that stood still does not keep a token young."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        await tokens()
        clock.step_wall_ns(2000 * _NS)
        await tokens()
        assert api.calls == ["login", "login"]

    _with(scenario)


def test_a_login_that_hangs_has_a_deadline() -> None:
    """Nobody waits for ever, and the next caller may try again."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        api.delay_s = 1e6
        with pytest.raises(DeadlineError, match="renewing the token took longer than 40 s"):
            await tokens()
        api.delay_s = 1
        await tokens()
        assert tokens.renewals == 2

    _with(scenario)


def test_a_renewal_may_be_asked_for_and_whoever_follows_is_told() -> None:
    """A young token is exchanged all the same, and each new one is told once."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        told: list[Secret] = []
        tokens.on_renewed = told.append
        assert tokens.due_in_s() is None
        first = await tokens()
        assert tokens.due_in_s() == 800
        await clock.sleep_s(300)
        assert tokens.due_in_s() == 500
        second = await tokens.renew()
        assert told == [first, second]
        assert await tokens() == second

    _with(scenario)


def test_a_renewal_that_was_asked_for_says_that_it_failed() -> None:
    """The one who keeps the token must know; the token that is held stays held."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        first = await tokens()
        api.errors = [ConnectFailedError("away")]
        with pytest.raises(ConnectFailedError):
            await tokens.renew()
        assert await tokens() == first

    _with(scenario)


def test_a_failed_renewal_is_not_repeated_by_every_caller() -> None:
    """While the gateway is away, what is held is given at once; it is tried again soon after."""

    async def scenario(tokens: KeptTokens, api: _Api, clock: VirtualClock) -> None:
        first = await tokens()
        await clock.sleep_s(850)
        api.errors = [ConnectFailedError("away")]
        for _ in range(50):
            assert await tokens() == first
        assert api.calls == ["login", "validate"]
        await clock.sleep_s(5)
        assert await tokens() != first

    _with(scenario)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"msd": "CME_TOB"}, "CME_TOB"),
        ({"msd": ["CME_TOB", "CBOT_DEPTH"]}, "CME_TOB, CBOT_DEPTH"),
        ({"msd": 3}, "3"),
        ({"msd": "a\x1b[31m\nb"}, "a?[31m?b"),
        ({"msd": "x" * 1_000}, "x" * 200),
        ({"msd": ""}, None),
        ({"msd": []}, None),
        ({"msd": None}, None),
        ({}, None),
    ],
)
def test_the_entitlement_is_read_from_the_token(
    claims: dict[str, object], said: str | None
) -> None:
    """As one printable line of bounded length, whatever it is."""
    token = Secret(jwt.encode(claims, _SIGNING_KEY, algorithm="HS256"))
    assert market_data_claim(token) == said
    assert market_data_claim(Secret("no-jwt-at-all")) is None
