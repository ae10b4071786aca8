"""A hub over HTTP: negotiation, the upgrade, and its live connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tapekeeper.ports import Clock, Random
from tapekeeper.sim.carrier import Carrier
from tapekeeper.sim.config import HubLimits
from tapekeeper.sim.connection import HubConnection
from tapekeeper.sim.door import Doorkeeper
from tapekeeper.sim.faults import Door
from tapekeeper.sim.ids import Claim, ConnectionIds, new_id
from tapekeeper.sim.methods import Methods
from tapekeeper.sim.session import Call
from tapekeeper.sim.subscriptions import Subscriptions
from tapekeeper.sim.tokens import Caller

NEGOTIATE_VERSION_MAX = 1
NO_SUCH_ID = "No Connection with that ID"


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """Counters of one hub.

    Attributes:
        negotiations: answered ones.
        connections: established over the gateway's life.
        resumed: transports on which a client went on with one of them; one that was cut before
            the client had said where it goes on is not counted.
        live: established now, with a transport.
        kept: those without one, that wait for theirs to come back.
        refused: upgrades and negotiations answered with anything but success.
        records_sent: records handed to live or past connections.
        records_muted: records lost on connections that were told to go silent.
        protocol_errors: connections ended because of what the client sent or failed to send.
        aborted: connections this side cut without a word, by reason.
    """

    negotiations: int
    connections: int
    resumed: int
    live: int
    kept: int
    refused: int
    records_sent: int
    records_muted: int
    protocol_errors: int
    aborted: dict[str, int]


def negotiate_answer(
    version_text: str | None, random: Random, *, stateful: bool = False
) -> tuple[dict[str, Any], str | None]:
    """The answer to a negotiation, and the id to connect with (None if it is refused).

    Version 0 connects with the public `connectionId`, version 1 with the secret
    `connectionToken`. A version above ours is clamped, a missing one is 0. Where the connection
    can be resumed (`stateful`) the answer says that first.
    """
    try:
        version = int(version_text or "0")
    except ValueError:
        return {"error": "The client requested a non-integer protocol version."}, None
    if version < 0:
        error = (
            f"The client requested version '{version}', but the server does not support this "
            "version."
        )
        return {"error": error}, None
    transports = [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
    public = new_id(random)
    offer = {"useStatefulReconnect": True} if stateful else {}
    if version == 0:
        return offer | {
            "negotiateVersion": 0,
            "connectionId": public,
            "availableTransports": transports,
        }, public
    token = new_id(random)
    return offer | {
        "negotiateVersion": NEGOTIATE_VERSION_MAX,
        "connectionId": public,
        "connectionToken": token,
        "availableTransports": transports,
    }, token


class Hub:
    """One hub.

    Args:
        path: such as `/hubs/market`.
        limits: timers and limits.
        clock, random: injected.
        door: checks tokens.
        methods: what clients may call.
        subscriptions: cleared of a connection when it ends.
    """

    def __init__(
        self,
        path: str,
        limits: HubLimits,
        clock: Clock,
        random: Random,
        door: Doorkeeper,
        methods: Methods,
        subscriptions: Subscriptions,
    ) -> None:
        self._path = path
        self._limits = limits
        self._clock = clock
        self._random = random
        self._door = door
        self._methods = methods
        self._subscriptions = subscriptions
        self._ids = ConnectionIds(limits.id_life_s, clock)
        self._live: dict[HubConnection, None] = {}  # bound: open sockets, and those of late
        self._kept: dict[str, HubConnection] = {}  # by id, those that can be resumed
        self._transports = 0
        self._counts: Counter[str] = Counter()
        self._aborted: Counter[str] = Counter()

    def add_routes(self, app: web.Application) -> None:
        """Serve this hub in `app`. Other methods on these paths are answered with 405."""
        app.router.add_post(f"{self._path}/negotiate", self._negotiate)
        app.router.add_get(self._path, self._connect, allow_head=False)
        app.router.add_post(self._path, self._post)

    def live(self) -> Iterator[HubConnection]:
        """The connections whose handshake succeeded and that nothing has ended.

        Some may wait for a transport.
        """
        return (one for one in self._live if one.stands)

    def on_tick(self) -> None:
        """Pings and timeouts; called about once a second."""
        for connection in list(self._live):
            connection.on_tick()

    def abort_all(self) -> None:
        """The server stops: TCP ends without a word, as was measured on the real one."""
        for connection in list(self._live):
            connection.abort("the gateway stopped", forget=True)

    def statistics(self) -> HubStatistics:
        """The counters now."""
        return HubStatistics(
            negotiations=self._counts["negotiations"],
            connections=self._counts["connections"],
            resumed=self._counts["resumed"] + sum(one.resumed for one in self._live),
            live=self._transports,
            kept=sum(one.stands and not one.is_attached for one in self._live),
            refused=self._counts["refused"],
            records_sent=self._counts["records_sent"] + sum(one.records_sent for one in self._live),
            records_muted=self._counts["records_muted"]
            + sum(one.muted_records for one in self._live),
            protocol_errors=self._counts["protocol_errors"],
            aborted=dict(self._aborted),
        )

    async def _negotiate(self, request: web.Request) -> web.StreamResponse:
        refusal = await self._door.turned_away(request, Door.NEGOTIATE)
        if refusal is not None:
            self._counts["refused"] += 1
            return refusal
        caller = self._admit(request)
        if self._door.faults.take_redirect():
            return web.json_response(
                {
                    "url": f"{request.url.origin()}{self._path}",
                    "accessToken": self._door.fresh_token(caller),
                }
            )
        query = {name.lower(): value for name, value in request.query.items()}
        wanted = query.get("usestatefulreconnect", "").lower() == "true"
        stateful = wanted and self._limits.stateful_reconnect
        answer, id_ = negotiate_answer(
            query.get("negotiateversion"), self._random, stateful=stateful
        )
        if id_ is not None:
            self._ids.add(id_, stateful=stateful)
            self._counts["negotiations"] += 1
        return web.json_response(answer)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        refusal = await self._door.turned_away(request, Door.UPGRADE)
        if refusal is not None:
            self._counts["refused"] += 1
            return refusal
        self._admit(request)
        id_ = request.query.get("id")
        if not web.WebSocketResponse().can_prepare(request).ok:
            return self._refuse_plain(id_)
        kept = None if id_ is None else self._kept.get(id_)
        if kept is not None and kept.can_resume:
            return await self._serve(kept, kept.resume(request))
        stateful = id_ is not None and self._ids.is_stateful(id_)
        if id_ is not None:
            claim = self._ids.claim(id_)
            if claim is not Claim.GRANTED:
                self._counts["refused"] += 1
                return (
                    web.Response(status=409)
                    if claim is Claim.IN_USE
                    else web.Response(status=404, text=NO_SUCH_ID)
                )
        connection = self._open(request, id_, stateful=stateful)
        return await self._serve(connection, connection.serve())

    async def _post(self, request: web.Request) -> web.StreamResponse:
        """Sending by POST belongs to other transports, which this hub does not have."""
        self._admit(request)
        id_ = request.query.get("id")
        if id_ is not None and self._ids.is_known(id_):
            self._counts["refused"] += 1
            return web.Response(status=405)
        return self._refuse_plain(id_)

    def _refuse_plain(self, id_: str | None) -> web.Response:
        self._counts["refused"] += 1
        if id_ is None:
            return web.Response(status=400, text="Connection ID required")
        return web.Response(status=404, text=NO_SUCH_ID)

    def _admit(self, request: web.Request) -> Caller:
        try:
            return self._door.caller(request, is_hub=True)
        except web.HTTPUnauthorized:
            self._counts["refused"] += 1
            raise

    def _open(self, request: web.Request, id_: str | None, *, stateful: bool) -> HubConnection:
        """A new connection, which is forgotten when it is over."""

        def over(connection: HubConnection) -> None:
            self._subscriptions.remove_all(connection)
            if id_ is not None:
                self._ids.release(id_)
                self._kept.pop(id_, None)
            self._forget_if_done(connection)

        connection = HubConnection(
            request, self._limits, self._clock, self._answer, over, stateful=stateful
        )
        spoiled = self._door.faults.take_handshake()
        if spoiled is not None:
            connection.refuse_handshake(spoiled.error)
        self._live[connection] = None
        if id_ is not None and stateful:
            self._kept[id_] = connection
        self._door.faults.evict(list(self._live))
        self._counts["connections"] += 1
        return connection

    async def _serve(
        self, connection: HubConnection, serving: Awaitable[Carrier]
    ) -> web.StreamResponse:
        self._transports += 1
        try:
            carrier = await serving
        finally:
            self._transports -= 1
            self._forget_if_done(connection)
        if carrier.aborted_because is not None:
            self._aborted[carrier.aborted_because] += 1
        # Nobody is there to read the other answer, but the library wants one.
        return carrier.socket if carrier.socket.prepared else web.Response(status=503)

    def _forget_if_done(self, connection: HubConnection) -> None:
        if not connection.is_done or connection not in self._live:
            return
        del self._live[connection]
        self._counts["resumed"] += connection.resumed
        self._counts["records_sent"] += connection.records_sent
        self._counts["records_muted"] += connection.muted_records
        self._counts["protocol_errors"] += connection.protocol_error is not None

    def _answer(self, connection: HubConnection, call: Call) -> None:
        self._methods.answer(connection, call, self._door.faults.take_call(call.target))
