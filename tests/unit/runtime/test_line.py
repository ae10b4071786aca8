"""A line connects, subscribes, stays, and comes back from every kind of end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from tapekeeper.core.signalr.framing import RecordSplitter
from tapekeeper.core.signalr.records import encode_close, encode_invocation
from tapekeeper.core.signalr.session import SessionTimers
from tapekeeper.errors import (
    AuthError,
    ConnectFailedError,
    InvocationError,
    OutsideError,
    UsageError,
)
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import (
    Arrival,
    Connected,
    Disconnected,
    HubCall,
    Inbound,
    LineSpec,
    LineState,
    Transition,
)
from tapekeeper.runtime.pool_values import Acknowledgement
from tapekeeper.runtime.waiters import Waiters
from tapekeeper.sim.scripted_hub import Manners, ScriptedConnection, ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_NS = 1_000_000_000
_HUB = "https://hub.test/hubs/market"
_MES = HubCall("SubscribeContractTrades", ("CON.F.US.MES.Z26",))
_MNQ = HubCall("SubscribeContractTrades", ("CON.F.US.MNQ.Z26",))
_TRADE = encode_invocation("GatewayTrade", ["CON.F.US.MES.Z26", [{"price": 1, "volume": 1}]])


class _Tokens:
    """Gives `test-token-0-not-a-secret` and the next one after each invalidation."""

    def __init__(self) -> None:
        self.asked = 0
        self.invalidated: list[str] = []
        self.errors: list[OutsideError] = []
        self.delay_s = 0.0

    async def __call__(self) -> Secret:
        self.asked += 1
        await asyncio.sleep(self.delay_s)  # virtual time: the loop's clock jumps
        if self.errors:
            raise self.errors.pop(0)
        return Secret(f"test-token-{len(self.invalidated)}-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        self.invalidated.append(refused.reveal())


class _Inbox:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []

    def __call__(self, arrival: Arrival, /) -> bool:
        self.arrivals.append(arrival)
        return True

    async def wait_room(self) -> None:
        raise AssertionError("it is never full")

    @property
    def frames(self) -> list[Inbound]:
        return [item for item in self.arrivals if isinstance(item, Inbound)]


class _Half:
    """A random source that always gives the middle, so that delays can be told in advance."""

    def random(self) -> float:
        return 0.5


class Rig:
    """A line on a scripted hub in virtual time, with everything it said."""

    def __init__(self, clock: VirtualClock, hub: ScriptedHub, spec: LineSpec) -> None:
        self.clock = clock
        self.hub = hub
        self.tokens = _Tokens()
        self.inbox = _Inbox()
        self.steps: list[Transition] = []
        self.events: list[str] = []
        self.answers = Waiters()
        self.line = Line(
            spec,
            transport=hub,
            tokens=self.tokens,
            clock=clock,
            random=_Half(),
            inbox=self.inbox,
            log=self._log,
            numbers=itertools.count(1).__next__,
            on_transition=self.steps.append,
            on_answer=self.answers.tell,
        )

    async def subscribe(self, call: HubCall) -> Acknowledgement:
        """Want `call`, and wait for what the hub says to it."""
        with self.answers.waiting(call) as answer:
            self.line.want(call)
            return await answer

    def _log(self, event: str, /, **fields: object) -> None:
        self.events.append(event)

    @property
    def states(self) -> list[LineState]:
        """Every state it entered."""
        return [step.after for step in self.steps]

    @property
    def delays_s(self) -> list[float]:
        """Every delay before a new attempt."""
        return [step.retry_in_s for step in self.steps if step.retry_in_s is not None]

    @property
    def ends(self) -> list[tuple[str, str]]:
        """Cause and reason of every attempt or connection that ended."""
        return [(s.cause, s.reason) for s in self.steps if s.after is LineState.BACKING_OFF]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the line, stop it at the end, and see that no task is left behind."""
        before = asyncio.all_tasks()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.line.run())
            yield
            await self.line.stop()
        assert task.done()
        assert asyncio.all_tasks() == before
        assert self.line.status().state is LineState.STOPPED
        assert all(connection.closed for connection in self.hub.connections)


Plan = Callable[[Rig], Awaitable[None]]


def _play(
    scenario: Plan,
    *plan: Manners | OutsideError,
    answers: list[bytes | OutsideError] | None = None,
    **changes: object,
) -> Rig:
    """Run `scenario` beside a line, on a hub that follows `plan`; the rig afterwards."""
    spec = msgspec.structs.replace(
        LineSpec(
            name="market", hub_url=_HUB, negotiate=False, backoff_base_ms=1_000, down_after_s=120.0
        ),
        **changes,
    )

    async def main(clock: VirtualClock) -> Rig:
        rig = Rig(clock, ScriptedHub(clock, *plan, answers=answers), spec)
        async with rig.running():
            await scenario(rig)
        return rig

    return run_virtual(main)


def _drop_after(delay_s: float, how: str = "code 1006") -> Callable[[ScriptedConnection], None]:
    def on_open(connection: ScriptedConnection) -> None:
        asyncio.get_running_loop().call_later(delay_s, connection.drop, how)

    return on_open


def _push_after(delay_s: float, data: bytes) -> Callable[[ScriptedConnection], None]:
    def on_open(connection: ScriptedConnection) -> None:
        asyncio.get_running_loop().call_later(delay_s, connection.push, data)

    return on_open


async def _seconds(rig: Rig, seconds: float) -> None:
    await rig.clock.sleep_s(seconds)


S = LineState
_FORWARD = [S.AUTHENTICATING, S.CONNECTING, S.SUBSCRIBING, S.LIVE]


# --- the way up ---------------------------------------------------------------------------


def test_a_line_becomes_live_and_stops_politely() -> None:
    """The states come in the order of the table, and a Close record is the last thing sent."""
    rig = _play(lambda rig: _seconds(rig, 1))
    assert rig.states == [*_FORWARD, S.STOPPED]
    assert rig.hub.attempts[0].url == "wss://hub.test/hubs/market"
    assert rig.hub.attempts[0].token == Secret("test-token-0-not-a-secret")
    assert [step.before for step in rig.steps[1:]] == [step.after for step in rig.steps[:-1]]
    assert rig.steps[-1].reason == "stopped"
    assert rig.hub.connections[0].said_goodbye


def test_every_frame_is_handed_on_with_what_was_read_in_it() -> None:
    """The inbox gets the connection first, then each whole message without the handshake."""
    garbage = b"nonsense\x1e"
    plan = Manners(handshake=b"{}\x1e" + _TRADE, on_open=_push_after(1, _TRADE + garbage))
    rig = _play(lambda rig: _seconds(rig, 2), plan)
    first, second = rig.inbox.arrivals[0], rig.inbox.arrivals[1]
    assert first == Connected(1, "market", rig.steps[0].at_ns)
    assert isinstance(second, Inbound)
    assert second.data == _TRADE
    mixed = next(frame for frame in rig.inbox.frames if garbage in frame.data)
    assert [call.target for call in mixed.calls] == ["GatewayTrade"]
    assert [item.raw for item in mixed.garbled] == [b"nonsense"]
    assert mixed.recv_ns == first.recv_ns + _NS


def test_a_fresh_splitter_reads_the_same_calls_from_the_frames() -> None:
    """A record split over messages belongs to the message that completes it."""
    plan = Manners(
        handshake=b"{}\x1e" + _TRADE[:9],
        pings=False,
        on_open=_push_after(1, _TRADE[9:] + _TRADE),
    )
    rig = _play(lambda rig: _seconds(rig, 2), plan)
    splitter = RecordSplitter()
    for frame in rig.inbox.frames:
        trades = [raw for raw in splitter.feed(frame.data) if b"GatewayTrade" in raw]
        assert len(trades) == len(frame.calls)
    assert sum(len(frame.calls) for frame in rig.inbox.frames) == 2


def test_negotiation_follows_redirects_with_the_token_they_give() -> None:
    """The id, the other URL and the other token serve this connection; the next starts anew."""
    redirect = b'{"url":"https://other.test/h","accessToken":"test-other-not-a-secret"}'
    offer = b'"availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]'
    named = b'{"negotiateVersion":1,"connectionId":"c","connectionToken":"t",' + offer + b"}"
    rig = _play(
        lambda rig: _seconds(rig, 5),
        Manners(on_open=_drop_after(1)),
        answers=[redirect, named, named],
        negotiate=True,
    )
    asked = [(item.url, item.token) for item in rig.hub.negotiations]
    own, other = Secret("test-token-0-not-a-secret"), Secret("test-other-not-a-secret")
    assert asked == [
        (f"{_HUB}/negotiate?negotiateVersion=1", own),
        ("https://other.test/h/negotiate?negotiateVersion=1", other),
        (f"{_HUB}/negotiate?negotiateVersion=1", own),
    ]
    upgrades = [(item.url, item.token) for item in rig.hub.attempts]
    assert upgrades == [("wss://other.test/h?id=t", other), (f"wss{_HUB[5:]}?id=t", own)]


def test_an_endless_redirect_is_an_error_and_not_a_loop() -> None:
    """After the official clients' hundred redirects the attempt fails."""
    redirect = b'{"url":"%s"}' % _HUB.encode()
    rig = _play(lambda rig: _seconds(rig, 0.1), answers=[redirect] * 100, negotiate=True)
    assert rig.ends == [("ProtocolError", "the negotiation was redirected more than 100 times")]


# --- attempts that fail -------------------------------------------------------------------


def test_a_refused_connection_is_tried_again_with_growing_jittered_delays() -> None:
    """Delays double from the base and stay under the cap, for as long as it takes."""
    refused = ConnectFailedError("the connection to hub.test failed: refused")
    rig = _play(lambda rig: _seconds(rig, 120), *[refused] * 9)
    assert rig.delays_s == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0]
    assert rig.states[-2] is S.LIVE


def test_a_401_renews_the_token_exactly_once_and_at_once() -> None:
    """An expired token costs one renewal and no delay."""
    rig = _play(lambda rig: _seconds(rig, 1), ConnectFailedError("no", status=401))
    assert rig.tokens.invalidated == ["test-token-0-not-a-secret"]
    assert rig.hub.attempts[1].token == Secret("test-token-1-not-a-secret")
    assert rig.states == [S.AUTHENTICATING, S.CONNECTING, *_FORWARD, S.STOPPED]
    assert rig.delays_s == []


def test_a_token_that_worked_may_be_renewed_again_soon() -> None:
    """A connection that opened shows that renewing helped."""

    async def scenario(rig: Rig) -> None:
        await rig.clock.sleep_s(1)
        rig.hub.plan = [ConnectFailedError("no", status=401)]
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(5)

    rig = _play(scenario, ConnectFailedError("no", status=401))
    assert len(rig.tokens.invalidated) == 2
    assert rig.delays_s == [0.5]  # after the drop; none after the refusals


def test_a_hub_that_refuses_fresh_tokens_too_is_not_flooded() -> None:
    """After one renewal a lasting 401 means slow attempts, and a renewal every quarter hour."""
    refused = [ConnectFailedError("no", status=401) for _ in range(100)]
    rig = _play(lambda rig: _seconds(rig, 3600), *refused)
    assert len(rig.tokens.invalidated) == 4
    assert len(rig.hub.attempts) <= 4 + 3600 / 60
    assert min(rig.delays_s) >= 60


def test_a_retry_after_is_honoured() -> None:
    """The delay is at least what the server asked for."""
    busy = ConnectFailedError("busy", status=503, retry_after_s=42.0)
    rig = _play(lambda rig: _seconds(rig, 60), busy)
    assert rig.delays_s == [42.5]
    assert rig.hub.attempts[1].at_ns == 42_500_000_000


def test_refused_credentials_are_not_tried_in_haste() -> None:
    """A login that cannot succeed is repeated slowly, and the line still recovers by itself."""

    async def scenario(rig: Rig) -> None:
        rig.tokens.errors = [AuthError("refused", status=200, code=3) for _ in range(2)]
        await rig.clock.sleep_s(300)

    rig = _play(scenario)
    assert rig.ends == [("AuthError", "no token: refused")] * 2
    assert min(rig.delays_s) >= 60
    assert rig.states[-2] is S.LIVE


def test_a_token_source_that_hangs_ends_the_attempt() -> None:
    """Asking for a token has a deadline."""

    async def scenario(rig: Rig) -> None:
        rig.tokens.delay_s = 10_000
        await rig.clock.sleep_s(46)

    rig = _play(scenario)
    assert rig.ends == [("DeadlineError", "no token: asking for a token took longer than 45 s")]


def test_an_upgrade_that_hangs_ends_the_attempt() -> None:
    """Connecting has a deadline."""
    rig = _play(lambda rig: _seconds(rig, 16), Manners(accepts_s=10_000))
    assert rig.ends == [("DeadlineError", "connecting took longer than 15 s")]
    assert rig.states[-2] is S.LIVE


def test_a_handshake_error_ends_the_attempt_and_hands_nothing_on() -> None:
    """What the hub says of the handshake is the reason; no connection is announced."""
    refused = Manners(handshake=b'{"error":"The protocol is not supported."}\x1e')
    rig = _play(lambda rig: _seconds(rig, 0.1), refused)
    assert rig.ends[0][0] == "handshake_error"
    assert "The protocol is not supported." in rig.ends[0][1]
    assert rig.inbox.arrivals == []
    assert S.SUBSCRIBING not in rig.states


def test_a_silent_handshake_ends_the_attempt_after_its_timeout() -> None:
    """The handshake is given fifteen seconds."""
    rig = _play(lambda rig: _seconds(rig, 15.1), Manners(handshake=None))
    assert rig.ends[0][0] == "handshake_timeout"
    assert rig.steps[2].at_ns - rig.steps[1].at_ns == 15 * _NS


# --- connections that end -----------------------------------------------------------------


def test_thirty_seconds_of_silence_end_a_connection() -> None:
    """A half-open connection is noticed by its silence, not by the socket's state."""
    rig = _play(lambda rig: _seconds(rig, 40), Manners(pings=False))
    assert rig.ends == [("server_timeout", "nothing received from the server for 30 s")]
    lost = next(step for step in rig.steps if step.after is S.BACKING_OFF)
    assert lost.last_received_ns is not None
    assert lost.at_ns - lost.last_received_ns == 30 * _NS


def test_an_idle_connection_that_pings_lives_on() -> None:
    """Pings go out at once and then every fifteen seconds, and the answers keep it alive."""
    rig = _play(lambda rig: _seconds(rig, 3600))
    assert rig.states == [*_FORWARD, S.STOPPED]
    pinged = rig.hub.connections[0].pinged_ns
    assert pinged[0] == 0
    assert {later - sooner for sooner, later in itertools.pairwise(pinged)} == {15 * _NS}


@pytest.mark.parametrize("allow_reconnect", [True, False])
def test_a_close_record_leads_to_a_new_connection(allow_reconnect: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Both kinds of Close are survived; the one meant for good is logged as such."""
    close = encode_close(error="bye", allow_reconnect=allow_reconnect)
    rig = _play(lambda rig: _seconds(rig, 10), Manners(on_open=_push_after(1, close)))
    assert rig.ends == [("server_close", "the server closed the connection: bye")]
    assert ("closed_for_good" in rig.events) is not allow_reconnect
    assert rig.states == [*_FORWARD, S.BACKING_OFF, *_FORWARD, S.STOPPED]


def test_a_dropped_connection_is_replaced_and_numbered_anew() -> None:
    """Each connection is announced under its own number, and so is its end, behind its data."""
    rig = _play(lambda rig: _seconds(rig, 10), Manners(on_open=_drop_after(1, "code 1001")))
    assert rig.ends == [("transport_lost", "the connection ended: code 1001")]
    kinds = (Connected, Disconnected)
    told = [(type(item), item.line) for item in rig.inbox.arrivals if isinstance(item, kinds)]
    assert told == [(kind, line) for line in (1, 2) for kind in kinds]
    assert type(rig.inbox.arrivals[-1]) is Disconnected


def test_three_malformed_records_in_a_row_end_a_connection() -> None:
    """A peer that does not speak the protocol is left, and what it said is handed on."""
    rig = _play(lambda rig: _seconds(rig, 5), Manners(on_open=_push_after(1, b"x\x1ey\x1ez\x1e")))
    assert rig.ends[0][0] == "protocol_error"
    assert sum(len(frame.garbled) for frame in rig.inbox.frames) == 3


def test_a_send_that_blocks_ends_a_connection() -> None:
    """A peer that does not take what we send is left after ten seconds."""
    rig = _play(lambda rig: _seconds(rig, 11), Manners(blocks_sends=True))
    assert rig.ends == [("transport_lost", "sending took longer than 10 s")]


def test_a_logout_by_the_gateway_renews_the_token() -> None:
    """`GatewayLogout` ends the login session, so the connection and its token are replaced."""
    logout = encode_invocation("GatewayLogout", [])
    rig = _play(lambda rig: _seconds(rig, 5), Manners(on_open=_push_after(1, logout)))
    assert rig.tokens.invalidated == ["test-token-0-not-a-secret"]
    assert rig.states == [*_FORWARD, S.BACKING_OFF, *_FORWARD, S.STOPPED]


def test_the_delay_is_reset_only_after_a_healthy_spell() -> None:
    """Lives shorter than thirty seconds let the delay grow; a longer one starts it anew."""
    short, long = Manners(on_open=_drop_after(29)), Manners(on_open=_drop_after(31))
    rig = _play(lambda rig: _seconds(rig, 200), short, short, short, long, short)
    assert rig.delays_s == [0.5, 1.0, 2.0, 0.5, 1.0]


# --- subscriptions ------------------------------------------------------------------------


def test_a_subscription_is_confirmed_by_its_answer() -> None:
    """It is told when the hub completed the call, and the status says so."""

    async def scenario(rig: Rig) -> None:
        assert await rig.subscribe(_MES) is Acknowledgement.CONFIRMED
        assert rig.line.status().unconfirmed == ()
        rig.line.want(_MES)  # in force already
        await rig.clock.sleep_s(1)

    rig = _play(scenario)
    assert [call.target for call in rig.hub.connections[0].calls] == ["SubscribeContractTrades"]
    assert rig.hub.connections[0].calls[0].arguments == b'["CON.F.US.MES.Z26"]'


def test_every_subscription_is_asked_again_on_every_connection() -> None:
    """Nothing is live before each wanted call was answered on the new connection."""

    async def scenario(rig: Rig) -> None:
        await rig.subscribe(_MES)
        await rig.subscribe(_MNQ)
        for _ in range(3):
            rig.hub.connections[-1].drop("code 1006")
            await rig.clock.sleep_s(60)

    rig = _play(scenario)
    assert len(rig.hub.connections) == 4
    for connection in rig.hub.connections:
        assert len(connection.calls) == 2
    assert [item.reason for item in rig.steps if item.after is S.LIVE][1:] == [
        "2 subscriptions are answered"
    ] * 3


def test_a_subscription_made_while_disconnected_is_made_up_for() -> None:
    """The answer is that of the first connection, however long connecting takes."""

    async def scenario(rig: Rig) -> None:
        await rig.subscribe(_MES)

    rig = _play(scenario, ConnectFailedError("refused"))
    assert len(rig.hub.connections[0].calls) == 1


def test_a_refused_subscription_is_told_and_wanted_until_it_is_taken_back() -> None:
    """Who asked gets the hub's text and decides; the next connection does not ask again."""

    async def scenario(rig: Rig) -> None:
        await rig.clock.sleep_s(1)
        with pytest.raises(InvocationError, match=r"SubscribeContractTrades.*: no such contract"):
            await rig.subscribe(_MES)
        assert rig.line.status().unconfirmed == (_MES,)
        rig.line.forget(_MES, HubCall("UnsubscribeContractTrades", _MES.arguments))
        assert rig.line.status().subscriptions == 0
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(5)

    rig = _play(scenario, Manners(refuses={_MES.target: "no such contract"}))
    assert [call.target for call in rig.hub.connections[0].calls] == [_MES.target]
    assert rig.hub.connections[1].calls == []


def test_a_subscription_refused_on_a_later_connection_stays_wanted() -> None:
    """A gateway that is still starting costs a delay, not the subscription."""

    async def scenario(rig: Rig) -> None:
        await rig.subscribe(_MES)
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(10)
        assert rig.line.status().state is S.LIVE
        assert rig.line.status().unconfirmed == (_MES,)
        assert "subscription_refused" in rig.events
        rig.hub.connections[1].forgive()
        await rig.clock.sleep_s(60)
        assert rig.line.status().unconfirmed == ()

    _play(scenario, Manners(), Manners(refuses={_MES.target: "not ready"}))


def test_a_subscription_without_an_answer_is_unconfirmed_and_asked_again() -> None:
    """On a live connection only the unanswered call is affected."""

    async def scenario(rig: Rig) -> None:
        await rig.clock.sleep_s(1)
        assert await rig.subscribe(_MES) is Acknowledgement.UNCONFIRMED
        assert rig.line.status().unconfirmed == (_MES,)
        await rig.clock.sleep_s(120)
        assert len(rig.hub.connections[0].calls) >= 2

    rig = _play(scenario, Manners(ignores=frozenset({_MES.target})))
    assert rig.states == [*_FORWARD, S.STOPPED]


def test_a_new_connection_that_does_not_answer_is_left() -> None:
    """Before anything is live, a missing completion ends the connection."""

    async def scenario(rig: Rig) -> None:
        await rig.subscribe(_MES)
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(30)

    rig = _play(scenario, Manners(), Manners(ignores=frozenset({_MES.target})))
    assert rig.ends[1] == (
        "transport_lost",
        "the hub did not answer SubscribeContractTrades(CON.F.US.MES.Z26)",
    )
    assert rig.states[-2] is S.LIVE


def test_unsubscribing_calls_the_undo_and_forgets() -> None:
    """The next connection does not ask for what was withdrawn."""
    undo = HubCall("UnsubscribeContractTrades", _MES.arguments)

    async def scenario(rig: Rig) -> None:
        await rig.subscribe(_MES)
        await rig.line.unsubscribe(_MES, undo)
        rig.hub.connections[0].drop("code 1006")
        await rig.line.unsubscribe(_MNQ, undo)  # not wanted and not connected: nothing to do
        await rig.clock.sleep_s(5)

    rig = _play(scenario)
    assert [call.target for call in rig.hub.connections[0].calls][1] == undo.target
    assert rig.hub.connections[1].calls == []


# --- ends of the line ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "state"),
    [
        (Manners(accepts_s=10), S.CONNECTING),
        (Manners(handshake=None), S.CONNECTING),
        (Manners(ignores=frozenset({_MES.target})), S.SUBSCRIBING),
        (Manners(), S.LIVE),
        (Manners(says_goodbye=False), S.LIVE),
        (Manners(blocks_sends=True), S.CONNECTING),
        (ConnectFailedError("busy", retry_after_s=100), S.BACKING_OFF),
    ],
)
def test_stop_works_in_any_state(plan: Manners | OutsideError, state: LineState) -> None:
    """Stopping ends the line within its bounds, leaves no task, and closes the socket."""

    async def scenario(rig: Rig) -> None:
        rig.line.want(_MES)
        await rig.clock.sleep_s(5)
        assert rig.line.status().state is state
        began_ns = rig.clock.monotonic_ns()
        await rig.line.stop()
        assert rig.clock.monotonic_ns() - began_ns <= 16 * _NS

    rig = _play(scenario, plan)
    assert rig.steps[-1].after is S.STOPPED


def test_stop_while_asking_for_a_token() -> None:
    """A hanging token source does not delay the stop."""

    async def scenario(rig: Rig) -> None:
        rig.tokens.delay_s = 1_000
        await rig.clock.sleep_s(1)
        assert rig.line.status().state is S.AUTHENTICATING
        await rig.line.stop()
        assert rig.clock.monotonic_ns() == _NS

    _play(scenario)


def test_cancellation_ends_the_line_and_closes_the_socket() -> None:
    """A cancelled `run` cleans up like a stopped one."""

    async def main(clock: VirtualClock) -> Rig:
        rig = Rig(clock, ScriptedHub(clock), LineSpec(name="market", hub_url=_HUB, negotiate=False))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(rig.line.run())
            await rig.subscribe(_MES)
            task.cancel()
        return rig

    rig = run_virtual(main)
    assert rig.states[-1] is S.STOPPED
    assert rig.hub.connections[0].closed


def test_a_bug_escapes_from_run() -> None:
    """An inbox that raises is nobody's trouble outside: the line ends loudly."""

    class Broken(_Inbox):
        def __call__(self, arrival: Arrival, /) -> bool:
            raise ZeroDivisionError

    async def main(clock: VirtualClock) -> Rig:
        rig = Rig(clock, ScriptedHub(clock), LineSpec(name="market", hub_url=_HUB, negotiate=False))
        rig.line._inbox = Broken()
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            await rig.line.run()
        return rig

    rig = run_virtual(main)
    assert rig.states[-1] is S.STOPPED
    assert rig.hub.connections[0].closed


def test_a_line_runs_once() -> None:
    """A second run is refused in a sentence."""

    async def scenario(rig: Rig) -> None:
        await rig.clock.sleep_s(0)
        with pytest.raises(UsageError, match="runs once"):
            await rig.line.run()

    _play(scenario)


# --- figures ------------------------------------------------------------------------------


def test_the_status_counts_over_all_connections() -> None:
    """Frames and bytes are of the whole life, and what arrived adds up to them."""

    async def scenario(rig: Rig) -> None:
        await rig.clock.sleep_s(5)
        status = rig.line.status()
        assert status.frames == len(rig.inbox.frames)
        assert status.bytes == sum(len(frame.data) for frame in rig.inbox.frames)
        assert (status.attempts, status.connections, status.connection) == (2, 2, 2)
        assert status.last_received_ns == rig.inbox.frames[-1].recv_ns

    _play(scenario, Manners(on_open=_drop_after(1), handshake=b"{}\x1e" + _TRADE))


def test_the_times_of_the_session_are_the_spec_s() -> None:
    """Timers are configuration, not constants."""
    timers = SessionTimers(server_timeout_ns=5 * _NS, keep_alive_ns=2 * _NS)
    rig = _play(lambda rig: _seconds(rig, 6), Manners(pings=False), timers=timers)
    assert rig.ends[0] == ("server_timeout", "nothing received from the server for 5 s")
