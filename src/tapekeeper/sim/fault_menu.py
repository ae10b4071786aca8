"""The menu of faults: everything that goes wrong at a gateway, as frozen values with a time.

The kinds are those of the references (SignalR checklist, gateway checklist). A fault happens
`at_s`, or `every_s`, or both (first then, then again and again, `until_s`), each time with its
`probability`. Seconds count from the start of the gateway.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from tapekeeper.core.signalr import msgpack, records
from tapekeeper.sim.connection import Slowness, Spoiled
from tapekeeper.sim.faults import Door, Faults, Which
from tapekeeper.sim.losses import Loss
from tapekeeper.sim.subscriptions import Stream

Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=10_000_000.0)]
Share = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
Status = Annotated[int, msgspec.Meta(ge=300, le=599)]
Hub: TypeAlias = Literal["market", "user"]

EVERY_S = 1.0
"""How often a fault that has nothing but a probability is drawn."""

_WHOLE: tuple[str, list[object]] = ("GatewayTrade", ["CON.F.US.MES.Z26", [{"price": 1}]])
PARTIAL = Spoiled(
    records.encode_invocation(*_WHOLE)[:40], packed=msgpack.encode_invocation(*_WHOLE)[:30]
)
# Behind half a record of a stated length everything is read wrongly for good. Where the
# connection goes on, the length is that of the half, so that it costs as little as in JSON.
SHORT = Spoiled(PARTIAL.json, packed=msgpack.framed(PARTIAL.packed[1:]))
GARBAGE = Spoiled(
    b'\xff\x00{"type":1,"target":\x1e[]\x1e{"type":"1"}\x1e',
    packed=b"".join(map(msgpack.framed, (b"\xff\x00\xc1", b"\x90", b"\x91\xa11"))),
)


def _kind(name: str) -> str:
    """`NoAnswer` is written `no_answer`."""
    return "".join("_" + one.lower() if one.isupper() else one for one in name).lstrip("_")


class Fault(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag=_kind,
):
    """When something goes wrong; what, the subclass says.

    Attributes:
        at_s: first time; default: `every_s`.
        every_s: again after so long; None: once. A fault with nothing but a probability is drawn
            every second.
        until_s: not later than this.
        probability: whether it happens when its time has come.
    """

    at_s: Seconds | None = None
    every_s: Annotated[float, msgspec.Meta(ge=0.001, le=10_000_000.0)] | None = None
    until_s: Seconds | None = None
    probability: Share = 1.0

    @property
    def has_time(self) -> bool:
        """Whether it says when it happens."""
        return self.at_s is not None or self.every_s is not None or self.probability < 1.0

    @property
    def first_s(self) -> float:
        """When it is due first."""
        return self.at_s if self.at_s is not None else self.every_s or EVERY_S

    def next_s(self, due_s: float) -> float | None:
        """When it is due after `due_s`; None if never."""
        every_s = self.every_s
        if every_s is None and self.at_s is None:
            every_s = EVERY_S
        if every_s is None:
            return None
        following_s = due_s + every_s
        return None if self.until_s is not None and following_s > self.until_s else following_s

    def apply(self, faults: Faults) -> float | None:
        """Let it happen now.

        Returns:
            Seconds after which `revert` is due, or None where there is nothing to revert.
        """
        raise NotImplementedError

    def revert(self, faults: Faults) -> None:
        """End what lasts; called only if `apply` asked for it."""
        raise NotImplementedError


class Drop(Fault, frozen=True):
    """TCP ends without Close record and close frame.

    A connection that can be resumed is kept for its client to come back, unless the server is to
    `forget` it.
    """

    hub: Hub | None = None
    which: Which = "all"
    forget: bool = False

    def apply(self, faults: Faults) -> None:
        """Cut the connections."""
        faults.drop_all(self.hub, self.which, forget=self.forget)


class Close(Fault, frozen=True):
    """A Close record, with or without leave to reconnect."""

    hub: Hub | None = None
    which: Which = "all"
    error: str | None = None
    allow_reconnect: bool = False

    def apply(self, faults: Faults) -> None:
        """Close the connections."""
        faults.close_all(
            self.hub, which=self.which, error=self.error, allow_reconnect=self.allow_reconnect
        )


class Reset(Fault, frozen=True):
    """TCP ends with a reset (RST); a connection that can be resumed is kept."""

    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Reset the connections."""
        faults.reset(self.hub, self.which)


class CloseCode(Fault, frozen=True):
    """A WebSocket close frame with this code and no Close record, as proxies send it.

    A connection that can be resumed is kept: its server has lost a transport, and no more.
    """

    code: Annotated[int, msgspec.Meta(ge=1000, le=4999)] = 1011
    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Close the connections."""
        faults.close_frames(self.code, self.hub, self.which)


class HalfOpen(Fault, frozen=True):
    """Nothing passes in either direction any more, and neither end is told."""

    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Let the other end be out of reach."""
        faults.go_deaf(self.hub, self.which)


class Silence(Fault, frozen=True):
    """The connection stays and says nothing any more, not even pings; it still hears."""

    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Mute the connections."""
        faults.go_silent(self.hub, self.which)


class Refuse(Fault, frozen=True):
    """HTTP answers at a door: 302, 401, 404, 409, 429 or 503, with `Retry-After` if it is given.

    A redirect leads to where it came from, and its sender goes round for ever if it follows.
    """

    door: Door
    status: Status
    count: Count = 1
    retry_after_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] | None = None

    def apply(self, faults: Faults) -> None:
        """Plan the refusals."""
        faults.refuse(self.door, self.count, self.status, retry_after_s=self.retry_after_s)


class HangUp(Fault, frozen=True):
    """TCP ends where an HTTP answer should come."""

    door: Door
    count: Count = 1

    def apply(self, faults: Faults) -> None:
        """Plan it."""
        faults.refuse(self.door, self.count, 503, manner="hang_up")


class NoAnswer(Fault, frozen=True):
    """An HTTP answer never comes."""

    door: Door
    count: Count = 1

    def apply(self, faults: Faults) -> None:
        """Plan it."""
        faults.refuse(self.door, self.count, 503, manner="silence")


class Failure(Fault, frozen=True):
    """A REST answer is a 200 whose body says that the operation failed."""

    door: Literal["login", "rest"] = "rest"
    count: Count = 1

    def apply(self, faults: Faults) -> None:
        """Plan it."""
        faults.refuse(Door(self.door), self.count, 200, manner="fail")


class Redirect(Fault, frozen=True):
    """A negotiation answers with another address (here: the same) and another token."""

    count: Count = 1

    def apply(self, faults: Faults) -> None:
        """Plan the redirects."""
        faults.redirect(self.count)


class BadHandshake(Fault, frozen=True):
    """The handshake of connections to come is answered with an error."""

    count: Count = 1
    error: str = "Handshake refused on demand."

    def apply(self, faults: Faults) -> None:
        """Plan it."""
        faults.spoil_handshakes(self.count, self.error)


class NoHandshake(Fault, frozen=True):
    """The handshake of connections to come is never answered."""

    count: Count = 1

    def apply(self, faults: Faults) -> None:
        """Plan it."""
        faults.spoil_handshakes(self.count, None)


class Partial(Fault, frozen=True):
    """Half a record, and then TCP ends, unless the connection is to go on behind it."""

    hub: Hub | None = None
    which: Which = "all"
    drop: bool = True

    def apply(self, faults: Faults) -> float | None:
        """Send the half; the drop comes once it has left."""
        if not self.drop:
            faults.send_raw(SHORT, self.hub, self.which)
            return None
        faults.send_half(PARTIAL, self.hub, self.which)
        return 0.05

    def revert(self, faults: Faults) -> None:
        """Cut the same connections."""
        faults.drop_halved()


class UnknownRecord(Fault, frozen=True):
    """A record of a type that clients do not know or did not ask for: 99, 8 or 9."""

    type: Annotated[int, msgspec.Meta(ge=0, le=255)] = 99
    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Send one."""
        packed = msgpack.framed(msgspec.msgpack.encode([self.type, 1]))
        record = Spoiled(b'{"type":%d,"sequenceId":1}\x1e' % self.type, packed)
        faults.send_raw(record, self.hub, self.which)


class Garbage(Fault, frozen=True):
    """Records that are none: not readable, of another shape, without a type."""

    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Send some."""
        faults.send_raw(GARBAGE, self.hub, self.which)


class NullTrades(Fault, frozen=True):
    """A record of trades whose elements are null."""

    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Send one."""
        faults.send_nulls(self.hub, self.which)


class Replay(Fault, frozen=True):
    """The last records come a second time, as on a stateful reconnect that went wrong."""

    records: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Send them again."""
        faults.replay(self.records, self.hub, self.which)


class RefuseSubscription(Fault, frozen=True):
    """Subscriptions to come are answered with an error."""

    count: Count = 1
    text: str = "Refused on demand."

    def apply(self, faults: Faults) -> None:
        """Plan it."""
        faults.spoil_calls(self.count, self.text)


class NoCompletion(Fault, frozen=True):
    """Subscriptions to come are never answered; they are carried out unless they are `lost`."""

    count: Count = 1
    lost: bool = False

    def apply(self, faults: Faults) -> None:
        """Plan it."""
        faults.spoil_calls(self.count, None, lost=self.lost)


class Burst(Fault, frozen=True):
    """Nothing for a while, then everything that was held back, at once."""

    for_s: Seconds = 2.0
    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Hold the writers back."""
        slowness = Slowness(for_s=self.for_s, delay_s=self.for_s)
        faults.slow_down(slowness, self.hub, self.which)


class Trickle(Fault, frozen=True):
    """Messages of a few bytes, so that records are cut anywhere."""

    for_s: Seconds = 5.0
    bytes: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 11
    pause_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 5
    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Slow the writers down."""
        slowness = Slowness(self.for_s, self.pause_ms / 1e3, self.bytes)
        faults.slow_down(slowness, self.hub, self.which)


class Delay(Fault, frozen=True):
    """Every message waits before it leaves, in order."""

    delay_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 500
    for_s: Seconds = 10.0
    hub: Hub | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Slow the writers down."""
        slowness = Slowness(self.for_s, self.delay_ms / 1e3)
        faults.slow_down(slowness, self.hub, self.which)


class Freeze(Fault, frozen=True):
    """One subscription of a connection dies without a word, while the others live on."""

    stream: Stream | None = None
    which: Which = "all"

    def apply(self, faults: Faults) -> None:
        """Forget it."""
        faults.freeze(self.stream, self.which)


class LosePrints(Fault, frozen=True):
    """Prints are lost inside the gateway: its quotes and bars count them, nobody is sent them.

    Attributes:
        share: of the prints that are at least as large as `size_min`, each by itself.
        size_min: contracts; 1 leaves prints of size 0 alone, which count nothing.
        for_s: how long; None is for ever, as in a feed that serves a part of the market only.
    """

    share: Share = 1.0
    size_min: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1
    for_s: Seconds | None = 10.0

    def apply(self, faults: Faults) -> float | None:
        """Begin to lose them."""
        faults.losses.begin(self._loss())
        return self.for_s

    def revert(self, faults: Faults) -> None:
        """Lose no more."""
        faults.losses.end(self._loss())

    def _loss(self) -> Loss:
        return Loss(self.share, self.size_min)


class Logout(Fault, frozen=True):
    """`GatewayLogout`; the connections end after a while, or for None do not."""

    hub: Hub | None = None
    which: Which = "all"
    drop_after_s: Seconds | None = 3.0
    refuse_tokens: bool = False

    def apply(self, faults: Faults) -> float | None:
        """Log out."""
        if self.refuse_tokens:
            faults.refuse_tokens()
        faults.log_out(self.hub, self.which)
        return self.drop_after_s

    def revert(self, faults: Faults) -> None:
        """End the connections."""
        faults.drop_all(self.hub, self.which, forget=True)


class SessionLimit(Fault, frozen=True):
    """From now on a connection too many ends the oldest one of its hub."""

    connections: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    for_s: Seconds = 60.0

    def apply(self, faults: Faults) -> float:
        """Set the limit."""
        faults.session_limit = self.connections
        return self.for_s

    def revert(self, faults: Faults) -> None:
        """Lift it."""
        faults.session_limit = None


class RefuseTokens(Fault, frozen=True):
    """Every token issued so far is refused from now on; live connections stay."""

    def apply(self, faults: Faults) -> None:
        """Refuse them."""
        faults.refuse_tokens()


class Outage(Fault, frozen=True):
    """The gateway is gone for a while: connections are cut, and so is every request."""

    for_s: Seconds = 10.0

    def apply(self, faults: Faults) -> float:
        """Go away."""
        faults.is_away = True
        faults.drop_all(forget=True)
        return self.for_s

    def revert(self, faults: Faults) -> None:
        """Come back."""
        faults.is_away = False


KINDS: tuple[type[Fault], ...] = (
    Drop,
    Close,
    Reset,
    CloseCode,
    HalfOpen,
    Silence,
    Refuse,
    HangUp,
    NoAnswer,
    Failure,
    Redirect,
    BadHandshake,
    NoHandshake,
    Partial,
    UnknownRecord,
    Garbage,
    NullTrades,
    Replay,
    RefuseSubscription,
    NoCompletion,
    Burst,
    Trickle,
    Delay,
    Freeze,
    LosePrints,
    Logout,
    SessionLimit,
    RefuseTokens,
    Outage,
)
"""Every kind of fault, in the order in which they are listed to people."""

BY_KIND = {_kind(one.__name__): one for one in KINDS}


def kind_of(fault: Fault) -> str:
    """The word for its kind, as it is written in a file."""
    return _kind(type(fault).__name__)
