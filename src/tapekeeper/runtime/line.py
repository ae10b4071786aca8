"""A line: one hub connection that is authenticated, subscribed, and replaced whenever it ends.

Two layers. One *life* is a token, an optional negotiation, the upgrade, the handshake, every
wanted subscription asked and answered, then live until it ends. Around it a loop for ever: every
end, whatever its cause, leads to a delay and a new life. Only `stop`, cancellation or a bug ends
the loop; a bug escapes from `run`.

    state           what happens                              next
    --------------  ----------------------------------------  --------------
    STOPPED         run                                       AUTHENTICATING
    AUTHENTICATING  a token                                   CONNECTING
                    none: refused, unreachable, too late      BACKING_OFF
    CONNECTING      handshake answered                        SUBSCRIBING
                    401 with a token not renewed recently     AUTHENTICATING
                    anything else                             BACKING_OFF
    SUBSCRIBING     every subscription answered               LIVE
                    one unanswered, or the connection ended   BACKING_OFF
    LIVE            the connection ended                      BACKING_OFF
    BACKING_OFF     the delay passed                          AUTHENTICATING
    any             stop, cancellation, a bug                 STOPPED

A Close record without `allowReconnect` makes official clients stop for good. A recorder that runs
unattended must not, so it is logged as what it is and treated like any other end.

A subscription refused while its caller waits is the caller's to judge and is forgotten. One that
is refused on a later connection stays wanted, because that may be a gateway that is still
starting; it shows in the status and is tried again while the others are live.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

import msgspec

from tapekeeper.core.backoff import Backoff
from tapekeeper.core.signalr.negotiate import (
    REDIRECTS_MAX,
    Negotiated,
    negotiate_url,
    parse_answer,
    redirected_url,
    websocket_url,
)
from tapekeeper.core.signalr.session import EndCause, Ended, Session
from tapekeeper.errors import (
    AuthError,
    ConnectFailedError,
    ConnectionLostError,
    DeadlineError,
    InvocationError,
    OutsideError,
    ProtocolError,
    RateLimitError,
    UsageError,
)
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock, Connection, Log, Random, Transport
from tapekeeper.runtime.hub_connection import HubConnection, deadline
from tapekeeper.runtime.line_values import (
    HubCall,
    HubTokens,
    Inbox,
    LineSpec,
    LineState,
    LineStatus,
    Transition,
)

_NS_PER_S = 1_000_000_000
_HTTP_UNAUTHORIZED = 401
_HTTP_FORBIDDEN = 403
_STOP_MARGIN_S = 2.0

_S = LineState
_TABLE: dict[LineState, frozenset[LineState]] = {
    _S.STOPPED: frozenset({_S.AUTHENTICATING}),
    _S.AUTHENTICATING: frozenset({_S.CONNECTING, _S.BACKING_OFF, _S.STOPPED}),
    _S.CONNECTING: frozenset({_S.SUBSCRIBING, _S.AUTHENTICATING, _S.BACKING_OFF, _S.STOPPED}),
    _S.SUBSCRIBING: frozenset({_S.LIVE, _S.BACKING_OFF, _S.STOPPED}),
    _S.LIVE: frozenset({_S.BACKING_OFF, _S.STOPPED}),
    _S.BACKING_OFF: frozenset({_S.AUTHENTICATING, _S.STOPPED}),
}


class _Answer(Enum):
    WANTED = auto()  # not asked on the present connection
    ASKED = auto()
    CONFIRMED = auto()
    REFUSED = auto()
    UNANSWERED = auto()


class _Wish:
    """A wanted subscription and who waits for its outcome."""

    __slots__ = ("answer", "waiters")

    def __init__(self) -> None:
        self.answer = _Answer.WANTED
        self.waiters: list[asyncio.Future[None]] = []

    def tell(self, error: OutsideError | None) -> None:
        for waiter in self.waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


class _Failure(msgspec.Struct, frozen=True):
    """Why a life ended, and what that means for the next one."""

    reason: str
    cause: str
    retry_after_s: float | None = None
    at_once: bool = False


def _ignore(_: Transition) -> None:
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
        self._backoff = Backoff(base_ms=spec.backoff_base_ms, cap_ms=spec.backoff_cap_ms)
        self._wishes: dict[HubCall, _Wish] = {}
        self._news = asyncio.Event()  # a wish waits to be asked
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._started = False
        self._renewed_ns: int | None = None  # when a refused token was last renewed, monotonic
        self._live_ns: int | None = None  # when this life became live, monotonic
        self._lived_s = 0.0  # how long the last life was live
        self._connection: HubConnection | None = None
        self._last = Transition(spec.name, _S.STOPPED, _S.STOPPED, 0, "not started")
        self._attempts = 0
        self._connections = 0
        self._frames = 0  # of past connections, as are the bytes
        self._bytes = 0
        self._number: int | None = None
        self._last_received_ns: int | None = None

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
        reason = "cancelled or failed"
        try:
            async with asyncio.TaskGroup() as group:
                lives = group.create_task(self._for_ever())
                await self._stopping.wait()
                reason = "stopped"
                if self._connection is not None:
                    await self._connection.stop(self._farewell_s)
                lives.cancel()
        finally:
            if self._last.after is not _S.STOPPED:
                self._go(_S.STOPPED, reason)
            for wish in self._wishes.values():
                wish.tell(ConnectionLostError("the line was stopped"))
            self._stopped.set()

    async def stop(self) -> None:
        """End `run` politely, from any state; returns when it has ended, or at a deadline."""
        self._stopping.set()
        if self._started:
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * self._farewell_s + self._spec.send_timeout_s):
                    await self._stopped.wait()

    async def subscribe(self, call: HubCall) -> None:
        """Want `call` to be in force on this and every later connection, and wait for its answer.

        A caller that gives up waiting, by deadline or cancellation, leaves it wanted.

        Raises:
            InvocationError: the hub refused it; it is not wanted any more.
            DeadlineError: no answer yet; it stays wanted and is asked again.
            ConnectionLostError: the line was stopped.
        """
        if self._stopped.is_set():
            raise ConnectionLostError(f"{self._spec.name} was stopped")
        wish = self._wishes.setdefault(call, _Wish())
        if wish.answer is _Answer.CONFIRMED:
            return
        if wish.answer is not _Answer.ASKED:
            wish.answer = _Answer.WANTED
            self._news.set()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wish.waiters.append(waiter)
        try:
            async with deadline(self._spec.subscribe_timeout_s, f"{call} on {self._spec.name}"):
                await waiter
        finally:
            wish.waiters.remove(waiter)

    async def unsubscribe(self, call: HubCall, undo: HubCall) -> None:
        """Want `call` no more, and call `undo` where a connection is open.

        Raises:
            InvocationError: the hub refused `undo`.
            DeadlineError: it did not answer. `call` is not wanted any more in both cases.
        """
        wish = self._wishes.pop(call, None)
        if wish is not None:
            wish.tell(InvocationError(f"{call} was withdrawn before it was answered"))
        if self._connection is not None and self._connection.is_open:
            # A subscription dies with its connection, so a loss has done what was wanted.
            with suppress(ConnectionLostError):
                await self._connection.call(undo)

    def forget(self, call: HubCall, undo: HubCall) -> None:
        """Want `call` no more; tell an open connection `undo` without waiting for its answer.

        For a caller that is being cancelled, or has waited in vain already.
        """
        wish = self._wishes.pop(call, None)
        if wish is not None:
            wish.tell(InvocationError(f"{call} was withdrawn before it was answered"))
        if self._connection is not None and self._connection.is_open:
            self._connection.tell(undo)

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
            unconfirmed=tuple(
                call for call, wish in self._wishes.items() if wish.answer is not _Answer.CONFIRMED
            ),
        )

    # --- for ever -------------------------------------------------------------------------

    async def _for_ever(self) -> None:
        while not self._stopping.is_set():
            self._go(_S.AUTHENTICATING, "a new attempt")
            failure = await self._one_life()
            if failure is None:
                return
            if failure.at_once:
                continue
            if self._lived_s >= self._spec.healthy_after_s:
                self._backoff.reset()
            delay_ms = self._backoff.next_delay_ms(self._random.random(), failure.retry_after_s)
            delay_s = delay_ms / 1_000
            self._go(_S.BACKING_OFF, failure.reason, cause=failure.cause, retry_in_s=delay_s)
            await self._clock.sleep_s(delay_s)

    async def _one_life(self) -> _Failure | None:
        """Live once; why it ended, or None for a stop."""
        self._live_ns = None
        self._lived_s = 0.0
        self._attempts += 1
        token: Secret | None = None
        try:
            async with deadline(self._spec.token_timeout_s, "asking for a token"):
                token = await self._tokens()
            self._go(_S.CONNECTING, "a token is at hand")
            async with deadline(self._spec.connect_timeout_s, "connecting"):
                socket = await self._open(token)
        except OutsideError as error:
            return self._failed(error, token)
        try:
            ended = await self._hold(socket, token)
        finally:
            self._retire()
            with suppress(OutsideError, TimeoutError):
                async with asyncio.timeout(self._farewell_s):
                    await socket.close()
        return self._over(ended)

    async def _open(self, token: Secret) -> Connection:
        """Negotiate if the spec says so, and upgrade."""
        spec = self._spec
        hub_url, negotiated, bearer = spec.hub_url, None, token
        if spec.negotiate:
            hub_url, negotiated, bearer = await self._negotiated(token)
        return await self._transport.connect(
            websocket_url(hub_url, negotiated), token=bearer, timeout_s=spec.connect_timeout_s
        )

    async def _negotiated(self, token: Secret) -> tuple[str, Negotiated, Secret]:
        """Where to connect, as whom, and with which token. Redirects are for this life only."""
        url = self._spec.hub_url
        for _ in range(REDIRECTS_MAX):
            body = await self._transport.post(
                negotiate_url(url), token=token, timeout_s=self._spec.connect_timeout_s
            )
            answer = parse_answer(body)
            if isinstance(answer, Negotiated):
                return url, answer, token
            url = redirected_url(url, answer)
            token = answer.access_token or token
        raise ProtocolError(f"the negotiation was redirected more than {REDIRECTS_MAX} times")

    async def _hold(self, socket: Connection, token: Secret) -> Ended:
        """Keep a connected socket until it ends."""
        number = self._numbers()
        connection = HubConnection(
            number=number,
            hub=self._spec.name,
            socket=socket,
            session=Session(self._spec.timers),
            clock=self._clock,
            inbox=self._inbox,
            send_timeout_s=self._spec.send_timeout_s,
        )
        self._connection = connection
        self._number = number
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(connection.read()),
                group.create_task(connection.keep()),
                group.create_task(self._keep_subscribed(connection)),
            ]
            await asyncio.wait([connection.ended])
            for task in tasks:
                task.cancel()
        if self._live_ns is not None:
            self._lived_s = (self._clock.monotonic_ns() - self._live_ns) / _NS_PER_S
        if connection.logged_out:
            self._tokens.invalidate(token)
        return connection.ended.result()

    def _retire(self) -> None:
        """Take the ended connection's figures over."""
        connection = self._connection
        if connection is None:
            return
        connection.abandon("the line was cancelled")
        self._last_received_ns = self._received_ns()
        self._frames += connection.frames
        self._bytes += connection.bytes
        self._connection = None
        for wish in self._wishes.values():
            wish.answer = _Answer.WANTED

    # --- subscriptions --------------------------------------------------------------------

    async def _keep_subscribed(self, connection: HubConnection) -> None:
        """Ask for what is wanted; become live when all of it is answered; go on asking."""
        await connection.opened.wait()
        self._connections += 1
        self._renewed_ns = None
        self._go(_S.SUBSCRIBING, f"connection {connection.number} is open")
        async with asyncio.TaskGroup() as asks:
            first = self._ask_all(asks, connection, {_Answer.WANTED})
            if first:
                await asyncio.wait(first)
            silent = [c for c, wish in self._wishes.items() if wish.answer is _Answer.UNANSWERED]
            if silent:
                # Nothing is live yet, so a hub that does not answer is left at no cost.
                connection.abandon(f"the hub did not answer {silent[0]}")
            if connection.ended.done():
                return
            self._live_ns = self._clock.monotonic_ns()
            self._go(_S.LIVE, f"{len(self._wishes)} subscriptions are answered")
            unsettled = {_Answer.WANTED, _Answer.REFUSED, _Answer.UNANSWERED}
            while True:
                news = await self._news_in_time()
                self._ask_all(asks, connection, {_Answer.WANTED} if news else unsettled)

    def _ask_all(
        self, asks: asyncio.TaskGroup, connection: HubConnection, answers: set[_Answer]
    ) -> list[asyncio.Task[None]]:
        self._news.clear()
        tasks = []
        for call, wish in self._wishes.items():
            if wish.answer in answers:
                wish.answer = _Answer.ASKED
                tasks.append(asks.create_task(self._ask(connection, call, wish)))
        return tasks

    async def _news_in_time(self) -> bool:
        """Whether there is a new wish, or else it is time to mend."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._spec.mend_every_s):
                await self._news.wait()
                return True
        return False

    async def _ask(self, connection: HubConnection, call: HubCall, wish: _Wish) -> None:
        """Ask for one subscription and tell who waits for it."""
        if self._wishes.get(call) is not wish:
            return  # withdrawn meanwhile: asked now, it would come after its own undoing
        try:
            await connection.call(call)
        except ConnectionLostError:
            return  # asked again on the next connection, within the waiters' deadlines
        except InvocationError as error:
            wish.answer = _Answer.REFUSED
            self._warn("subscription_refused", str(error))
            if wish.waiters and self._wishes.get(call) is wish:
                del self._wishes[call]
            wish.tell(error)
        except DeadlineError as error:
            wish.answer = _Answer.UNANSWERED
            self._warn("subscription_unanswered", str(error))
            wish.tell(error)
        else:
            wish.answer = _Answer.CONFIRMED
            wish.tell(None)

    # --- ends -----------------------------------------------------------------------------

    def _failed(self, error: OutsideError, token: Secret | None) -> _Failure:
        """What a failed attempt means; `token` is None if there was none."""
        cause = type(error).__name__
        if token is None:
            least_s = error.retry_after_s if isinstance(error, RateLimitError) else None
            if isinstance(error, AuthError) or not error.retryable:
                least_s = self._spec.refused_delay_s
            return _Failure(f"no token: {error}", cause, least_s)
        if not isinstance(error, ConnectFailedError):
            return _Failure(str(error), cause)
        if error.status == _HTTP_UNAUTHORIZED:
            if self._may_renew():
                self._renew(token)
                return _Failure(str(error), cause, at_once=True)
            return _Failure(f"{error}, with a fresh token", cause, self._spec.refused_delay_s)
        if error.status == _HTTP_FORBIDDEN:
            return _Failure(str(error), cause, self._spec.refused_delay_s)
        return _Failure(str(error), cause, error.retry_after_s)

    def _over(self, ended: Ended) -> _Failure | None:
        """What the end of a connection means."""
        if ended.cause is EndCause.LOCAL_STOP:
            return None
        if ended.cause is EndCause.SERVER_CLOSE and not ended.allow_reconnect:
            self._warn("closed_for_good", ended.detail)
        return _Failure(ended.detail, ended.cause.value)

    def _may_renew(self) -> bool:
        if self._renewed_ns is None:
            return True
        since_s = (self._clock.monotonic_ns() - self._renewed_ns) / _NS_PER_S
        return since_s >= self._spec.renew_token_after_s

    def _renew(self, token: Secret) -> None:
        self._renewed_ns = self._clock.monotonic_ns()
        self._tokens.invalidate(token)
        self._warn("token_refused", "the hub answered 401; the token is renewed")

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
        self._last = Transition(
            name=self._spec.name,
            before=before,
            after=after,
            at_ns=self._clock.now_ns(),
            reason=reason,
            cause=cause,
            connection=self._number,
            last_received_ns=self._received_ns(),
            retry_in_s=retry_in_s,
        )
        self._log(
            "line_state",
            level="warning" if after is _S.BACKING_OFF else "info",
            line=self._spec.name,
            state=after.value,
            reason=reason,
            connection=self._number,
            retry_in_s=retry_in_s,
        )
        self._on_transition(self._last)
