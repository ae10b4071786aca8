"""A line is retired, judged, logged out, damped, and answers each refusal in its own way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.errors import ConnectFailedError, OutsideError
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import Arrival, HubCall, LineSpec, LineState, Transition
from tapekeeper.sim.scripted_hub import Manners, ScriptedConnection, ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

S = LineState
_MES = HubCall("SubscribeContractTrades", ("CON.F.US.MES.Z26",))
_LOGOUT = encode_invocation("GatewayLogout", [])


class _Rig:
    """A line on a scripted hub, with every transition."""

    def __init__(self, clock: VirtualClock, hub: ScriptedHub, spec: LineSpec) -> None:
        self.clock = clock
        self.hub = hub
        self.steps: list[Transition] = []
        self.invalidated: list[Secret] = []
        self.replaced = False
        self.line = Line(
            spec,
            transport=hub,
            tokens=self,
            clock=clock,
            random=self,
            inbox=_Taker(),
            log=_unsaid,
            numbers=itertools.count(1).__next__,
            on_transition=self.steps.append,
            on_logout=lambda: self.replaced,
        )

    async def __call__(self) -> Secret:
        return Secret("test-token-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        self.invalidated.append(refused)

    def random(self) -> float:
        return 0.5

    @property
    def states(self) -> list[LineState]:
        return [step.after for step in self.steps]

    @property
    def delays_s(self) -> list[float]:
        return [step.retry_in_s for step in self.steps if step.retry_in_s is not None]


def _unsaid(_event: str, /, **_fields: object) -> None:
    return


class _Taker:
    def __call__(self, arrival: Arrival, /) -> bool:
        return True

    async def wait_room(self) -> None:
        raise AssertionError("it is never full")


def _play(
    scenario: Callable[[_Rig], Awaitable[None]],
    *plan: Manners | OutsideError,
    answers: list[bytes | OutsideError] | None = None,
    **changes: object,
) -> _Rig:
    spec = LineSpec(
        name="market",
        hub_url="https://hub.test/hubs/market",
        negotiate=False,
        backoff_base_ms=1_000,
        down_after_s=120.0,
    )

    async def main(clock: VirtualClock) -> _Rig:
        hub = ScriptedHub(clock, *plan, answers=answers)
        rig = _Rig(clock, hub, msgspec.structs.replace(spec, **changes))
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.line.run())
            await scenario(rig)
            await rig.line.stop()
        return rig

    return run_virtual(main)


def _dropping_after(delay_s: float) -> Manners:
    def on_open(connection: ScriptedConnection) -> None:
        asyncio.get_running_loop().call_later(delay_s, connection.drop, "code 1006")

    return Manners(on_open=on_open)


def test_a_retired_line_delivers_on_and_does_not_come_back() -> None:
    """It drains for the rest of its connection, and its end is its own."""

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(1)
        rig.line.retire("another one takes over")
        rig.line.retire("said twice")
        assert rig.states[-1:] == [S.DRAINING]
        await rig.clock.sleep_s(60)
        assert rig.states[-1:] == [S.DRAINING]
        rig.hub.connections[0].drop("code 1006")
        await rig.clock.sleep_s(60)
        assert rig.states[-1:] == [S.STOPPED]

    rig = _play(scenario)
    assert rig.steps[-1].reason == "retired"
    assert len(rig.hub.attempts) == 1


def test_a_line_without_a_connection_is_retired_at_once() -> None:
    """There is nothing to go on with."""

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(0.1)
        assert rig.states[-1:] == [S.BACKING_OFF]
        rig.line.retire("another one takes over")
        await rig.clock.sleep_s(1)
        assert rig.states[-1:] == [S.STOPPED]

    _play(scenario, ConnectFailedError("away"))


def test_a_stale_line_is_live_again_when_its_data_are() -> None:
    """Judgements that do not fit the state change nothing."""

    async def scenario(rig: _Rig) -> None:
        rig.line.judge(stale=True, reason="not connected yet")
        await rig.clock.sleep_s(1)
        rig.line.judge(stale=False, reason="it is live")
        rig.line.judge(stale=True, reason="no print for 300 s")
        rig.line.judge(stale=False, reason="prints again")

    rig = _play(scenario)
    assert rig.states[3:] == [S.LIVE, S.STALE, S.LIVE, S.STOPPED]


@pytest.mark.parametrize("replaced", [True, False])
def test_a_logout_breaks_the_connection_only_if_nobody_replaces_it(*, replaced: bool) -> None:
    """The token is void in both cases."""

    async def scenario(rig: _Rig) -> None:
        rig.replaced = replaced
        await rig.clock.sleep_s(1)
        rig.hub.connections[0].push(_LOGOUT)
        await rig.clock.sleep_s(10)
        assert len(rig.hub.connections) == (1 if replaced else 2)

    rig = _play(scenario)
    assert len(rig.invalidated) == 1


def test_a_redirect_elsewhere_does_not_get_our_token() -> None:
    """Another origin that comes without a token of its own is not asked at all."""

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(0.1)

    rig = _play(scenario, answers=[b'{"url":"https://other.test/h"}'], negotiate=True)
    sentence = "the negotiation redirects to another origin without a token for there: refused"
    ends = [(step.cause, step.reason) for step in rig.steps if step.after is S.BACKING_OFF]
    assert ends == [("ProtocolError", sentence)]
    asked = [item.url for item in rig.hub.negotiations]
    assert asked == ["https://hub.test/hubs/market/negotiate?negotiateVersion=1"]
    assert rig.hub.attempts == []


@pytest.mark.parametrize("status", [404, 409])
def test_an_id_that_is_gone_is_negotiated_anew_at_once_but_once(status: int) -> None:
    """The second refusal in a row waits like any other."""
    answer = (
        b'{"connectionId":"a","connectionToken":"b","negotiateVersion":1,'
        b'"availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}'
    )
    refusal = ConnectFailedError("gone", status=status)

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(30)

    rig = _play(scenario, refusal, refusal, answers=[answer] * 3, negotiate=True)
    first, second, third = (attempt.at_ns for attempt in rig.hub.attempts)
    assert first == second < third
    assert rig.delays_s == [0.5]


@pytest.mark.parametrize(
    ("refusal", "least_s"),
    [
        (ConnectFailedError("busy", status=429), 5),
        (ConnectFailedError("busy", status=429, retry_after_s=40), 40),
        (ConnectFailedError("busy", status=503, retry_after_s=20), 20),
        (ConnectFailedError("forbidden", status=403), 60),
        (ConnectFailedError("busy", status=503), 0),
    ],
)
def test_a_refusal_says_how_long_to_wait(refusal: ConnectFailedError, least_s: float) -> None:
    """The jitter comes on top of it."""

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(1)

    rig = _play(scenario, refusal)
    assert rig.delays_s == [least_s + 0.5]


def test_a_line_that_flaps_keeps_its_delay() -> None:
    """Five healthy lives that end within four minutes are no reason to start small again."""

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(300)

    rig = _play(scenario, *[_dropping_after(31)] * 7)
    assert rig.delays_s[:4] == [0.5] * 4
    assert rig.delays_s[4:] == sorted(rig.delays_s[4:])
    assert rig.delays_s[6] > 0.5


def test_a_line_that_has_not_been_live_for_long_says_that_it_is_down() -> None:
    """It goes on trying, and the next live connection ends it."""

    async def scenario(rig: _Rig) -> None:
        await rig.clock.sleep_s(600)

    rig = _play(scenario, *[ConnectFailedError("away")] * 15)
    waits = [step for step in rig.steps if step.retry_in_s is not None]
    down = [step.after is S.DOWN for step in waits]
    assert down == sorted(down)
    first = next(step for step in waits if step.after is S.DOWN)
    assert first.at_ns - rig.steps[0].at_ns >= 120 * 1_000_000_000
    assert rig.states[-2:] == [S.LIVE, S.STOPPED]
