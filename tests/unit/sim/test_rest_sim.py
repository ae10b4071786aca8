"""The REST side of the simulated gateway, over HTTP on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, RateLimits, SimConfig
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.manual_clock import ManualClock
from tapekeeper.sim.rest import BARS_MAX
from tapekeeper.sim.seeded import Seeded

CREDENTIALS = {"userName": TEST_USER, "apiKey": TEST_API_KEY}


@dataclass
class Client:
    """A gateway on a manual clock, and an HTTP session to it."""

    gateway: SimGateway
    clock: ManualClock
    http: aiohttp.ClientSession
    token: str = ""

    async def post(self, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """Status and decoded answer (text where it is not JSON)."""
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        url = f"{self.gateway.urls.rest}/api/{path}"
        async with self.http.post(url, json=body, headers=headers) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()

    async def login(self) -> str:
        """Log in and use the token from now on."""
        status, answer = await self.post("Auth/loginKey", CREDENTIALS)
        assert status == 200
        self.token = answer["token"]
        return self.token

    async def bars(self, **changes: Any) -> tuple[int, Any]:
        """Ask for the newest ten minutes of the first contract, or for something else."""
        body = {
            "contractId": self.gateway.contracts[0],
            "live": False,
            "startTime": "2026-11-20T00:00:00Z",
            "endTime": "2026-11-21T00:00:00+00:00",
            "unit": 2,
            "unitNumber": 1,
            "limit": 10,
            "includePartialBar": False,
        }
        return await self.post("History/retrieveBars", body | changes)


@asynccontextmanager
async def connected(config: SimConfig | None = None) -> AsyncIterator[Client]:
    """A logged-in client of a fresh gateway."""
    clock = ManualClock()
    async with (
        SimGateway(config or SimConfig(), clock, Seeded(1, "test")) as gateway,
        aiohttp.ClientSession() as http,
    ):
        client = Client(gateway, clock, http)
        await client.login()
        yield client


@pytest.mark.asyncio
@pytest.mark.parametrize("wrong", [{"userName": "nobody"}, {"apiKey": "wrong-key-not-a-secret"}])
async def test_wrong_credentials_are_a_business_failure(wrong: dict[str, str]) -> None:
    """200 with `success: false`, code 3, and no token; both mistakes look the same."""
    async with connected() as client:
        status, answer = await client.post("Auth/loginKey", CREDENTIALS | wrong)
        assert (status, answer["success"], answer["errorCode"]) == (200, False, 3)
        assert answer["token"] is None
        assert client.gateway.statistics().logins_refused == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [None, [], {"userName": "x"}, {"userName": 1, "apiKey": 2}])
async def test_an_unreadable_login_is_a_bad_request(body: Any) -> None:
    """A missing or mistyped member is 400, before any question of credentials."""
    async with connected() as client:
        status, _ = await client.post("Auth/loginKey", body)
        assert status == 400


@pytest.mark.asyncio
async def test_tokens_are_needed_expire_and_are_renewed_by_validate() -> None:
    """401 without one and after its life; `newToken` lives on when the old one has ended."""
    async with connected(SimConfig(token_life_s=100.0)) as client:
        assert (await client.post("Account/search", {}, token=""))[0] == 401
        assert (await client.post("Account/search", {}, token="x.y.z"))[0] == 401
        client.clock.advance(60.0)
        status, answer = await client.post("Auth/validate")
        assert (status, answer["success"], answer["errorCode"]) == (200, True, 0)
        client.clock.advance(60.0)
        assert (await client.post("Account/search", {}))[0] == 401
        assert (await client.post("Account/search", {}, token=answer["newToken"]))[0] == 200
        assert client.gateway.statistics().unauthorized == 3


@pytest.mark.asyncio
async def test_the_challenge_says_what_is_wrong_with_a_token() -> None:
    """`WWW-Authenticate` is bare without a token and names the error with a bad one."""
    async with connected() as client:
        url = f"{client.gateway.urls.rest}/api/Auth/validate"
        async with client.http.post(url) as answer:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        async with client.http.post(url, headers={"Authorization": "bearer x"}) as answer:
            assert answer.headers["WWW-Authenticate"] == (
                'Bearer error="invalid_token", error_description="The signature is invalid"'
            )


@pytest.mark.asyncio
async def test_logging_out_ends_the_session() -> None:
    """The token is refused from then on."""
    async with connected() as client:
        assert (await client.post("Auth/logout"))[1]["success"] is True
        assert (await client.post("Auth/validate"))[0] == 401


@pytest.mark.asyncio
async def test_what_the_gateway_does_not_have_is_not_found() -> None:
    """Orders and the like answer 404; a known path with another method answers 405."""
    async with connected() as client:
        for path in ("Order/place", "Order/searchOpen", "Position/searchOpen", "Trade/search"):
            assert (await client.post(path, {}))[0] == 404
        async with client.http.get(f"{client.gateway.urls.rest}/api/Account/search") as answer:
            assert answer.status == 405
        async with client.http.get(f"{client.gateway.urls.rest}/api/Status/ping") as answer:
            assert (answer.status, await answer.text()) == (200, "pong")


@pytest.mark.asyncio
async def test_there_is_one_simulated_account() -> None:
    """Unknown request members are ignored, as on the real gateway."""
    async with connected() as client:
        _, answer = await client.post("Account/search", {"onlyActiveAccounts": True, "typo": 1})
        (account,) = answer["accounts"]
        assert account["canTrade"] is True
        assert account["simulated"] is True


@pytest.mark.asyncio
async def test_contracts_are_found_by_text_by_id_and_as_available() -> None:
    """Search is fuzzy, ids are exact, an unknown id is code 1, the next expiry is known by id."""
    async with connected() as client:
        _, answer = await client.post("Contract/search", {"searchText": "mes", "live": False})
        assert [one["id"] for one in answer["contracts"]] == ["CON.F.US.MES.Z26"]
        assert answer["contracts"][0]["tickSize"] == 0.25
        _, answer = await client.post("Contract/available", {"live": True})
        assert {one["symbolId"] for one in answer["contracts"]} == {
            "F.US.MES",
            "F.US.MNQ",
            "F.US.MGC",
            "F.US.MCLE",
        }
        _, answer = await client.post("Contract/searchById", {"contractId": "CON.F.US.MES.H27"})
        assert answer["contract"]["activeContract"] is False
        _, answer = await client.post("Contract/searchById", {"contractId": "CON.F.US.X.H27"})
        assert (answer["success"], answer["errorCode"], answer["contract"]) == (False, 1, None)


@pytest.mark.asyncio
async def test_the_wrong_data_tier_is_empty_and_not_an_error() -> None:
    """`live` that does not fit yields empty lists."""
    async with connected(SimConfig(live_tier=True)) as client:
        _, answer = await client.post("Contract/search", {"searchText": "mes", "live": False})
        assert (answer["success"], answer["contracts"]) == (True, [])
        _, answer = await client.bars(live=False)
        assert (answer["success"], answer["bars"]) == (True, [])
        _, answer = await client.bars(live=True)
        assert len(answer["bars"]) == 10


@pytest.mark.asyncio
async def test_bars_come_newest_first_and_without_the_unfinished_one() -> None:
    """`t` is the start; the range is inclusive, so paging back repeats one bar."""
    async with connected() as client:
        _, answer = await client.bars()
        starts = [parse_ns(bar["t"]) for bar in answer["bars"]]
        assert len(starts) == 10
        assert starts == sorted(starts, reverse=True)
        assert max(starts) < client.clock.now_ns()
        assert set(answer["bars"][0]) == {"t", "o", "h", "l", "c", "v"}
        _, page = await client.bars(endTime=answer["bars"][-1]["t"])
        assert page["bars"][0] == answer["bars"][-1]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"contractId": "CON.F.US.NONE.Z26"}, 1),
        ({"unit": 0}, 2),
        ({"unit": 9}, 2),
        ({"unitNumber": 0}, 3),
        ({"unitNumber": -5}, 3),
        ({"unit": 3, "unitNumber": 24}, 3),
        ({"limit": 0}, 4),
        ({"limit": BARS_MAX + 1}, 4),
    ],
)
async def test_bars_refuse_what_cannot_be_answered(changes: dict[str, Any], code: int) -> None:
    """Each mistake has its error code, in a 200 answer."""
    async with connected() as client:
        status, answer = await client.bars(**changes)
        assert (status, answer["success"], answer["errorCode"]) == (200, False, code)


@pytest.mark.asyncio
async def test_bars_of_every_unit_are_served_up_to_the_limit() -> None:
    """Seconds to months; the largest limit is accepted."""
    async with connected(SimConfig(history_days=2)) as client:
        for unit in range(1, 7):
            status, answer = await client.bars(
                unit=unit, limit=BARS_MAX, startTime="2020-01-01T00:00:00Z"
            )
            assert status == 200
            assert answer["success"] is True
            if unit <= 4:
                assert answer["bars"]
        _, answer = await client.bars(unit=2, limit=BARS_MAX, startTime="2020-01-01T00:00:00Z")
        assert len(answer["bars"]) == 2 * 1_440


@pytest.mark.asyncio
async def test_an_unreadable_time_is_a_bad_request() -> None:
    """A time without a zone is not a time."""
    async with connected() as client:
        assert (await client.bars(startTime="2026-11-20T00:00:00"))[0] == 400
        assert (await client.bars(limit="many"))[0] == 400


@pytest.mark.asyncio
async def test_too_many_requests_are_refused_with_the_time_to_wait() -> None:
    """History has a limit of its own; after `Retry-After` the next request passes."""
    rates = RateLimits(history_requests=2, history_window_s=30.0, rest_requests=3)
    async with connected(SimConfig(rates=rates, history_days=1)) as client:
        assert [(await client.bars())[0] for _ in range(3)] == [200, 200, 429]
        url = f"{client.gateway.urls.rest}/api/History/retrieveBars"
        headers = {"Authorization": f"Bearer {client.token}"}
        async with client.http.post(url, headers=headers) as answer:
            assert answer.headers["Retry-After"] == "30"
        statuses = [(await client.post("Account/search", {}))[0] for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        client.clock.advance(30.0)
        assert (await client.bars())[0] == 200
        assert (await client.post("Account/search", {}))[0] == 429
        client.clock.advance(30.0)
        assert (await client.post("Account/search", {}))[0] == 200
        assert client.gateway.statistics().rate_limited == 4


@pytest.mark.asyncio
async def test_logins_are_limited_before_the_credentials_are_looked_at() -> None:
    """Guessing keys runs into 429."""
    async with connected(SimConfig(rates=RateLimits(rest_requests=3))) as client:
        wrong = CREDENTIALS | {"apiKey": "wrong-key-not-a-secret"}
        assert [(await client.post("Auth/loginKey", wrong))[0] for _ in range(3)] == [200, 200, 429]


@pytest.mark.asyncio
async def test_refusals_on_demand_last_as_long_as_planned() -> None:
    """The next N logins or requests get the status; then everything is as before."""
    async with connected() as client:
        client.gateway.faults.refuse(Door.LOGIN, 2, 503, retry_after_s=7)
        client.gateway.faults.refuse(Door.REST, 1, 500)
        assert [(await client.post("Auth/loginKey", CREDENTIALS))[0] for _ in range(3)] == [
            503,
            503,
            200,
        ]
        assert [(await client.post("Account/search", {}))[0] for _ in range(2)] == [500, 200]
