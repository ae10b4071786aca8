"""Faults on demand: the levers that make a running gateway misbehave, each pulled by one call.

When they are pulled is told by a schedule (`tapekeeper.sim.fault_menu`), or by a test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.sim.connection import HubConnection, Slowness, Spoiled
from tapekeeper.sim.host import Host
from tapekeeper.sim.losses import PrintLosses
from tapekeeper.sim.methods import CallFault
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.subscriptions import Stream, Subscriptions

REFUSALS_MAX = 10_000
"""Refusals that may be planned ahead for one door."""

LOGOUT_TARGET = "GatewayLogout"

Manner: TypeAlias = Literal["answer", "hang_up", "silence", "fail"]
"""How a request that is turned away learns of it."""

Which: TypeAlias = Literal["all", "one", "oldest", "newest"]
"""Which of the present connections a fault meets; "one" is drawn."""


class Door(StrEnum):
    """Where a request can be refused."""

    LOGIN = "login"
    NEGOTIATE = "negotiate"
    UPGRADE = "upgrade"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class PlannedRefusal:
    """What a request meets instead of its answer.

    Attributes:
        status: the HTTP status to answer with.
        retry_after_s: the value of `Retry-After`, or None.
        manner: whether it is answered at all: "hang_up" cuts the connection, "silence" leaves
            the request without an answer; "fail" answers with a failure in the body instead.
    """

    status: int
    retry_after_s: int | None = None
    manner: Manner = "answer"


AWAY = PlannedRefusal(503, manner="hang_up")


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """A subscription that a connection lost without a word."""

    connection: HubConnection
    desk: Subscriptions
    stream: Stream
    key: str

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, or has been subscribed again."""
        return not self.connection.is_open or self.connection in self.desk.of(self.stream, self.key)


@dataclass(frozen=True, slots=True)
class HandshakeFault:
    """What answers the handshake of a new connection: an error, or for None nothing, ever."""

    error: str | None


class Faults:
    """Calls that make a running gateway misbehave.

    Args:
        connections: the live connections of a hub ("market", "user") or, for None, of both.
        subscriptions: of all hubs.
        change_key: makes every token issued so far invalid.
        numbers: draws where one of several is to be chosen.
        losses: of prints, for reading and for planning.
    """

    def __init__(
        self,
        connections: Callable[[str | None], Iterable[HubConnection]],
        *,
        subscriptions: Sequence[Subscriptions] = (),
        change_key: Callable[[], None] = lambda: None,
        numbers: Seeded | None = None,
        losses: PrintLosses | None = None,
    ) -> None:
        self.losses = losses or PrintLosses()
        self._connections = connections
        self._subscriptions = subscriptions
        self._change_key = change_key
        self._numbers = numbers or Seeded(1, "faults")
        self._planned: dict[Door, deque[PlannedRefusal]] = {
            door: deque(maxlen=REFUSALS_MAX) for door in Door
        }
        self._handshakes: deque[HandshakeFault] = deque(maxlen=REFUSALS_MAX)
        self._calls: deque[CallFault] = deque(maxlen=REFUSALS_MAX)
        self._redirects = 0
        self.frozen: deque[Frozen] = deque(maxlen=REFUSALS_MAX)
        """Every subscription that was ever frozen, in order."""
        self._halved: deque[list[HubConnection]] = deque(maxlen=REFUSALS_MAX)
        self.host: Host | None = None
        """The computer of the client, where it is simulated, too."""
        self.is_away = False
        """Whether every request is cut off, as while a server restarts."""
        self.session_limit: int | None = None
        """Most connections of a hub; a further one ends the oldest. None is no limit."""

    # --- at the doors -----------------------------------------------------------------------

    def refuse(
        self,
        door: Door,
        count: int,
        status: int,
        *,
        retry_after_s: int | None = None,
        manner: Manner = "answer",
    ) -> None:
        """Answer the next `count` requests at a door with an HTTP status, or not at all."""
        self._planned[door].extend([PlannedRefusal(status, retry_after_s, manner)] * count)

    def take_refusal(self, door: Door) -> PlannedRefusal | None:
        """The refusal planned for the request that is here now, if there is one."""
        if self.is_away:
            return AWAY
        planned = self._planned[door]
        return planned.popleft() if planned else None

    def redirect(self, count: int) -> None:
        """Answer the next `count` negotiations with a redirect to the same hub."""
        self._redirects = min(self._redirects + count, REFUSALS_MAX)

    def take_redirect(self) -> bool:
        """Whether the negotiation that is here now is to be redirected."""
        if not self._redirects:
            return False
        self._redirects -= 1
        return True

    def refuse_tokens(self) -> None:
        """Refuse every token issued so far; live connections stay."""
        self._change_key()

    # --- on connections to come ---------------------------------------------------------------

    def spoil_handshakes(self, count: int, error: str | None) -> None:
        """Answer the next `count` handshakes with an error, or for None never."""
        self._handshakes.extend([HandshakeFault(error)] * count)

    def take_handshake(self) -> HandshakeFault | None:
        """What the handshake of the connection that is here now is to meet."""
        return self._handshakes.popleft() if self._handshakes else None

    def spoil_calls(self, count: int, refusal: str | None, *, lost: bool = False) -> None:
        """Refuse the next `count` subscriptions with a text, or for None never answer them.

        Those that are `lost` are not carried out either.
        """
        self._calls.extend([CallFault(refusal, lost)] * count)

    def take_call(self, target: str) -> CallFault | None:
        """What the call that is here now is to meet."""
        if not self._calls or not target.lower().startswith("subscribe"):
            return None
        return self._calls.popleft()

    # --- on present connections ---------------------------------------------------------------

    def chosen(self, hub: str | None = None, which: Which = "all") -> list[HubConnection]:
        """Present connections of a hub, oldest first, or of both hubs."""
        live = list(self._connections(hub))
        if not live or which == "all":
            return live
        if which == "one":
            return [live[self._numbers.below(len(live))]]
        return [live[0] if which == "oldest" else live[-1]]

    def drop_all(
        self, hub: str | None = None, which: Which = "all", *, forget: bool = False
    ) -> int:
        """Cut connections: TCP ends, no Close record, no close frame. How many there were.

        Args:
            hub: which hub's.
            which: of them.
            forget: whether the server forgets even those that could be resumed.
        """
        live = self.chosen(hub, which)
        for connection in live:
            connection.abort("dropped on demand", forget=forget)
        return len(live)

    def close_all(
        self,
        hub: str | None = None,
        *,
        which: Which = "all",
        error: str | None = None,
        allow_reconnect: bool = False,
    ) -> int:
        """Send Close, after what waits to be sent, and end with code 1000."""
        live = self.chosen(hub, which)
        for connection in live:
            connection.close(error=error, allow_reconnect=allow_reconnect)
        return len(live)

    def close_frames(self, code: int, hub: str | None = None, which: Which = "all") -> int:
        """End connections with a WebSocket close code and no Close record."""
        live = self.chosen(hub, which)
        for connection in live:
            connection.close_frame(code)
        return len(live)

    def reset(self, hub: str | None = None, which: Which = "all") -> int:
        """End connections with a TCP reset."""
        live = self.chosen(hub, which)
        for connection in live:
            connection.abort("reset on demand", with_reset=True)
        return len(live)

    def go_deaf(self, hub: str | None = None, which: Which = "all") -> int:
        """Leave present connections half open: nothing passes in either direction again."""
        live = self.chosen(hub, which)
        for connection in live:
            connection.go_deaf()
        return len(live)

    def go_silent(self, hub: str | None = None, which: Which = "all") -> int:
        """Let present connections fall silent: nothing is ever sent on them again.

        What comes is still read, so a farewell is answered by the end. Connections made later are
        not touched.
        """
        live = self.chosen(hub, which)
        for connection in live:
            connection.mute()
        return len(live)

    def send_raw(self, data: bytes | Spoiled, hub: str | None = None, which: Which = "all") -> int:
        """Send bytes that need not be a record, such as half of one."""
        live = self.chosen(hub, which)
        for connection in live:
            connection.send_raw(data)
        return len(live)

    def send_half(self, data: Spoiled, hub: str | None = None, which: Which = "all") -> int:
        """Send half of a record; `drop_halved` is to cut the same connections."""
        live = self.chosen(hub, which)
        for connection in live:
            connection.send_raw(data)
        self._halved.append(live)
        return len(live)

    def drop_halved(self) -> int:
        """Cut the connections that were sent half a record longest ago; how many there were."""
        live = self._halved.popleft() if self._halved else []
        for connection in live:
            connection.abort("dropped on demand")
        return len(live)

    def replay(self, count: int, hub: str | None = None, which: Which = "all") -> int:
        """Send the last `count` records of connections once more; how many records."""
        return sum(connection.replay(count) for connection in self.chosen(hub, which))

    def slow_down(self, slowness: Slowness, hub: str | None = None, which: Which = "all") -> int:
        """Let connections write slowly for a while."""
        live = self.chosen(hub, which)
        for connection in live:
            connection.slow_down(slowness)
        return len(live)

    def log_out(self, hub: str | None = None, which: Which = "all") -> int:
        """Call `GatewayLogout` on connections; ending them is another fault."""
        live = self.chosen(hub, which)
        for connection in live:
            connection.send(encode_invocation(LOGOUT_TARGET, ["logged out"]))
        return len(live)

    def freeze(self, stream: Stream | None, which: Which = "all") -> int:
        """Forget one subscription of each chosen connection, without a word.

        It is drawn among those of `stream`; None draws among all. How many were forgotten.
        """
        forgotten = 0
        for connection in self.chosen(None, which):
            for desk in self._subscriptions:
                held = [key for key in desk.held_by(connection) if stream in {None, key[0]}]
                if held:
                    stream_key = held[self._numbers.below(len(held))]
                    desk.remove(*stream_key, connection)
                    self.frozen.append(Frozen(connection, desk, *stream_key))
                    forgotten += 1
        return forgotten

    def is_frozen(self, stream: Stream, key: str) -> bool:
        """Whether a connection that is still open lost this subscription without a word."""
        return any(
            one.connection.is_open and (stream, key) == (one.stream, one.key) for one in self.frozen
        )

    def send_nulls(self, hub: str | None = None, which: Which = "all") -> int:
        """Send a record of trades whose elements are null, as the real feed does at times.

        Returns:
            How many connections listen to trades, and were sent one.
        """
        sent = 0
        for connection in self.chosen(hub, which):
            for desk in self._subscriptions:
                held = [key for stream, key in desk.held_by(connection) if stream is Stream.TRADES]
                if held:
                    key = held[self._numbers.below(len(held))]
                    connection.send(encode_invocation("GatewayTrade", [key, [None, None]]))
                    sent += 1
        return sent

    def evict(self, live: Sequence[HubConnection]) -> None:
        """Enforce the session limit among the connections of one hub, oldest first."""
        if self.session_limit is not None:
            for connection in live[: max(0, len(live) - self.session_limit)]:
                connection.abort("evicted by a newer session", forget=True)

    def clear(self) -> None:
        """Behave from now on: nothing that was planned happens; what is done stays done."""
        for planned in self._planned.values():
            planned.clear()
        self._handshakes.clear()
        self._calls.clear()
        self.losses.clear()
        self._redirects = 0
        self.is_away = False
        self.session_limit = None
