"""A line, the token source and REST against the simulated gateway over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.http_session import open_session
from tapekeeper.adapters.rest import GatewayAuth, GatewayRest, RestCaller
from tapekeeper.adapters.token_forms import Auth, TokenForms
from tapekeeper.adapters.tokens import KeptTokens, KeyLogin
from tapekeeper.adapters.websocket import AiohttpTransport
from tapekeeper.core.gateway.rest_payloads import match_contract
from tapekeeper.core.signalr.session import SessionTimers
from tapekeeper.errors import AuthError, InvocationError
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line_values import HubCall
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.seeded import Seeded
from tests.integration.followed_line import CountingInbox, log, market_line


class _Setting:
    """A line on the market hub of a gateway, and what it is made of."""

    def __init__(
        self,
        gateway: SimGateway,
        session: aiohttp.ClientSession,
        *,
        auth: Auth,
        negotiate: bool,
        timers: SessionTimers,
    ) -> None:
        clock = SystemClock()
        caller = RestCaller(session, gateway.urls.rest, clock)
        self.gateway = gateway
        login = KeyLogin(GatewayAuth(caller), TEST_USER, Secret(TEST_API_KEY))
        self.tokens = KeptTokens(login, clock)
        self.rest = GatewayRest(caller, self.tokens)
        self.inbox = CountingInbox()
        self.line = market_line(
            gateway.urls.market_hub,
            self.inbox,
            transport=AiohttpTransport(session, TokenForms(auth, log)),
            tokens=self.tokens,
            timers=timers,
            negotiate=negotiate,
        )

    async def subscribe(self, call: HubCall) -> None:
        """Want `call`, and wait for what the hub says to it."""
        with self.inbox.answers.waiting(call) as answer:
            self.line.want(call)
            await answer

    async def live_again(self, times: int) -> None:
        await self.inbox.until(lambda: self.inbox.lives >= times)


_BUSY = SimConfig(speed=100.0, products=("MES", "MNQ"))


@asynccontextmanager
async def _running(
    config: SimConfig = _BUSY,
    *,
    auth: Auth = "header",
    negotiate: bool = True,
    timers: SessionTimers | None = None,
) -> AsyncIterator[_Setting]:
    async with (
        SimGateway(config, SystemClock(), Seeded(1, "gateway")) as gateway,
        open_session() as session,
        asyncio.TaskGroup() as group,
    ):
        setting = _Setting(
            gateway, session, auth=auth, negotiate=negotiate, timers=timers or SessionTimers()
        )
        group.create_task(setting.line.run())
        yield setting
        await setting.line.stop()


def _trades(contract_id: str) -> HubCall:
    return HubCall("SubscribeContractTrades", (contract_id,))


@pytest.mark.asyncio
@pytest.mark.parametrize("negotiate", [True, False])
@pytest.mark.parametrize("auth", ["header", "query"])
async def test_every_trade_that_was_sent_arrives(auth: Auth, negotiate: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Either way of connecting and of showing the token gives the whole tape."""
    config = replace(_BUSY, allow_query_token=True, speed="max", trades_max=2_000)
    async with _running(config, auth=auth, negotiate=negotiate) as setting:
        for contract_id in setting.gateway.contracts:
            await setting.subscribe(_trades(contract_id))
        await setting.inbox.until(lambda: setting.inbox.trades.total() >= 4_000)
        assert setting.inbox.trades == setting.gateway.statistics().trades_sent
        assert setting.line.status().connections == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["drop", "close", "close for good", "garbage"])
async def test_the_line_comes_back_from_every_end_of_a_connection(fault: str) -> None:
    """It is live again, subscribed, and data flows."""
    async with _running() as setting:
        contract_id = setting.gateway.contracts[0]
        await setting.subscribe(_trades(contract_id))
        faults = setting.gateway.faults
        match fault:
            case "drop":
                faults.drop_all("market")
            case "close":
                faults.close_all("market", error="restart", allow_reconnect=True)
            case "close for good":
                faults.close_all("market", error="bye")
            case _:
                faults.send_raw(b"x\x1ey\x1ez\x1e", "market")
        await setting.live_again(2)
        await setting.inbox.more_trades()
        assert setting.line.status().unconfirmed == ()


@pytest.mark.asyncio
async def test_a_silent_connection_is_left_for_a_new_one() -> None:
    """A half-open connection is found by its silence."""
    short = SessionTimers(server_timeout_ns=300_000_000, keep_alive_ns=100_000_000)
    async with _running(timers=short) as setting:
        contract_id = setting.gateway.contracts[0]
        await setting.subscribe(_trades(contract_id))
        setting.gateway.faults.go_silent("market")
        await setting.live_again(2)
        assert "server_timeout" in {step.cause for step in setting.inbox.steps}


@pytest.mark.asyncio
async def test_a_refused_upgrade_renews_the_token_once() -> None:
    """One 401 costs one renewal; the tokens in use are the gateway's own."""
    async with _running() as setting:
        await setting.live_again(1)
        setting.gateway.faults.refuse(Door.UPGRADE, 1, 401)
        setting.gateway.faults.drop_all("market")
        await setting.live_again(2)
        assert setting.tokens.renewals == 2


@pytest.mark.asyncio
async def test_a_gateway_in_trouble_is_asked_again_until_it_answers() -> None:
    """Refused logins, negotiations and upgrades are survived."""
    async with _running() as setting:
        await setting.live_again(1)
        for door in (Door.NEGOTIATE, Door.UPGRADE):
            setting.gateway.faults.refuse(door, 2, 503)
        setting.gateway.faults.drop_all("market")
        await setting.live_again(2)
        assert setting.line.status().attempts == 6


@pytest.mark.asyncio
async def test_an_unknown_contract_is_refused_by_the_hub() -> None:
    """The caller learns it, and the others are not affected."""
    async with _running() as setting:
        with pytest.raises(InvocationError, match="the hub refused SubscribeContractTrades"):
            await setting.subscribe(_trades("CON.F.US.NONE.Z26"))
        await setting.subscribe(_trades(setting.gateway.contracts[0]))
        assert setting.line.status().connections == 1


@pytest.mark.asyncio
async def test_unsubscribing_ends_the_data() -> None:
    """The hub takes the undo, and the subscription is not made again."""
    async with _running() as setting:
        contract_id = setting.gateway.contracts[0]
        await setting.subscribe(_trades(contract_id))
        undo = HubCall("UnsubscribeContractTrades", (contract_id,))
        await setting.line.unsubscribe(_trades(contract_id), undo)
        assert setting.line.status().subscriptions == 0
        setting.gateway.faults.drop_all("market")
        await setting.live_again(2)
        assert setting.line.status().subscriptions == 0


@pytest.mark.asyncio
async def test_rest_finds_contracts_and_accounts() -> None:
    """The directory and the account list work with the same token as the hub."""
    async with _running() as setting:
        await setting.rest.ping()
        found = await setting.rest.search("MES")
        contract = match_contract("MES", found)
        assert await setting.rest.by_id(contract.contract_id) == contract
        assert await setting.rest.by_id("CON.F.US.NONE.Z26") is None
        assert await setting.rest.accounts()
        assert setting.tokens.renewals == 1


@pytest.mark.asyncio
async def test_wrong_credentials_are_refused_in_a_sentence() -> None:
    """The error names the reason and not the key."""
    async with _running() as setting, open_session() as session:
        caller = RestCaller(session, setting.gateway.urls.rest, SystemClock())
        with pytest.raises(AuthError, match="Auth/loginKey") as caught:
            await GatewayAuth(caller).login_key(TEST_USER, Secret("test-wrong-not-a-secret"))
    assert "test-wrong" not in str(caught.value)
