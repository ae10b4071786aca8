"""A gateway that logs out without end is not stormed; a busy address keeps no other from use."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tapekeeper.core.endpoints import Endpoints
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.errors import ConnectFailedError, OutsideError
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line_values import Arrival, HubCall, LineSpec, LineState
from tapekeeper.runtime.pool import LinePool
from tapekeeper.runtime.pool_values import HandoverReason, PoolHealth, PoolPolicy
from tapekeeper.sim.scripted_hub import Manners, ScriptedConnection, ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_NS = 1_000_000_000
_MES = HubCall("SubscribeContractTrades", ("CON.F.US.MES.Z26",))
_QUOTES = HubCall("SubscribeContractQuotes", _MES.arguments)
_LOGOUT = encode_invocation("GatewayLogout", [])
_A, _B = (f"https://{name}.test/hub" for name in "ab")


class _Tokens:
    """A new token after each invalidation: every one is a login."""

    def __init__(self) -> None:
        self.logins = 0

    async def __call__(self) -> Secret:
        return Secret(f"test-token-{self.logins}-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        self.logins += refused == Secret(f"test-token-{self.logins}-not-a-secret")


class _Inbox:
    def __call__(self, arrival: Arrival, /) -> bool:
        del arrival
        return True

    async def wait_room(self) -> None:
        raise AssertionError("it is never full")


class _Half:
    def random(self) -> float:
        return 0.5


class _Rig:
    def __init__(
        self,
        clock: VirtualClock,
        *plan: Manners | OutsideError,
        policy: PoolPolicy,
        endpoints: Endpoints | None,
    ) -> None:
        self.clock = clock
        self.tokens = _Tokens()
        self.hub = ScriptedHub(clock, *plan)
        self.health: list[PoolHealth] = []
        self.pool = LinePool(
            LineSpec(name="market", hub_url=_A, negotiate=False, backoff_base_ms=200),
            policy,
            transport=self.hub,
            tokens=self.tokens,
            clock=clock,
            random=_Half(),
            inbox=_Inbox(),
            log=self._log,
            numbers=itertools.count(1).__next__,
            endpoints=endpoints,
        )

    def _log(self, event: str, /, **fields: object) -> None:
        if event == "pool_health":
            self.health.append(PoolHealth(str(fields["health"])))

    @property
    def attempts(self) -> list[tuple[float, str]]:
        """When (s) and where it was tried to connect."""
        return [(one.at_ns / _NS, one.url[6:7]) for one in self.hub.attempts]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the pool, and stop it at the end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pool.run())
            yield
            await self.pool.stop()


def _play(
    scenario: Callable[[_Rig], Awaitable[None]],
    *plan: Manners | OutsideError,
    policy: PoolPolicy | None = None,
    endpoints: Endpoints | None = None,
) -> _Rig:
    async def main(clock: VirtualClock) -> _Rig:
        rig = _Rig(clock, *plan, policy=policy or PoolPolicy(), endpoints=endpoints)
        async with rig.running():
            await scenario(rig)
        return rig

    return run_virtual(main)


async def _log_out_for(rig: _Rig, seconds: float, *, drop_after_s: float | None = None) -> None:
    """Log every connection out as soon as it is subscribed, and perhaps end it a little later."""
    told: set[int] = set()
    loop = asyncio.get_running_loop()
    end_ns = rig.clock.monotonic_ns() + round(seconds * _NS)
    while rig.clock.monotonic_ns() < end_ns:
        await rig.clock.sleep_s(0.1)
        for connection in rig.hub.connections:
            if connection.calls and id(connection) not in told:
                told.add(id(connection))
                connection.push(_LOGOUT)
                if drop_after_s is not None:
                    loop.call_later(drop_after_s, connection.drop, "code 1000")


@pytest.mark.parametrize("drop_after_s", [None, 0.05, 3.0])
def test_a_gateway_that_logs_out_every_connection_is_not_stormed(
    drop_after_s: float | None,
) -> None:
    """The first hand-over is at once, each further one waits longer, and the health says so."""

    async def scenario(rig: _Rig) -> None:
        await rig.pool.subscribe(_MES)
        await rig.clock.sleep_s(1)
        await _log_out_for(rig, 600, drop_after_s=drop_after_s)
        assert len(rig.hub.connections) <= 70
        assert rig.tokens.logins <= 70
        assert PoolHealth.DEGRADED in rig.health
        if drop_after_s is None:
            assert rig.pool.status().health is PoolHealth.DEGRADED
            assert rig.pool.status().uncovered_count == 0
            assert "hand-overs in a row were of no use" in rig.pool.status().reason
        await rig.clock.sleep_s(300)
        assert rig.pool.status().health is PoolHealth.UP

    rig = _play(scenario)
    assert rig.attempts[1][0] <= 1.2, "the first one is replaced at once"


def test_a_logout_after_a_calm_time_is_answered_at_once() -> None:
    """A login session may well end once a day; that is no storm."""

    async def scenario(rig: _Rig) -> None:
        await rig.pool.subscribe(_MES)
        for _ in range(3):
            await rig.clock.sleep_s(700)
            rig.hub.connections[-1].push(_LOGOUT)
        await rig.clock.sleep_s(5)
        assert rig.pool.status().handovers == 3

    rig = _play(scenario)
    assert [round(at_s) for at_s, _ in rig.attempts] == [0, 700, 1400, 2100]


def test_two_lines_that_are_logged_out_together_do_not_hold_each_other_up() -> None:
    """Each has a pace of its own: both are replaced within seconds."""

    async def scenario(rig: _Rig) -> None:
        await rig.pool.subscribe(_MES)
        await rig.clock.sleep_s(10)
        for connection in rig.hub.connections:
            connection.push(_LOGOUT)
        await rig.clock.sleep_s(4.9)
        assert rig.pool.status().handovers == 2

    _play(scenario, policy=PoolPolicy(redundancy=2))


def test_a_line_that_is_logged_out_while_it_joins_is_left_at_once() -> None:
    """It serves nobody yet, so nobody replaces it: it does not go on with an ended session."""
    joined: list[ScriptedConnection] = []

    def greet(connection: ScriptedConnection) -> None:
        joined.append(connection)
        asyncio.get_running_loop().call_later(20, connection.push, _LOGOUT)

    async def scenario(rig: _Rig) -> None:
        await rig.pool.subscribe(_MES)
        await rig.pool.subscribe(_QUOTES)
        await rig.clock.sleep_s(100)
        # It is live without one of two subscriptions, so it may not take over yet.
        rig.hub.plan.append(Manners(on_open=greet, ignores=frozenset({_QUOTES.target})))
        rig.pool.request_handover("asked for", HandoverReason.STALE)
        await rig.clock.sleep_s(19)
        assert [line.state for line in rig.pool.status().lines] == [LineState.STALE, LineState.LIVE]
        await rig.clock.sleep_s(2)
        assert joined[0].closed, "the connection of the ended session was given up"
        await rig.clock.sleep_s(60)
        assert [line.state for line in rig.pool.status().lines] == [LineState.LIVE]

    rig = _play(scenario)
    assert rig.tokens.logins == 1


@pytest.mark.parametrize(
    "refusal",
    [
        ConnectFailedError("busy", status=503, retry_after_s=600),
        ConnectFailedError("busy", status=429),
        ConnectFailedError("forbidden", status=403),
    ],
)
def test_what_one_address_asks_for_does_not_keep_from_a_healthy_one(
    refusal: ConnectFailedError,
) -> None:
    """`Retry-After` holds for the address that said it; the fallback is live at once."""

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(3)
        assert rig.pool.status().lines[0].state is LineState.LIVE

    rig = _play(scenario, refusal, endpoints=Endpoints((_A, _B)))
    assert [where for _, where in rig.attempts] == ["a", "b"]


def test_where_every_address_asks_for_patience_the_soonest_is_waited_for() -> None:
    """Nobody is asked before the time it named."""
    plan = [ConnectFailedError("busy", status=503, retry_after_s=wait_s) for wait_s in (300, 40)]

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(60)

    rig = _play(scenario, *plan, endpoints=Endpoints((_A, _B)))
    (_, first), (second_s, second), (third_s, third) = rig.attempts
    assert (first, second, third) == ("a", "b", "b")
    assert 40 <= third_s - second_s <= 41


@pytest.mark.parametrize(("status", "asked_s"), [(403, 300.0), (401, 300.0), (503, 300.0)])
def test_a_single_address_is_left_alone_as_long_as_it_asks(status: int, asked_s: float) -> None:
    """Also where the status alone would have been waited for less."""
    plan = [ConnectFailedError("x", status=status, retry_after_s=asked_s)] * 3

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(1000)

    times_s = [at_s for at_s, _ in _play(scenario, *plan).attempts]
    fresh = 1 if status == 401 else 0  # the first 401 is answered with a fresh token at once
    gaps_s = [after - before for before, after in itertools.pairwise(times_s[fresh:])]
    assert gaps_s
    assert min(gaps_s) >= asked_s
