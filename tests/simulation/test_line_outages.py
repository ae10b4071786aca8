"""A line through weeks of trouble, in virtual time and repeatable by seed."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import suppress

import pytest

from tapekeeper.core.signalr.records import encode_close, encode_invocation
from tapekeeper.core.signalr.session import SessionTimers
from tapekeeper.errors import (
    AuthError,
    ConnectFailedError,
    OutsideError,
    ProtocolError,
)
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import (
    Arrival,
    Connected,
    HubCall,
    Inbound,
    LineSpec,
    LineState,
    Transition,
)
from tapekeeper.runtime.waiters import Waiters
from tapekeeper.sim.scripted_hub import Manners, ScriptedConnection, ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_NS = 1_000_000_000
_DAY_S = 86_400
_DEFAULTS = SessionTimers()
_RARE_PINGS = SessionTimers(keep_alive_ns=120 * _NS, server_timeout_ns=300 * _NS)
"""For runs of weeks, where pings are most of what happens."""
_CALLS = tuple(HubCall("SubscribeContractTrades", (f"CON.F.US.X{n}.Z26",)) for n in range(5))
_TRADE = encode_invocation("GatewayTrade", ["CON.F.US.X0.Z26", [{"price": 1, "volume": 1}]])


class _Tokens:
    """Gives tokens; fails where the weather says so."""

    def __init__(self, clock: VirtualClock, weather: random.Random, bad: float) -> None:
        self._clock = clock
        self._weather = weather
        self.bad = bad
        self.invalidated_ns: list[int] = []

    async def __call__(self) -> Secret:
        if self._weather.random() < self.bad:
            raise self._weather.choice(
                (AuthError("refused", status=200), ConnectFailedError("login is away"))
            )
        return Secret("test-token-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        self.invalidated_ns.append(self._clock.monotonic_ns())


class _Inbox:
    """Counts, and knows how far each connection came."""

    def __init__(self) -> None:
        self.connected: list[int] = []
        self.trades = 0

    def __call__(self, arrival: Arrival, /) -> bool:
        if isinstance(arrival, Connected):
            self.connected.append(arrival.line)
        elif isinstance(arrival, Inbound):
            # Data is handed on under the number that was announced last.
            assert arrival.line == self.connected[-1]
            self.trades += len(arrival.calls)
        return True

    async def wait_room(self) -> None:
        raise AssertionError("it is never full")


def _ignore(event: str, /, **fields: object) -> None:
    return


class _Run:
    """A line, its hub, and what it went through."""

    def __init__(
        self,
        clock: VirtualClock,
        hub: ScriptedHub,
        seed: int,
        *,
        bad: float = 0,
        timers: SessionTimers = _DEFAULTS,
    ) -> None:
        self.clock = clock
        self.hub = hub
        self.inbox = _Inbox()
        self.steps: list[Transition] = []
        self.tokens = _Tokens(clock, random.Random(seed), bad)
        self.answers = Waiters()
        self.line = Line(
            LineSpec(
                name="market",
                hub_url="https://hub.test/hubs/market",
                negotiate=False,
                timers=timers,
            ),
            transport=hub,
            tokens=self.tokens,
            clock=clock,
            random=random.Random(seed + 1),
            inbox=self.inbox,
            log=_ignore,
            numbers=itertools.count(1).__next__,
            on_transition=self.steps.append,
            on_answer=self.answers.tell,
        )

    async def want_all(self) -> None:
        """Want every call; who has to wait too long leaves it wanted."""

        async def want(call: HubCall) -> None:
            with self.answers.waiting(call) as answer, suppress(TimeoutError):
                self.line.want(call)
                async with asyncio.timeout(20):
                    await answer

        async with asyncio.TaskGroup() as group:
            for call in _CALLS:
                group.create_task(want(call))


def test_a_short_outage_every_night_for_a_month_costs_seconds_each() -> None:
    """Every night the line is back, subscribed, and no delay has grown from night to night."""
    down_s = 10

    class Nightly(ScriptedHub):
        async def connect(
            self, url: str, *, token: Secret | None, timeout_s: float
        ) -> ScriptedConnection:
            if clock_of(self).monotonic_ns() // _NS % _DAY_S < down_s and self.attempts:
                self.plan.insert(0, ConnectFailedError("maintenance"))
            return await super().connect(url, token=token, timeout_s=timeout_s)

    def clock_of(hub: ScriptedHub) -> VirtualClock:
        clock = hub._clock
        assert isinstance(clock, VirtualClock)
        return clock

    async def main(clock: VirtualClock) -> _Run:
        run = _Run(clock, Nightly(clock), seed=7, timers=_RARE_PINGS)
        async with asyncio.TaskGroup() as group:
            group.create_task(run.line.run())
            await run.want_all()
            for night in range(1, 31):
                await clock.sleep_s(night * _DAY_S - clock.monotonic_ns() / _NS)
                run.hub.connections[-1].drop("code 1006")
                await clock.sleep_s(down_s + 60)
                status = run.line.status()
                assert (status.state, status.unconfirmed) == (LineState.LIVE, ())
            await run.line.stop()
        return run

    run = run_virtual(main)
    assert len(run.hub.connections) == 31
    outages_s = [
        (up.at_ns - down.at_ns) / _NS
        for down, up in itertools.pairwise(
            step
            for step in run.steps
            if step.after is LineState.LIVE or step.before is LineState.LIVE
        )
        if up.after is LineState.LIVE
    ]
    assert len(outages_s) == 30
    assert max(outages_s) <= down_s + 30


def _weather(source: random.Random) -> Manners | OutsideError:
    """What one attempt meets on a bad day."""
    kind = source.randrange(12)
    ends_s = source.expovariate(1 / 40)

    def later(act: str, accepts_s: float = 0.0) -> Manners:
        def on_open(connection: ScriptedConnection) -> None:
            loop = asyncio.get_running_loop()
            for at_s in range(int(ends_s)):
                loop.call_later(at_s, connection.push, _TRADE)
            if act == "drop":
                loop.call_later(ends_s, connection.drop, "code 1006")
            else:
                loop.call_later(ends_s, connection.push, act.encode())

        return Manners(accepts_s=accepts_s, on_open=on_open)

    faults: list[Manners | OutsideError] = [
        ConnectFailedError("refused"),
        ConnectFailedError("no", status=401),
        ConnectFailedError("busy", status=503, retry_after_s=source.uniform(0, 90)),
        ConnectFailedError("gone", status=404),
        ProtocolError("not a hub"),
        later("drop", accepts_s=source.uniform(0, 40)),
        Manners(handshake=source.choice([None, b'{"error":"x"}\x1e', b"?\x1e"])),
        Manners(pings=False),
        Manners(ignores=frozenset({_CALLS[0].target})),
        later("drop"),
        later(encode_close(error="x", allow_reconnect=source.random() < 0.5).decode()),
        later("x\x1ey\x1ez\x1e"),
    ]
    return faults[kind]


def _storm(seed: int) -> tuple[_Run, int]:
    """Sixty bad attempts, then good weather; the run, and the monotonic time it cleared."""

    async def main(clock: VirtualClock) -> tuple[_Run, int]:
        source = random.Random(seed)
        hub = ScriptedHub(clock, *(_weather(source) for _ in range(60)))
        run = _Run(clock, hub, seed, bad=0.1)
        before = asyncio.all_tasks()
        async with asyncio.TaskGroup() as group:
            group.create_task(run.line.run())
            await run.want_all()
            while hub.plan:
                await clock.sleep_s(30)
            run.tokens.bad = 0
            cleared_ns = clock.monotonic_ns()
            # The last planned attempt may be one of those that end late.
            await clock.sleep_s(600)
            status = run.line.status()
            assert (status.state, status.unconfirmed) == (LineState.LIVE, ())
            await run.line.stop()
        assert asyncio.all_tasks() == before
        return run, cleared_ns

    return run_virtual(main)


@pytest.mark.parametrize("seed", range(40))
def test_after_any_storm_the_line_is_live_and_subscribed(seed: int) -> None:
    """Whatever happened, it recovers, closes every socket and never hammers the hub."""
    run, _ = _storm(seed)
    assert all(connection.closed for connection in run.hub.connections)
    # A connection that answers all calls is asked for each of them, once and in one go.
    assert len(run.hub.connections[-1].calls) == len(_CALLS)
    attempts_ns = [attempt.at_ns for attempt in run.hub.attempts]
    for first, last in zip(attempts_ns, attempts_ns[10:], strict=False):
        assert last - first >= 5 * _NS, "ten attempts within five seconds"
    for earlier, later in itertools.pairwise(run.steps):
        assert earlier.after is later.before
        assert earlier.at_ns <= later.at_ns
    assert run.inbox.connected == sorted(set(run.inbox.connected))


@pytest.mark.parametrize("seed", [3, 17])
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    """Every transition, delay and time repeats exactly."""
    first, _ = _storm(seed)
    second, _ = _storm(seed)
    assert first.steps == second.steps
    assert first.inbox.trades == second.inbox.trades
