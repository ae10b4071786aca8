"""What the present connection has said to each wish, and what data say in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tapekeeper.core.signalr.records import Invocation, encode_invocation
from tapekeeper.core.signalr.session import Session
from tapekeeper.errors import DeadlineError, OutsideError
from tapekeeper.runtime.hub_connection import HubConnection
from tapekeeper.runtime.line_values import Arrival, HubCall, LineSpec
from tapekeeper.runtime.wishes import Wishes
from tapekeeper.sim.scripted_hub import Manners, ScriptedConnection
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_A = HubCall("SubscribeContractTrades", ("A",))
_B = HubCall("SubscribeContractTrades", ("B",))
_NS = 1_000_000_000


class Bench:
    """Wishes on one open connection, with every outcome they told."""

    def __init__(self, clock: VirtualClock, manners: Manners, spec: LineSpec) -> None:
        self.clock = clock
        self.answers: list[tuple[HubCall, OutsideError | None]] = []
        self.socket = ScriptedConnection(manners, clock)
        self.connection = HubConnection(
            number=1,
            hub="market",
            socket=self.socket,
            session=Session(spec.timers),
            clock=clock,
            inbox=_Taker(),
            send_timeout_s=10,
        )
        self.wishes = Wishes(
            spec,
            clock=clock,
            log=_unsaid,
            proves=_proves,
            on_answer=lambda call, error: self.answers.append((call, error)),
        )

    @asynccontextmanager
    async def settled(self) -> AsyncIterator[list[HubCall]]:
        """Open the connection, ask for everything, and go on asking beside the block."""
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self.connection.read())
            keeping = group.create_task(self.connection.keep())
            await self.connection.opened.wait()
            silent = await self.wishes.settle(group, self.connection)
            going_on = group.create_task(self.wishes.go_on(group, self.connection))
            yield silent
            going_on.cancel()
            self.connection.abandon("the test is over")
            reading.cancel()
            keeping.cancel()


def _unsaid(_event: str, /, **_fields: object) -> None:
    return


class _Taker:
    def __call__(self, arrival: Arrival, /) -> bool:
        return True

    async def wait_room(self) -> None:
        raise AssertionError("it is never full")


def _proves(call: HubCall, data: Invocation) -> bool:
    return data.arguments == b'["%s"]' % str(call.arguments[0]).encode()


def _bench(clock: VirtualClock, manners: Manners | None = None, **changes: float) -> Bench:
    spec = LineSpec(name="market", hub_url="https://hub.test", negotiate=False, **changes)  # type: ignore[arg-type]  # numbers by name
    return Bench(clock, manners or Manners(), spec)


def test_data_prove_what_the_hub_did_not_answer() -> None:
    """The first print of a contract confirms its subscription, and no other one."""

    async def main(clock: VirtualClock) -> None:
        bench = _bench(clock, Manners(ignores=frozenset({_A.target})))
        bench.wishes.want(_A)
        bench.wishes.want(_B)
        async with bench.settled() as silent:
            assert silent == [_A, _B]
            bench.socket.push(encode_invocation("GatewayTrade", ["A"]))
            await clock.sleep_s(1)
            assert bench.wishes.unconfirmed() == (_B,)
            assert bench.answers[-1] == (_A, None)
            assert [type(error) for _, error in bench.answers[:2]] == [DeadlineError] * 2

    run_virtual(main)


def test_data_that_come_before_the_deadline_are_the_answer() -> None:
    """Nobody is told of a silence when the prints are flowing."""

    async def main(clock: VirtualClock) -> None:
        bench = _bench(clock, Manners(ignores=frozenset({_A.target})))
        async with bench.settled():
            bench.wishes.want(_A)
            await clock.sleep_s(1)
            bench.socket.push(encode_invocation("GatewayTrade", ["A"]))
            await clock.sleep_s(20)
        assert bench.answers == [(_A, None)]

    run_virtual(main)


def test_asking_again_is_asking_once_more() -> None:
    """A confirmed subscription whose data have stopped is asked for; an unknown one is not."""

    async def main(clock: VirtualClock) -> None:
        bench = _bench(clock)
        bench.wishes.want(_A)
        async with bench.settled():
            bench.wishes.ask_again(_A)
            bench.wishes.ask_again(_B)
            await clock.sleep_s(1)
            assert [call.arguments for call in bench.socket.calls] == [b'["A"]', b'["A"]']
            assert bench.wishes.unconfirmed() == ()

    run_virtual(main)


def test_many_wishes_are_asked_at_a_pace() -> None:
    """A reconnect with a hundred subscriptions is no flood."""

    async def main(clock: VirtualClock) -> None:
        bench = _bench(clock, calls_per_s=10, calls_burst=20)
        for number in range(100):
            bench.wishes.want(HubCall("SubscribeContractTrades", (f"C{number}",)))
        async with bench.settled():
            assert 7.9 * _NS <= clock.monotonic_ns() <= 8.1 * _NS
            assert len(bench.socket.calls) == 100

    run_virtual(main)


def test_callers_who_come_and_go_do_not_keep_a_refusal_from_being_mended() -> None:
    """However often something else is wanted, a refused subscription is tried again in time."""
    refused = HubCall("SubscribeContractQuotes", ("A",))

    async def main(clock: VirtualClock) -> None:
        bench = _bench(clock, Manners(refuses={refused.target: "not yet"}), mend_every_s=60)
        bench.wishes.want(refused)
        async with bench.settled():
            for _ in range(25):
                bench.wishes.want(_A)
                await clock.sleep_s(5)
                bench.wishes.withdraw(_A)
                await clock.sleep_s(5)
            asked = [call.target for call in bench.socket.calls]
            assert asked.count(refused.target) == 1 + 250 // 60
            assert asked.count(_A.target) == 25
            bench.socket.forgive()
            await clock.sleep_s(60)
            assert bench.wishes.unconfirmed() == ()

    run_virtual(main)


def test_a_withdrawn_wish_is_not_confirmed_any_more() -> None:
    """Data that come afterwards, too late for the answer, prove nothing that is wanted."""

    async def main(clock: VirtualClock) -> None:
        bench = _bench(clock, Manners(ignores=frozenset({_A.target})))
        async with bench.settled():
            bench.wishes.want(_A)
            await clock.sleep_s(1)
            bench.wishes.withdraw(_A)
            bench.socket.push(encode_invocation("GatewayTrade", ["A"]))
            await clock.sleep_s(20)
        assert len(bench.wishes) == 0
        assert (_A, None) not in bench.answers

    run_virtual(main)
