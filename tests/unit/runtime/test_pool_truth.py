"""A pool leaves nothing behind on a hub, and leaves a working line for a better one alone."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest

from tapekeeper.core.endpoints import Endpoints
from tapekeeper.errors import ConnectFailedError, InvocationError, OutsideError
from tapekeeper.model.gap import GapCause
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.coverage import Uncovered
from tapekeeper.runtime.line_values import Arrival, HubCall, LineSpec, LineState
from tapekeeper.runtime.pool import LinePool
from tapekeeper.runtime.pool_values import PoolHealth, PoolPolicy
from tapekeeper.sim.scripted_hub import Manners, ScriptedConnection, ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

MES = HubCall("SubscribeContractTrades", ("CON.F.US.MES.Z26",))
UNDO = HubCall("UnsubscribeContractTrades", MES.arguments)
ONE, TWO = "https://one.test/hub", "https://two.test/hub"


class _Tokens:
    async def __call__(self) -> Secret:
        return Secret("test-token-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        raise AssertionError(f"nobody refused {refused}")


class _Half:
    def random(self) -> float:
        return 0.5


class _Inbox:
    def __call__(self, _arrival: Arrival, /) -> bool:
        return True

    async def wait_room(self) -> None:
        raise AssertionError("it is never full")


class _Hub(ScriptedHub):
    """A scripted hub of several addresses, some of which are away; it may allow one session."""

    def __init__(self, clock: VirtualClock, *plan: Manners | OutsideError) -> None:
        super().__init__(clock, *plan)
        self.away: set[str] = set()
        self.evicts = False

    async def connect(
        self, url: str, *, token: Secret | None, timeout_s: float
    ) -> ScriptedConnection:
        if url.replace("wss", "https") in self.away:
            self.plan.insert(0, ConnectFailedError("away"))
        connection = await super().connect(url, token=token, timeout_s=timeout_s)
        for old in self.connections:
            if self.evicts and old is not connection and not old.closed:
                old.drop("another session began")
        return connection

    def told(self) -> list[list[str]]:
        """What was called on each connection."""
        return [[call.target for call in each.calls] for each in self.connections]


class Rig:
    """A pool on such a hub."""

    def __init__(
        self,
        clock: VirtualClock,
        plan: tuple[Manners | OutsideError, ...],
        policy: PoolPolicy,
        endpoints: Endpoints | None,
    ) -> None:
        self.clock = clock
        self.hub = _Hub(clock, *plan)
        self.events: list[tuple[str, str]] = []
        self.pool = LinePool(
            LineSpec(name="market", hub_url=ONE, negotiate=False, backoff_base_ms=200),
            policy,
            transport=self.hub,
            tokens=_Tokens(),
            clock=clock,
            random=_Half(),
            inbox=_Inbox(),
            log=lambda event, /, **fields: self.events.append((event, str(fields.get("reason")))),
            numbers=itertools.count(1).__next__,
            endpoints=endpoints,
        )

    def told(self, event: str) -> list[str]:
        """The reasons of all events of this name."""
        return [reason for name, reason in self.events if name == event]


def play(
    scenario: Callable[[Rig], Awaitable[None]],
    *plan: Manners | OutsideError,
    policy: PoolPolicy | None = None,
    endpoints: Endpoints | None = None,
) -> Rig:
    """Do what the scenario says while the pool runs."""

    async def main(clock: VirtualClock) -> Rig:
        rig = Rig(clock, plan, policy or PoolPolicy(), endpoints)
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.pool.run())
            await scenario(rig)
            await rig.pool.stop()
        return rig

    return run_virtual(main)


# --- what one line refuses and another one takes --------------------------------------------


@pytest.mark.parametrize("other", [Manners(), Manners(ignores=frozenset({MES.target}))])
def test_what_one_line_refused_is_undone_where_another_one_may_have_taken_it(
    other: Manners,
) -> None:
    """The caller sees the refusal, and no hub goes on with what nobody wants."""

    async def scenario(rig: Rig) -> None:
        await rig.clock.sleep_s(1)
        with pytest.raises(InvocationError, match="no"):
            await rig.pool.subscribe(MES, undo=UNDO)
        await rig.clock.sleep_s(300)
        assert rig.pool.status().subscriptions == 0

    refuses = Manners(refuses={MES.target: "no"})
    rig = play(scenario, refuses, other, policy=PoolPolicy(redundancy=2))
    assert rig.hub.told() == [[MES.target], [MES.target, UNDO.target]]


def test_a_refusal_for_one_holder_takes_nothing_from_another() -> None:
    """The new connection refuses the call once: who comes then is told, who held it has it back."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(MES, "first", undo=UNDO)
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(0.01)
        with pytest.raises(InvocationError, match="no"):
            await rig.pool.subscribe(MES, "second", undo=UNDO)
        assert rig.pool.status().subscriptions == 1
        rig.hub.connections[1].forgive()
        await rig.clock.sleep_s(70)
        assert rig.pool.status().lines[0].unconfirmed == ()

    rig = play(scenario, Manners(), Manners(refuses={MES.target: "no"}))
    assert rig.hub.told()[1] == [MES.target, MES.target]


def test_what_a_new_connection_refuses_is_uncovered_for_that_reason() -> None:
    """Not for the loss that came before: the interval ends with the confirmation all the same."""
    found: list[Uncovered] = []

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(MES)
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(2)
        found.extend(rig.pool.status().uncovered)
        rig.hub.connections[1].forgive()
        await rig.clock.sleep_s(70)
        found.extend(rig.pool.status().uncovered)

    play(scenario, Manners(), Manners(refuses={MES.target: "no"}))
    lasting, ended = found
    assert lasting.cause is GapCause.REFUSED_SUBSCRIPTION
    assert "code 1006" in lasting.why
    assert lasting.why.endswith("no")
    assert (lasting.to_ns, ended.cause) == (None, lasting.cause)
    assert ended.to_ns is not None


# --- a hand-over that failed ------------------------------------------------------------------


def test_a_hand_over_that_failed_is_forgotten_when_a_new_connection_cures_its_cause() -> None:
    """The old line ends by itself and comes back: nothing is due that could still succeed."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(MES)
        await rig.clock.sleep_s(92)
        assert rig.pool.status().handovers_failed == 1
        assert rig.pool.status().health is PoolHealth.DEGRADED
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(10)
        status = rig.pool.status()
        assert (status.handovers, status.handover_failing) == (0, "")
        assert status.health is PoolHealth.UP

    silent = Manners(handshake=None)
    play(scenario, Manners(), silent, silent, policy=PoolPolicy(max_session_s=60.0))


def test_a_hand_over_in_vain_beside_a_new_connection_of_the_old_line_is_no_failure() -> None:
    """The old line has come back before the new one is given up."""

    async def scenario(rig: Rig) -> None:
        await rig.pool.subscribe(MES)
        await rig.clock.sleep_s(70)
        rig.hub.plan.insert(0, Manners())
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(5)
        rig.hub.plan.insert(0, Manners(handshake=None))
        await rig.clock.sleep_s(25)
        status = rig.pool.status()
        assert (status.handovers, status.handovers_failed) == (0, 1)
        assert (status.handover_failing, status.health) == ("", PoolHealth.UP)

    silent = Manners(handshake=None)
    play(scenario, Manners(), silent, policy=PoolPolicy(max_session_s=60.0))


# --- endpoints --------------------------------------------------------------------------------


async def _lose_the_first(rig: Rig) -> None:
    """Get to the second address for good."""
    await rig.pool.subscribe(MES)
    rig.hub.away.add(ONE)
    rig.hub.connections[0].drop("code 1006")
    await rig.clock.sleep_s(20)
    assert [line.state for line in rig.pool.status().lines] == [LineState.LIVE]


def test_the_fallback_is_not_left_for_itself() -> None:
    """The preferred address stays away: it is probed now and then, and nothing is handed over."""

    async def scenario(rig: Rig) -> None:
        await _lose_the_first(rig)
        connections = len(rig.hub.connections)
        attempts, gaps = len(rig.hub.attempts), rig.pool.status().uncovered_count
        await rig.clock.sleep_s(7_200)
        assert len(rig.hub.connections) == connections
        assert 10 <= len(rig.hub.attempts) - attempts <= 30
        status = rig.pool.status()
        assert (status.handovers, status.handovers_failed) == (0, 0)
        assert (status.health, status.uncovered_count) == (PoolHealth.UP, gaps)
        assert len(rig.told("endpoint_still_away")) == len(rig.hub.attempts) - attempts
        rig.hub.away.clear()
        await rig.clock.sleep_s(700)
        assert rig.hub.attempts[-1].url == "wss://one.test/hub"
        assert rig.told("handover") == ["endpoint"]

    play(scenario, endpoints=Endpoints((ONE, TWO)))


def test_without_room_for_a_probe_a_working_line_stays_where_it_is() -> None:
    """With one line at most, a return would be a gap; it returns when the line ends by itself."""

    async def scenario(rig: Rig) -> None:
        await _lose_the_first(rig)
        gaps = rig.pool.status().uncovered_count
        rig.hub.away.clear()
        await rig.clock.sleep_s(7_200)
        assert rig.pool.status().uncovered_count == gaps
        assert rig.hub.attempts[-1].url == "wss://two.test/hub"
        rig.hub.connections[-1].drop("code 1006")
        await rig.clock.sleep_s(20)
        assert rig.hub.attempts[-1].url == "wss://one.test/hub"
        assert rig.pool.status().uncovered_count == gaps + 1

    play(scenario, policy=PoolPolicy(lines_max=1), endpoints=Endpoints((ONE, TWO)))


def test_where_one_session_is_allowed_the_return_begins_with_the_new_line() -> None:
    """A probe that fails costs nothing; one that opens ends the old line, which stays away."""

    async def scenario(rig: Rig) -> None:
        rig.hub.evicts = True
        await rig.clock.sleep_s(60)
        assert rig.pool.status().one_session
        await rig.pool.subscribe(MES)
        rig.hub.away.add(ONE)
        rig.hub.connections[-1].drop("code 1006")
        await rig.clock.sleep_s(600)
        status, connections = rig.pool.status(), len(rig.hub.connections)
        assert [line.state for line in status.lines] == [LineState.LIVE]
        assert [each.url for each in rig.hub.attempts].count("wss://two.test/hub") == 1
        assert len(rig.told("endpoint_still_away")) >= 2
        assert status.uncovered_count == 1
        rig.hub.away.clear()
        await rig.clock.sleep_s(700)
        status = rig.pool.status()
        assert [line.state for line in status.lines] == [LineState.LIVE]
        assert rig.hub.attempts[-1].url == "wss://one.test/hub"
        assert len(rig.hub.connections) == connections + 1
        assert status.uncovered_count <= 2
        assert all(gap.to_ns is not None for gap in status.uncovered)
        assert rig.told("handover") == ["endpoint"]

    policy = PoolPolicy(redundancy=2, eviction_memory_s=3_600)
    play(scenario, policy=policy, endpoints=Endpoints((ONE, TWO)))
