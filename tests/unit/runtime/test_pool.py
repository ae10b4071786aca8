"""A pool replaces its lines before they stop to work, and says what no line covered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tapekeeper.core.endpoints import Endpoints
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.errors import (
    ConnectFailedError,
    ConnectionLostError,
    DeadlineError,
    InvocationError,
    OutsideError,
    UsageError,
)
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line_values import Arrival, HubCall, Inbound, LineSpec, LineState
from tapekeeper.runtime.pool import LinePool
from tapekeeper.runtime.pool_values import (
    Acknowledgement,
    HandoverReason,
    PoolHealth,
    PoolPolicy,
)
from tapekeeper.sim.scripted_hub import Manners, ScriptedConnection, ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_NS = 1_000_000_000
_HUB = "https://hub.test/hubs/market"
_MES = HubCall("SubscribeContractTrades", ("CON.F.US.MES.Z26",))
_MNQ = HubCall("SubscribeContractTrades", ("CON.F.US.MNQ.Z26",))
_UNDO = HubCall("UnsubscribeContractTrades", _MES.arguments)
_LOGOUT = encode_invocation("GatewayLogout", [])


def _trade(number: int) -> bytes:
    return encode_invocation("GatewayTrade", [_MES.arguments[0], [{"n": number}]])


class _Tokens:
    """Gives the current token; `renew` replaces it and refuses the old one from then on."""

    def __init__(self) -> None:
        self.number = 0
        self.invalidated: list[str] = []

    @property
    def current(self) -> Secret:
        return Secret(f"test-token-{self.number}-not-a-secret")

    async def __call__(self) -> Secret:
        return self.current

    def invalidate(self, refused: Secret) -> None:
        if refused == self.current:
            self.number += 1
        self.invalidated.append(refused.reveal())

    def renew(self) -> Secret:
        self.number += 1
        return self.current


class _Hub(ScriptedHub):
    """A scripted hub that refuses old tokens, evicts, and sends the same prints to everybody."""

    def __init__(self, clock: VirtualClock, tokens: _Tokens, *plan: Manners | OutsideError) -> None:
        super().__init__(clock, *plan)
        self.tokens = tokens
        self.evicts = False
        self.away: set[str] = set()
        self.sent = 0
        self.most = 0

    @property
    def present(self) -> list[ScriptedConnection]:
        """The connections that neither end has ended."""
        return [connection for connection in self.connections if not connection._lost]

    async def connect(
        self, url: str, *, token: Secret | None, timeout_s: float
    ) -> ScriptedConnection:
        if token != self.tokens.current:
            self.plan.insert(0, ConnectFailedError("old token", status=401))
        if url in self.away:
            self.plan.insert(0, ConnectFailedError("away"))
        connection = await super().connect(url, token=token, timeout_s=timeout_s)
        if self.evicts:
            for old in self.present:
                if old is not connection:
                    old.drop("another session began")
        self.most = max(self.most, len(self.present))
        return connection

    async def stream(self, clock: VirtualClock, every_s: float) -> None:
        """Send numbered prints to every subscribed connection, until cancelled."""
        while True:
            self.sent += 1
            for connection in self.present:
                if connection.calls:
                    connection.push(_trade(self.sent))
            await clock.sleep_s(every_s)


class _Inbox:
    def __init__(self) -> None:
        self.arrivals: list[Inbound] = []

    def __call__(self, arrival: Arrival, /) -> bool:
        if isinstance(arrival, Inbound):
            self.arrivals.append(arrival)
        return True

    async def wait_room(self) -> None:
        raise AssertionError("it is never full")

    @property
    def prints(self) -> set[bytes]:
        """Every print that arrived at least once."""
        return {call.arguments for item in self.arrivals for call in item.calls}


class _Half:
    def random(self) -> float:
        return 0.5


class Rig:
    """A pool on a scripted hub in virtual time, with everything it said."""

    def __init__(
        self,
        clock: VirtualClock,
        *plan: Manners | OutsideError,
        policy: PoolPolicy,
        endpoints: Endpoints | None = None,
    ) -> None:
        self.clock = clock
        self.tokens = _Tokens()
        self.hub = _Hub(clock, self.tokens, *plan)
        self.inbox = _Inbox()
        self.events: list[tuple[str, str]] = []
        self.changes: list[tuple[int, object]] = []  # monotonic, and the health from then on
        self.pool = LinePool(
            LineSpec(name="market", hub_url=_HUB, negotiate=False, backoff_base_ms=200),
            policy,
            transport=self.hub,
            tokens=self.tokens,
            clock=clock,
            random=_Half(),
            inbox=self.inbox,
            log=self._log,
            numbers=itertools.count(1).__next__,
            proves=lambda call, data: call.target == _MES.target and data.target == "GatewayTrade",
            endpoints=endpoints,
        )

    def _log(self, event: str, /, **fields: object) -> None:
        self.events.append((event, str(fields.get("reason", ""))))
        if event == "pool_health":
            self.changes.append((self.clock.monotonic_ns(), fields["health"]))

    def told(self, event: str) -> list[str]:
        """The reasons of all events of this name."""
        return [reason for name, reason in self.events if name == event]

    def refresh(self) -> None:
        """Renew the token, as the keeper does."""
        self.pool.token_renewed(self.tokens.renew())

    @property
    def states(self) -> list[LineState]:
        """Of the present lines."""
        return [line.state for line in self.pool.status().lines]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the pool, stop it at the end, and see that nothing is left behind."""
        before = asyncio.all_tasks()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pool.run())
            yield
            await self.pool.stop()
        assert asyncio.all_tasks() == before
        assert {line.state for line in self.pool.status().lines} <= {LineState.STOPPED}
        assert all(connection.closed for connection in self.hub.connections)


Plan = Callable[[Rig], Awaitable[None]]


def _play(
    scenario: Plan,
    *plan: Manners | OutsideError,
    policy: PoolPolicy | None = None,
    endpoints: Endpoints | None = None,
) -> Rig:
    async def main(clock: VirtualClock) -> Rig:
        rig = Rig(clock, *plan, policy=policy or PoolPolicy(), endpoints=endpoints)
        async with rig.running():
            await scenario(rig)
        return rig

    return run_virtual(main)


# --- what is wanted -----------------------------------------------------------------------


def test_a_pool_of_one_is_its_line() -> None:
    """Left alone it makes one connection, is up, and hands over nothing."""

    async def scenario(rig: Rig) -> None:
        assert await rig.pool.subscribe(_MES) is Acknowledgement.CONFIRMED
        await rig.clock.sleep_s(3600)
        status = rig.pool.status()
        assert (status.health, status.handovers, status.lines_most) == (PoolHealth.UP, 0, 1)
        assert status.uncovered == ()

    rig = _play(scenario)
    assert len(rig.hub.connections) == 1
    assert rig.hub.connections[0].said_goodbye


def test_a_subscription_is_undone_with_its_last_wish() -> None:
    """Two who hold the same call share it; the hub is told when the second one leaves."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES, "first")
        await rig.pool.subscribe(_MES, "first")
        await rig.pool.subscribe(_MES, "second")
        await rig.pool.unsubscribe(_MES, _UNDO, "first")
        rig.pool.forget(_MES, _UNDO, "first")
        assert rig.pool.status().subscriptions == 1
        await rig.pool.unsubscribe(_MES, _UNDO, "second")
        await rig.pool.unsubscribe(_MES, _UNDO, "second")
        assert rig.pool.status().subscriptions == 0

    rig = _play(scenario)
    assert [call.target for call in rig.hub.connections[0].calls] == [_MES.target, _UNDO.target]


def test_who_is_told_of_a_confirmation_finds_it_in_the_health() -> None:
    """What is asked for in turn leaves no pool degraded behind that has it all."""

    async def scenario(rig: Rig) -> None:
        await rig.clock.sleep_s(1)
        for call in (_MES, _MNQ):
            await rig.pool.subscribe(call)
            assert rig.pool.status().health is PoolHealth.UP

    _play(scenario)


def test_a_refused_subscription_raises_and_is_not_wanted_any_more() -> None:
    """The caller gets the hub's text; a later connection does not ask again."""

    async def scenario(rig: Rig) -> None:
        with pytest.raises(InvocationError, match="no such contract"):
            await rig.pool.subscribe(_MES)
        assert rig.pool.status().subscriptions == 0
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(5)

    rig = _play(scenario, Manners(refuses={_MES.target: "no such contract"}))
    assert rig.hub.connections[1].calls == []


def test_a_missing_completion_is_unconfirmed_until_the_first_data() -> None:
    """The caller is told, the health says so, and a print of the contract settles it."""

    async def scenario(rig: Rig) -> None:
        await rig.clock.sleep_s(1)
        assert await rig.pool.subscribe(_MES) is Acknowledgement.UNCONFIRMED
        await rig.clock.sleep_s(6)
        assert rig.pool.status().health is PoolHealth.DEGRADED
        assert "1 subscriptions are unconfirmed" in rig.pool.status().reason
        rig.hub.connections[0].push(_trade(1))
        await rig.clock.sleep_s(6)
        assert rig.pool.status().health is PoolHealth.UP

    rig = _play(scenario, Manners(ignores=frozenset({_MES.target})))
    assert len(rig.hub.connections) == 1


def test_a_subscription_without_a_connection_has_a_deadline_and_stays_wanted() -> None:
    """Nobody waits for ever; when the hub is back it is asked, unless it was taken back."""

    async def scenario(rig: Rig) -> None:
        with pytest.raises(DeadlineError, match="took longer than 20 s"):
            await rig.pool.subscribe(_MES)
        with pytest.raises(DeadlineError):
            await rig.pool.subscribe(_MNQ)
        rig.pool.forget(_MNQ, _UNDO)
        await rig.clock.sleep_s(300)
        assert rig.pool.status().lines[0].state is LineState.LIVE

    rig = _play(scenario, *[ConnectFailedError("away")] * 12)
    assert [call.arguments for call in rig.hub.connections[0].calls] == [b'["CON.F.US.MES.Z26"]']


def test_who_waits_is_told_that_the_pool_was_stopped() -> None:
    """A stopped pool leaves nobody waiting, and takes no more wishes."""

    async def main(clock: VirtualClock) -> None:
        rig = Rig(clock, *[ConnectFailedError("away")] * 9, policy=PoolPolicy())
        async with rig.running(), asyncio.TaskGroup() as group:
            waiting = group.create_task(_lost(rig.pool.subscribe(_MES)))
            await clock.sleep_s(1)
            await rig.pool.stop()
        assert waiting.done()
        await _lost(rig.pool.subscribe(_MES))
        with pytest.raises(UsageError):
            await rig.pool.run()

    run_virtual(main)


async def _lost(waiting: Awaitable[object]) -> None:
    with pytest.raises(ConnectionLostError):
        await waiting


# --- hand-overs ---------------------------------------------------------------------------


def test_a_renewed_token_brings_a_new_line_before_the_old_one_goes() -> None:
    """The new one is subscribed and live, both are heard for a while, then the old one leaves."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        rig.refresh()
        await rig.clock.sleep_s(1)
        assert rig.states == [LineState.DRAINING, LineState.LIVE]
        await rig.clock.sleep_s(2)
        assert rig.states == [LineState.LIVE]
        assert rig.pool.status().uncovered == ()
        rig.pool.token_renewed(rig.tokens.current)  # the present line has it already
        await rig.clock.sleep_s(10)

    rig = _play(scenario)
    first, second = rig.hub.connections
    assert first.said_goodbye
    assert [call.target for call in second.calls] == [_MES.target]
    assert rig.told("handover") == ["token_renewed"]
    assert rig.pool.status().lines_most == 2


def test_a_refresh_every_two_seconds_loses_nothing() -> None:
    """Five minutes under load, old tokens refused at once: every print, and at most two lines."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        async with asyncio.TaskGroup() as group:
            stream = group.create_task(rig.hub.stream(rig.clock, 0.01))
            for _ in range(150):
                await rig.clock.sleep_s(2)
                rig.refresh()
            await rig.clock.sleep_s(5)
            stream.cancel()
        await rig.clock.sleep_s(1)
        status = rig.pool.status()
        assert (status.uncovered, status.handovers_failed, status.evictions) == ((), 0, 0)
        assert status.handovers >= 60
        assert status.lines_most == 2
        assert status.health is PoolHealth.UP

    rig = _play(scenario)
    assert rig.hub.sent > 30_000
    assert len(rig.inbox.prints) == rig.hub.sent
    assert rig.hub.most == 2


def test_the_tasks_of_a_pool_stay_flat_over_hand_overs() -> None:
    """A hundred hand-overs leave as many tasks of each name as none."""

    def census() -> list[str]:
        return sorted(task.get_name() for task in asyncio.all_tasks() if "tape" in task.get_name())

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        before = census()
        for _ in range(100):
            rig.refresh()
            await rig.clock.sleep_s(4)
        assert census() == before

    _play(scenario)


def test_a_token_that_is_renewed_while_a_line_connects_is_noticed() -> None:
    """The line that opens with the old one is replaced, too."""

    async def scenario(rig: Rig) -> None:
        rig.pool.token_renewed(rig.tokens.current)
        await rig.clock.sleep_s(2)
        rig.refresh()
        await rig.clock.sleep_s(10)
        assert rig.pool.status().handovers == 1

    rig = _play(scenario, Manners(accepts_s=5))
    assert rig.hub.attempts[-1].token == rig.tokens.current


def test_a_new_line_that_never_gets_live_costs_nothing() -> None:
    """It is stopped, the old one stays, it is said, and it is tried again after a delay."""
    silent = Manners(handshake=None)

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        rig.refresh()
        await rig.clock.sleep_s(35)
        status = rig.pool.status()
        assert (status.handovers_failed, rig.states) == (1, [LineState.LIVE])
        assert status.health is PoolHealth.DEGRADED
        assert "token_renewed: the new line is connecting" in status.handover_failing
        await rig.clock.sleep_s(60)
        status = rig.pool.status()
        assert (status.handovers, status.health) == (1, PoolHealth.UP)
        assert status.uncovered == ()

    rig = _play(scenario, Manners(), silent, silent)
    assert len(rig.told("handover_failed")) == 1
    assert not rig.hub.connections[0]._lost or rig.hub.connections[0].said_goodbye


def test_a_new_line_that_lacks_a_subscription_does_not_take_over() -> None:
    """What the old line delivers is not given up for a line that was refused it."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        rig.refresh()
        await rig.clock.sleep_s(20)
        assert rig.states == [LineState.LIVE, LineState.LIVE]
        await rig.clock.sleep_s(60)
        assert rig.pool.status().handovers == 1

    rig = _play(scenario, Manners(), Manners(refuses={_MES.target: "not ready"}))
    assert "1 subscriptions are unconfirmed" in rig.told("handover_failed")[0]
    assert not rig.pool.status().uncovered


def test_a_logout_is_answered_while_the_old_line_delivers() -> None:
    """The gateway's farewell brings a new line with a new token; nothing is broken first."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        async with asyncio.TaskGroup() as group:
            stream = group.create_task(rig.hub.stream(rig.clock, 0.01))
            await rig.clock.sleep_s(1)
            rig.hub.connections[0].push(_LOGOUT)
            await rig.clock.sleep_s(10)
            stream.cancel()
        await rig.clock.sleep_s(1)
        assert rig.pool.status().uncovered == ()

    rig = _play(scenario)
    assert rig.tokens.invalidated == ["test-token-0-not-a-secret"]
    assert rig.told("handover") == ["logout"]
    assert {call for call in rig.inbox.prints if b'"n"' in call} >= {
        b'["CON.F.US.MES.Z26",[{"n":%d}]]' % n for n in range(1, rig.hub.sent)
    }


def test_a_connection_that_is_as_old_as_a_session_may_be_is_replaced() -> None:
    """Every hour, before the gateway does it, and without a gap."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        await rig.clock.sleep_s(4 * 3600 + 60)
        assert rig.pool.status().handovers == 4
        assert rig.pool.status().uncovered == ()

    rig = _play(scenario, policy=PoolPolicy(max_session_s=3600))
    assert rig.told("handover") == ["session_age"] * 4


def test_a_stale_line_is_called_so_and_replaced() -> None:
    """Whoever judges the data asks for it; the old line goes on until the new one is live."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        await rig.clock.sleep_s(1)
        assert rig.pool.any_live()
        rig.pool.ask_again(_MES)
        await rig.clock.sleep_s(1)
        assert len(rig.hub.connections[0].calls) == 2
        rig.pool.request_handover("no print for 300 s")
        assert rig.states == [LineState.STALE]
        await rig.clock.sleep_s(10)
        assert rig.states == [LineState.LIVE]

    rig = _play(scenario)
    assert rig.told("handover") == [HandoverReason.STALE]


# --- one session --------------------------------------------------------------------------


def test_a_gateway_that_evicts_is_recognised_and_the_gap_reported() -> None:
    """After two evictions in a row the pool breaks before it makes, and says what was uncovered."""

    async def scenario(rig: Rig) -> None:
        rig.hub.evicts = True
        await rig.pool.subscribe(_MES)
        for _ in range(2):
            rig.refresh()
            await rig.clock.sleep_s(20)
        status = rig.pool.status()
        assert (status.one_session, status.evictions) == (True, 2)
        before = status.uncovered_count
        rig.refresh()
        await rig.clock.sleep_s(20)
        status = rig.pool.status()
        assert (status.evictions, status.uncovered_count) == (2, before + 1)
        assert "one session is allowed" in status.uncovered[-1].why
        assert rig.states == [LineState.LIVE]

    rig = _play(scenario)
    assert len(rig.hub.connections) == 4, "a line that was evicted does not evict in turn"
    assert len(rig.told("one_session")) == 1


def test_two_lines_that_evict_each_other_become_one() -> None:
    """Redundancy that the gateway does not allow would be an endless exchange of lines."""

    async def scenario(rig: Rig) -> None:
        rig.hub.evicts = True
        await rig.pool.subscribe(_MES)
        await rig.clock.sleep_s(120)
        status = rig.pool.status()
        assert (status.one_session, len(status.lines)) == (True, 1)
        assert status.health is PoolHealth.DEGRADED
        assert status.reason == "1 of 2 lines are live"

    rig = _play(scenario, policy=PoolPolicy(redundancy=2))
    assert len(rig.hub.connections) < 10


def test_a_limit_on_lines_makes_every_hand_over_break_first() -> None:
    """A user who knows the gateway's limit is obeyed from the start."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        rig.refresh()
        await rig.clock.sleep_s(10)
        assert rig.pool.status().handovers == 1
        assert rig.pool.status().lines_most == 1
        assert rig.pool.status().uncovered_count == 1

    rig = _play(scenario, policy=PoolPolicy(lines_max=1))
    assert rig.hub.most == 1


# --- redundancy, coverage, health ---------------------------------------------------------


@pytest.mark.parametrize("killed", [0, 1])
def test_of_two_lines_either_may_be_killed(killed: int) -> None:
    """The other one covers, the pool says that it is degraded, and nothing is reported lost."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        async with asyncio.TaskGroup() as group:
            stream = group.create_task(rig.hub.stream(rig.clock, 0.01))
            await rig.clock.sleep_s(5)
            rig.hub.plan = [ConnectFailedError("away")] * 3
            rig.hub.connections[killed].drop("code 1006")
            await rig.clock.sleep_s(0.1)
            assert rig.pool.status().health is PoolHealth.DEGRADED
            await rig.clock.sleep_s(30)
            stream.cancel()
        await rig.clock.sleep_s(1)
        assert rig.pool.status().health is PoolHealth.UP
        assert rig.pool.status().uncovered == ()

    rig = _play(scenario, policy=PoolPolicy(redundancy=2))
    assert len(rig.inbox.prints) == rig.hub.sent


def test_two_lines_are_replaced_one_after_the_other() -> None:
    """A renewed token never brings more than one line beyond the two that serve."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        rig.refresh()
        await rig.clock.sleep_s(20)
        assert rig.pool.status().handovers == 2
        assert rig.pool.status().lines_most == 3

    _play(scenario, policy=PoolPolicy(redundancy=2))


def test_an_outage_is_reported_from_the_last_byte_to_the_acknowledgement() -> None:
    """What was silent before it was given up counts as uncovered, too."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        rig.hub.connections[0].push(_trade(1))
        await rig.clock.sleep_s(100)
        (interval,) = rig.pool.status().uncovered
        assert interval.to_ns is not None
        assert interval.from_ns == max(i.recv_ns for i in rig.inbox.arrivals if i.line == 1)
        assert 30 * _NS <= interval.to_ns - interval.from_ns < 32 * _NS
        assert interval.calls == (_MES,)

    rig = _play(scenario, Manners(pings=False))
    assert len(rig.told("uncovered")) == 1


def test_an_interval_that_lasts_is_shown_while_it_does() -> None:
    """The status knows of it before it has an end."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        rig.hub.plan = [ConnectFailedError("away")] * 1000
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(10)
        (interval,) = rig.pool.status().uncovered
        assert interval.to_ns is None
        assert rig.pool.status().uncovered_count == 1

    _play(scenario)


def test_a_pool_that_is_down_says_so_and_goes_on() -> None:
    """After a minute without a line it alerts; when the hub is back it is up again."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        await rig.clock.sleep_s(1)
        rig.hub.away.add("wss://hub.test/hubs/market")
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(300)
        assert rig.states[0] in {LineState.DOWN, LineState.AUTHENTICATING, LineState.CONNECTING}
        rig.hub.away.clear()
        await rig.clock.sleep_s(60)

    rig = _play(scenario)
    assert [health for _, health in rig.changes] == [
        PoolHealth.UP,
        PoolHealth.DEGRADED,
        PoolHealth.DOWN,
        PoolHealth.UP,
    ]
    assert 60 * _NS <= rig.changes[2][0] - rig.changes[1][0] <= 66 * _NS


def test_forty_eight_hours_with_a_reconnect_a_minute_leave_everything_flat() -> None:
    """Tasks and lines are as many as at the start, and every gap was reported."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        before = len(asyncio.all_tasks())
        for _ in range(48 * 60):
            await rig.clock.sleep_s(60)
            for connection in rig.hub.present:
                connection.drop("code 1006")
            # The hub is a list in memory, which a run of days need not keep.
            del rig.hub.connections[:-2]
        await rig.clock.sleep_s(60)
        assert len(asyncio.all_tasks()) == before
        assert len(rig.pool.status().lines) == 1
        assert rig.pool.status().uncovered_count == 48 * 60

    _play(scenario)


# --- endpoints ----------------------------------------------------------------------------


def test_a_failing_endpoint_is_left_and_the_preferred_one_returned_to() -> None:
    """The second address serves while the first is away; its return is a hand-over."""
    urls = ["https://one.test/hub", "https://two.test/hub"]

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(_MES)
        rig.hub.away.add("wss://one.test/hub")
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(20)
        assert rig.hub.attempts[-1].url == "wss://two.test/hub"
        assert rig.states == [LineState.LIVE]
        gaps = rig.pool.status().uncovered_count
        rig.hub.away.clear()
        await rig.clock.sleep_s(120)
        assert rig.hub.attempts[-1].url == "wss://one.test/hub"
        assert rig.told("handover") == ["endpoint"]
        assert rig.pool.status().uncovered_count == gaps
        assert len(rig.pool.status().endpoints) == 2

    _play(scenario, endpoints=Endpoints(urls))
