"""A hub in memory: real records, no sockets, and manners that are chosen per connection.

It fills `ports.Transport`, so a line can be driven through every kind of trouble in virtual time,
where a server on a socket would need real time. A well-mannered connection answers the handshake,
completes every call, answers each ping with a ping and each Close with a Close, in the protocol
that the handshake asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from tapekeeper.core.signalr.framing import SEPARATOR
from tapekeeper.core.signalr.protocol import JSON, HubProtocol
from tapekeeper.core.signalr.records import Close, Invocation, Ping
from tapekeeper.errors import ConnectionLostError, OutsideError
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock
from tapekeeper.sim.session import asked_protocol

RECORD_BYTES_MAX = 1_000_000

UNREAD_MAX = 100_000
"""Messages a test may push before the client reads; more is a mistake of the test."""


@dataclass(frozen=True)
class Manners:
    """How the hub behaves on one connection.

    Attributes:
        handshake: what answers the handshake; None for silence.
        refuses: error text of a completion, by target.
        ignores: targets that are never answered.
        pings: whether a ping is answered with one; without, an idle connection is silent.
        says_goodbye: whether a Close record is answered.
        accepts_s: how long the upgrade takes, seconds.
        blocks_sends: whether what the client sends is never taken.
        on_open: called with the connection when the handshake was answered.
    """

    handshake: bytes | None = b"{}\x1e"
    refuses: Mapping[str, str] = field(default_factory=dict)
    ignores: frozenset[str] = frozenset()
    pings: bool = True
    says_goodbye: bool = True
    accepts_s: float = 0.0
    blocks_sends: bool = False
    on_open: Callable[[ScriptedConnection], None] | None = None


class ScriptedConnection:
    """The client's end of one connection, with the levers of the hub's end.

    Attributes:
        calls: invocations received, in order.
        pinged_ns: monotonic times of the pings received.
        said_goodbye: whether a Close record was received.
        closed: whether the client closed it.
        protocol: what is spoken.
        binary: of each message received, whether it was binary.
    """

    def __init__(self, manners: Manners, clock: Clock) -> None:
        self.calls: list[Invocation] = []
        self.pinged_ns: list[int] = []
        self.said_goodbye = False
        self.closed = False
        self._manners = manners
        self._clock = clock
        self.protocol: HubProtocol = JSON
        self.binary: list[bool] = []
        self._splitter = JSON.new_splitter(RECORD_BYTES_MAX)
        self._shaken = False
        self._inbound: asyncio.Queue[bytes | None] = asyncio.Queue(UNREAD_MAX)
        self._lost = ""

    # --- the client's end -----------------------------------------------------------------

    async def receive(self) -> bytes:
        """The next message the hub pushed.

        Raises:
            ConnectionLostError: the hub dropped the connection, or the client closed it.
        """
        data = await self._inbound.get()
        if data is None:
            raise ConnectionLostError(f"the connection ended: {self._lost}")
        return data

    async def send(self, data: bytes, *, binary: bool = False) -> None:
        """Give the hub a message; it reacts at once.

        Raises:
            ConnectionLostError: the connection ended.
        """
        if self._manners.blocks_sends:
            await asyncio.Event().wait()
        if self._lost:
            raise ConnectionLostError(f"the connection ended: {self._lost}")
        self.binary.append(binary)
        if not self._shaken:
            data = self._greeted(data)
        for raw in self._splitter.feed(data):
            self._react(raw)

    async def ping(self) -> None:
        """Answered at once, unless the hub does not answer pings.

        Raises:
            ConnectionLostError: the connection ended.
        """
        if self._lost:
            raise ConnectionLostError(f"the connection ended: {self._lost}")
        if not self._manners.pings:
            await asyncio.Event().wait()

    async def close(self) -> None:
        """Close the client's end."""
        self.closed = True
        self.drop("closed by the client")

    # --- the hub's end --------------------------------------------------------------------

    def push(self, data: bytes) -> None:
        """Send one message to the client."""
        self._inbound.put_nowait(data)

    def drop(self, how: str) -> None:
        """End the connection without a Close record."""
        if not self._lost:
            self._lost = how
            self._inbound.put_nowait(None)

    def behave(self, manners: Manners) -> None:
        """Have these manners from now on."""
        self._manners = manners

    def forgive(self) -> None:
        """Answer every later call well."""
        self.behave(Manners())

    def _greeted(self, data: bytes) -> bytes:
        """Take the handshake, which comes whole; what came behind it."""
        self._shaken = True
        asked, _, rest = data.partition(SEPARATOR)
        found = asked_protocol(asked)
        self.protocol = JSON if isinstance(found, str) else found
        self._splitter = self.protocol.new_splitter(RECORD_BYTES_MAX)
        manners = self._manners
        if manners.handshake is not None:
            self.push(manners.handshake)
            if manners.on_open is not None:
                manners.on_open(self)
        return rest

    def _react(self, raw: bytes) -> None:
        manners = self._manners
        protocol = self.protocol
        match protocol.decode(raw):
            case Ping():
                self.pinged_ns.append(self._clock.monotonic_ns())
                if manners.pings:
                    self.push(protocol.ping)
            case Invocation(target=target, invocation_id=str(invocation_id)) as call:
                self.calls.append(call)
                if target in manners.refuses:
                    error = manners.refuses[target]
                    self.push(protocol.encode_completion(invocation_id, error=error))
                elif target not in manners.ignores:
                    self.push(protocol.encode_completion(invocation_id))
            case Close():
                self.said_goodbye = True
                if manners.says_goodbye:
                    self.push(protocol.encode_close())
                    self.drop("code 1000")
            case _:
                return


class Attempt(msgspec.Struct, frozen=True):
    """One attempt to connect: when (monotonic), where, with what."""

    at_ns: int
    url: str
    token: Secret | None
    timeout_s: float


class ScriptedHub:
    """Follows a plan, one entry per attempt to connect; after its end it is well-mannered.

    Attributes:
        plan: manners of the connection to come, or the error that refuses it.
        answers: bodies or errors for negotiations, in order; none left is a mistake of the test.
        attempts: what was tried, in order.
        negotiations: the same for negotiations.
        connections: what was accepted, in order.
    """

    def __init__(
        self,
        clock: Clock,
        *plan: Manners | OutsideError,
        answers: list[bytes | OutsideError] | None = None,
    ) -> None:
        self.plan = list(plan)
        self.answers = list(answers or ())
        self.attempts: list[Attempt] = []
        self.negotiations: list[Attempt] = []
        self.connections: list[ScriptedConnection] = []
        self._clock = clock

    async def post(self, url: str, *, token: Secret | None, timeout_s: float) -> bytes:
        """Answer a negotiation; see `ports.Transport`."""
        self.negotiations.append(Attempt(self._clock.monotonic_ns(), url, token, timeout_s))
        answer = self.answers.pop(0)
        if isinstance(answer, OutsideError):
            raise answer
        return answer

    async def connect(
        self, url: str, *, token: Secret | None, timeout_s: float
    ) -> ScriptedConnection:
        """Accept or refuse, as planned; see `ports.Transport`."""
        self.attempts.append(Attempt(self._clock.monotonic_ns(), url, token, timeout_s))
        manners = self.plan.pop(0) if self.plan else Manners()
        if isinstance(manners, OutsideError):
            raise manners
        await self._clock.sleep_s(manners.accepts_s)
        connection = ScriptedConnection(manners, self._clock)
        self.connections.append(connection)
        return connection
