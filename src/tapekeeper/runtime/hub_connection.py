"""One open WebSocket and its session, turned by two tasks: a reader and a keeper.

The reader takes a message, stamps it, gives it to the session and hands it on; it awaits only the
socket, and the inbox where that is full. The keeper is the only one that sends and the only one
that watches time: it sleeps until the session's next deadline or until there is something to
send. Every end, whatever its cause, becomes one `Ended` value in `ended`.

Where the session can be resumed, the loss of a socket is no end: the reader asks for another
one, gives it to the session, and reads on. The keeper goes on with whichever socket there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tapekeeper.core.signalr.framing import SEPARATOR
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.signalr.resume import ReceivePoint
from tapekeeper.core.signalr.session import (
    Called,
    Completed,
    EndCause,
    Ended,
    Event,
    Garbled,
    Interrupted,
    Opened,
    Resumed,
    Session,
    SessionState,
    TimedOut,
)
from tapekeeper.deadline import deadline
from tapekeeper.errors import (
    ConnectionLostError,
    DeadlineError,
    InvocationError,
    OutsideError,
)
from tapekeeper.ports import Clock, Connection
from tapekeeper.runtime.heard import Heard
from tapekeeper.runtime.line_values import Connected, HubCall, Inbound, Inbox, Reattached

UNSENT_MAX = 4_096
"""Records waiting to be sent; reached only by a server that calls us and does not read."""

LOGOUT = "GatewayLogout"
"""The gateway calls this when it ends the login session, as seen by live clients of it."""

_NS_PER_S = 1_000_000_000
_TICK_S = 0.001
"""The shortest sleep of the keeper, so that rounding can never make it spin."""

_HELD_UP_NS = 10_000_000
"""What is done so late was held up by something else in the loop."""

_READER_TURNS = 10
"""Turns of the loop from bytes in the kernel to the session, with room to spare: they are polled,
the WebSocket library reads and parses them and wakes the reader, which takes them over."""


def _nobody() -> bool:
    return False


def _unheard(_why: str) -> None:
    return


def _nothing() -> None:
    return


class HubConnection:
    """See the module's text. Make one inside a running loop, then run `read` and `keep`.

    Args:
        number: unique number of this connection.
        hub: name of the line it serves.
        socket: just connected; the closing of the one that is `socket` in the end is the
            caller's.
        session: new.
        clock: time.
        inbox: takes what arrives.
        send_timeout_s: for one message.
        on_logout: called when the gateway ends the login session; whether somebody replaces this
            connection while it still delivers. Otherwise it is abandoned at once.
        heard: told of what comes, to say up to when it is known to be complete.
        reopen: opens another socket to the same URL and id, for a session that can be resumed;
            what it raises of trouble outside is the end.
        on_interrupted: called with the reason when the session waits for another socket.
        on_resumed: called when it goes on.
    """

    def __init__(
        self,
        *,
        number: int,
        hub: str,
        socket: Connection,
        session: Session,
        clock: Clock,
        inbox: Inbox,
        send_timeout_s: float,
        on_logout: Callable[[], bool] = _nobody,
        heard: Heard | None = None,
        reopen: Callable[[], Awaitable[Connection]] | None = None,
        on_interrupted: Callable[[str], None] = _unheard,
        on_resumed: Callable[[], None] = _nothing,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.opened = asyncio.Event()
        self.ended: asyncio.Future[Ended] = loop.create_future()
        self.frames = 0
        self.bytes = 0
        self.last_received_ns: int | None = None
        self.heard = heard or Heard()
        self.on_calls: Callable[[list[Invocation]], None] | None = None  # while data is a proof
        self._hub = hub
        self.socket = socket
        self._session = session
        self._clock = clock
        self._inbox = inbox
        self._send_timeout_s = send_timeout_s
        self._on_logout = on_logout
        self._reopen = reopen
        self._on_interrupted = on_interrupted
        self._on_resumed = on_resumed
        self._reading: asyncio.Timeout | None = None  # of the present socket
        self._has_room = True
        self._sleeps_until_ns = 0  # the keeper, monotonic
        self._wake = asyncio.Event()
        self._answers: dict[str, asyncio.Future[bytes | None]] = {}
        self._unsent: list[bytes] = []  # bound: UNSENT_MAX, checked where it grows
        self._paused_ns: int | None = None
        self._goodbye_ns: int | None = None  # when we said it, wall clock
        session.start(clock.monotonic_ns())

    # --- tasks ----------------------------------------------------------------------------

    async def read(self) -> None:
        """Read until the connection ends."""
        while not self.ended.done():
            why = await self._read_socket()
            if self._session.is_attached:
                self._interrupt(why)
            if not self.ended.done():
                await self._reattach()

    async def _read_socket(self) -> str:
        """Read until the present socket has ended, or is given up by `_stop_reading`; why."""
        socket = self.socket
        try:
            # Without a limit: a handle for others, at no cost per message.
            async with asyncio.timeout(None) as self._reading:
                while not self.ended.done():
                    if not self._has_room:
                        self._paused_ns = self._clock.monotonic_ns()
                        await self._inbox.wait_room()
                        self._paused_ns = None
                        self._session.excuse(self._clock.monotonic_ns())
                    data = await socket.receive()
                    # From a socket that was just given up it comes again, by the next one. What
                    # is read when the session is over belongs to nobody: of it, a replay of the
                    # journal would make what nobody here has made.
                    if self._session.is_attached and not self.ended.done():
                        self._has_room = self._arrived(data)
        except ConnectionLostError as error:
            return str(error)
        except TimeoutError:
            return "it was given up"
        finally:
            self._reading = None
        return ""

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())
            self._reading = None

    async def _reattach(self) -> None:
        """Go on with another socket, or not at all."""
        if self._reopen is None:
            self.abandon("the session cannot be resumed")
            return
        try:
            socket = await self._reopen()
        except OutsideError as error:
            self.abandon(f"not resumed: {error}")
            return
        old, self.socket = self.socket, socket
        if not self.ended.done():
            self._session.reattached(self._clock.monotonic_ns())
            if (point := self._point()) is not None:
                arrival = Reattached(self.number, self._hub, self._clock.now_ns(), point)
                self._has_room = self._inbox(arrival) and self._has_room
            self._collect()
            self._wake.set()
        # Its other end is gone, or has been told by the new one: nothing is to be waited for.
        with suppress(OutsideError, TimeoutError):
            async with asyncio.timeout(0):
                await old.close()

    async def keep(self) -> None:
        """Send what is to be sent and do what is due, until the connection ends."""
        while not self.ended.done():
            self._wake.clear()
            if self._paused_ns is not None:
                # We do not read, so the silence is ours. Our own pings go on.
                self._session.excuse(self._clock.monotonic_ns())
            await self._let_read()
            self._absorb(self._session.on_time(self._clock.monotonic_ns()))
            self._collect()
            await self._send_all()
            due_ns = self._session.due_ns()
            if due_ns is None:
                return
            self._sleeps_until_ns = due_ns
            wait_s = max((due_ns - self._clock.monotonic_ns()) / _NS_PER_S, _TICK_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _let_read(self) -> None:
        """Let the reader come first where the loop was held up.

        What came meanwhile waits in the socket, and the peer would be called silent for it.
        """
        due_ns = self._session.due_ns()
        if due_ns is not None and self._clock.monotonic_ns() - due_ns > _HELD_UP_NS:
            for _ in range(_READER_TURNS):
                await asyncio.sleep(0)

    # --- what others may ask for ----------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether calls may be made."""
        return self._session.is_usable

    @property
    def repeated(self) -> int:
        """Records that came a second time, because it was resumed."""
        return 0 if self._session.resume is None else self._session.resume.repeated

    async def call(self, call: HubCall) -> bytes | None:
        """Call the hub and wait for its answer, which is undecoded, or None.

        Raises:
            InvocationError: the hub answered with an error.
            DeadlineError: it did not answer in time.
            ConnectionLostError: the connection ended first, or is not open.
        """
        now_ns, asked_ns = self._clock.monotonic_ns(), self._clock.now_ns()
        invocation_id = self._session.invoke(call.target, list(call.arguments), now_ns)
        answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._answers[invocation_id] = answer
        self._collect()
        self._wake.set()
        try:
            result = await answer
        except InvocationError as error:
            self.heard.answered(asked_ns)
            raise InvocationError(f"the hub refused {call}: {error}") from None
        except DeadlineError:
            raise DeadlineError(f"the hub did not answer {call}") from None
        else:
            self.heard.answered(asked_ns)
            return result
        finally:
            self._answers.pop(invocation_id, None)

    def tell(self, call: HubCall) -> None:
        """Call the hub of an open connection; its answer is of no interest."""
        self._session.invoke(call.target, list(call.arguments), self._clock.monotonic_ns())
        self._collect()
        self._wake.set()

    async def stop(self, timeout_s: float) -> None:
        """Say goodbye and wait, at most `timeout_s`, for the end."""
        self._goodbye_ns = self._clock.now_ns()
        self._absorb(self._session.stop(self._clock.monotonic_ns()))
        self._collect()
        self._wake.set()
        # Waiting does not cancel the future, which awaiting it would when we are cancelled.
        await asyncio.wait([self.ended], timeout=timeout_s)

    def abandon(self, detail: str) -> None:
        """Treat the connection as lost; every pending call fails. Harmless after the end."""
        self._absorb(self._session.lost(detail, self._clock.monotonic_ns()))
        self._wake.set()

    # --- inside ---------------------------------------------------------------------------

    def _arrived(self, data: bytes) -> bool:
        """Take one message; whether there is room for the next."""
        recv_ns, mono_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        begins_whole = not self._session.unfinished_bytes
        events = self._session.receive(data, mono_ns)
        carries_on = self._session.state is not SessionState.RESUMING
        if carries_on:
            self.last_received_ns = recv_ns
        calls: list[Invocation] = []
        garbled: list[Garbled] = []
        rest: list[Event] = []
        room = True
        for event in events:
            if type(event) is Called:
                calls.append(event.invocation)
            elif type(event) is Garbled:
                garbled.append(event)
            elif type(event) is Opened:
                # The answer to the handshake is JSON under every protocol, and comes first.
                data = data.partition(SEPARATOR)[2]
                self.opened.set()
                start = None if self._session.resume is None else ReceivePoint()
                protocol = self._session.protocol.name
                room = self._inbox(Connected(self.number, self._hub, recv_ns, start, protocol))
            else:
                rest.append(event)
        if self.opened.is_set() and data:
            self.frames += 1
            self.bytes += len(data)
            room = self._inbox(
                Inbound(
                    self.number,
                    self._hub,
                    recv_ns,
                    data,
                    tuple(calls),
                    tuple(garbled),
                    self._point(),
                    begins_whole,
                )
            )
        if carries_on:
            self.heard.arrived(recv_ns, mono_ns, calls)
        if calls and self.on_calls is not None:
            self.on_calls(calls)
        if rest:
            self._absorb_from_peer(rest)
        if self._collect() or self._is_due_earlier():
            self._wake.set()
        if any(call.target == LOGOUT for call in calls):
            self._log_out()
        return room

    def _log_out(self) -> None:
        if not self._on_logout():
            self.abandon("the gateway ended the login session")

    def _absorb_from_peer(self, events: list[Event]) -> None:
        """The same of what the peer sent: an end after our goodbye is the answer to it."""
        self._absorb(events)
        if type(events[-1]) is Ended and self._goodbye_ns is not None:
            self.heard.said_goodbye(self._goodbye_ns, self._clock.now_ns())

    def _absorb(self, events: list[Event]) -> None:
        """Settle answers, and the end."""
        end = events[-1] if events and type(events[-1]) is Ended else None
        for event in events:
            if type(event) is Completed:
                self._settle(event)
            elif type(event) is Interrupted:
                self._unsent.clear()
                self._stop_reading()
                self._on_interrupted(event.detail)
            elif type(event) is Resumed:
                self._on_resumed()
            elif type(event) is TimedOut:
                answer = self._answers.get(event.invocation_id)
                if answer is not None and not answer.done():
                    answer.set_exception(DeadlineError("no answer"))
        if end is not None and not self.ended.done():
            self.ended.set_result(self._explained(end))

    def _settle(self, completed: Completed) -> None:
        answer = self._answers.get(completed.invocation_id)
        if answer is None or answer.done():
            return
        if not completed.by_hub:
            answer.set_exception(ConnectionLostError(completed.error or "the connection ended"))
        elif completed.error is not None:
            answer.set_exception(InvocationError(completed.error))
        else:
            answer.set_result(completed.result)

    def _explained(self, end: Ended) -> Ended:
        """`end`, with our own share where we did not read: a server does not bear that for long."""
        if end.cause is EndCause.LOCAL_STOP or self._paused_ns is None:
            return end
        paused_s = (self._clock.monotonic_ns() - self._paused_ns) / _NS_PER_S
        detail = f"{end.detail}; our own inbox had no room for {paused_s:.0f} s"
        return Ended(end.cause, detail, end.allow_reconnect)

    def _collect(self) -> bool:
        """Take over what the session wants to send; whether there is anything."""
        self._unsent += self._session.outgoing()
        if len(self._unsent) > UNSENT_MAX:
            self._unsent.clear()
            self.abandon(f"the server left more than {UNSENT_MAX:,} of our records unread")
        return bool(self._unsent)

    async def _send_all(self) -> None:
        while self._unsent:
            socket, record = self.socket, self._unsent.pop(0)
            try:
                async with deadline(self._send_timeout_s, "sending"):
                    await socket.send(record, binary=self._session.protocol.is_binary)
            except (ConnectionLostError, DeadlineError) as error:
                # Where it has been replaced meanwhile, what it did not take was sent again.
                if socket is self.socket and self._session.is_attached:
                    self._interrupt(str(error))
                    self._stop_reading()

    def _interrupt(self, why: str) -> None:
        """The socket is of no use any more."""
        self._unsent.clear()
        self._absorb(self._session.interrupted(why, self._clock.monotonic_ns()))
        self._wake.set()

    def _point(self) -> ReceivePoint | None:
        return None if self._session.resume is None else self._session.resume.point

    def _is_due_earlier(self) -> bool:
        """Whether what came makes something due before the keeper wakes: an acknowledgement."""
        if self._session.resume is None:
            return False
        due_ns = self._session.due_ns()
        return due_ns is not None and due_ns < self._sleeps_until_ns
