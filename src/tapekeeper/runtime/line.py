"""A line: one hub connection that is authenticated, subscribed, and replaced whenever it ends.

Two layers. One *life* is a token, an optional negotiation, the upgrade, the handshake, every
wanted subscription asked and answered, then live until it ends. Around it a loop for ever: every
end, whatever its cause, leads to a delay and a new life. Only `stop`, `retire`, cancellation or a
bug ends the loop; a bug escapes from `run`.

    state           what happens                              next
    --------------  ----------------------------------------  --------------
    STOPPED         run                                       AUTHENTICATING
    AUTHENTICATING  a token                                   CONNECTING
                    none: refused, unreachable, too late      BACKING_OFF
    CONNECTING      handshake answered                        SUBSCRIBING
                    a refusal that can be mended at once      AUTHENTICATING
                    anything else                             BACKING_OFF
    SUBSCRIBING     every subscription settled                LIVE
                    nothing answered, or the connection ended BACKING_OFF
    LIVE            its data are judged to have stopped       STALE
                    a successor is live: `retire`             DRAINING
                    the connection ended                      BACKING_OFF
    STALE           its data are judged to flow again         LIVE
                    `retire`                                  DRAINING
                    the connection ended                      BACKING_OFF
    DRAINING        the connection ended                      STOPPED
    SUBSCRIBING,
    LIVE, STALE,
    DRAINING        the transport was lost, and the
                    connection can be resumed                 RESUMING
    RESUMING        it goes on, with nothing lost             as it was
                    it does not: the connection ended         BACKING_OFF
    BACKING_OFF     the delay passed                          AUTHENTICATING
    any             stop, cancellation, a bug                 STOPPED

BACKING_OFF is called DOWN where nothing was live for `down_after_s`: what could be tried has been
tried, a person should know, and the trying goes on all the same.

RESUMING is part of a life: the connection keeps its number and its subscriptions, what was asked
of it is still to be answered, and all that the hub said meanwhile comes later. Only when it fails
has the connection ended, with its last byte. It is tried where the spec wants it and the hub has
offered it; see `tapekeeper.runtime.resuming`.

    refusal of the upgrade      answer to it
    --------------------------  ----------------------------------------------------------------
    401                         the token is renewed, once in a while and at once
    404, 409 after negotiation  the id was used up or is taken: negotiate anew at once, but once
    anything else               the growing, jittered delay, and at least what the refusal says or
                                implies (see `tapekeeper.runtime.refusals`), unless there is
                                another address: that delay is owed to the one that refused

The delay starts small again after a healthy life, unless healthy lives end too often: a line that
flaps keeps its delay.

A Close record without `allowReconnect` makes official clients stop for good. A recorder that runs
unattended must not, so it is logged as what it is and treated like any other end.

A subscription that is refused stays wanted until its owner takes it back, because that may be a
gateway that is still starting; it shows in the status and is tried again while the others are
live. One that is not answered at all is unconfirmed until its first data: a hub that delivers is
not left for its silence, only one that answers nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import msgspec

from tapekeeper.core.backoff import Backoff
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.signalr.resume import Resume
from tapekeeper.core.signalr.session import EndCause, Ended, Session
from tapekeeper.deadline import deadline
from tapekeeper.errors import (
    ConnectFailedError,
    ConnectionLostError,
    OutsideError,
    UsageError,
)
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock, Connection, Log, Random, Transport
from tapekeeper.runtime.heard import Heard
from tapekeeper.runtime.hub_connection import HubConnection
from tapekeeper.runtime.line_values import (
    DELIVERING,
    TASK,
    Disconnected,
    HubCall,
    HubTokens,
    Inbox,
    LineSpec,
    LineState,
    LineStatus,
    Renewals,
    Route,
    Transition,
    no_proof,
)
from tapekeeper.runtime.refusals import delay_of_refusal_s, delay_without_token_s
from tapekeeper.runtime.resuming import Resuming
from tapekeeper.runtime.round_trip import RoundTripMeter
from tapekeeper.runtime.way import Way, find_way
from tapekeeper.runtime.wishes import Wishes

_NS_PER_S = 1_000_000_000
_HTTP_UNAUTHORIZED = 401
_HTTP_ID_IS_GONE = frozenset({404, 409})
_STOP_MARGIN_S = 2.0

_S = LineState
_TABLE: dict[LineState, frozenset[LineState]] = {
    _S.STOPPED: frozenset({_S.AUTHENTICATING}),
    _S.AUTHENTICATING: frozenset({_S.CONNECTING, _S.BACKING_OFF, _S.DOWN, _S.STOPPED}),
    _S.CONNECTING: frozenset(
        {_S.SUBSCRIBING, _S.AUTHENTICATING, _S.BACKING_OFF, _S.DOWN, _S.STOPPED}
    ),
    _S.SUBSCRIBING: frozenset({_S.LIVE, _S.RESUMING, _S.BACKING_OFF, _S.DOWN, _S.STOPPED}),
    _S.LIVE: frozenset({_S.STALE, _S.DRAINING, _S.RESUMING, _S.BACKING_OFF, _S.STOPPED}),
    _S.STALE: frozenset({_S.LIVE, _S.DRAINING, _S.RESUMING, _S.BACKING_OFF, _S.STOPPED}),
    _S.DRAINING: frozenset({_S.RESUMING, _S.STOPPED}),
    _S.RESUMING: frozenset(
        {
            _S.SUBSCRIBING,
            _S.LIVE,
            _S.STALE,
            _S.DRAINING,
            _S.BACKING_OFF,
            _S.DOWN,
            _S.STOPPED,
        }
    ),
    _S.BACKING_OFF: frozenset({_S.AUTHENTICATING, _S.STOPPED}),
    _S.DOWN: frozenset({_S.AUTHENTICATING, _S.STOPPED}),
}
_LEVELS: dict[LineState, Literal["info", "warning", "error"]] = {
    _S.BACKING_OFF: "warning",
    _S.RESUMING: "warning",
    _S.STALE: "warning",
    _S.DOWN: "error",
}


class _Failure(msgspec.Struct, frozen=True):
    """Why a life ended, and what that means for the next one."""

    reason: str
    cause: str
    retry_after_s: float | None = None
    at_once: bool = False


def _ignore(_: Transition) -> None:
    return


def _nobody() -> bool:
    return False


def _unheard(_call: HubCall, _error: OutsideError | None) -> None:
    return


class Line:
    """See the module's text. Runs once; a stopped line stays stopped.

    Args:
        spec: how to connect.
        transport: opens connections.
        tokens: asked for every life; told when a token is refused.
        clock: time.
        random: for the jitter of delays.
        inbox: takes what arrives.
        log: events for people.
        numbers: gives the next connection number of the process.
        on_transition: called synchronously with every transition, in order.
        on_logout: called when the gateway ends the login session; whether somebody replaces this
            line while it still delivers. Otherwise it reconnects at once.
        proves: whether data show that an unanswered subscription is in force.
        on_answer: told of every outcome of a subscribing call; None is a confirmation.
        renewals: when a refused token was renewed last; lines that replace each other share it,
            as they do the next.
        backoff: the delays between attempts.
        route: says where every life connects to, and hears how it went; without it, it is the
            URL of the spec.
        listen: judges, for one connection, up to when all that it was sent has come.
    """

    def __init__(
        self,
        spec: LineSpec,
        *,
        transport: Transport,
        tokens: HubTokens,
        clock: Clock,
        random: Random,
        inbox: Inbox,
        log: Log,
        numbers: Callable[[], int],
        on_transition: Callable[[Transition], None] = _ignore,
        on_logout: Callable[[], bool] = _nobody,
        proves: Callable[[HubCall, Invocation], bool] = no_proof,
        on_answer: Callable[[HubCall, OutsideError | None], None] = _unheard,
        renewals: Renewals | None = None,
        backoff: Backoff | None = None,
        route: Route | None = None,
        listen: Callable[[], Heard] = Heard,
    ) -> None:
        self._spec = spec
        self._transport = transport
        self._tokens = tokens
        self._clock = clock
        self._random = random
        self._inbox = inbox
        self._log = log
        self._numbers = numbers
        self._on_transition = on_transition
        self._on_logout = on_logout
        self._renewals = Renewals() if renewals is None else renewals
        self._route = route
        self._listen = listen
        self._backoff = backoff or Backoff(spec.backoff_base_ms, spec.backoff_cap_ms)
        self._wishes = Wishes(spec, clock=clock, log=log, proves=proves, on_answer=on_answer)
        self._round_trips = RoundTripMeter(clock)
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._started = False
        self._retiring = False
        self._hasty = False  # the present attempt followed the last one at once
        self._token: Secret | None = None  # of the present life
        self._url = spec.hub_url  # of the present life
        self._ends_ns: deque[int] = deque(maxlen=spec.flap_lives)  # of live lives, monotonic
        self._dark_ns = 0  # since when nothing is live, monotonic
        self._live_ns: int | None = None  # when this life became live, monotonic
        self._lived_s = 0.0  # how long the last life was live
        self._connection: HubConnection | None = None
        self._resuming = Resuming(
            spec,
            transport=transport,
            tokens=tokens,
            renew=self._renewed,
            clock=clock,
            random=random,
            log=log,
        )
        self._goes_on_as = _S.LIVE  # the state behind the one that is shown, while resuming
        self._repeated = 0  # of past connections
        self._last = Transition(spec.name, _S.STOPPED, _S.STOPPED, 0, "not started")
        self._attempts = 0
        self._connections = 0
        self._frames = 0  # of past connections, as are the bytes
        self._bytes = 0
        self._number: int | None = None
        self._last_received_ns: int | None = None
        self._heard_ns: int | None = None  # of the last connection

    # --- the surface ----------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and stay connected, until stopped or cancelled.

        Raises:
            UsageError: it ran before.
            ExceptionGroup: a bug, or an inbox that cannot accept; never trouble outside.
        """
        if self._started:
            raise UsageError("a line runs once; make a new one")
        self._started = True
        self._dark_ns = self._clock.monotonic_ns()
        reason = "cancelled or failed"
        try:
            async with asyncio.TaskGroup() as group:
                lives = group.create_task(self._for_ever(), name=f"{TASK} lives")
                await self._stopping.wait()
                reason = "retired" if self._retiring else "stopped"
                if self._connection is not None:
                    await self._connection.stop(self._farewell_s)
                lives.cancel()
        finally:
            if self._last.after is not _S.STOPPED:
                self._go(_S.STOPPED, reason)
            self._stopped.set()

    async def stop(self) -> None:
        """End `run` politely, from any state; returns when it has ended, or at a deadline."""
        self._stopping.set()
        if self._started:
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * self._farewell_s + self._spec.send_timeout_s):
                    await self._stopped.wait()

    def retire(self, reason: str) -> None:
        """Go on delivering for the rest of the present life, and then stop; do not reconnect.

        Without a live connection there is nothing to go on with, so it stops at once.
        """
        if self._retiring or self._stopped.is_set():
            return
        self._retiring = True
        if self._stands in {_S.LIVE, _S.STALE}:
            self._become(_S.DRAINING, reason)
        else:
            self._stopping.set()

    def judge(self, *, stale: bool, reason: str) -> None:
        """Take note of what was found out about the freshness of the data."""
        if stale and self._stands is _S.LIVE:
            self._become(_S.STALE, reason)
        elif not stale and self._stands is _S.STALE:
            self._become(_S.LIVE, reason)

    def holds(self, token: Secret) -> bool:
        """Whether the present connection, if any, was opened with `token`."""
        return self._connection is None or self._token == token

    def want(self, call: HubCall) -> None:
        """Want `call` to be in force on this and every later connection; see `on_answer`."""
        self._wishes.want(call)

    def ask_again(self, call: HubCall) -> None:
        """Ask for a wanted subscription once more, although it was answered."""
        self._wishes.ask_again(call)

    async def unsubscribe(self, call: HubCall, undo: HubCall) -> None:
        """Want `call` no more, and call `undo` where a connection is open.

        Raises:
            InvocationError: the hub refused `undo`.
            DeadlineError: it did not answer. `call` is not wanted any more in both cases.
        """
        self._wishes.withdraw(call)
        if self._connection is not None and self._connection.is_open:
            # A subscription dies with its connection, so a loss has done what was wanted.
            with suppress(ConnectionLostError):
                await self._connection.call(undo)

    def forget(self, call: HubCall, undo: HubCall | None) -> None:
        """Want `call` no more; tell an open connection `undo` without waiting for its answer.

        For a caller that is being cancelled, or has waited in vain already. A connection that
        has refused `call` has nothing to undo.
        """
        taken = not self._wishes.refused(call)
        self._wishes.withdraw(call)
        if undo is not None and taken and self._connection is not None and self._connection.is_open:
            self._connection.tell(undo)

    @property
    def number(self) -> int | None:
        """Of the present or last connection; None before the first."""
        return self._number

    def status(self) -> LineStatus:
        """A frozen view."""
        present = self._connection
        return LineStatus(
            name=self._spec.name,
            state=self._last.after,
            since_ns=self._last.at_ns,
            reason=self._last.reason,
            connection=self._number,
            attempts=self._attempts,
            connections=self._connections,
            frames=self._frames + (present.frames if present else 0),
            bytes=self._bytes + (present.bytes if present else 0),
            last_received_ns=self._received_ns(),
            subscriptions=len(self._wishes),
            unconfirmed=self._wishes.unconfirmed(),
            resumes=self._resuming.tally(self._repeated + (present.repeated if present else 0)),
            round_trip=self._round_trips.figures(),
        )

    # --- for ever -------------------------------------------------------------------------

    async def _for_ever(self) -> None:
        while not self._stopping.is_set():
            self._go(_S.AUTHENTICATING, "a new attempt")
            failure = await self._one_life()
            if failure is None:
                return
            if self._retiring:
                self._stopping.set()
                return
            self._hasty = failure.at_once
            if failure.at_once:
                continue
            if self._lived_s >= self._spec.healthy_after_s and not self._flaps():
                self._backoff.reset()
            delay_ms = self._backoff.next_delay_ms(self._random.random(), failure.retry_after_s)
            delay_s = delay_ms / 1_000
            state = _S.DOWN if self._is_down() else _S.BACKING_OFF
            self._go(state, failure.reason, cause=failure.cause, retry_in_s=delay_s)
            await self._clock.sleep_s(delay_s)

    def _flaps(self) -> bool:
        """Whether live connections ended so often lately that haste does harm."""
        ends_ns = self._ends_ns
        if len(ends_ns) < self._spec.flap_lives:
            return False
        return ends_ns[-1] - ends_ns[0] <= self._spec.flap_within_s * _NS_PER_S

    def _is_down(self) -> bool:
        """Whether nothing has been live for so long that a person should know."""
        dark_ns = self._clock.monotonic_ns() - self._dark_ns
        return self._last.after not in DELIVERING and dark_ns >= (
            self._spec.down_after_s * _NS_PER_S
        )

    async def _one_life(self) -> _Failure | None:
        """Live once; why it ended, or None for a stop."""
        self._live_ns = None
        self._lived_s = 0.0
        self._attempts += 1
        token: Secret | None = None
        if self._route is not None:
            self._url = self._route.begin()
        try:
            async with deadline(self._spec.token_timeout_s, "asking for a token"):
                token = await self._tokens()
            self._go(_S.CONNECTING, "a token is at hand")
            async with deadline(self._spec.connect_timeout_s, "connecting"):
                way = await find_way(self._spec, self._transport, self._url, token)
                socket = await self._transport.connect(
                    way.url, token=way.token, timeout_s=self._spec.connect_timeout_s
                )
        except OutsideError as error:
            return self._failed(error, token)
        self._token = token
        connection = self._connected(socket, way)
        try:
            ended = await self._hold(connection)
        finally:
            try:
                self._bury()
            finally:
                with suppress(OutsideError, TimeoutError):
                    async with asyncio.timeout(self._farewell_s):
                        await connection.socket.close()
        return self._over(ended)

    def _connected(self, socket: Connection, way: Way) -> HubConnection:
        """A connection by a socket that is just connected."""

        async def reopen() -> Connection:
            again = await self._resuming.reopen(way)
            if not way.is_given:
                self._token = way.token
            return again

        number = self._numbers()
        connection = HubConnection(
            number=number,
            hub=self._spec.name,
            socket=socket,
            session=Session(
                self._spec.timers,
                protocol=self._spec.protocol,
                resume=Resume() if way.stateful else None,
            ),
            clock=self._clock,
            inbox=self._inbox,
            send_timeout_s=self._spec.send_timeout_s,
            on_logout=self._logged_out,
            heard=self._listen(),
            reopen=reopen,
            on_interrupted=self._interrupted,
            on_resumed=self._resumed,
        )
        self._connection = connection
        self._number = number
        return connection

    async def _hold(self, connection: HubConnection) -> Ended:
        """Keep a connection until it ends."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(connection.read(), name=f"{TASK} read"),
                group.create_task(connection.keep(), name=f"{TASK} keep"),
                group.create_task(self._keep_subscribed(connection), name=f"{TASK} subscribe"),
                group.create_task(
                    self._round_trips.measure(lambda: connection.socket, connection.opened),
                    name=f"{TASK} ping",
                ),
            ]
            await asyncio.wait([connection.ended])
            for task in tasks:
                task.cancel()
        if self._live_ns is not None:
            self._dark_ns = self._clock.monotonic_ns()
            self._ends_ns.append(self._dark_ns)
            self._lived_s = (self._dark_ns - self._live_ns) / _NS_PER_S
        return connection.ended.result()

    def _logged_out(self) -> bool:
        """The gateway ended the login session; whether this connection may go on for now."""
        if self._token is not None:
            self._tokens.invalidate(self._token)
        return self._last.after in DELIVERING and self._on_logout()

    def _bury(self) -> None:
        """Take the ended connection's figures over."""
        connection = self._connection
        if connection is None:
            return
        connection.abandon("the line was cancelled")
        if connection.opened.is_set():
            # Whether there is room for more does not matter: nothing more comes by it.
            self._inbox(Disconnected(connection.number, self._spec.name, self._clock.now_ns()))
        self._last_received_ns = self._received_ns()
        self._heard_ns = connection.heard.until_ns
        self._frames += connection.frames
        self._bytes += connection.bytes
        self._repeated += connection.repeated
        self._connection = None
        self._wishes.void()

    # --- subscriptions --------------------------------------------------------------------

    async def _keep_subscribed(self, connection: HubConnection) -> None:
        """Ask for what is wanted; become live when all of it is answered; go on asking."""
        await connection.opened.wait()
        self._connections += 1
        self._renewals.renewed_ns = None
        self._go(_S.SUBSCRIBING, f"connection {connection.number} is open")
        async with asyncio.TaskGroup() as asks:
            silent = await self._wishes.settle(asks, connection)
            if silent and len(silent) == len(self._wishes):
                # Nothing is live yet, so a hub that answers nothing is left at no cost.
                connection.abandon(f"the hub did not answer {silent[0]}")
            if connection.ended.done():
                return
            self._live_ns = self._clock.monotonic_ns()
            if self._route is not None:
                self._route.succeeded(self._url)
            unconfirmed = f", {len(silent)} are unconfirmed" if silent else ""
            answered = len(self._wishes) - len(silent)
            self._become(_S.LIVE, f"{answered} subscriptions are answered{unconfirmed}")
            await self._wishes.go_on(asks, connection)

    # --- resuming -------------------------------------------------------------------------

    @property
    def _stands(self) -> LineState:
        """The state of the connection, whether or not it has a transport at the moment."""
        return self._goes_on_as if self._last.after is _S.RESUMING else self._last.after

    def _become(self, after: LineState, reason: str) -> None:
        """Go to a state of a connection, or go on with it once it has a transport again."""
        if self._last.after is _S.RESUMING:
            self._goes_on_as = after
        else:
            self._go(after, reason)

    def _interrupted(self, why: str) -> None:
        # Where the connection has only just opened, that is told before anything else of it.
        if self._last.after is not _S.CONNECTING:
            self._goes_on_as = self._last.after
            self._go(_S.RESUMING, why, cause=EndCause.TRANSPORT_LOST.value)

    def _resumed(self) -> None:
        self._resuming.succeeded()
        self._renewals.renewed_ns = None
        if self._last.after is _S.RESUMING:
            self._go(self._goes_on_as, "it goes on by another transport, with nothing lost")

    # --- ends -----------------------------------------------------------------------------

    def _failed(self, error: OutsideError, token: Secret | None) -> _Failure:
        """What a failed attempt means; `token` is None if there was none."""
        cause = type(error).__name__
        if token is None:
            least_s = delay_without_token_s(error, self._spec)
            return _Failure(f"no token: {error}", cause, least_s)
        status = error.status if isinstance(error, ConnectFailedError) else None
        if status == _HTTP_UNAUTHORIZED and self._renewed(token):
            return _Failure(str(error), cause, at_once=True)
        least_s = delay_of_refusal_s(error, self._spec)
        self._miss(str(error), least_s)
        if status in _HTTP_ID_IS_GONE and self._spec.negotiate and not self._hasty:
            return _Failure(str(error), cause, at_once=True)
        if self._route is not None:
            # The wish is the address's, and another one may be waiting for us.
            least_s = self._route.wait_s()
        fresh = ", with a fresh token" if status == _HTTP_UNAUTHORIZED else ""
        return _Failure(f"{error}{fresh}", cause, least_s)

    def _miss(self, why: str, leave_s: float | None = None) -> None:
        if self._route is not None:
            self._route.failed(self._url, why, leave_s)

    def _over(self, ended: Ended) -> _Failure | None:
        """What the end of a connection means."""
        if ended.cause is EndCause.LOCAL_STOP:
            return None
        if self._live_ns is None or self._lived_s < self._spec.healthy_after_s:
            self._miss(ended.detail)
        if ended.cause is EndCause.SERVER_CLOSE and not ended.allow_reconnect:
            self._warn("closed_for_good", ended.detail)
        return _Failure(ended.detail, ended.cause.value)

    def _may_renew(self) -> bool:
        renewed_ns = self._renewals.renewed_ns
        if renewed_ns is None:
            return True
        since_s = (self._clock.monotonic_ns() - renewed_ns) / _NS_PER_S
        return since_s >= self._spec.renew_token_after_s

    def _renewed(self, token: Secret) -> bool:
        """A token was refused; renew it, if that was not done lately."""
        if not self._may_renew():
            return False
        self._renewals.renewed_ns = self._clock.monotonic_ns()
        self._tokens.invalidate(token)
        self._warn("token_refused", "the hub answered 401; the token is renewed")
        return True

    # --- inside ---------------------------------------------------------------------------

    @property
    def _farewell_s(self) -> float:
        return self._spec.timers.close_timeout_ns / _NS_PER_S + _STOP_MARGIN_S

    def _warn(self, event: str, reason: str) -> None:
        self._log(event, level="warning", line=self._spec.name, reason=reason)

    def _received_ns(self) -> int | None:
        present = self._connection
        if present is not None and present.last_received_ns is not None:
            return present.last_received_ns
        return self._last_received_ns

    def _go(
        self, after: LineState, reason: str, *, cause: str = "", retry_in_s: float | None = None
    ) -> None:
        before = self._last.after
        if after not in _TABLE[before]:
            raise RuntimeError(f"a line does not go from {before} to {after}")
        present = self._connection
        self._last = Transition(
            name=self._spec.name,
            before=before,
            after=after,
            at_ns=self._clock.now_ns(),
            reason=reason,
            cause=cause,
            connection=self._number,
            last_received_ns=self._received_ns(),
            heard_ns=self._heard_ns if present is None else present.heard.until_ns,
            retry_in_s=retry_in_s,
        )
        self._log(
            "line_state",
            level=_LEVELS.get(after, "info"),
            line=self._spec.name,
            state=after.value,
            reason=reason,
            connection=self._number,
            retry_in_s=retry_in_s,
        )
        self._on_transition(self._last)
