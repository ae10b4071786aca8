"""One connection: calls are answered or fail, and the end is told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tapekeeper.core.signalr.protocol import JSON, MESSAGEPACK, HubProtocol
from tapekeeper.core.signalr.records import encode_completion, encode_invocation
from tapekeeper.core.signalr.session import EndCause, Session
from tapekeeper.errors import ConnectionLostError, DeadlineError, InvocationError
from tapekeeper.runtime.hub_connection import UNSENT_MAX, HubConnection
from tapekeeper.runtime.line_values import Arrival, Connected, HubCall, Inbound
from tapekeeper.sim.scripted_hub import Manners, ScriptedConnection
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_CALL = HubCall("Ask", (1, "a"))
_TRADE = encode_invocation("GatewayTrade", ["CON.F.US.MES.Z26", [{"price": 1, "volume": 1}]])
_NS = 1_000_000_000


class _Inbox:
    """Keeps what arrives; full from `room` items on, until `emptied`."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.arrivals: list[Arrival] = []
        self.emptied = asyncio.Event()

    def __call__(self, arrival: Arrival, /) -> bool:
        self.arrivals.append(arrival)
        return len(self.arrivals) < self.room

    async def wait_room(self) -> None:
        await self.emptied.wait()


@asynccontextmanager
async def _open(
    clock: VirtualClock,
    socket: ScriptedConnection,
    inbox: _Inbox,
    protocol: HubProtocol = JSON,
) -> AsyncIterator[HubConnection]:
    connection = HubConnection(
        number=1,
        hub="market",
        socket=socket,
        session=Session(protocol=protocol),
        clock=clock,
        inbox=inbox,
        send_timeout_s=10.0,
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(connection.read()), group.create_task(connection.keep())]
        await connection.opened.wait()
        yield connection
        connection.abandon("the test is over")
        for task in tasks:
            task.cancel()


Scenario = Callable[[HubConnection, ScriptedConnection, VirtualClock], Awaitable[None]]


def _play(scenario: Scenario, manners: Manners | None = None) -> None:
    async def main(clock: VirtualClock) -> None:
        socket = ScriptedConnection(manners or Manners(), clock)
        async with _open(clock, socket, _Inbox()) as connection:
            await scenario(connection, socket, clock)

    run_virtual(main)


def test_a_call_returns_the_hub_s_answer() -> None:
    """The result is undecoded JSON; arguments go out as given."""

    async def scenario(
        connection: HubConnection, socket: ScriptedConnection, clock: VirtualClock
    ) -> None:
        assert await connection.call(_CALL) == b"null"
        assert socket.calls[0].arguments == b'[1,"a"]'

    _play(scenario)


def test_messagepack_travels_in_binary_messages() -> None:
    """Everything sent is binary, the inbox learns the protocol, and data hold no handshake."""

    async def main(clock: VirtualClock) -> None:
        socket, inbox = ScriptedConnection(Manners(handshake=None), clock), _Inbox()
        async with asyncio.TaskGroup() as group:

            async def answer() -> None:
                await clock.sleep_s(1)
                socket.push(b"{}\x1e" + call + call[:4])
                socket.push(call[4:])

            call = MESSAGEPACK.encode_invocation("GatewayQuote", ["C\x1e", {}])
            group.create_task(answer())
            async with _open(clock, socket, inbox, MESSAGEPACK) as connection:
                assert await connection.call(_CALL) == b"\xc0"
        assert socket.protocol is MESSAGEPACK
        assert socket.calls[0].arguments == b"\x92\x01\xa1a"
        assert set(socket.binary) == {True}
        connected, first, second, *_ = inbox.arrivals
        assert isinstance(connected, Connected)
        assert connected.protocol == "messagepack"
        assert isinstance(first, Inbound)
        assert isinstance(second, Inbound)
        assert first.data + second.data == call * 2
        assert first.calls == second.calls

    run_virtual(main)


def test_what_is_read_when_the_connection_is_over_is_not_kept() -> None:
    """It was in the socket when the connection was judged: nothing is made of it, now or later."""

    async def main(clock: VirtualClock) -> None:
        socket, inbox = ScriptedConnection(Manners(), clock), _Inbox()
        async with _open(clock, socket, inbox) as connection:
            socket.push(_TRADE)
            await clock.sleep_s(0)
            kept, frames = len(inbox.arrivals), connection.frames
            socket.push(_TRADE)
            connection.abandon("nothing was heard")
            await connection.ended
            await clock.sleep_s(0)
        read = [each.data for each in inbox.arrivals if isinstance(each, Inbound)]
        assert read.count(_TRADE) == 1
        assert len(inbox.arrivals) == kept
        assert connection.frames == frames

    run_virtual(main)


def test_answers_find_their_calls_in_any_order() -> None:
    """Concurrent calls are told apart by their ids."""

    async def scenario(
        connection: HubConnection, socket: ScriptedConnection, clock: VirtualClock
    ) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(connection.call(HubCall("First")))
            second = group.create_task(connection.call(HubCall("Second")))
            await clock.sleep_s(1)
            ids = {call.target: call.invocation_id or "" for call in socket.calls}
            socket.push(encode_completion(ids["Second"], result=b"2"))
            socket.push(encode_completion(ids["First"], result=b"1"))
        assert (first.result(), second.result()) == (b"1", b"2")

    _play(scenario, Manners(ignores=frozenset({"First", "Second"})))


def test_a_refusal_carries_the_hub_s_text() -> None:
    """An error completion is an `InvocationError`."""

    async def scenario(
        connection: HubConnection, socket: ScriptedConnection, clock: VirtualClock
    ) -> None:
        with pytest.raises(InvocationError, match=r"^the hub refused Ask\(1, a\): not you$"):
            await connection.call(_CALL)

    _play(scenario, Manners(refuses={"Ask": "not you"}))


def test_no_answer_is_a_deadline_error() -> None:
    """After the session's fifteen seconds, and a late answer changes nothing."""

    async def scenario(
        connection: HubConnection, socket: ScriptedConnection, clock: VirtualClock
    ) -> None:
        with pytest.raises(DeadlineError, match=r"did not answer Ask\(1, a\)"):
            await connection.call(_CALL)
        assert clock.monotonic_ns() == 15 * _NS
        socket.push(encode_completion(socket.calls[0].invocation_id or ""))
        await clock.sleep_s(1)
        assert not connection.ended.done()

    _play(scenario, Manners(ignores=frozenset({"Ask"})))


@pytest.mark.parametrize("polite", [True, False])
def test_the_end_fails_every_pending_call_as_lost(polite: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Neither a stop nor a loss looks like a refusal of the hub."""

    async def scenario(
        connection: HubConnection, socket: ScriptedConnection, clock: VirtualClock
    ) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_expect_lost(connection))
            await clock.sleep_s(1)
            if polite:
                await connection.stop(5.0)
            else:
                socket.drop("code 1006")
        await _expect_lost(connection)
        cause = EndCause.LOCAL_STOP if polite else EndCause.TRANSPORT_LOST
        assert (await connection.ended).cause is cause

    _play(scenario, Manners(ignores=frozenset({"Ask"})))


async def _expect_lost(connection: HubConnection) -> None:
    with pytest.raises(ConnectionLostError):
        await connection.call(_CALL)


def test_a_cancelled_call_leaves_no_trace() -> None:
    """Its answer is ignored, and other calls go on."""

    async def scenario(
        connection: HubConnection, socket: ScriptedConnection, clock: VirtualClock
    ) -> None:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(connection.call(_CALL))
            await clock.sleep_s(1)
            # The answer is on its way when the caller gives up.
            socket.push(encode_completion(socket.calls[0].invocation_id or "", error="too late"))
            asking.cancel()
        assert connection._answers == {}
        assert await connection.call(HubCall("Other")) == b"null"

    _play(scenario, Manners(ignores=frozenset({"Ask"})))


def test_a_call_of_the_server_is_answered() -> None:
    """A server that wants a result is told that there is none."""
    told: list[bytes] = []

    class Listening(ScriptedConnection):
        async def send(self, data: bytes, *, binary: bool = False) -> None:
            told.append(data)
            await super().send(data, binary=binary)

    async def main(clock: VirtualClock) -> None:
        socket = Listening(Manners(), clock)
        async with _open(clock, socket, _Inbox()):
            socket.push(encode_invocation("GetValue", ["q"], invocation_id="s1"))
            await clock.sleep_s(1)

    run_virtual(main)
    assert any(b'"s1"' in data and b"Client didn't provide a result." in data for data in told)


def test_a_server_that_calls_and_does_not_read_is_left() -> None:
    """What waits to be sent is bounded."""

    async def scenario(
        connection: HubConnection, socket: ScriptedConnection, clock: VirtualClock
    ) -> None:
        call = encode_invocation("GetValue", [], invocation_id="s")
        socket.push(call * (UNSENT_MAX + 1))
        ended = await connection.ended
        assert "unread" in ended.detail

    _play(scenario)


def test_a_stop_without_an_answer_is_bounded() -> None:
    """The session's close timeout ends it."""

    async def scenario(
        connection: HubConnection, socket: ScriptedConnection, clock: VirtualClock
    ) -> None:
        await connection.stop(60.0)
        assert clock.monotonic_ns() == 5 * _NS
        assert (await connection.ended).cause is EndCause.LOCAL_STOP

    _play(scenario, Manners(says_goodbye=False))


def test_a_full_inbox_pauses_the_reader_and_loses_nothing() -> None:
    """What was pushed meanwhile is read when there is room again."""

    async def main(clock: VirtualClock) -> None:
        inbox = _Inbox(room=10)
        socket = ScriptedConnection(Manners(pings=False), clock)
        async with _open(clock, socket, inbox):
            for _ in range(50):
                socket.push(_TRADE)
            await clock.sleep_s(5)
            assert len(inbox.arrivals) == 10
            inbox.room = 1_000
            inbox.emptied.set()
            await clock.sleep_s(0.1)
            assert len(inbox.arrivals) == 51  # the connection, and every message

    run_virtual(main)


def test_a_silence_of_our_own_making_is_none_of_the_peers() -> None:
    """While the inbox has no room we ping and wait; only when we read again does silence count."""

    async def main(clock: VirtualClock) -> None:
        socket, inbox = ScriptedConnection(Manners(pings=False), clock), _Inbox(room=2)
        async with _open(clock, socket, inbox) as connection:
            socket.push(_TRADE)
            await clock.sleep_s(607)  # between two pings
            assert not connection.ended.done()
            assert len(socket.pinged_ns) >= 600 / 15
            read_ns = clock.monotonic_ns()
            inbox.room = 1_000
            inbox.emptied.set()
            ended = await connection.ended
        assert ended.cause is EndCause.SERVER_TIMEOUT
        assert "inbox" not in ended.detail
        assert clock.monotonic_ns() - read_ns == 30 * _NS

    run_virtual(main)


def test_a_peer_that_does_not_bear_our_silence_is_told_of_with_our_share() -> None:
    """It drops us because its buffer is full; the reason says that we did not read."""

    async def main(clock: VirtualClock) -> None:
        socket = ScriptedConnection(Manners(pings=False), clock)
        async with _open(clock, socket, _Inbox(room=2)) as connection:
            socket.push(_TRADE)
            await clock.sleep_s(45)
            connection.abandon("the connection ended")
            ended = await connection.ended
        assert ended.detail == "the connection ended; our own inbox had no room for 45 s"

    run_virtual(main)


@pytest.mark.parametrize("turns", [0, 3, 5])
def test_a_peer_is_heard_before_it_is_called_silent(turns: int) -> None:
    """The loop was held up for longer than the peer may be silent, and its ping is in the socket.

    The timer is due in the turn in which the socket is found readable, and the bytes need some
    turns more to their reader.
    """

    async def scenario(
        connection: HubConnection, socket: ScriptedConnection, clock: VirtualClock
    ) -> None:
        await clock.sleep_s(1)

        def arrive(left: int) -> None:
            if left:
                asyncio.get_running_loop().call_soon(arrive, left - 1)
            else:
                socket.push(JSON.ping)

        for held_s in (31, 40, 3_600):
            clock.hold_s(held_s)
            arrive(turns)
            await clock.sleep_s(1)
            assert not connection.ended.done()
        await clock.sleep_s(60)
        assert connection.ended.result().cause is EndCause.SERVER_TIMEOUT

    _play(scenario, Manners(pings=False))
