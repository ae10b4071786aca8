"""A line whose transport is lost goes on where it was, or reconnects like any other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import msgspec

from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.core.signalr.session import SessionTimers
from tapekeeper.errors import AuthError, ConnectFailedError, OutsideError
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import (
    Arrival,
    Connected,
    HubCall,
    Inbound,
    LineSpec,
    LineState,
    Reattached,
    ResumeTally,
    Transition,
)
from tapekeeper.runtime.pool_values import Acknowledgement
from tapekeeper.runtime.waiters import Waiters
from tapekeeper.sim.scripted_hub import Manners, ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

S = LineState
HUB = "https://hub.test/hubs/market"
MES = HubCall("SubscribeContractTrades", ("CON.F.US.MES.Z26",))
MNQ = HubCall("SubscribeContractTrades", ("CON.F.US.MNQ.Z26",))
TRADE = encode_invocation("GatewayTrade", ["CON.F.US.MES.Z26", [{"price": 1, "volume": 1}]])
OFFER = (
    b'{"useStatefulReconnect":true,"negotiateVersion":1,"connectionId":"c","connectionToken":"t",'
    b'"availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}'
)
PLAIN = OFFER.replace(b'"useStatefulReconnect":true,', b"")

ACK = b'{"type":8,"sequenceId":1}\x1e'
"""Of the subscription, which is therefore not sent again."""

QUIET = SessionTimers(keep_alive_ns=60_000_000_000)
"""No ping that the hub could answer."""


def again(number: int, records: bytes = b"") -> Manners:
    """A socket that goes on: Sequence answers the client's, and records follow."""
    return Manners(handshake=b'{"type":9,"sequenceId":%d}\x1e' % number + records)


class _Rig:
    """A line on a scripted hub in virtual time, with everything it said."""

    def __init__(self, clock: VirtualClock, hub: ScriptedHub, spec: LineSpec) -> None:
        self.clock = clock
        self.hub = hub
        self.steps: list[Transition] = []
        self.arrivals: list[Arrival] = []
        self.refused: list[str] = []
        self.serial = 0
        self.token_errors: list[OutsideError] = []
        self.answers = Waiters()
        self.line = Line(
            spec,
            transport=hub,
            tokens=self,
            clock=clock,
            random=self,
            inbox=_Taker(self.arrivals),
            log=_unsaid,
            numbers=itertools.count(1).__next__,
            on_transition=self.steps.append,
            on_answer=self.answers.tell,
        )

    async def subscribe(self, call: HubCall) -> None:
        with self.answers.waiting(call) as answer:
            self.line.want(call)
            assert await answer is Acknowledgement.CONFIRMED

    async def __call__(self) -> Secret:
        if self.token_errors and len(self.hub.attempts) > 0:
            raise self.token_errors.pop(0)
        return Secret(f"test-token-{self.serial}-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        self.refused.append(refused.reveal())
        self.serial += 1

    def random(self) -> float:
        return 0.5

    @property
    def states(self) -> list[LineState]:
        return [step.after for step in self.steps]

    @property
    def trades(self) -> int:
        return sum(len(one.calls) for one in self.arrivals if isinstance(one, Inbound))

    def tokens_sent(self) -> list[str]:
        return [one.token.reveal() if one.token else "" for one in self.hub.attempts]

    def cut(self) -> None:
        self.hub.connections[-1].drop("code 1006")


class _Taker:
    def __init__(self, arrivals: list[Arrival]) -> None:
        self._arrivals = arrivals

    def __call__(self, arrival: Arrival, /) -> bool:
        self._arrivals.append(arrival)
        return True

    async def wait_room(self) -> None:
        raise AssertionError("it is never full")


def _unsaid(_event: str, /, **_fields: object) -> None:
    return


def play(
    scenario: Callable[[_Rig], Awaitable[None]],
    *plan: Manners | OutsideError,
    offers: tuple[bytes, ...] = (OFFER,) * 3,
    **spec: object,
) -> None:
    """Run a scenario on a line that is live, was acknowledged, and has been sent three trades."""
    wanted = msgspec.structs.replace(
        LineSpec(name="market", hub_url=HUB, negotiate=True, stateful_reconnect=True), **spec
    )

    async def main(clock: VirtualClock) -> None:
        hub = ScriptedHub(clock, Manners(), *plan, answers=[*offers])
        rig = _Rig(clock, hub, wanted)
        rig.line.want(MES)
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.line.run())
            await clock.sleep_s(1)
            assert rig.states[-1] is S.LIVE
            hub.connections[0].push(ACK)
            for _ in range(3):
                hub.connections[0].push(TRADE)
            await clock.sleep_s(1)
            await scenario(rig)
            await rig.line.stop()

    run_virtual(main)


def test_a_lost_transport_is_replaced_and_nothing_else_changes() -> None:
    """Same URL and id, same connection, no subscription asked again, two trades had dropped."""

    async def scenario(rig: _Rig) -> None:
        rig.cut()
        await rig.clock.sleep_s(1)
        assert rig.states[3:] == [S.LIVE, S.RESUMING, S.LIVE]
        urls = [attempt.url for attempt in rig.hub.attempts]
        assert urls == ["wss://hub.test/hubs/market?id=t"] * 2
        assert [one.arguments for one in rig.hub.connections[0].calls] == [
            msgspec.json.encode(MES.arguments)
        ]
        assert rig.hub.connections[1].calls == []
        # One completion and three trades had come; records 3 and 4 come again, and a new one.
        assert rig.trades == 4
        assert sum(isinstance(one, Connected) for one in rig.arrivals) == 1
        assert sum(isinstance(one, Reattached) for one in rig.arrivals) == 1
        status = rig.line.status()
        assert status.resumes == ResumeTally(tried=1, succeeded=1, repeated=2)
        assert (status.connections, status.attempts, status.unconfirmed) == (1, 1, ())

    play(scenario, again(3, TRADE * 3))


def test_negotiation_asks_for_it_and_the_answer_decides() -> None:
    """A hub that does not offer it is spoken to as ever: a lost transport is an end."""

    async def scenario(rig: _Rig) -> None:
        asked = rig.hub.negotiations[0].url
        assert asked == f"{HUB}/negotiate?negotiateVersion=1&useStatefulReconnect=true"
        rig.cut()
        await rig.clock.sleep_s(30)
        assert S.RESUMING not in rig.states
        assert rig.line.status().connections == 2

    play(scenario, offers=(PLAIN, PLAIN))


def test_a_hub_that_has_forgotten_the_id_is_connected_to_anew() -> None:
    """404 is the end of the connection, told with both reasons and the last byte."""

    async def scenario(rig: _Rig) -> None:
        last_ns = rig.line.status().last_received_ns
        rig.cut()
        await rig.clock.sleep_s(30)
        end = next(step for step in rig.steps if step.after is S.BACKING_OFF)
        assert end.reason == "the connection ended: code 1006; not resumed: No such id"
        assert (end.before, end.cause, end.last_received_ns) == (
            S.RESUMING,
            "transport_lost",
            last_ns,
        )
        assert rig.states[-1] is S.LIVE
        assert rig.line.status().resumes == ResumeTally(tried=1)
        assert rig.hub.connections[1].calls[0].target == MES.target

    play(scenario, ConnectFailedError("No such id", status=404))


def test_trouble_on_the_way_is_tried_again_within_the_bound() -> None:
    """Refused connections and a busy server, then it goes on."""

    async def scenario(rig: _Rig) -> None:
        rig.cut()
        await rig.clock.sleep_s(9)
        assert rig.states[-2:] == [S.RESUMING, S.LIVE]
        assert len(rig.hub.attempts) == 4
        assert rig.line.status().resumes == ResumeTally(tried=1, succeeded=1)

    play(
        scenario,
        ConnectFailedError("refused"),
        ConnectFailedError("busy", status=503, retry_after_s=2.0),
        again(5),
    )


def test_it_is_given_up_in_bounded_time() -> None:
    """Ten seconds after the loss it is an end, however the attempts go; then all begins anew."""

    async def scenario(rig: _Rig) -> None:
        lost_ns = rig.clock.now_ns()
        rig.cut()
        await rig.clock.sleep_s(60)
        end = next(step for step in rig.steps if step.after is S.BACKING_OFF)
        assert (end.at_ns - lost_ns) // 1_000_000_000 == 10
        assert end.reason.endswith("; not resumed within 10 s")
        assert rig.states[-1] is S.LIVE

    play(scenario, *[ConnectFailedError("refused")] * 12)


def test_a_socket_that_says_nothing_does_not_hold_it_up() -> None:
    """A Sequence that never comes is bounded, too."""

    async def scenario(rig: _Rig) -> None:
        rig.cut()
        await rig.clock.sleep_s(60)
        assert [s.reason for s in rig.steps if s.after is S.BACKING_OFF] == [
            "the connection ended: code 1006; not resumed within 10 s"
        ]
        assert rig.hub.connections[1].closed

    play(scenario, Manners(handshake=None))


def test_a_half_open_transport_is_replaced() -> None:
    """Silence is a loss; the old socket is left without waiting for it."""

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(31)
        assert rig.states[-2:] == [S.RESUMING, S.LIVE]
        assert rig.trades == 4
        assert rig.hub.connections[0].closed

    play(scenario, again(5, TRADE), offers=(OFFER,), timers=QUIET)


def test_a_blocked_transport_is_replaced() -> None:
    """What is not taken in time is sent on the next one, which is not waited for."""

    async def scenario(rig: _Rig) -> None:
        rig.hub.connections[0].behave(Manners(blocks_sends=True))
        await rig.subscribe(MNQ)
        assert rig.states[-2:] == [S.RESUMING, S.LIVE]
        assert [one.target for one in rig.hub.connections[1].calls] == [MNQ.target]

    play(scenario, again(5))


def test_a_renewed_token_is_sent_on_the_next_transport() -> None:
    """The source is asked again; what it gives then is what the connection holds."""

    async def scenario(rig: _Rig) -> None:
        rig.serial = 7
        rig.cut()
        await rig.clock.sleep_s(1)
        assert rig.tokens_sent()[-1] == "test-token-7-not-a-secret"
        assert rig.line.holds(Secret("test-token-7-not-a-secret"))

    play(scenario, again(5))


def test_a_refused_token_is_renewed_once() -> None:
    """After a 401 it is tried at once with a fresh one."""

    async def scenario(rig: _Rig) -> None:
        rig.cut()
        await rig.clock.sleep_s(0.5)
        assert rig.refused == ["test-token-0-not-a-secret"]
        assert rig.states[-1] is S.LIVE

    play(scenario, ConnectFailedError("unauthorized", status=401), again(5))


def test_a_redirect_s_token_is_sent_again() -> None:
    """It was given for this connection, wherever its transport comes from."""
    redirect = b'{"url":"https://other.test/hub","accessToken":"given-token-not-a-secret"}'

    async def scenario(rig: _Rig) -> None:
        rig.serial = 7
        rig.cut()
        await rig.clock.sleep_s(1)
        assert rig.tokens_sent() == ["given-token-not-a-secret"] * 2
        assert rig.hub.attempts[1].url == "wss://other.test/hub?id=t"

    play(scenario, again(5), offers=(redirect, OFFER))


def test_without_credentials_it_is_given_up() -> None:
    """Nothing that a transport could be opened with is to be had."""

    async def scenario(rig: _Rig) -> None:
        rig.token_errors = [AuthError("wrong key", status=401)]
        rig.cut()
        await rig.clock.sleep_s(0.1)
        assert rig.steps[-1].after is S.BACKING_OFF
        assert "not resumed: wrong key" in rig.steps[-1].reason

    play(scenario)


def test_a_call_that_waits_for_its_answer_gets_it_afterwards() -> None:
    """It is sent again if the hub has not acknowledged it, and answered once."""

    async def scenario(rig: _Rig) -> None:
        rig.hub.connections[0].behave(Manners(ignores=frozenset({MNQ.target})))
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(rig.subscribe(MNQ))
            await rig.clock.sleep_s(1)
            rig.cut()
        assert asking.done()
        assert [one.target for one in rig.hub.connections[1].calls] == [MNQ.target]
        assert rig.line.status().unconfirmed == ()

    play(scenario, again(5))


def test_it_can_be_stopped_retired_and_judged_meanwhile() -> None:
    """A retired line goes on draining, a stale one stays stale, a stop ends it at once."""

    async def scenario(rig: _Rig) -> None:
        rig.line.judge(stale=True, reason="silent")
        rig.cut()
        await rig.clock.sleep_s(1)
        assert rig.states[-3:] == [S.STALE, S.RESUMING, S.STALE]
        rig.line.judge(stale=False, reason="data came")
        rig.cut()
        await rig.clock.sleep_s(0)
        await rig.clock.sleep_s(0.001)
        assert rig.states[-1] is S.RESUMING
        rig.line.retire("replaced")
        await rig.clock.sleep_s(2)
        assert rig.states[-2:] == [S.RESUMING, S.DRAINING]
        rig.cut()
        await rig.clock.sleep_s(0.001)
        assert rig.states[-1] is S.RESUMING

    late = Manners(handshake=b'{"type":9,"sequenceId":5}\x1e', accepts_s=0.5)
    play(scenario, again(5), late, late)


def test_resumptions_that_do_not_last_are_slowed_down() -> None:
    """A server that accepts and drops is not hammered, and not left either."""

    async def scenario(rig: _Rig) -> None:
        for _ in range(12):
            while rig.states[-1] is not S.LIVE:
                await rig.clock.sleep_s(0.01)
            rig.cut()
            await rig.clock.sleep_s(0.01)
        waits = [(b.at_ns - a.at_ns) / 1e9 for a, b in itertools.pairwise(rig.hub.attempts[1:])]
        assert waits[0] < 0.1
        assert waits[-1] > 0.9
        assert S.BACKING_OFF not in rig.states

    play(scenario, *[again(5)] * 12)
