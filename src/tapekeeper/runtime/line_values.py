"""What a line is made from, takes, gives and says of itself: frozen values and two Protocols."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from tapekeeper.core.signalr.protocol import JSON, HubProtocol
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.signalr.resume import ReceivePoint
from tapekeeper.core.signalr.session import Garbled, SessionTimers
from tapekeeper.model.secret import Secret

TASK = "tape: line"
"""Names of a line's tasks start with this; they have no number, so that a census counts kinds."""


class HubCall(msgspec.Struct, frozen=True):
    """One call of a hub method, such as a subscription. Equal calls are the same subscription.

    Attributes:
        target: the method, such as `SubscribeContractTrades`.
        arguments: JSON-encodable scalars; an account id is an int, never text.
    """

    target: str
    arguments: tuple[str | int | float | bool | None, ...] = ()

    def __str__(self) -> str:
        return f"{self.target}({', '.join(map(str, self.arguments))})"


class LineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How a line connects and how patient it is. Times say their unit.

    What the configuration can set has its default here, and there from here.

    Attributes:
        name: for people and labels, such as `market`; what arrives carries it as `hub`.
        hub_url: http(s) or ws(s) URL of the hub, without a token.
        protocol: what the connection speaks.
        negotiate: whether to negotiate first; otherwise the hub is upgraded directly.
        stateful_reconnect: whether to ask for connections that can be resumed; needs negotiation.
        timers: handshake, keep-alive, silence and call timeouts of the session.
        token_timeout_s: for the token source to answer.
        connect_timeout_s: for negotiation, all its redirects and the upgrade together.
        send_timeout_s: for one message to be taken by the socket. Servers abort a connection
            whose writes block for 10 s, and so do we.
        subscribe_timeout_s: how long a caller waits for a first answer, connecting included.
        backoff_base_ms, backoff_cap_ms: bounds of the delay between attempts.
        healthy_after_s: a connection that was live this long resets the delay. Shorter lives do
            not, or a server that accepts and drops would be hammered.
        refused_delay_s: least delay after credentials were refused, when haste cannot help.
        renew_token_after_s: a token refused with 401 is renewed at once, but only once in this
            time, so that a server that refuses fresh tokens too is not flooded with logins.
        mend_every_s: how often refused or unanswered subscriptions are tried again while live.
        busy_delay_s: least delay after a 429 that does not say how long to wait.
        flap_lives, flap_within_s: so many live connections that ended within so long are
            flapping, and the delay is not reset.
        down_after_s: without anything live for so long, the line says that it is down.
        calls_per_s, calls_burst: pace of the calls made to the hub.
    """

    name: str
    hub_url: str
    protocol: HubProtocol = JSON
    negotiate: bool
    stateful_reconnect: bool = False
    timers: SessionTimers = SessionTimers()
    token_timeout_s: float = 45.0
    connect_timeout_s: float = 15.0
    send_timeout_s: float = 10.0
    subscribe_timeout_s: float = 20.0
    backoff_base_ms: int = 500
    backoff_cap_ms: int = 30_000
    healthy_after_s: float = 30.0
    refused_delay_s: float = 60.0
    renew_token_after_s: float = 900.0
    mend_every_s: float = 60.0
    busy_delay_s: float = 5.0
    flap_lives: int = 5
    flap_within_s: float = 240.0
    down_after_s: float = 60.0
    calls_per_s: float = 50.0
    calls_burst: int = 100


class Connected(msgspec.Struct, frozen=True, gc=False):
    """A new connection passed its handshake; what was carried over from an old one is void.

    Attributes:
        line: number of the connection, unique in this process.
        hub: name of the line.
        recv_ns: wall clock, ns UTC.
        point: where the count of its records begins, if it can be resumed.
        protocol: name of the hub protocol that it speaks.
    """

    line: int
    hub: str
    recv_ns: int
    point: ReceivePoint | None = None
    protocol: str = JSON.name


class Reattached(msgspec.Struct, frozen=True, gc=False):
    """A connection has another transport; what the old one left unfinished is void.

    What comes from now on begins with a Sequence record, and with records that may be had.

    Attributes:
        line: number of the connection.
        hub: name of the line.
        recv_ns: wall clock, ns UTC.
        point: where the count of its records stands.
    """

    line: int
    hub: str
    recv_ns: int
    point: ReceivePoint


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """One whole WebSocket message, with what the session read in it.

    Attributes:
        line: number of the connection.
        hub: name of the line.
        recv_ns: wall clock when it was read, ns UTC.
        data: its bytes. The handshake answer is left out, so the data of one connection is
            records and nothing else, and a fresh splitter reads the same from it.
        calls: the server's invocations that this message completed, in order, without those
            that were had already.
        garbled: the malformed records that it completed, in order.
        point: where the count of the connection's records stands behind it, if it counts them.
        begins_whole: whether it begins with a record, and not in the middle of one.
    """

    line: int
    hub: str
    recv_ns: int
    data: bytes
    calls: tuple[Invocation, ...]
    garbled: tuple[Garbled, ...]
    point: ReceivePoint | None = None
    begins_whole: bool = True


class Disconnected(msgspec.Struct, frozen=True, gc=False):
    """A connection that was `Connected` has ended; nothing more comes of it.

    Attributes:
        line: number of the connection.
        hub: name of the line.
        recv_ns: wall clock when that was known, ns UTC.
    """

    line: int
    hub: str
    recv_ns: int


Arrival: TypeAlias = Connected | Reattached | Inbound | Disconnected


class Inbox(Protocol):
    """Where a line puts what arrives."""

    def __call__(self, arrival: Arrival, /) -> bool:
        """Take `arrival`, always; False if there is no room for another one.

        Synchronous, so that the reader awaits nothing but its socket. What it raises is not the
        line's to handle and ends `Line.run`.
        """
        ...

    async def wait_room(self) -> None:
        """Return when there is room again; called only after a False."""
        ...


class HubTokens(Protocol):
    """A `ports.TokenSource` that can be told that its token does not work."""

    async def __call__(self) -> Secret:
        """A token that is valid now; see `ports.TokenSource` for errors."""
        ...

    def invalidate(self, refused: Secret) -> None:
        """The hub refused this token; forget it unless another one is held by now."""
        ...


class Route(Protocol):
    """Chooses the address of every life, where there are several."""

    def begin(self) -> str:
        """An attempt is made; the URL of the hub for it."""
        ...

    def succeeded(self, url: str) -> None:
        """A connection to it is live."""
        ...

    def failed(self, url: str, why: str, leave_s: float | None = None) -> None:
        """An attempt failed, or a connection ended before it was healthy.

        `leave_s` is how long that address is to be left alone now, if it has asked for that.
        """
        ...

    def wait_s(self) -> float:
        """How long the next attempt must wait, because every address has asked for that; or 0."""
        ...


class Renewals:
    """When a token that was refused was renewed last, shared by lines that replace each other.

    Without it each new line would renew once more, and a hub that refuses fresh tokens would be
    answered with a login per line.

    Attributes:
        renewed_ns: monotonic; None where no renewal is in doubt.
    """

    __slots__ = ("renewed_ns",)

    def __init__(self) -> None:
        self.renewed_ns: int | None = None


def no_proof(_call: HubCall, _data: Invocation) -> bool:
    """Data prove nothing; for hubs of which no more is known."""
    return False


class LineState(StrEnum):
    """Where a line stands; the transitions are the table in `tapekeeper.runtime.line`."""

    STOPPED = "stopped"  # not running: not yet, or no more
    AUTHENTICATING = "authenticating"  # asking the token source
    CONNECTING = "connecting"  # negotiation, upgrade, handshake
    SUBSCRIBING = "subscribing"  # open; subscriptions are asked for, data may flow already
    LIVE = "live"  # every subscription was answered
    STALE = "stale"  # connected, but its data have stopped although the market is open
    RESUMING = "resuming"  # its transport was lost, and another one may carry on
    DRAINING = "draining"  # a successor is live; it delivers for the rest of its life
    BACKING_OFF = "backing_off"  # waiting before the next attempt
    DOWN = "down"  # the same, where nothing has been live for long


DELIVERING = frozenset({LineState.LIVE, LineState.STALE, LineState.DRAINING})
"""The states of a line whose data arrive."""


class Transition(msgspec.Struct, frozen=True):
    """One step of a line's life.

    Attributes:
        name: of the line.
        before, after: the states.
        at_ns: wall clock, ns UTC.
        reason: one clause for a person.
        cause: a word of a closed set, for labels: the value of a session's `EndCause`, or the
            class name of the error that ended an attempt; empty for steps forward.
        connection: number of the connection, None before the first.
        last_received_ns: wall clock of the last bytes of any connection, None before the first.
        heard_ns: wall clock up to which all that the present or last connection sent is known to
            have come; on leaving `live` it is where a gap may start. None if that cannot be said
            of any moment.
        retry_in_s: delay before the next attempt, where `after` is `backing_off` or `down`.
    """

    name: str
    before: LineState
    after: LineState
    at_ns: int
    reason: str
    cause: str = ""
    connection: int | None = None
    last_received_ns: int | None = None
    heard_ns: int | None = None
    retry_in_s: float | None = None


class ResumeTally(msgspec.Struct, frozen=True):
    """What became of lost transports, where connections can be resumed.

    Attributes:
        tried: transports that were lost and replaced, or tried to be; one that is lost before
            the hub has said where it goes on counts as well.
        succeeded: times the connection went on, with nothing lost.
        repeated: records that came a second time for it, and were dropped.
    """

    tried: int = 0
    succeeded: int = 0
    repeated: int = 0

    def __add__(self, other: ResumeTally) -> ResumeTally:
        """Both together."""
        return ResumeTally(
            self.tried + other.tried,
            self.succeeded + other.succeeded,
            self.repeated + other.repeated,
        )


class RoundTrip(msgspec.Struct, frozen=True):
    """Round trips of the WebSocket pings of a line, over all its connections, ms.

    What waited to be read before the answer is part of them.

    Attributes:
        measured: pings that were answered.
        unanswered: pings that were not, in time.
        last_ms, min_ms, max_ms: None before the first answer.
    """

    measured: int = 0
    unanswered: int = 0
    last_ms: float | None = None
    min_ms: float | None = None
    max_ms: float | None = None

    def and_one(self, took_ms: float) -> RoundTrip:
        """The same with one more answer."""
        return RoundTrip(
            measured=self.measured + 1,
            unanswered=self.unanswered,
            last_ms=took_ms,
            min_ms=took_ms if self.min_ms is None else min(self.min_ms, took_ms),
            max_ms=took_ms if self.max_ms is None else max(self.max_ms, took_ms),
        )

    def and_none(self) -> RoundTrip:
        """The same with one more ping that was not answered."""
        return msgspec.structs.replace(self, unanswered=self.unanswered + 1)


class LineStatus(msgspec.Struct, frozen=True):
    """What a line says of itself; counters are of its whole life.

    Attributes:
        name: of the line.
        state: where it stands.
        since_ns: wall clock of the last transition, ns UTC; 0 before the first.
        reason: of the last transition.
        connection: number of the present or last connection.
        attempts: connections tried.
        connections: connections that passed their handshake.
        frames, bytes: messages and their sizes received after handshakes.
        last_received_ns: wall clock of the last bytes, pings included; no measure of freshness.
        subscriptions: calls that are wanted.
        unconfirmed: those of them that no answer of the present connection confirms.
        resumes: what became of lost transports.
        round_trip: to the gateway and back.
    """

    name: str
    state: LineState
    since_ns: int
    reason: str
    connection: int | None
    attempts: int
    connections: int
    frames: int
    bytes: int
    last_received_ns: int | None
    subscriptions: int
    unconfirmed: tuple[HubCall, ...]
    resumes: ResumeTally = ResumeTally()
    round_trip: RoundTrip = RoundTrip()
