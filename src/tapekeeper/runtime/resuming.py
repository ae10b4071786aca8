"""Another transport for a connection whose own was lost: to the same URL and id, within bounds.

Official clients reconnect at once and without end, which hammers a server that accepts and drops.
Here the first attempt is made at once; each further one, and each that follows a resumption which
did not last, waits a growing, jittered delay. How long all of it may take is the session's to say
(`SessionTimers.resume_timeout_ns`).

    refusal                     answer to it
    --------------------------  -----------------------------------------------------------------
    401                         the token is renewed, once in a while, and it is tried at once
    404, 400, 403, 410          given up: the server has forgotten the id, or wants nobody back
    no token                    given up where the credentials were refused
    anything else               another attempt, not before a `Retry-After`

The token is asked for again for each attempt, so that a renewed one is used; one that a redirect
gave is for this connection only, and is sent again.
"""

from __future__ import annotations

from collections.abc import Callable

from tapekeeper.core.backoff import Backoff
from tapekeeper.deadline import deadline
from tapekeeper.errors import AuthError, ConnectFailedError, OutsideError, ProtocolError
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock, Connection, Log, Random, Transport
from tapekeeper.runtime.line_values import HubTokens, LineSpec, ResumeTally
from tapekeeper.runtime.way import Way

BACKOFF_BASE_MS = 50
BACKOFF_CAP_MS = 2_000
"""Low, because a server keeps the connection for some 15 s only."""

STEADY_S = 5.0
"""How long a resumption must last before the next one is tried at once."""

_NS_PER_S = 1_000_000_000
_HTTP_UNAUTHORIZED = 401
_HTTP_NEVER = frozenset({400, 403, 404, 405, 410})


class Resuming:
    """Opens the transports of one line's connections again, and counts what came of it.

    Args:
        spec: of the line; its patience.
        transport: opens connections.
        tokens: asked for every attempt.
        renew: told that a token was refused; whether it was renewed.
        clock: time.
        random: for the jitter.
        log: events for people.
    """

    def __init__(
        self,
        spec: LineSpec,
        *,
        transport: Transport,
        tokens: HubTokens,
        renew: Callable[[Secret], bool],
        clock: Clock,
        random: Random,
        log: Log,
    ) -> None:
        self._spec = spec
        self._transport = transport
        self._tokens = tokens
        self._renew = renew
        self._clock = clock
        self._random = random
        self._log = log
        self._backoff = Backoff(BACKOFF_BASE_MS, BACKOFF_CAP_MS)
        self._resumed_ns: int | None = None  # monotonic, the last time
        self._tried = 0
        self._succeeded = 0

    async def reopen(self, way: Way) -> Connection:
        """A new transport; `way` then has the token it was opened with.

        Raises:
            OutsideError: the server will not have it; it is over.
        """
        self._tried += 1
        now_ns = self._clock.monotonic_ns()
        haste = self._resumed_ns is None or now_ns - self._resumed_ns >= STEADY_S * _NS_PER_S
        if haste:
            self._backoff.reset()
        least_s: float | None = None
        while True:
            if not haste:
                delay_ms = self._backoff.next_delay_ms(self._random.random(), least_s)
                await self._clock.sleep_s(delay_ms / 1_000)
            haste, least_s = False, None
            try:
                return await self._open(way)
            except ConnectFailedError as error:
                if error.status in _HTTP_NEVER:
                    raise
                if error.status == _HTTP_UNAUTHORIZED:
                    if way.is_given or not self._renew(way.token):
                        raise
                    haste = True
                least_s = error.retry_after_s
                self._say(error)
            except (AuthError, ProtocolError):
                raise
            except OutsideError as error:
                if not error.retryable:
                    raise
                self._say(error)

    def succeeded(self) -> None:
        """The connection goes on."""
        self._succeeded += 1
        self._resumed_ns = self._clock.monotonic_ns()

    def tally(self, repeated: int) -> ResumeTally:
        """The counters, with the records that came a second time."""
        return ResumeTally(self._tried, self._succeeded, repeated)

    async def _open(self, way: Way) -> Connection:
        spec = self._spec
        if not way.is_given:
            async with deadline(spec.token_timeout_s, "asking for a token"):
                way.token = await self._tokens()
        async with deadline(spec.connect_timeout_s, "connecting"):
            return await self._transport.connect(
                way.url, token=way.token, timeout_s=spec.connect_timeout_s
            )

    def _say(self, error: OutsideError) -> None:
        self._log("resume_failed", level="warning", line=self._spec.name, reason=str(error))
