"""One open WebSocket and its session, turned by two tasks: a reader and a keeper.

The reader takes a message, stamps it, gives it to the session and hands it on; it awaits only the
socket, and the inbox where that is full. The keeper is the only one that sends and the only one
that watches time: it sleeps until the session's next deadline or until there is something to
send. Every end, whatever its cause, becomes one `Ended` value in `ended`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from tapekeeper.core.signalr.framing import SEPARATOR
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.signalr.session import (
    STOPPED,
    Called,
    Completed,
    EndCause,
    Ended,
    Event,
    Garbled,
    Opened,
    Session,
    SessionState,
    TimedOut,
)
from tapekeeper.errors import ConnectionLostError, DeadlineError, InvocationError
from tapekeeper.ports import Clock, Connection
from tapekeeper.runtime.heard import Heard
from tapekeeper.runtime.line_values import Connected, HubCall, Inbound, Inbox

UNSENT_MAX = 4_096
"""Records waiting to be sent; reached only by a server that calls us and does not read."""

LOGOUT = "GatewayLogout"
"""The gateway calls this when it ends the login session, as seen by live clients of it."""

_NS_PER_S = 1_000_000_000
_TICK_S = 0.001
"""The shortest sleep of the keeper, so that rounding can never make it spin."""


def _nobody() -> bool:
    return False


@asynccontextmanager
async def deadline(timeout_s: float, what: str) -> AsyncIterator[None]:
    """Bound what is awaited inside.

    Raises:
        DeadlineError: `timeout_s` passed; the sentence starts with `what`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise DeadlineError(f"{what} took longer than {timeout_s:g} s") from None


class HubConnection:
    """See the module's text. Make one inside a running loop, then run `read` and `keep`.

    Args:
        number: unique number of this connection.
        hub: name of the line it serves.
        socket: just connected; its closing is the caller's.
        session: new.
        clock: time.
        inbox: takes what arrives.
        send_timeout_s: for one message.
        on_logout: called when the gateway ends the login session; whether somebody replaces this
            connection while it still delivers. Otherwise it is abandoned at once.
        heard: told of what comes, to say up to when it is known to be complete.
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
    ) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.opened = asyncio.Event()
        self.ended: asyncio.Future[Ended] = loop.create_future()
        self.frames = 0
        self.bytes = 0
        self.last_received_ns: int | None = None
        self.heard = heard or Heard()
        self.logged_out = False
        self.on_calls: Callable[[list[Invocation]], None] | None = None  # while data is a proof
        self._hub = hub
        self._socket = socket
        self._session = session
        self._clock = clock
        self._inbox = inbox
        self._send_timeout_s = send_timeout_s
        self._on_logout = on_logout
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
            try:
                data = await self._socket.receive()
            except ConnectionLostError as error:
                self.abandon(str(error))
                return
            if not self._arrived(data):
                self._paused_ns = self._clock.monotonic_ns()
                await self._inbox.wait_room()
                self._paused_ns = None

    async def keep(self) -> None:
        """Send what is to be sent and do what is due, until the connection ends."""
        while not self.ended.done():
            self._wake.clear()
            self._absorb(self._session.on_time(self._clock.monotonic_ns()))
            self._collect()
            await self._send_all()
            due_ns = self._session.due_ns()
            if due_ns is None:
                return
            wait_s = max((due_ns - self._clock.monotonic_ns()) / _NS_PER_S, _TICK_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    # --- what others may ask for ----------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether calls may be made."""
        return self._session.state is SessionState.OPEN

    async def call(self, call: HubCall) -> bytes | None:
        """Call the hub and wait for its answer, which is undecoded JSON or None.

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
        recv_ns = self._clock.now_ns()
        events = self._session.receive(data, self._clock.monotonic_ns())
        self.last_received_ns = recv_ns
        calls: list[Invocation] = []
        garbled: list[Garbled] = []
        rest: list[Event] = []
        room = True
        logout = False
        for event in events:
            if type(event) is Called:
                calls.append(event.invocation)
                if event.invocation.target == LOGOUT:
                    logout = True
            elif type(event) is Garbled:
                garbled.append(event)
            elif type(event) is Opened:
                # The answer to the handshake is exactly the first record of the connection.
                data = data.partition(SEPARATOR)[2]
                self.opened.set()
                room = self._inbox(Connected(self.number, self._hub, recv_ns))
            else:
                rest.append(event)
        if self.opened.is_set() and data:
            self.frames += 1
            self.bytes += len(data)
            room = self._inbox(
                Inbound(self.number, self._hub, recv_ns, data, tuple(calls), tuple(garbled))
            )
        self.heard.arrived(recv_ns, calls)
        if calls and self.on_calls is not None:
            self.on_calls(calls)
        if rest:
            self._absorb_from_peer(rest)
        if self._collect():
            self._wake.set()
        if logout:
            self.logged_out = True
            if not self._on_logout():
                self.abandon("the gateway ended the login session")
        return room

    def _absorb_from_peer(self, events: list[Event]) -> None:
        """The same of what the peer sent: an end after our goodbye is the answer to it."""
        self._absorb(events)
        if type(events[-1]) is Ended and self._goodbye_ns is not None:
            self.heard.said_goodbye(self._goodbye_ns)

    def _absorb(self, events: list[Event]) -> None:
        """Settle answers, and the end."""
        end = events[-1] if events and type(events[-1]) is Ended else None
        for event in events:
            if type(event) is Completed:
                # The session fails pending calls with the text of the end or of the stop; that
                # is no answer of the hub.
                lost = event.error == STOPPED or (end is not None and event.error == end.detail)
                self._settle(event, lost=lost)
            elif type(event) is TimedOut:
                answer = self._answers.get(event.invocation_id)
                if answer is not None and not answer.done():
                    answer.set_exception(DeadlineError("no answer"))
        if end is not None and not self.ended.done():
            self.ended.set_result(self._explained(end))

    def _settle(self, completed: Completed, *, lost: bool) -> None:
        answer = self._answers.get(completed.invocation_id)
        if answer is None or answer.done():
            return
        if lost:
            answer.set_exception(ConnectionLostError(completed.error or "the connection ended"))
        elif completed.error is not None:
            answer.set_exception(InvocationError(completed.error))
        else:
            answer.set_result(completed.result)

    def _explained(self, end: Ended) -> Ended:
        """`end`, with our own share where the silence was ours."""
        if end.cause is not EndCause.SERVER_TIMEOUT or self._paused_ns is None:
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
            record = self._unsent.pop(0)
            try:
                async with deadline(self._send_timeout_s, "sending"):
                    await self._socket.send(record)
            except (ConnectionLostError, DeadlineError) as error:
                self._unsent.clear()
                self.abandon(str(error))
                return
